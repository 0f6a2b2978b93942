# shellcheck shell=sh disable=SC2154
# Runs one command line, the only argument, through "agentproxy exec --" in the
# shell that the agent would have taken. When agentproxy is gone the command runs
# all the same, without it, and a line says so: an agent never loses its shell.
case ${SHELL##*/} in
bash | zsh) shell=$SHELL ;;
*) shell=bash ;;
esac
if ! command -v "$shell" >/dev/null; then
	shell="sh"
fi
if [ -x "$bin" ]; then
	exec "$bin" exec -- "$shell" -c "$1"
fi
echo "agentproxy: $bin is gone, and this command runs without it; take $0 out of the agent's settings" >&2
exec "$shell" -c "$1"
