# The hook for fish, from 3.0 on. The shell's environment goes through the tunnel;
# it is taken back when the tunnel is gone and set again when there is another, or
# the configuration was edited. agentproxy_off undoes it, agentproxy_on does it
# again. When it cannot be done, or is over, one line says so.
#
# Builtins are called with "builtin": people define functions over them. Nothing
# is forked at a prompt unless the tunnel has changed or has noted a failure.

# __agentproxy_put NAME exported|plain VALUE: export it, and remember what was there.
function __agentproxy_put
    __agentproxy_remember $argv[1] $argv[2]
    builtin set -g __agentproxy_set_$argv[1] $argv[3]
    builtin set -gx $argv[1] $argv[3]
end

# __agentproxy_drop NAME exported|plain: unset it, and remember what was there.
function __agentproxy_drop
    __agentproxy_remember $argv[1] $argv[2]
    builtin set -g __agentproxy_set_$argv[1]
    builtin set -eg $argv[1]
end

# A universal variable is only hidden by the global one, and shows again without it.
function __agentproxy_remember
    if builtin set -qg $argv[1]
        builtin set -g __agentproxy_had_$argv[1] $argv[2]
        builtin set -g __agentproxy_was_$argv[1] $$argv[1]
    else
        builtin set -g __agentproxy_had_$argv[1]
    end
    builtin set -ga __agentproxy_names $argv[1]
end

# __agentproxy_back NAME: as it was, unless somebody else has set it since.
function __agentproxy_back
    builtin set -l had __agentproxy_had_$argv[1]
    builtin set -l was __agentproxy_was_$argv[1]
    builtin set -l ours __agentproxy_set_$argv[1]
    if builtin test "$$argv[1]" = "$$ours"
        builtin set -eg $argv[1]
        switch "$$had"
            case exported
                builtin set -gx $argv[1] $$was
            case plain
                builtin set -g $argv[1] $$was
        end
    end
    builtin set -eg $had $was $ours
end

# __agentproxy_leave: the environment is as it was before.
function __agentproxy_leave
    for name in $__agentproxy_names
        __agentproxy_back $name
    end
    builtin set -g __agentproxy_names
    builtin set -g __agentproxy_port
    builtin true # "set" keeps the status
end

# __agentproxy_enter: the environment goes through the tunnel. When that cannot be,
# agentproxy has said why, and what it prints is what to look at. A redirection of
# the function's errors reaches a pipe, and no command substitution.
function __agentproxy_enter
    __agentproxy_leave
    if not builtin test -x $__agentproxy_bin
        builtin printf 'agentproxy: this shell goes past the tunnel: %s is not there\n' $__agentproxy_bin >&2
        return 127
    end
    $__agentproxy_bin __hook enter fish $fish_pid | builtin read -lz text
    builtin set -l failed $pipestatus[1]
    builtin string match -q '*__agentproxy_watch *' -- "$text"
    and builtin printf %s $text | builtin source
    return $failed
end

# __agentproxy_watch FILE CONFIG SEEN: the tunnel's file for shells, "PORT TIME PID" with the
# last failure's time, "" for none; the configuration; and a file that is as old as
# our knowledge of it.
function __agentproxy_watch
    builtin set -g __agentproxy_file $argv[1]
    builtin set -g __agentproxy_config $argv[2]
    builtin set -g __agentproxy_seen $argv[3]
    builtin set -g __agentproxy_configured
    builtin test -e "$argv[2]"
    and builtin set -g __agentproxy_configured yes
    builtin test -n "$argv[1]"
    and builtin read -g -d ' ' __agentproxy_port __agentproxy_failed __agentproxy_pid <$argv[1]
end

# __agentproxy_edited: the configuration has changed since, has come or gone.
function __agentproxy_edited
    builtin test -e "$__agentproxy_seen"
    or return 1
    builtin set -l configured
    builtin test -e "$__agentproxy_config"
    and builtin set configured yes
    builtin test "$configured" != "$__agentproxy_configured"
    or builtin test "$__agentproxy_config" -nt "$__agentproxy_seen" 2>/dev/null
end

# __agentproxy_tell: what went wrong since the last prompt, if agentproxy is there
# and knows.
function __agentproxy_tell
    builtin test -x $__agentproxy_bin
    and builtin set -l text ($__agentproxy_bin __hook failures $fish_pid "$__agentproxy_failed" 2>/dev/null)
    and builtin test -n "$text"
    and builtin printf '%s\n' $text >&2
end

function agentproxy_on
    builtin set -g __agentproxy_wanted yes
    __agentproxy_enter
end

function agentproxy_off
    builtin set -g __agentproxy_wanted
    __agentproxy_leave
end

function __agentproxy_prompt --on-event fish_prompt
    builtin set -l last $status
    if builtin test -z "$__agentproxy_wanted"
        return
    end
    if __agentproxy_edited
        __agentproxy_enter
        return
    end
    if builtin test -z "$__agentproxy_file"
        return
    end
    builtin set -l port
    builtin set -l failed
    builtin set -l pid
    if builtin test -r "$__agentproxy_file"
        builtin read -l -d ' ' p f d <$__agentproxy_file
        builtin set port $p
        builtin set failed $f
        builtin set pid $d
    end
    if builtin test "$port" != "$__agentproxy_port"
        if builtin test -n "$port"
            __agentproxy_enter
            or builtin set -g __agentproxy_port $port # what fails is not tried again while the port is the same
        else
            builtin test -n "$__agentproxy_names"
            and builtin printf 'agentproxy: %s\n' $__agentproxy_over >&2
            __agentproxy_leave
        end
    else if builtin test $last -ne 0 -a -n "$__agentproxy_names" -a -e /proc/self/exe -a ! -e "/proc/$pid/exe"
        __agentproxy_enter # it has crashed: another one, on the same port; seen where there is /proc
    else if builtin test "$failed" != "$__agentproxy_failed"
        if builtin test $last -ne 0
            __agentproxy_tell
        end
        builtin set -g __agentproxy_failed $failed
    end
end

# Read again, as by a second configuration: first as it was.
builtin set -q __agentproxy_names
or builtin set -g __agentproxy_names
builtin set -g __agentproxy_over 'the tunnel has left, and this shell goes past it now; agentproxy_on starts another'
if builtin status is-interactive
    agentproxy_on
else if builtin test -z "$AGENT_PROXY_URL" -o "$AGENT_PROXY_URL" != "$HTTPS_PROXY"
    # A script that did not inherit it.
    agentproxy_on 2>/dev/null
    builtin true
end
