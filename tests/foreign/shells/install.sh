#!/usr/bin/env bash
# Installs the shells that tests/foreign/shells.rs and tests/foreign/completions.rs read our output with, and what shows a manual page, from
# Debian's packages. Where that is not possible the tests skip what is missing and say so.
set -euo pipefail
wanted=()
for shell in zsh fish mksh yash busybox; do
  command -v "$shell" >/dev/null || wanted+=("$shell")
done
command -v groff >/dev/null || wanted+=(groff-base)
if [ "${#wanted[@]}" -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
fi
for tool in dash bash zsh fish mksh yash busybox groff; do
  echo "$tool: $(command -v "$tool")"
done
