# The smaller clients: wget, aria2, Lynx, w3m, HTTPie, gh, skopeo and openssl, the first four past files that lead elsewhere
# needs: wget aria2c lynx w3m http gh skopeo openssl
start_origin
URL=https://git.test/echo
nowhere=http://nowhere.test:1
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=own" -keyout own.key -out own.pem 2>/dev/null
version() { "$@" 2>&1 | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)*' | head -n 1 || true; }
elsewhere() {
	rm -f "$HOME/.wgetrc" # it is the machine's
	mkdir -p "$HOME/.aria2" "$HOME/.w3m"
	printf '%s\n' "https_proxy = $nowhere" "ca_certificate = $PWD/own.pem" "check_certificate = off" "header = X-Mine: 1" >"$HOME/.wgetrc"
	printf '%s\n' "https-proxy=$nowhere" "ca-certificate=$PWD/own.pem" "check-certificate=false" >"$HOME/.aria2/aria2.conf"
	printf '%s\n' "use_proxy 1" "https_proxy $nowhere/" "ssl_verify_server 0" >"$HOME/.w3m/config"
}

planted=
for n in 1 2; do
	behind aria2c --quiet --allow-overwrite=true --out=aria2.out $URL
	same "GET git.test" "$(<aria2.out)" aria2c
	client w3m "$(version w3m -version)$planted" w3m -dump_source $URL
	client wget "$(version wget --version)$planted" wget -q -O - $URL
	if ((n == 1)); then elsewhere; fi
	planted=" past its own file"
done
works aria2 "$(version aria2c --version)"
rm "$HOME/.wgetrc"
client lynx "$(version lynx -version)" lynx -source $URL
client httpie "$(version http --version)" http --body --ignore-stdin GET $URL
GH_TOKEN=none client gh "$(version gh --version)" gh api $URL

# There is no registry of containers here, and skopeo says so: it has asked over TLS that it trusts.
expect 1 behind skopeo list-tags docker://git.test/none 2>err
says err "invalid status code from registry 404"
works skopeo "$(version skopeo --version)"

printf 'GET /echo HTTP/1.1\r\nHost: git.test\r\nConnection: close\r\n\r\n' >request
behind openssl s_client -quiet -verify_return_error -connect git.test:443 <request >openssl.out 2>/dev/null
says openssl.out "GET git.test"
works openssl-s_client "$(version openssl version)"
works openssl-s_client-noproxyflag "$(version openssl version)"
for tool in wget w3m lynx gh; do diagnose $tool $tool; done
diagnose aria2c aria2
diagnose http httpie
diagnose podman skopeo
diagnose openssl 'openssl-*'
