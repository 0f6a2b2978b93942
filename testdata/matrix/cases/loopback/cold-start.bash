# Twenty commands at once, with nothing running, start one tunnel between them
# needs: curl
start_origin
for n in {1..20}; do
	start "command-$n" agentproxy exec -- curl -fsS --data-raw "$n" https://git.test/echo
done
for n in {1..20}; do
	finish "command-$n" || fail "command $n: $(<"command-$n.log")"
	same $'POST git.test\n'"$n" "$(<"command-$n.log")"
done
prints 20 tunnels
same 1 "$(daemons | wc -l)" daemons
records=("$AGENT_PROXY_STATE_DIR"/endpoint-*.json)
same 1 "${#records[@]}" "endpoint records"
