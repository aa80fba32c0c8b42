#!/usr/bin/env bash
# The first step of action.yml: provides the program, and its path as the output `path`.
#
# It is the file of `binary-path`, or it comes out of the release archive for this runner. The archive is taken from the
# tool cache or downloaded; either way a private copy is compared with the digest that stands in action.yml (or in the
# input `sha256`) before anything is unpacked or run.
set -euo pipefail
# shellcheck source=action/lib.sh
. "${BASH_SOURCE[0]%/*}/lib.sh"

export_only_what_tools_need

version='' sha256='' mirror='' binary='' no_proxy_wanted='' install_only='' own_version=''
trim version "${WITH_VERSION-}"
version=${version#v}
trim sha256 "${WITH_SHA256-}"
trim mirror "${WITH_MIRROR_URL-}"
trim binary "${WITH_BINARY_PATH-}"
trim no_proxy_wanted "${WITH_NO_PROXY-}"
trim install_only "${WITH_INSTALL_ONLY-}"
trim own_version "${RELEASE_VERSION-}"

invalid() { fail 2 action-input-invalid "$@"; }

# The end of this step when there is nothing to download. The page is told as a link if the action's repository and commit
# are known, which they are not for `uses: ./`.
without_release() {
  local page=docs/install.md#before-there-is-a-release
  local commit=${GITHUB_SERVER_URL-}/${ACTION_REPOSITORY-}/blob/${ACTION_REF-}
  local an_address='^https://[A-Za-z0-9.-]+(:[0-9]+)?/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+/blob/[A-Za-z0-9._-][A-Za-z0-9._/-]*$'
  if [[ $commit =~ $an_address ]]; then page=$commit/$page; fi
  fail 2 action-no-release \
    "this commit of the action belongs to no release, so it has no program: build one from source and set binary-path to it, as in $page" \
    "Or use the commit of a released tag, if there is one, or set version and sha256 to take another release."
}

# A path in the form that this shell and its tools take, and in the one that all shells of the runner take.
to_shell() { if [ "${RUNNER_OS-}" = Windows ]; then cygpath -u "$1"; else printf '%s' "$1"; fi; }
to_runner() { if [ "${RUNNER_OS-}" = Windows ]; then cygpath -m "$1"; else printf '%s' "$1"; fi; }

digest_of() {
  local line
  if command -v sha256sum >/dev/null; then line=$(sha256sum <"$1"); else line=$(shasum -a 256 <"$1"); fi
  printf '%s' "${line%% *}"
}

# provide FILE: the end of this step, when the file is a program that runs here.
provide() {
  local version
  version=$("$1" --version 2>/dev/null </dev/null) || fail 2 action-binary-unusable \
    "the program does not run on this runner" \
    "Check that it was built for this operating system and processor, and that programs may run where it is."
  case $version in
    'equinix-wif '*) ;;
    *) fail 2 action-binary-unusable "the program is not equinix-wif" "Check where binary-path leads to." ;;
  esac
  printf 'path=%s\n' "$(to_runner "$1")" >>"$GITHUB_OUTPUT"
  exit 0
}

case $install_only in
  '' | false) ;;
  true) echo "install-only=true" >>"$GITHUB_OUTPUT" ;;
  *) invalid "install-only is neither true nor false" "Write true or false, or leave it out." ;;
esac

# --- a program that is already there

if [ -n "$binary" ]; then
  [ -z "$version$sha256$mirror" ] || invalid "binary-path does not go with version, sha256 or mirror-url" \
    "Leave binary-path out to get the release, or the others to use the file as it is. Its digest is not checked."
  case $binary in
    *[[:cntrl:]]*) invalid "binary-path holds a line break or another control character" "Write it on one line." ;;
    /* | [A-Za-z]:[\\/]*) ;;
    *) binary=$PWD/$binary ;;
  esac
  binary=$(to_shell "$binary")
  if [ ! -f "$binary" ] || [ ! -x "$binary" ]; then
    invalid "binary-path does not lead to a file that can be run" \
      "Put the program there in an earlier step. A relative path begins at the checkout."
  fi
  provide "$binary"
fi

# --- which archive

a_version='^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$'
a_digest='^[0-9a-f]{64}$'
if [ -z "$version" ]; then
  [ -z "$sha256" ] || invalid "sha256 goes together with version only" \
    "Name the version that the archive belongs to, or leave sha256 out: the action knows its own release's digests."
  [ -n "$own_version" ] || without_release
  version=$own_version
elif ! [[ $version =~ $a_version ]]; then
  invalid "version is not a version number" "Write it like 1.2.3."
elif [ "$version" = "$own_version" ]; then
  [ -z "$sha256" ] || invalid "sha256 is for another version than the action's own, $own_version" \
    "Leave version and sha256 out: the action knows its own release's digests."
else
  sha256=$(printf '%s' "$sha256" | tr 'A-F' 'a-f')
  [[ $sha256 =~ $a_digest ]] || invalid "version $version is not the action's own, and sha256 is not a SHA-256 digest" \
    "Set sha256 to the archive's line in that release's SHA256SUMS, or use the action of that version."
fi

platform="${RUNNER_OS-}-${RUNNER_ARCH-}"
program=equinix-wif
case $platform in
  Linux-X64) target=x86_64-unknown-linux-musl ;;
  Linux-ARM64) target=aarch64-unknown-linux-musl ;;
  macOS-X64) target=x86_64-apple-darwin ;;
  macOS-ARM64) target=aarch64-apple-darwin ;;
  Windows-X64) target=x86_64-pc-windows-msvc program=equinix-wif.exe ;;
  *) fail 2 action-platform-unsupported "there is no release for ${platform//[^A-Za-z0-9-]/}" \
    "Releases exist for Linux-X64, Linux-ARM64, macOS-X64, macOS-ARM64 and Windows-X64. Build the program and set binary-path." ;;
esac
for tool in curl tar; do
  command -v "$tool" >/dev/null || fail 2 action-platform-unsupported "this runner has no $tool" \
    "Install it, in a container job in the image, or set binary-path."
done
command -v sha256sum >/dev/null || command -v shasum >/dev/null || fail 2 action-platform-unsupported \
  "this runner has neither sha256sum nor shasum" "Install one of them, in a container job in the image."

folder=equinix-wif-$version-$target
archive=$folder.tar.gz
expected=$sha256
if [ -z "$expected" ]; then
  while read -r digest name; do
    if [ "$name" = "$archive" ]; then expected=$digest; fi
  done <<<"${RELEASE_DIGESTS-}"
  [[ $expected =~ $a_digest ]] || fail 2 action-platform-unsupported "the action has no digest for $archive" \
    "The release has no archive for this platform. Build the program and set binary-path."
fi

# --- from where

https='^https://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?(/[A-Za-z0-9._~%+,=@/-]*)?$'
loopback='^http://(localhost|127\.[0-9]+\.[0-9]+\.[0-9]+|\[::1\])(:[0-9]+)?(/[A-Za-z0-9._~%+,=@/-]*)?$'
if [ -n "$mirror" ]; then
  base=${mirror%/}
  from="mirror-url"
else
  base=${GITHUB_SERVER_URL-}/${ACTION_REPOSITORY:-${GITHUB_REPOSITORY-}}/releases/download
  from="the address of the action's releases"
fi
via=()
if [[ $base =~ $https ]]; then
  protocol='=https'
elif [[ $base =~ $loopback ]]; then
  protocol='=http'
  via=(--noproxy '*')
else
  invalid "$from is not an https address without user, query and fragment" \
    "Set mirror-url to the address under which the folders v<version> with the release's files are."
fi
case $no_proxy_wanted in
  '' | false) ;;
  true) via=(--noproxy '*') ;;
  *) invalid "no-proxy is neither true nor false" "Write true or false, or leave it out." ;;
esac
url=$base/v$version/$archive

temp=$(mktemp -d "$(to_shell "$RUNNER_TEMP")/equinix-wif.XXXXXXXX")
copy=$temp/$archive
headers=$temp/headers
trap 'rm -f "$copy" "$headers"' EXIT

# Nothing secret is sent, so redirects are followed, but to https only: GitHub keeps the files of releases elsewhere.
# A curlrc could switch off what protects this, so it is not read. What curl says can hold words of a server.
fetch() {
  curl --disable --silent --globoff --location --max-redirs 5 --proto "$protocol" --proto-redir '=https' \
    ${via[@]+"${via[@]}"} --connect-timeout 10 --speed-limit 1000 --speed-time 20 --max-time 120 \
    --max-filesize 67108864 --dump-header "$headers" --output "$copy" --write-out '%{http_code}' \
    "$url" 2>/dev/null </dev/null
}

# The server's wish for the next attempt, in seconds, when it is a modest one.
retry_after() {
  local seconds
  seconds=$(sed -n 's/^[Rr]etry-[Aa]fter: *\([0-9][0-9]\{0,1\}\)[[:space:]]*$/\1/p' "$headers" 2>/dev/null | tail -n 1)
  if [ -n "$seconds" ] && [ "$seconds" -le 30 ]; then printf '%s' "$seconds"; fi
}

download() {
  local attempt status end why again wait
  for attempt in 1 2 3 4; do
    [ "$attempt" = 1 ] || rm -f "$copy" "$headers"
    end=0
    status=$(fetch) || end=$?
    again=yes
    case $end in
      0) why="the server answered $status" ;;
      6) why="the host's name was not found" ;;
      7) why="no connection" ;;
      1 | 47) why="a redirect that is not followed (curl ended with $end)" again= ;;
      18) why="the answer ended too early" ;;
      23) why="the file could not be written to RUNNER_TEMP" again= ;;
      28) why="it took too long" ;;
      60 | 77) why="the server's certificate is not trusted (curl ended with $end)" again= ;;
      63) why="the file is too large" again= ;;
      *) why="curl ended with $end" ;;
    esac
    if [ "$end" -eq 0 ]; then
      case $status in
        200) return ;;
        404 | 410) fail 2 action-asset-missing "there is no $archive: the server answered $status to $url" \
          "Check that version $version is released for this platform. The files of a private repository cannot be fetched this way: use mirror-url or binary-path." ;;
        408 | 425 | 429 | 5??) ;;
        *) again= ;;
      esac
    fi
    if [ -z "$again" ] || [ "$attempt" -eq 4 ]; then
      fail 8 action-download-failed "$archive could not be downloaded from $base (attempt $attempt): $why" \
        "Check the runner's network and proxy (HTTPS_PROXY). Without a way out, use mirror-url, or binary-path."
    fi
    wait=$(retry_after)
    wait=${wait:-$((1 << (attempt - 1))).$((RANDOM % 10))}
    echo "$archive: $why; trying again in $wait s"
    sleep "$wait"
  done
}

# Other jobs of a self-hosted runner can write to the tool cache, so what is kept there is the archive, and its digest
# is checked each time. The digest is its name, so a wrong content is damage and no other build.
kept=
if [ -n "${RUNNER_TOOL_CACHE-}" ]; then
  kept=$(to_shell "$RUNNER_TOOL_CACHE")/equinix-wif/$version/$expected.tar.gz
fi
source=
if [ -n "$kept" ] && [ -f "$kept" ]; then
  if cp "$kept" "$copy" && [ "$(digest_of "$copy")" = "$expected" ]; then
    source="the tool cache"
  else
    echo "::warning title=equinix-wif::the archive in the tool cache is damaged; it is not used, and downloaded again"
    rm -f "$kept" 2>/dev/null || true
  fi
fi
if [ -z "$source" ]; then
  download
  found=$(digest_of "$copy")
  [ "$found" = "$expected" ] || fail 10 action-digest-mismatch \
    "$archive from $base has another SHA-256 than expected: $found instead of $expected" \
    "Do not use this file. If it comes from a mirror, compare it with the release's SHA256SUMS; if from the release, report it."
  source=$base
  if [ -n "$kept" ]; then
    new=$kept.$$.$RANDOM
    { mkdir -p "${kept%/*}" && cp "$copy" "$new" && mv -f "$new" "$kept"; } 2>/dev/null ||
      { rm -f "$new" 2>/dev/null || true; echo "the archive could not be kept in the tool cache"; }
  fi
fi

# Through standard input, because GNU tar takes a path such as D:\x for a host.
(cd "$temp" && tar -xzof - "$folder/$program") <"$copy" 2>/dev/null || fail 2 action-binary-unusable \
  "$archive cannot be unpacked, or has no $folder/$program" "Check that the digest is that of an archive of a release."
echo "$folder from $source, SHA-256 $expected"
provide "$temp/$folder/$program"
