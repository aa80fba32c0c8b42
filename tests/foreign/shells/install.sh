#!/usr/bin/env bash
# Installs the shells that read our output, what shows a manual page, and what makes terminals and networks and changes users, from
# Debian's packages. Can be run again at any time.
set -euo pipefail
wanted=()
for shell in dash bash zsh fish mksh yash busybox; do
  command -v "$shell" >/dev/null || wanted+=("$shell")
done
command -v groff >/dev/null || wanted+=(groff-base)
command -v script >/dev/null || wanted+=(bsdutils)
command -v setpriv >/dev/null || wanted+=(util-linux)
command -v python3 >/dev/null || wanted+=(python3)
command -v ip >/dev/null || wanted+=(iproute2)
if [ "${#wanted[@]}" -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
fi
for tool in dash bash zsh fish mksh yash busybox groff; do
  echo "$tool: $(command -v "$tool")"
done
