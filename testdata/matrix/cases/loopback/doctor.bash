# doctor finds what is wrong with tools and with the CA, and its fix line is what cures it
# needs: curl git npm node wget python3 pip openssl
healthy() { agentproxy doctor "$@" >doctor.out 2>&1 || fail "$*: $(<doctor.out)"; }
# sick TOOL PATTERN: it is, and the line that mends it matches.
sick() {
	expect 1 agentproxy doctor "$1" >doctor.out
	says doctor.out "^✗ $1 "
	says doctor.out "$2"
}
agentproxy up >/dev/null
healthy

# Settings that cannot be overruled.
echo 'noproxy = "*"' >"$HOME/.curlrc.own"
rm -f "$HOME/.curlrc" "$HOME/.npmrc" "$HOME/.gitconfig"
mv "$HOME/.curlrc.own" "$HOME/.curlrc"
sick curl 'fix: curlrc_noproxy in .*/\.curlrc: .*remove the line'
rm "$HOME/.curlrc"
healthy curl

git config --global url.git@canary.invalid:.insteadOf https://
sick git 'fix: git_https_to_ssh_instead_of in .*git config --global --unset-all url.git@canary.invalid:.insteadOf'
git config --global --unset-all url.git@canary.invalid:.insteadOf
healthy git

git config --global http.pinnedPubkey sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
sick git 'fix: git_pinned_pubkey in .*git config --global --unset-all http.pinnedPubkey'
git config --global --unset-all http.pinnedPubkey
healthy git

rm -f "$HOME/.wgetrc"
echo 'no_proxy = agentproxy.test' >"$HOME/.wgetrc"
sick wget 'fix: wgetrc_no_proxy in .*remove the line'
rm "$HOME/.wgetrc"
healthy wget

# Settings that are overruled are no fault.
printf '[http]\n\tproxy = http://nowhere.test:1\n\tsslVerify = false\n' >"$HOME/.gitconfig"
printf 'https-proxy=http://nowhere.test:1\ncafile=/nowhere.pem\nstrict-ssl=false\n' >"$HOME/.npmrc"
printf 'proxy = http://nowhere.test:1\ncacert = /nowhere.pem\n' >"$HOME/.curlrc"
mkdir -p "$HOME/.config/pip"
rm -f "$HOME/.config/pip/pip.conf"
printf '[global]\nproxy = http://nowhere.test:1\ncert = /nowhere.pem\n' >"$HOME/.config/pip/pip.conf"
PIP_CERT='' healthy git npm curl pip
rm "$HOME/.gitconfig" "$HOME/.npmrc" "$HOME/.curlrc" "$HOME/.config/pip/pip.conf"

# Past the tunnel by the environment.
NO_PROXY=agentproxy.test sick wget 'fix: NO_PROXY lists .*agentproxy.test'
NO_PROXY=agentproxy.test sick python 'fix: NO_PROXY lists .*agentproxy.test'
healthy wget python

# A tool that is broken in itself.
mkdir bin
printf '#!/bin/sh\necho "wget: broken" >&2\nexit 1\n' >bin/wget
chmod +x bin/wget
PATH=$PWD/bin:$PATH sick wget 'it said: wget: broken'

# An upstream whose CA is made carelessly.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=careless" -addext basicConstraints=CA:TRUE \
	-addext subjectKeyIdentifier=none -keyout careless.key -out careless.pem 2>/dev/null
configure <<-END
	[egress]
	extra_roots = ["$PWD/careless.pem"]
END
expect 1 agentproxy doctor curl >doctor.out
says doctor.out '^✓ curl '
says doctor.out '^✗ CA '
says doctor.out 'refused by: .*Python 3.13'
