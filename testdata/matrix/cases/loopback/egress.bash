# Another agentproxy's egress is the upstream, as an http:// and as an https:// proxy
# needs: curl
start_origin
cat >egress.toml <<END
$(<"$HOME/.config/agentproxy/config.toml")
[policy]
deny = ["denied.test"]
END

for scheme in http https; do
	port=$(free_port) upstream=$scheme://localhost:$port state=$PWD/$scheme
	tls=()
	if [[ $scheme == https ]]; then tls=(--tls localhost); fi
	AGENTPROXY_EGRESS_CREDENTIALS=matrix:secret AGENT_PROXY_STATE_DIR=$state \
		start "egress-$scheme" agentproxy egress --config egress.toml --listen "127.0.0.1:$port" "${tls[@]}"
	await answers "$port"

	configure <<-END
		[egress]
		upstream = "$scheme://matrix:secret@localhost:$port"
		extra_roots = ["$state/agent-proxy-ca.crt"]
	END
	prints "GET git.test" behind curl -fsS https://git.test/echo
	same upstream "$(status | field mode)" mode
	same "$upstream" "$(status | field upstream)" upstream

	expect "$(captured 22 56)" agentproxy exec -- curl "$(captured -fsS -sS)" https://denied.test/ 2>err
	says err "^agentproxy: .*$upstream.* 403 "

	sed -i s/secret/wrong/ "$HOME/.config/agentproxy/config.toml"
	expect "$(captured 22 56)" agentproxy exec -- curl "$(captured -fsS -sS)" https://git.test/echo 2>err
	says err "^agentproxy: proxy_auth_407 .*$upstream"
done
