#!/usr/bin/env bash
# Installs what run.py compares with, below this folder. Node.js, curl and jq have to be there.
set -euo pipefail
cd "$(dirname "$0")"
npm ci --no-fund --no-audit --loglevel=error
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
echo "tests/foreign/differential/install.sh: done; run: cargo build --release --locked && python3 tests/foreign/differential/run.py"
