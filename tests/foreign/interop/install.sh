#!/bin/sh
# Installs what package-lock.json pins, into node_modules next to this file. Can be run again at any time.
set -eu

cd "$(dirname "$0")"

for tool in node npm; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "tests/foreign/interop/install.sh: $tool is not installed; the interop suite needs Node.js 20.19, 22.12 or 24" >&2
        exit 1
    fi
done

echo "tests/foreign/interop/install.sh: npm ci (Node.js $(node --version), npm $(npm --version))"
npm ci
