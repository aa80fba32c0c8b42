#!/bin/sh
# What documentation shows: curl and jq.
set -eu
subject=$(curl -sSL -H "Authorization: bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$AUDIENCE" | jq -er .value)
curl -sSL --fail-with-body "$STS/use/token" \
  --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:token-exchange --data-urlencode "scope=$SCOPE" \
  --data-urlencode "subject_token=$subject" --data-urlencode subject_token_type=urn:ietf:params:oauth:token-type:id_token |
  { cat >answer; jq -er .access_token <answer || { cat answer >&2; exit 1; }; }
