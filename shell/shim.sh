# shellcheck shell=sh disable=SC2154,SC2123
# One command of a directory on PATH: it runs through "agentproxy exec --", or
# alone when agentproxy is gone. The directory leaves PATH first, so that the
# command, and what that starts, is real.
rest=$PATH: PATH=
while [ -n "$rest" ]; do
	entry=${rest%%:*} rest=${rest#*:}
	if [ "$entry" != "$shims" ]; then PATH=$PATH${PATH:+:}$entry; fi
done
if [ -x "$bin" ]; then
	exec "$bin" exec -- "$name" "$@"
fi
exec "$name" "$@"
