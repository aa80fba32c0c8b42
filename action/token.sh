#!/usr/bin/env bash
# The second step of action.yml: runs `equinix-wif token`, which writes the outputs by itself. What is given as an input
# becomes a flag; what is left empty is the program's to decide, by its default or, where an earlier step cannot gain
# anything by setting it, by its own variable.
#
# Masks go to standard error, so that has to stay the runner's.
set -euo pipefail
# shellcheck source=action/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

arguments=(token --format=github)
# Whose identity it is, how it is checked and where the token goes is for the workflow alone to say, by inputs.
unset EQUINIX_WIF_PROVIDER EQUINIX_WIF_SUBJECT_TOKEN_FILE EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR \
  EQUINIX_WIF_GRANT EQUINIX_WIF_VALIDATION EQUINIX_WIF_FORMAT EQUINIX_WIF_OUTPUT EQUINIX_WIF_EXPORT_ENV EQUINIX_WIF_REPORT

# value NAME TEXT
value() {
  local text
  trim text "$2"
  if [ -n "$text" ]; then arguments+=("--$1=$text"); fi
}

# switch NAME TEXT [VARIABLE]: `false` also wins over the variable.
switch() {
  local text
  trim text "$2"
  case $text in
    '') ;;
    true) arguments+=("--$1") ;;
    false) if [ -n "${3-}" ]; then export "$3=false"; fi ;;
    *) fail 2 action-input-invalid "$1 is neither true nor false" "Write true or false, or leave it out." ;;
  esac
}

value scope "${WITH_SCOPE-}"
value audience "${WITH_AUDIENCE-}"
value provider "${WITH_PROVIDER-}"
value subject-token-env "${WITH_SUBJECT_TOKEN_ENV-}"
value subject-token-file "${WITH_SUBJECT_TOKEN_FILE-}"
value grant "${WITH_GRANT-}"
value sts-endpoint "${WITH_STS_ENDPOINT-}"
value sts-api "${WITH_STS_API-}"
value api-endpoint "${WITH_API_ENDPOINT-}"
value project-id "${WITH_PROJECT_ID-}"
while IFS= read -r line; do
  value expect "$line"
done <<<"${WITH_EXPECT-}"
value validation "${WITH_VALIDATION-}"
switch verify-signature "${WITH_VERIFY_SIGNATURE-}" EQUINIX_WIF_VERIFY_SIGNATURE
switch export-env "${WITH_EXPORT_ENV-}"
value env-name "${WITH_ENV_NAME-}"
value on-unavailable "${WITH_ON_UNAVAILABLE-}"
value min-ttl "${WITH_MIN_TTL-}"
value timeout "${WITH_TIMEOUT-}"
value ca-file "${WITH_CA_FILE-}"
switch no-proxy "${WITH_NO_PROXY-}"
value report "${WITH_REPORT-}"
value summary "${WITH_SUMMARY-}"
# "Enable debug logging" when a run is repeated.
if [ "${RUNNER_DEBUG-}" = 1 ]; then arguments+=(--verbose); fi

exec "$BINARY" "${arguments[@]}" </dev/null
