#!/usr/bin/env bash
# Installs what the release machinery and the pages are checked with: zizmor, actionlint, shellcheck, check-jsonschema and
# kubernetes-validate below this folder, skopeo, umoci, jq and Python's yaml from Debian's packages. Can be run again at any time.
set -euo pipefail
cd "$(dirname "$0")"

wanted=()
for tool in skopeo umoci jq; do
  command -v "$tool" >/dev/null || wanted+=("$tool")
done
python3 -c 'import yaml' 2>/dev/null || wanted+=(python3-yaml)
if [ "${#wanted[@]}" -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
fi
for tool in python3 node npm; do
  command -v "$tool" >/dev/null || { echo "tests/foreign/workflows/install.sh: $tool is not installed" >&2; exit 1; }
done

npm ci --no-fund --no-audit --loglevel=error
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
.venv/bin/zizmor --version
.venv/bin/check-jsonschema --version
.venv/bin/kubernetes-validate --version
.venv/bin/shellcheck --version | sed -n 's/^version: /shellcheck /p'
skopeo --version
umoci --version
