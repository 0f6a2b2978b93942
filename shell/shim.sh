# shellcheck shell=sh disable=SC2154,SC2123
# One command of a directory on PATH: it runs through "agentproxy exec --", which
# leaves the directory out of PATH, so that what the command starts is real. When
# agentproxy is gone it is the command itself.
if [ -x "$bin" ]; then
	exec "$bin" exec -- "$name" "$@"
fi
rest=$PATH: PATH=
while [ -n "$rest" ]; do
	entry=${rest%%:*} rest=${rest#*:}
	if [ "$entry" != "$shims" ]; then PATH=$PATH${PATH:+:}$entry; fi
done
exec "$name" "$@"
