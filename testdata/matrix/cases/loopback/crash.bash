# A tunnel that is killed comes back on its port for the command that uses it, and "down" ends it for good
# needs: curl
start_origin
start command agentproxy exec -- bash -c '
	curl -fsS https://git.test/echo
	until [[ -e repaired ]]; do sleep 0.1; done
	curl -fsS https://git.test/echo
	until [[ -e over ]]; do sleep 0.1; done'
fetched() { [[ $(grep -c "GET git.test" command.log) == "$1" ]]; }
await fetched 1
killed=$(status | field pid) port=$(status | field port)

kill -KILL "$killed"
another() { [[ $(status | field pid) != @("$killed"|0) ]]; }
await another
same "$port" "$(status | field port)" port
touch repaired
await fetched 2

# The command still runs; what was stopped on purpose must not come back for it.
agentproxy down | grep -q "127.0.0.1:$port"
sleep 1
if answers "$port"; then fail "the tunnel is back"; fi
touch over
finish command
same "" "$(daemons)" daemons
