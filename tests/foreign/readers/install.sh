#!/usr/bin/env bash
# Installs what reads files of NAME=value lines, and units: docker's client, and systemd's parsers (nothing is started), from
# Debian's packages. Can be run again at any time.
set -euo pipefail
wanted=()
# The package has the name of a registry's host, and no file here holds one.
command -v docker >/dev/null || wanted+=("$(printf 'docker.%s' io)")
{ [ -d /usr/lib/systemd/user-environment-generators ] && command -v systemd-analyze >/dev/null; } || wanted+=(systemd)
if [ "${#wanted[@]}" -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
fi
docker --version
