# Exit status, death by signal, and every byte of input and output come out as without us
expect 7 agentproxy exec -- sh -c 'echo out; echo err >&2; exit 7' >out 2>err
same out "$(<out)" stdout
same err "$(<err)" stderr

head -c 3000000 /dev/urandom >random
agentproxy exec -- cat <random >copy
cmp random copy

expect 137 agentproxy exec -- sh -c 'kill -KILL $$'
expect 143 agentproxy exec -- sh -c 'kill -TERM $$'

# A signal that reaches us reaches the command.
start sleeper agentproxy exec -- sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done'
await grep -q ready sleeper.log
expect 3 stop sleeper

touch plain-file
expect 126 agentproxy exec -- ./plain-file 2>err
says err '^agentproxy: '
expect 127 agentproxy exec -- no-such-command 2>err
says err '^agentproxy: no-such-command: '
expect 125 agentproxy exec --no-such-flag -- true 2>err
says err '^agentproxy: '
echo "egress = 1" | configure
expect 125 agentproxy exec -- true 2>err
says err '^agentproxy: .*config\.toml:1'
