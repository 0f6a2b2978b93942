# npm, pip and git without exec, told of the proxy alone: they trust it by their configuration files, and no more after the removal
# needs: node npm python3 pip git
unset "${!SSL_CERT@}" NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO PIP_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
start_origin
git init --quiet --bare "$ORIGIN_REPOSITORIES/x.git"
listing() { (cd "$HOME" && find . -maxdepth 3 \( -name .npmrc -o -name .gitconfig -o -path '*/pip.conf' \) -exec sha256sum {} + | sort); }
before=$(listing)
url=$(agentproxy up)
plain() { https_proxy=$url HTTPS_PROXY=$url "$@"; }
clients() {
	expect "$1" plain npm view --cache "$PWD/npm-$RANDOM" --fetch-retries 0 is-number@7.0.0 version
	expect "$1" plain python3 -m pip download --quiet --no-cache-dir --no-deps --retries 0 --dest "$PWD/pip" six==1.17.0
	expect "$2" plain git ls-remote https://git.test/git/x.git
}
clients 1 128
agentproxy trust install --store npm --store pip --store git
clients 0 0
agentproxy trust status
agentproxy trust remove --all
clients 1 128
same "$before" "$(listing)" "configuration files"
