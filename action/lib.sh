# What the steps of action.yml share. Sourced, never run. Everything here and beside it has to work with bash 3.2, which
# is what macOS has.
# shellcheck shell=bash

# Classes of characters mean the same on every runner.
export LC_ALL=C

# A text as the data of a workflow command.
escaped() {
  local text=$1
  text=${text//[%]/%25}
  text=${text//$'\r'/%0D}
  text=${text//$'\n'/%0A}
  printf '%s' "$text"
}

# fail STATUS CODE MESSAGE HINT: ends the step the way the program does: error and hint, an annotation, the output
# error-code. Message and hint hold nothing that was not checked before: no answer of a server, no unchecked input.
fail() {
  printf 'error[%s]: %s\nhint: %s\n' "$2" "$3" "$4" >&2
  printf '::error title=equinix-wif %s::%s\n' "$2" "$(escaped "$3"$'\n'"hint: $4")" >&2
  printf 'error-code=%s\n' "$2" >>"$GITHUB_OUTPUT"
  exit "$1"
}

# trim NAME TEXT: the text without white space around it, such as the line break of a YAML block, in the variable NAME. A
# function that prints would cost a process each time.
trim() {
  local trim_text=$2
  trim_text="${trim_text#"${trim_text%%[![:space:]]*}"}"
  trim_text="${trim_text%"${trim_text##*[![:space:]]}"}"
  printf -v "$1" '%s' "$trim_text"
}

# From here on, the tools that are called get these variables and no others. Many tools take options and even programs from
# variables that an earlier step can have planted (TAR_OPTIONS, GZIP, PERL5OPT, OPENSSL_CONF, CURL_HOME ...), and no tool here
# needs what ID tokens are got with. All other variables can still be read in the script itself.
export_only_what_tools_need() {
  local names name
  names=$(compgen -e)
  for name in $names; do export -n "${name?}"; done
  export PATH LC_ALL
  # Windows opens no connection without the first of these.
  export SYSTEMROOT WINDIR
  # How curl gets out, and which certificates it trusts.
  export http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
  export CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
}
