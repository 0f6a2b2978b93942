# Settings of the user's that lead past the tunnel, to other roots, or switch verification off
# needs: curl git node npm python3 pip cargo
start_origin
URL=https://git.test/echo
nowhere=http://nowhere.test:1
HTTP_PROXY=$nowhere http_proxy=$nowhere ALL_PROXY=socks5h://nowhere.test:1 all_proxy=$nowhere HTTPS_PROXY='' https_proxy=''
export HTTP_PROXY http_proxy ALL_PROXY all_proxy HTTPS_PROXY https_proxy
# plant FILE: write it into the home and remember what it held.
plant() {
	mkdir -p "$HOME/$(dirname "$1")"
	rm -f "$HOME/$1"
	cat >"$HOME/$1"
	cp "$HOME/$1" "planted-$(basename "$1")"
}
# untouched FILE
untouched() { cmp "$HOME/$1" "planted-$(basename "$1")" || fail "$1 was edited"; }
# warned PATTERN COMMAND...: it works, and we warn of what matches.
warned() {
	local pattern=$1
	shift
	behind "$@" >out 2>err || fail "$*: $(<err)"
	says err "^agentproxy: .*$pattern"
}

plant .curlrc <<-END
	proxy = "$nowhere"
	cacert = "/nowhere.pem"
	insecure
END
warned 'curlrc_insecure switches verification off' curl -sS $URL
same "GET git.test" "$(<out)"
untouched .curlrc
rm "$HOME/.curlrc"
warned 'curl -sSk switches verification off' curl -sSk $URL

plant .gitconfig <<-END
	[http]
		proxy =
		sslCAInfo = /nowhere.pem
	[http "https://git.test/"]
		proxy = $nowhere
		sslVerify = false
END
git init -q --bare "$ORIGIN_REPOSITORIES/project.git"
warned 'git_http_ssl_verify switches verification off' git ls-remote https://git.test/git/project.git
untouched .gitconfig
rm "$HOME/.gitconfig"

plant .npmrc <<-END
	https-proxy=$nowhere
	proxy=$nowhere
	cafile=/nowhere.pem
	strict-ssl=false
END
npm_registry=$(npm config get registry --userconfig /dev/null)
warned 'npmrc_strict_ssl switches verification off' npm view is-number name
same is-number "$(<out)"
untouched .npmrc
rm "$HOME/.npmrc"

plant .config/pip/pip.conf <<-END
	[global]
	proxy = $nowhere
	cert = /nowhere.pem
END
PIP_CERT='' behind python3 -m pip download --quiet --no-cache-dir --no-deps --dest wheels six==1.17.0
untouched .config/pip/pip.conf
rm "$HOME/.config/pip/pip.conf"

mkdir -p crate/src crate/.cargo
: >crate/src/lib.rs
printf '[package]\nname = "probe"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\nitoa = "1"\n' >crate/Cargo.toml
printf '[http]\nproxy = "%s"\ncainfo = "/nowhere.pem"\n' "$nowhere" >crate/.cargo/config.toml
(cd crate && behind cargo fetch)

# Each variable that switches verification off is dropped and named; what it would have switched off is not needed.
while read -r name value; do
	env "$name=$value" agentproxy exec -- sh -c "test -z \"\${$name+set}\"" 2>err || fail "$name arrives: $(<err)"
	says err "^agentproxy: $name=$value switches verification off; dropped"
done <<'END'
NODE_TLS_REJECT_UNAUTHORIZED 0
GIT_SSL_NO_VERIFY false
PYTHONHTTPSVERIFY 0
npm_config_strict_ssl false
PIP_TRUSTED_HOST git.test
UV_INSECURE_HOST git.test
HEX_UNSAFE_HTTPS 1
SSL_NO_VERIFY 1
CONDA_SSL_VERIFY false
AZURE_CLI_DISABLE_CONNECTION_VERIFICATION 1
BUNDLE_SSL_VERIFY_MODE 0
PERL_LWP_SSL_VERIFY_HOSTNAME 0
HTTPS_CA_FILE /etc/ssl/certs/ca-certificates.crt
END
NODE_TLS_REJECT_UNAUTHORIZED=1 agentproxy exec -- true 2>err
same "" "$(<err)" "what is said of a harmless value"

# A CA of the user's keeps working: the tunnel passes git.test through, so that its own certificate arrives.
configure <<-END
	[policy]
	passthrough = ["git.test"]
	[egress.connect_to]
	"git.test:443" = "$ORIGIN"
END
expect 60 agentproxy exec -- curl -sS $URL
for variable in CURL_CA_BUNDLE SSL_CERT_FILE REQUESTS_CA_BUNDLE; do
	prints "GET git.test" env "$variable=$ORIGIN_CA" agentproxy exec -- curl -sS $URL
done
plant .curlrc <<<"cacert = $ORIGIN_CA"
prints "GET git.test" agentproxy exec -- curl -sS $URL
rm "$HOME/.curlrc"
plant .gitconfig <<<$'[http]\n\tsslCAInfo = '"$ORIGIN_CA"
behind git ls-remote https://git.test/git/project.git
rm "$HOME/.gitconfig"

# What the user takes past the tunnel goes past it, where there is a way.
before=$(tunnels)
NO_PROXY=git.test expect "$(captured 60 6)" agentproxy exec -- curl -sS $URL
same "$((before + $(captured 1 0)))" "$(tunnels)" "tunnels after a host of NO_PROXY"
