# shellcheck shell=bash
# Completion for bash, from 3.2 on.

builtin : "${__agentproxy_bin:=agentproxy}"

__agentproxy_complete() {
	builtin local line i words
	words=("${COMP_WORDS[@]:1:COMP_CWORD}")
	# Behind exec's "--" stands another command line.
	for ((i = 2; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[1]} == exec && ${COMP_WORDS[i]} == -- ]]; then
			if builtin declare -F _command_offset >/dev/null; then
				_command_offset $((i + 1))
			fi
			builtin return
		fi
	done
	COMPREPLY=()
	while IFS=$'\t' builtin read -r line _; do
		COMPREPLY+=("$line")
	done < <("$__agentproxy_bin" __complete "${words[@]}" 2>/dev/null)
}

builtin complete -o bashdefault -o default -F __agentproxy_complete agentproxy
