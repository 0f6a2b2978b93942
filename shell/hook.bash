# shellcheck shell=bash
# The hook for bash, from 3.2 on. The shell's environment goes through the tunnel;
# it is taken back when the tunnel is gone and set again when there is another, or
# the configuration was edited. agentproxy_off undoes it, agentproxy_on does it
# again. When it cannot be done, or is over, one line says so.
#
# Builtins are called with "builtin": people alias them and define functions over
# them. Nothing here fails under set -eu, and nothing is forked at a prompt
# unless the tunnel has changed or has noted a failure.

# __agentproxy_put NAME exported|plain VALUE: export it, and remember what was there.
__agentproxy_put() {
	builtin printf -v "__agentproxy_had_$1" %s "${!1+$2}"
	builtin printf -v "__agentproxy_was_$1" %s "${!1-}"
	builtin printf -v "__agentproxy_set_$1" %s "$3"
	builtin export "$1=$3"
	__agentproxy_names+=("$1")
}

# __agentproxy_drop NAME exported|plain: unset it, and remember what was there.
__agentproxy_drop() {
	builtin printf -v "__agentproxy_had_$1" %s "${!1+$2}"
	builtin printf -v "__agentproxy_was_$1" %s "${!1-}"
	builtin printf -v "__agentproxy_set_$1" %s ''
	builtin unset "$1"
	__agentproxy_names+=("$1")
}

# __agentproxy_back NAME: as it was, unless somebody else has set it since.
__agentproxy_back() {
	builtin local had=__agentproxy_had_$1 was=__agentproxy_was_$1 set=__agentproxy_set_$1
	if [[ ${!1-} == "${!set}" ]]; then
		builtin unset "$1"
		case ${!had} in
		exported) builtin export "$1=${!was}" ;;
		plain) builtin printf -v "$1" %s "${!was}" ;;
		esac
	fi
	builtin unset "$had" "$was" "$set"
}

# __agentproxy_leave: the environment is as it was before.
__agentproxy_leave() {
	builtin local name
	for name in ${__agentproxy_names[@]+"${__agentproxy_names[@]}"}; do
		__agentproxy_back "$name"
	done
	__agentproxy_names=()
	__agentproxy_port=
}

# __agentproxy_enter: the environment goes through the tunnel. When that cannot be,
# agentproxy has said why, and what it prints is what to look at.
__agentproxy_enter() {
	__agentproxy_leave
	builtin local text status=0
	if [[ $__agentproxy_bin == */* && ! -x $__agentproxy_bin ]]; then
		builtin printf 'agentproxy: this shell goes past the tunnel: %s is not there\n' "$__agentproxy_bin" >&2
		builtin return 127
	fi
	text=$("$__agentproxy_bin" __hook enter bash $$) || status=$?
	if [[ $text == *__agentproxy_watch* ]]; then
		builtin eval "$text"
	fi
	builtin return "$status"
}

# __agentproxy_watch FILE CONFIG SEEN: the tunnel's file for shells, "PORT TIME PID" with the
# last failure's time, "" for none; the configuration; and a file that is as old as
# our knowledge of it.
__agentproxy_watch() {
	__agentproxy_file=$1 __agentproxy_config=$2 __agentproxy_seen=$3
	__agentproxy_configured=
	if [[ -e $2 ]]; then
		__agentproxy_configured=yes
	fi
	if [[ -n $1 ]]; then
		IFS=' ' builtin read -r __agentproxy_port __agentproxy_failed _ 2>/dev/null <"$1" || builtin :
	fi
}

# __agentproxy_edited: the configuration has changed since, has come or gone.
__agentproxy_edited() {
	builtin local configured=
	if [[ ! -e $__agentproxy_seen ]]; then
		builtin return 1
	fi
	if [[ -e $__agentproxy_config ]]; then
		configured=yes
	fi
	[[ $configured != "$__agentproxy_configured" || $__agentproxy_config -nt $__agentproxy_seen ]]
}

# __agentproxy_again PORT: as for the first time. What fails is not tried again
# while the port is the same.
__agentproxy_again() {
	__agentproxy_enter || __agentproxy_port=$1
}

# __agentproxy_tell: what went wrong since the last prompt, if agentproxy is there
# and knows.
__agentproxy_tell() {
	builtin local text
	if text=$("$__agentproxy_bin" __hook failures $$ "$__agentproxy_failed" 2>/dev/null) && [[ -n $text ]]; then
		builtin printf '%s\n' "$text" >&2
	fi
}

# __agentproxy_lives PID: where there is /proc, not as a dead one that nobody has
# waited for.
__agentproxy_lives() {
	builtin kill -0 "$1" 2>/dev/null && [[ -e /proc/$1/exe || ! -e /proc/self/exe ]]
}

agentproxy_on() {
	__agentproxy_wanted=yes
	__agentproxy_enter
}

agentproxy_off() {
	__agentproxy_wanted=
	__agentproxy_leave
}

__agentproxy_prompt() {
	builtin local status=${__agentproxy_status:-$?} port='' failed='' pid=''
	__agentproxy_status=
	if [[ -z $__agentproxy_wanted ]]; then
		builtin return "$status"
	fi
	if __agentproxy_edited; then
		__agentproxy_enter || builtin :
		builtin return "$status"
	fi
	if [[ -z $__agentproxy_file ]]; then
		builtin return "$status"
	fi
	if [[ -r $__agentproxy_file ]]; then
		IFS=' ' builtin read -r port failed pid <"$__agentproxy_file" || builtin :
	fi
	if [[ $port != "$__agentproxy_port" ]]; then
		if [[ -n $port ]]; then
			__agentproxy_again "$port"
		else
			if ((${#__agentproxy_names[@]})); then
				builtin printf 'agentproxy: %s\n' "$__agentproxy_over" >&2
			fi
			__agentproxy_leave
		fi
	elif ((status)) && ((${#__agentproxy_names[@]})) && ! __agentproxy_lives "$pid"; then
		__agentproxy_again "$port" # it has crashed: another one, on the same port
	elif [[ $failed != "$__agentproxy_failed" ]]; then
		if ((status)); then
			__agentproxy_tell
		fi
		__agentproxy_failed=$failed
	fi
	builtin return "$status"
}

# __agentproxy_install: before every prompt, after what others do there. From 5.1
# on PROMPT_COMMAND is an array whose elements find $? and PIPESTATUS as they were.
# Before, it is one text, and the status is that of what others do there: it is
# taken ahead of them by a redirection, which changes neither. Who comes behind
# finds $? as it was, too; "&&" because that is nothing for set -e and ERR traps.
__agentproxy_install() {
	builtin local element own='__agentproxy_prompt && builtin :'
	for element in ${PROMPT_COMMAND[@]+"${PROMPT_COMMAND[@]}"}; do
		if [[ $element == *__agentproxy_prompt* ]]; then
			builtin return
		fi
	done
	if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)); then
		PROMPT_COMMAND+=("$own")
		builtin return
	fi
	# shellcheck disable=SC2128,SC2178 # a string, there
	if [[ ${PROMPT_COMMAND-} == *[![:space:]]* ]]; then
		PROMPT_COMMAND="{ $PROMPT_COMMAND"$'\n} 2>&$((__agentproxy_status = $?, 2))\n'$own
	else
		PROMPT_COMMAND=$own
	fi
}

# Read again, as by a second rc file: first as it was.
builtin : "${__agentproxy_bin:=agentproxy}"
__agentproxy_names=(${__agentproxy_names[@]+"${__agentproxy_names[@]}"})
__agentproxy_file=${__agentproxy_file-}
__agentproxy_failed=${__agentproxy_failed-}
__agentproxy_seen=${__agentproxy_seen-}
__agentproxy_over='the tunnel has left, and this shell goes past it now; agentproxy_on starts another'
if [[ $- == *i* ]]; then
	agentproxy_on || builtin :
	__agentproxy_install
elif [[ -z ${AGENT_PROXY_URL-} || $AGENT_PROXY_URL != "${HTTPS_PROXY-}" ]]; then
	# A script, by BASH_ENV or a login, that did not inherit it.
	agentproxy_on 2>/dev/null || builtin :
fi
