#!/usr/bin/env bash
# Installs the software that the foreign checks run: below the folders here, and from Debian's packages. Can be run again
# at any time. What cannot be installed is named at the end, after everything else has been.
set -uo pipefail
cd "$(dirname "$0")" || exit
failed=()
for part in interop shells readers consumers workflows pages peers platforms; do
  "$part/install.sh" || failed+=("$part")
done
if [ "${#failed[@]}" -gt 0 ]; then
  echo "tests/foreign/install.sh: not everything could be installed: ${failed[*]}" >&2
  exit 1
fi
echo "tests/foreign/install.sh: done; run: cargo test --test third-party"
