# Completion for zsh. It runs under the options that compsys sets: no "emulate" here,
# which would undo them.

function __agentproxy_complete {
	builtin local line end
	builtin local -a candidates
	# Behind exec's "--" stands another command line.
	end=${words[(i)--]}
	if [[ $words[2] == exec ]] && ((end < CURRENT)); then
		builtin shift $end words
		((CURRENT -= end))
		_normal
		builtin return
	fi
	while IFS= builtin read -r line; do
		candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	done < <("$__agentproxy_bin" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
	if (($#candidates)); then
		_describe agentproxy candidates
	else
		_files
	fi
}

if ((${+functions[compdef]})); then
	compdef __agentproxy_complete agentproxy
fi
