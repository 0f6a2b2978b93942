# What an upstream refuses reaches the client in the upstream's words, and exec says who refused
# needs: curl squid openssl
password=$(openssl rand -hex 12)
start_squid "$password"

# fetch PROXY PASSWORD [FLAG]: ask for the denied host through a Squid; leaves Squid's answer in trace and our words in err.
fetch() {
	configure <<-END
		[egress]
		upstream = "http://matrix:$2@$1"
		extra_roots = ["$SQUID_CA"]
	END
	agentproxy exec -- curl -sv "${@:3}" --stderr trace -o page -w '%{http_connect} %{http_code}' https://denied.test/ 2>err
}

# Without ssl-bump Squid refuses CONNECT itself.
prints "$(captured '000 403' '403 000')" expect "$(captured 22 56)" fetch "$SQUID_PLAIN" "$password" "$(captured -f -S)"
says trace "^< $(captured 'x-agentproxy-reason: .*403 Forbidden' 'HTTP/1.1 403 Forbidden')"
says trace "^< $(captured x-agentproxy-error 'X-Squid-Error: ERR_ACCESS_DENIED')"
says err "^agentproxy: .*denied\.test.*http://$SQUID_PLAIN .*403"

prints "$(captured '000 403' '407 000')" expect "$(captured 22 56)" fetch "$SQUID_PLAIN" wrong "$(captured -f -S)"
says trace "^< $(captured 'x-agentproxy-reason: .*407 Proxy Auth' 'HTTP/1.1 407 Proxy Authentication Required')"
says trace "^< $(captured x-agentproxy-error 'Proxy-Authenticate: Basic')"
says err "^agentproxy: proxy_auth_407 .*denied\.test.*http://$SQUID_PLAIN .*407"

# With it the refusal comes inside the tunnel, and is a page like any other to us.
prints "$(captured 000 200) 403" expect 0 fetch "$SQUID" "$password"
says trace '^< X-Squid-Error: ERR_ACCESS_DENIED'
same "" "$(<err)" stderr
