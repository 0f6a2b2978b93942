# An exec in an exec uses the tunnel that is there
# needs: curl
start_origin
prints "GET git.test" behind agentproxy exec -- agentproxy exec -- curl -fsS https://git.test/echo
prints 1 tunnels
same 1 "$(daemons | wc -l)" daemons
records=("$AGENT_PROXY_STATE_DIR"/endpoint-*.json)
same 1 "${#records[@]}" "endpoint records"
