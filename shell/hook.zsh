# The hook for zsh. The shell's environment goes through the tunnel; it is taken
# back when the tunnel is gone and set again when there is another. agentproxy_off
# undoes it, agentproxy_on does it again.
#
# Builtins are called with "builtin": people alias them and define functions over
# them. Every function has zsh's own options, whatever the user's are. Nothing is
# forked at a prompt unless the tunnel has changed or has noted a failure.

builtin typeset -gA __agentproxy_had __agentproxy_was __agentproxy_set
builtin typeset -g __agentproxy_pulse __agentproxy_port __agentproxy_failed __agentproxy_wanted

# __agentproxy_put NAME exported|plain VALUE: export it, and remember what was there.
function __agentproxy_put {
	builtin emulate -L zsh
	__agentproxy_had[$1]=${(P)1+$2}
	__agentproxy_was[$1]=${(P)1-}
	__agentproxy_set[$1]=$3
	builtin export "$1=$3"
}

# __agentproxy_drop NAME exported|plain: unset it, and remember what was there.
function __agentproxy_drop {
	builtin emulate -L zsh
	__agentproxy_had[$1]=${(P)1+$2}
	__agentproxy_was[$1]=${(P)1-}
	__agentproxy_set[$1]=
	builtin unset "$1"
}

# __agentproxy_leave: the environment is as it was before; what somebody else has
# set since stays.
function __agentproxy_leave {
	builtin emulate -L zsh
	builtin local name
	for name in ${(k)__agentproxy_had}; do
		if [[ ${(P)name-} == "$__agentproxy_set[$name]" ]]; then
			builtin unset "$name"
			case $__agentproxy_had[$name] in
			(exported) builtin export "$name=$__agentproxy_was[$name]" ;;
			(plain) builtin typeset -g "$name=$__agentproxy_was[$name]" ;;
			esac
		fi
	done
	__agentproxy_had=() __agentproxy_was=() __agentproxy_set=()
	__agentproxy_port=
}

# __agentproxy_enter: the environment goes through the tunnel.
function __agentproxy_enter {
	builtin emulate -L zsh
	__agentproxy_leave
	builtin local text
	if text=$("$__agentproxy_bin" __hook enter zsh $$); then
		builtin eval "$text"
	fi
}

# __agentproxy_watch FILE: the tunnel's pulse, "PORT TIME PID" with the last
# failure's time.
function __agentproxy_watch {
	builtin emulate -L zsh
	builtin local rest
	__agentproxy_pulse=$1
	if [[ -r $1 ]]; then
		IFS=' ' builtin read -r __agentproxy_port __agentproxy_failed rest <"$1" || builtin :
	fi
}

# __agentproxy_tell: what went wrong since the last prompt, if agentproxy is there
# and knows.
function __agentproxy_tell {
	builtin emulate -L zsh
	builtin local text
	if text=$("$__agentproxy_bin" __hook failures $$ "$__agentproxy_failed" 2>/dev/null) && [[ -n $text ]]; then
		builtin print -r -- "$text" >&2
	fi
}

# __agentproxy_lives PID: where there is /proc, not as a dead one that nobody has
# waited for.
function __agentproxy_lives {
	builtin kill -0 "$1" 2>/dev/null && [[ -e /proc/$1/exe || ! -e /proc/self/exe ]]
}

function agentproxy_on {
	__agentproxy_wanted=yes
	__agentproxy_enter
}

function agentproxy_off {
	__agentproxy_wanted=
	__agentproxy_leave
}

function __agentproxy_prompt {
	builtin local -i __agentproxy_status=$?
	builtin emulate -L zsh
	builtin local port failed pid
	if [[ -z $__agentproxy_wanted || -z $__agentproxy_pulse ]]; then
		builtin return 0
	fi
	if [[ -r $__agentproxy_pulse ]]; then
		IFS=' ' builtin read -r port failed pid <"$__agentproxy_pulse" || builtin :
	fi
	if [[ $port != "$__agentproxy_port" ]]; then
		__agentproxy_leave
		if [[ -n $port ]]; then
			__agentproxy_enter 2>/dev/null
		fi
	elif ((__agentproxy_status)) && [[ -n $port ]] && ! __agentproxy_lives "$pid"; then
		__agentproxy_enter 2>/dev/null # it has crashed: another one, on the same port
	elif [[ $failed != "$__agentproxy_failed" ]]; then
		if ((__agentproxy_status)); then
			__agentproxy_tell
		fi
		__agentproxy_failed=$failed
	fi
}

# Read again, as by a second rc file: first as it was.
if [[ -o interactive ]]; then
	agentproxy_on 2>/dev/null
	builtin typeset -ga precmd_functions
	if ((! ${precmd_functions[(I)__agentproxy_prompt]})); then
		precmd_functions+=(__agentproxy_prompt)
	fi
elif [[ -z ${AGENT_PROXY_URL-} || $AGENT_PROXY_URL != "${HTTPS_PROXY-}" ]]; then
	# A script, by .zshenv, that did not inherit it.
	agentproxy_on 2>/dev/null
fi
