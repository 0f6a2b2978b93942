# An upstream's password is told to no child, no command line, no status document and no file of the state directory
# needs: curl squid openssl
password=$(openssl rand -hex 12)
start_squid "$password"
printf '%s\n' "$password" "$(printf 'matrix:%s' "$password" | base64)" >passwords

# keeps WHAT COMMAND...: fail if the password is in its output. The command may fail: processes come and go.
keeps() {
	local what=$1
	shift
	if { "$@" 2>/dev/null || true; } | grep -qaF -f passwords; then fail "the password is in $what"; fi
}

# look: search while a command runs, and after Squid has refused something.
look() {
	agentproxy exec -- curl -s https://denied.test/ &>command.log || true
	start command agentproxy exec -- sh -c 'env; echo ready; exec sleep 60'
	await grep -q ready command.log
	says command.log "^$(captured AGENT_PROXY_URL HTTPS_PROXY)=http://127\\.0\\.0\\.1:"
	keeps "the child's environment, or in what exec says" cat command.log
	keeps "the daemon's environment" cat "/proc/$(status | field pid)/environ"
	keeps "a command line" cat /proc/[0-9]*/cmdline
	keeps "the status document" status
	keeps "the state directory" grep -ra . "$AGENT_PROXY_STATE_DIR"
	same "http://$SQUID_PLAIN" "$(status | field upstream)" upstream
	stop command || true
	agentproxy down >/dev/null
}

configure <<END
[egress]
upstream = "http://matrix:$password@$SQUID_PLAIN"
END
look

# The same upstream, found in the environment by a tunnel started anew.
configure </dev/null
export HTTPS_PROXY=http://matrix:$password@$SQUID_PLAIN
look
