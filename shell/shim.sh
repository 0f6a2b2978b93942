# shellcheck shell=sh disable=SC2154,SC2123
# One command of a directory on PATH: it runs through "agentproxy exec --"; alone
# when it is part of a run already, or when agentproxy is gone. The directory stays
# on PATH: PATH is one of the few variables that programs hand on which make an
# environment of their own for what they start.
all=$PATH rest=$PATH: PATH=
while [ -n "$rest" ]; do
	entry=${rest%%:*} rest=${rest#*:}
	if [ "$entry" != "$shims" ]; then PATH=$PATH${PATH:+:}$entry; fi
done
if [ -z "${AGENT_PROXY_RUN-}" ] && [ -x "$bin" ]; then
	PATH=$all
	exec "$bin" exec -- "$name" "$@"
fi
real=$(command -v "$name") || real=$name
PATH=$all
exec "$real" "$@"
