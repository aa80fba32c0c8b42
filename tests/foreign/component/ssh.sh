#!/bin/sh
# In ssh's place: Git's command on the other side runs here, on the folder below $REMOTES that its path names.
set -eu
for command; do :; done
name=${command%% *}
path=${command#* }
path=${path#\'}
path=${path%\'}
exec git "${name#git-}" "$REMOTES/$path"
