# doctor finds what is wrong with tools, with the way out and with CAs, and what its fix line says is what cures it
# alone: a slow machine makes trials run out of their time
# needs: curl git npm node wget python3 pip java keytool squid openssl certutil
healthy() { doctor "$@" || fail "$*: $(cat doctor.out doctor.err)"; }
# sick TOOL PATTERN: doctor says so, and how to mend it, which is in $fix.
sick() {
	expect 1 doctor "$1"
	says doctor.out "^✗ $1 "
	fix=$(grep -o "fix: $2.*" doctor.out) || fail "no such fix: $(<doctor.out)"
	fix=${fix#fix: }
}
# ailing PATTERN: what is not a tool's.
ailing() {
	expect 1 doctor curl
	says doctor.out '^✓ curl '
	fix=$(grep -A3 "$1" doctor.out | sed -n 's/^    fix: //p') || fail "not found: $(<doctor.out)"
	[[ $fix ]] || fail "no fix: $(<doctor.out)"
}
make_ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=careless" "$@" -keyout careless.key -out careless.pem 2>/dev/null
}
agentproxy up >/dev/null
healthy
rm -f "$HOME"/.curlrc "$HOME"/.npmrc "$HOME"/.gitconfig "$HOME"/.wgetrc "$HOME"/.config/pip/pip.conf # the machine's
mkdir -p "$HOME/.config/pip" bin

# 1 and 2: lines of a file that the tool takes over its environment.
for rc in 'curl .curlrc curlrc_noproxy noproxy = "*"' 'wget .wgetrc wgetrc_no_proxy no_proxy = agentproxy.test'; do
	read -r tool file code line <<<"$rc"
	printf '# mine\n%s\n' "$line" >"$HOME/$file"
	sick "$tool" "$code in $HOME/$file: .*remove the line"
	sed -i "/^${line%% *}/d" "$HOME/$file"
	healthy "$tool"
	rm "$HOME/$file"
done

# 3 and 4: settings of git's; the fix is a command.
for setting in url.git@canary.invalid:.insteadOf=https:// http.pinnedPubkey=sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; do
	git config --global "${setting%%=*}" "${setting#*=}"
	sick git 'git_.* in .*git config --global --unset-all '
	eval "$(grep -o 'git config --global --unset-all [^ ,]*' <<<"$fix")"
	healthy git
done

# 5: the list of what goes past every proxy.
export NO_PROXY=agentproxy.test
sick python3 'NO_PROXY lists agentproxy.test, .*unset it'
unset NO_PROXY
healthy python3

# launcher TOOL LINE...: one before it in PATH, with the lines, which it is to expand itself.
launcher() {
	printf '%s\n' '#!/bin/sh' "${@:2}" >"bin/$1"
	chmod +x "bin/$1"
}
curl=$(type -P curl) wget=$(type -P wget)
PATH=$PWD/bin:$PATH

# 6: a launcher that hides the CA from the tool.
launcher curl 'export CURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt' "exec $curl \"\$@\""
sick curl 'point it at the bundle: export CURL_CA_BUNDLE=".AGENT_PROXY_CA_BUNDLE_PATH";'
cure=${fix#*: }
launcher curl "${cure%%;*}" "exec $curl \"\$@\""
healthy curl
rm bin/curl

# 7: one that takes the proxy away.
launcher wget "exec $wget --no-proxy \"\$@\""
sick wget 'give it the tunnel by its own option: .HTTPS_PROXY;'
launcher wget "exec $wget -e use_proxy=on -e https_proxy=\"\$HTTPS_PROXY\" \"\$@\""
healthy wget
rm bin/wget

# 8: a truststore that is the user's, behind a password.
make_ca
keytool -importcert -noprompt -keystore own.p12 -storepass "of my own" -alias own -file careless.pem 2>/dev/null
export JAVA_TOOL_OPTIONS="-Djavax.net.ssl.trustStore=$PWD/own.p12"
sick java "jvm_options_trust_store in \$JAVA_TOOL_OPTIONS: .*the password changeit (keytool -storepasswd)"
keytool -storepasswd -new changeit -keystore own.p12 -storepass "of my own" 2>/dev/null
healthy java
unset JAVA_TOOL_OPTIONS

# 9 and 10: an upstream egress that is gone, and one that wants a name.
port=$(free_port)
configure <<<"egress.upstream = \"http://127.0.0.1:$port\""
ailing "^✗ upstream: .*127.0.0.1:$port cannot be reached"
same "check that it runs and that egress.upstream or HTTPS_PROXY names the right address" "$fix" fix
start_squid secret
configure <<<"egress.upstream = \"http://$SQUID_PLAIN\""
ailing "^✗ upstream: .*407"
same "put user:password into egress.upstream, or into the HTTPS_PROXY that names it" "$fix" fix
configure <<<"egress.upstream = \"http://matrix:secret@$SQUID_PLAIN\""
healthy curl
says doctor.out "^✓ upstream http://$SQUID_PLAIN answers"

# 11: an upstream whose CA is made carelessly. Each fix is an option to make it anew with.
make_ca -addext basicConstraints=CA:TRUE -addext subjectKeyIdentifier=none
configure <<<"egress.extra_roots = [\"$PWD/careless.pem\"]"
expect 1 doctor curl
says doctor.out '^✓ curl '
says doctor.out '^✗ CA '
says doctor.out 'refused by: .*Python 3.13'
read -ra options <<<"$(sed -n 's/^    fix: issue it anew with: openssl req -x509//p' doctor.out | tr '\n' ' ')"
((${#options[@]} >= 6)) || fail "fixes: $(<doctor.out)"
make_ca "${options[@]}"
healthy curl
configure </dev/null

# 12: our own CA, which somebody has replaced by a careless one, with its key.
agentproxy down >/dev/null
make_ca -addext basicConstraints=critical,CA:TRUE
cp careless.pem "$AGENT_PROXY_STATE_DIR/agent-proxy-ca.crt"
openssl pkcs8 -topk8 -nocrypt -in careless.key -out "$AGENT_PROXY_STATE_DIR/agent-proxy-ca.key"
ailing '^✗ CA no_key_usage'
same "agentproxy ca rotate" "$fix" fix
eval "$fix" >/dev/null
healthy curl

# Settings that are overruled are no fault.
printf '[http]\n\tproxy = http://nowhere.test:1\n\tsslVerify = false\n' >"$HOME/.gitconfig"
printf 'https-proxy=http://nowhere.test:1\ncafile=/nowhere.pem\nstrict-ssl=false\n' >"$HOME/.npmrc"
printf 'proxy = http://nowhere.test:1\ncacert = /nowhere.pem\n' >"$HOME/.curlrc"
printf '[global]\nproxy = http://nowhere.test:1\ncert = /nowhere.pem\n' >"$HOME/.config/pip/pip.conf"
PIP_CERT='' healthy git npm curl pip

# A tool that is broken in itself shows nothing, which is no failure of ours.
launcher wget 'echo "wget: broken" >&2' 'exit 1'
expect 0 doctor wget
says doctor.out '^- wget '
says doctor.out 'fix: it did not get as far as the network'
says doctor.out 'it said: wget: broken'
