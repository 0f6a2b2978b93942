# The hook for zsh. The shell's environment goes through the tunnel; it is taken
# back when the tunnel is gone and set again when there is another, or the
# configuration was edited. agentproxy_off undoes it, agentproxy_on does it again.
# When it cannot be done, or is over, one line says so.
#
# Builtins are called with "builtin": people alias them and define functions over
# them. Every function has zsh's own options, whatever the user's are. Nothing is
# forked at a prompt unless the tunnel has changed or has noted a failure.

builtin typeset -gA __agentproxy_had __agentproxy_was __agentproxy_set
builtin typeset -g __agentproxy_file __agentproxy_port __agentproxy_failed __agentproxy_wanted
builtin typeset -g __agentproxy_config __agentproxy_configured __agentproxy_seen
builtin typeset -g __agentproxy_over='the tunnel has left, and this shell goes past it now; agentproxy_on starts another'

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

# __agentproxy_enter: the environment goes through the tunnel. When that cannot be,
# agentproxy has said why, and what it prints is what to look at.
function __agentproxy_enter {
	builtin emulate -L zsh
	__agentproxy_leave
	builtin local text
	builtin local -i failed=0
	if [[ $__agentproxy_bin == */* && ! -x $__agentproxy_bin ]]; then
		builtin print -r -- "agentproxy: this shell goes past the tunnel: $__agentproxy_bin is not there" >&2
		builtin return 127
	fi
	text=$("$__agentproxy_bin" __hook enter zsh $$) || failed=$?
	if [[ $text == *__agentproxy_watch* ]]; then
		builtin eval "$text"
	fi
	builtin return $failed
}

# __agentproxy_watch FILE CONFIG SEEN: the tunnel's file for shells, "PORT TIME PID" with the
# last failure's time, "" for none; the configuration; and a file that is as old as
# our knowledge of it.
function __agentproxy_watch {
	builtin emulate -L zsh
	builtin local rest
	__agentproxy_file=$1 __agentproxy_config=$2 __agentproxy_seen=$3 __agentproxy_configured=
	if [[ -e $2 ]]; then
		__agentproxy_configured=yes
	fi
	if [[ -r $1 ]]; then
		IFS=' ' builtin read -r __agentproxy_port __agentproxy_failed rest <"$1" || builtin :
	fi
}

# __agentproxy_edited: the configuration has changed since, has come or gone.
function __agentproxy_edited {
	builtin emulate -L zsh
	builtin local configured
	if [[ ! -e $__agentproxy_seen ]]; then
		builtin return 1
	fi
	if [[ -e $__agentproxy_config ]]; then
		configured=yes
	fi
	[[ $configured != "$__agentproxy_configured" || $__agentproxy_config -nt $__agentproxy_seen ]]
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
	if [[ -z $__agentproxy_wanted ]]; then
		builtin return 0
	fi
	if __agentproxy_edited; then
		__agentproxy_enter
		builtin return 0
	fi
	if [[ -z $__agentproxy_file ]]; then
		builtin return 0
	fi
	if [[ -r $__agentproxy_file ]]; then
		IFS=' ' builtin read -r port failed pid <"$__agentproxy_file" || builtin :
	fi
	if [[ $port != "$__agentproxy_port" ]]; then
		if [[ -n $port ]]; then
			__agentproxy_enter || __agentproxy_port=$port # what fails is not tried again while the port is the same
		else
			if ((${#__agentproxy_had})); then
				builtin print -r -- "agentproxy: $__agentproxy_over" >&2
			fi
			__agentproxy_leave
		fi
	elif ((__agentproxy_status && ${#__agentproxy_had})) && ! __agentproxy_lives "$pid"; then
		__agentproxy_enter || __agentproxy_port=$port # it has crashed: another one, on the same port
	elif [[ $failed != "$__agentproxy_failed" ]]; then
		if ((__agentproxy_status)); then
			__agentproxy_tell
		fi
		__agentproxy_failed=$failed
	fi
}

# Read again, as by a second rc file: first as it was.
if [[ -o interactive ]]; then
	agentproxy_on || builtin :
	builtin typeset -ga precmd_functions
	if ((! ${precmd_functions[(I)__agentproxy_prompt]})); then
		precmd_functions+=(__agentproxy_prompt)
	fi
elif [[ -z ${AGENT_PROXY_URL-} || $AGENT_PROXY_URL != "${HTTPS_PROXY-}" ]]; then
	# A script, by .zshenv, that did not inherit it.
	agentproxy_on 2>/dev/null || builtin :
fi
