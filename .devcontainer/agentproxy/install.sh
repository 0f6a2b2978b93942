#!/bin/sh
# Installs agentproxy for this machine, once its digest is right. No root is needed: without it, agentproxy goes into
# ~/.local/bin. The environment may say otherwise:
#
#   VERSION     the release (default: the one that this file came with)
#   DOWNLOADS   a URL or directory with its files (default: the project's releases on GitHub)
#   TO          the directory for the program
set -eu
VERSION=${VERSION:-0.0.0}
DOWNLOADS=${DOWNLOADS:-https://github.com/agentproxy/agentproxy/releases/download/v$VERSION}
if [ -z "${TO:-}" ]; then
	if [ "$(id -u)" = 0 ]; then TO=/usr/local/bin; else TO=$HOME/.local/bin; fi
fi

say() { echo "install.sh: $*" >&2; }
fail() { say "$@" && exit 1; }

case $(uname -s) in
Linux) system=linux ;;
Darwin) system=darwin ;;
*) fail "there is no agentproxy for $(uname -s); on Windows, use WSL" ;;
esac
case $(uname -m) in
x86_64 | amd64) machine=amd64 ;;
aarch64 | arm64) machine=arm64 ;;
*) fail "there is no agentproxy for $(uname -m)" ;;
esac
name=agentproxy-$VERSION-$system-$machine

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
fetch() { # NAME
	case $DOWNLOADS in
	*://*)
		if command -v curl >/dev/null; then
			curl -fsSL --proto =https,file --retry 3 -o "$tmp/$1" "$DOWNLOADS/$1"
		elif command -v wget >/dev/null; then
			wget -q -O "$tmp/$1" "$DOWNLOADS/$1"
		else
			fail "it takes curl or wget"
		fi
		;;
	*) cp "$DOWNLOADS/$1" "$tmp/$1" ;;
	esac || fail "$DOWNLOADS/$1 cannot be fetched"
}
fetch SHA256SUMS
fetch "$name"
want=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$name\$/\1/p" "$tmp/SHA256SUMS")
if command -v sha256sum >/dev/null; then
	got=$(sha256sum "$tmp/$name")
else
	got=$(shasum -a 256 "$tmp/$name")
fi
got=${got%% *}
[ -n "$want" ] || fail "SHA256SUMS does not name $name"
[ "$want" = "$got" ] || fail "the digest of $name is $got, and SHA256SUMS says $want"

mkdir -p "$TO"
chmod 755 "$tmp/$name"
# By a rename, so that a running agentproxy is replaced, too.
cp "$tmp/$name" "$TO/.agentproxy.new"
mv "$TO/.agentproxy.new" "$TO/agentproxy"
"$TO/agentproxy" version
case :$PATH: in
*":$TO:"*) ;;
*) say "$TO is not in PATH" ;;
esac
