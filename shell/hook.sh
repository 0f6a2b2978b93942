# shellcheck shell=sh
# The hook for POSIX shells without hooks of their own (dash, busybox, ksh). The
# environment goes through the tunnel from here on; agentproxy_off undoes it,
# agentproxy_on does it again, for instance after the port has changed or the
# configuration was edited, and fails when it cannot be done.
#
# Builtins are called with a backslash or through "command": people alias them.

# __agentproxy_put NAME exported|plain VALUE: export it, and remember what was there.
__agentproxy_put() {
	\eval "__agentproxy_had_$1=\${$1+$2} __agentproxy_was_$1=\${$1-} __agentproxy_set_$1=\$3"
	\export "$1=$3"
	__agentproxy_names="$__agentproxy_names $1"
}

# __agentproxy_drop NAME exported|plain: unset it, and remember what was there.
__agentproxy_drop() {
	\eval "__agentproxy_had_$1=\${$1+$2} __agentproxy_was_$1=\${$1-} __agentproxy_set_$1="
	\unset "$1"
	__agentproxy_names="$__agentproxy_names $1"
}

# This shell looks at nothing before a prompt.
__agentproxy_watch() { :; }

# __agentproxy_back NAME: as it was, unless somebody else has set it since.
__agentproxy_back() {
	\eval "
		if [ \"\${$1-}\" = \"\$__agentproxy_set_$1\" ]; then
			\\unset $1
			case \$__agentproxy_had_$1 in
			exported) \\export $1=\"\$__agentproxy_was_$1\" ;;
			plain) $1=\$__agentproxy_was_$1 ;;
			esac
		fi
		\\unset __agentproxy_had_$1 __agentproxy_was_$1 __agentproxy_set_$1"
}

agentproxy_off() {
	while [ -n "$__agentproxy_names" ]; do
		__agentproxy_back "${__agentproxy_names##* }"
		__agentproxy_names=${__agentproxy_names% *}
	done
}

agentproxy_on() {
	agentproxy_off
	__agentproxy_failed=0
	__agentproxy_text=$("$__agentproxy_bin" __hook enter sh $$) || __agentproxy_failed=$?
	case $__agentproxy_text in
	*__agentproxy_watch*) \eval "$__agentproxy_text" ;;
	esac
	\unset __agentproxy_text
	\return "$__agentproxy_failed"
}

# Read again, as by a second profile: first as it was.
__agentproxy_names=${__agentproxy_names-}
: "${__agentproxy_bin:=agentproxy}"
case $- in
*i*) agentproxy_on || : ;;
*)
	# A script may have inherited it.
	if [ -z "${AGENT_PROXY_URL-}" ] || [ "$AGENT_PROXY_URL" != "${HTTPS_PROXY-}" ]; then
		agentproxy_on 2>/dev/null || :
	fi
	;;
esac
