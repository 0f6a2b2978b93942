# The verdict names the true cause: clients x causes, at least 95 in 100
# needs: curl wget git python3 node npm pip ruby php perl java openssl aria2c lynx http gh cargo
start_origin
# shellcheck disable=SC2016 # the shell of the command expands it
declare -A client=(
	[curl]='curl -fsS @' [wget]='wget -nv --tries=1 -O /dev/null @' [git]='git ls-remote @'
	[urllib]='python3 -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])" @'
	[fetch]='node -e "fetch(process.argv[1]).then((r) => r.text())" @'
	[https]='node -e "require(\"https\").get(process.argv[1], (r) => r.resume())" @'
	[npm]='npm view --fetch-retries=0 --registry=@ is-number' [pip]='python3 -m pip download --retries=0 --no-deps -i @ six'
	[ruby]='ruby -ropen-uri -e "URI.open(ARGV[0]).read" @'
	[perl]='perl -MHTTP::Tiny -e "\$r = HTTP::Tiny->new(verify_SSL => 1)->get(shift); \$c = \$r->{content}; die ref \$c ? \"\$c->{status} \$c->{reason}\" : \$c if !\$r->{success}" @'
	[php]='php -r "\$c = curl_init(\$argv[1]); curl_setopt(\$c, CURLOPT_FAILONERROR, true); if (!curl_exec(\$c)) { fwrite(STDERR, \"curl error \" . curl_errno(\$c) . \": \" . curl_error(\$c)); exit(1); }" -- @'
	[http]='http --check-status --ignore-stdin GET @' [lynx]='lynx -source @' [aria2]='aria2c --max-tries=1 --dir=. @'
	[gh]='env GH_TOKEN=none gh api @' [cargo]='cargo search --index=sparse+@/ x'
)
roots=(SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE PIP_CERT GIT_SSL_CAINFO CARGO_HTTP_CAINFO NODE_EXTRA_CA_CERTS npm_config_cafile
	SYSTEM_WGETRC PERL_LWP_SSL_CA_FILE GEMRC PHP_INI_SCAN_DIR)
proxies=(HTTPS_PROXY https_proxy YARN_HTTPS_PROXY NODE_USE_ENV_PROXY NODE_OPTIONS RUBYOPT PYTHONPATH)
without() { printf -- '-u %s ' "$@"; }
ours=$(cat "$HOME/.config/agentproxy/config.toml")

# try CAUSE CLASS PREFIX HOST CLIENT...: run the clients and count.
declare -i right=0 all=0
table=
try() {
	local cause=$1 class=$2 prefix=$3 url=$4 name got
	shift 4
	for name; do
		all+=1
		rm -f verdict
		# In a network of its own most of these causes are none.
		agentproxy exec --capture never --retry never --verdict-file="$PWD/verdict" -- sh -c "$prefix ${client[$name]//@/$url}" >out.log 2>&1 </dev/null || true
		got=none
		if [[ -s verdict ]]; then got=$(field class <verdict); fi
		if [[ $got == "$class" ]]; then
			right+=1
		else
			table+="$cause, $name: $got, not $class: $(tail -n 4 out.log | cut -c1-300 | tr '\n' '|')"$'\n'
		fi
	done
}
# Lynx takes a refusal for a page, and ends well.
everyone=(curl wget git urllib fetch https npm pip ruby perl php http aria2 gh cargo)

# shellcheck disable=SC2046 # words are meant
try 'CA hidden' tls_trust "env $(without "${roots[@]}")" https://git.test/echo curl git urllib fetch https npm pip ruby perl http gh cargo wget
try 'proxy ignored' proxy_bypassed "env $(without "${proxies[@]}")" https://git.test/echo curl wget git urllib fetch https npm pip ruby perl php http gh cargo aria2 lynx
try 'proxy gone' proxy_unreachable "env HTTPS_PROXY=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1" https://git.test/echo curl wget git urllib https npm pip ruby perl php http gh cargo
# shellcheck disable=SC2016 # the shell of the command expands it
try 'plain HTTP' plain_http_405 'env http_proxy=$AGENT_PROXY_URL HTTP_PROXY=$AGENT_PROXY_URL' http://git.test/echo curl wget urllib perl php http
try 'no such name' upstream_failed '' https://no-such-name.test/echo "${everyone[@]}"

configure <<-END
	$ours
	"refuses.test:443" = "127.0.0.1:1"
	[policy]
	deny = ["denied.test"]
END
try 'host denied' policy_denied '' https://denied.test/echo "${everyone[@]}"
try 'origin refuses' upstream_failed '' https://refuses.test/echo "${everyone[@]}"

# An origin whose CA the egress does not know.
configure <<-END
	[egress.connect_to]
	"git.test:443" = "$ORIGIN"
END
try 'bad certificate' upstream_failed '' https://git.test/echo "${everyone[@]}"

AGENTPROXY_EGRESS_CREDENTIALS=u:p start egress agentproxy egress --listen 127.0.0.1:0
egress_port() { sed -n 's/.*egress on port \([0-9]*\)$/\1/p' egress.log; }
await test -s egress.log
configure <<-END
	[egress]
	upstream = "http://127.0.0.1:$(egress_port)"
END
try '407' proxy_auth_407 '' https://git.test/echo "${everyone[@]}"

echo "$right of $all verdicts name the cause"
printf '%s' "$table"
((right * 100 >= all * 95)) || fail "only $right of $all"
