# shellcheck shell=bash
# For bash and zsh: commands run through "agentproxy exec --" by functions. An
# alias or a function of the user's wins, and "command NAME" is the command itself.

# __agentproxy_wrap NAME: unless the name is the user's own already; without
# agentproxy the command itself. "jobs" shows the line of the function, so that it
# has the name. No alias is expanded behind "function". In its POSIX mode bash
# takes no name with a "-".
function __agentproxy_wrap {
	if [[ :${SHELLOPTS-}: == *:posix:* && $1 == *[!A-Za-z0-9_]* ]]; then
		builtin return 0
	fi
	if builtin alias "$1" >/dev/null 2>&1 || builtin typeset -f "$1" >/dev/null; then
		builtin return 0
	fi
	builtin eval "function $1 {
		if [[ -x \$__agentproxy_bin ]]; then
			\"\$__agentproxy_bin\" exec -- $1 \"\$@\"
		else
			builtin command $1 \"\$@\"
		fi
	}" 2>/dev/null || builtin :
}

builtin : "${__agentproxy_bin:=agentproxy}"
