#!/bin/sh
# Installs what package-lock.json pins, into node_modules next to this file. Can be run again at any time.
set -eu

cd "$(dirname "$0")"

for tool in node npm; do
    command -v "$tool" >/dev/null || { echo "tests/foreign/pages/install.sh: $tool is not installed" >&2; exit 1; }
done

npm ci --no-fund --no-audit --loglevel=error --ignore-scripts
node diagrams.mjs --version
