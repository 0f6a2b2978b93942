# Planning and running for every tool that there is a profile of changes nothing outside the state directory; a thousand captured runs leave nothing
# needs: certutil
# alone: it holds /etc to what it was
# list prints what is in the home and in /etc. Sockets and times of directories do not count, nor does the state directory,
# which is in the home. What goes while find reads may make it fail, -ignore_readdir_race or not.
list() {
	{
		LC_ALL=C find "$HOME" /etc -xdev -ignore_readdir_race \( -path "$AGENT_PROXY_STATE_DIR" -prune \) -o \( -type f -o -type l \) -printf '%p %s %T@ %m\n' 2>find.err || true
	} | sort
	if grep -v ': No such file or directory$' find.err; then fail "find: $(<find.err)"; fi
}
agentproxy up >/dev/null
list >before
mkdir empty bin
cd empty || exit
agentproxy profile list --json | python3 -c '
import json, sys
for profile in json.load(sys.stdin):
    for command in profile.get("commands", [])[:1]:
        print(command)' >../commands
while read -r command; do
	agentproxy exec --dry-run -- "$command" >/dev/null || fail "no plan for $command"
	# The name decides what is prepared; what runs is harmless.
	ln -sf "$(type -P true)" "../bin/$command"
	PATH=$PWD/../bin:$PATH agentproxy exec -- "$command" >../out 2>&1 || fail "exec for $command: $(<../out)"
done <../commands
(($(wc -l <../commands) > 30)) || fail "few profiles: $(wc -l <../commands)"
[[ ! $(ls -A) ]] || fail "the working directory got $(ls -A)"
cd .. || exit
list >after
cmp before after || fail "$(diff before after)"

# A thousand runs in networks of their own leave neither a network nor a mount, process or descriptor of the tunnel's.
agentproxy exec --capture always -- true
tunnel=$(daemons)
held() { echo "$(lsns --noheadings --type net | wc -l) $(wc -l </proc/self/mountinfo) $(daemons | wc -l) $(find "/proc/$tunnel/fd" -type l | wc -l)"; }
settled() {
	local -a now
	local i
	read -ra now <<<"$(held)"
	for i in "${!now[@]}"; do ((now[i] <= begun[i])) || return; done
}
read -ra begun <<<"$(held)"
for _ in {1..1000}; do agentproxy exec --capture always -- true || fail "a captured run failed"; done
await settled
