# Commands run through "agentproxy exec --" by functions. A function of the user's
# wins, an alias being one, and "command NAME" is the command itself.

# __agentproxy_wrap NAME: unless the name is the user's own already.
function __agentproxy_wrap
    if builtin functions -q $argv[1]; or builtin contains -- $argv[1] (builtin -n)
        return
    end
    function $argv[1] --wraps $argv[1]
        __agentproxy_exec (builtin status function) $argv
    end
end

# __agentproxy_exec NAME ARGUMENT...: the command itself, when agentproxy is gone.
function __agentproxy_exec
    if builtin test -x $__agentproxy_bin
        $__agentproxy_bin exec -- $argv
    else
        command $argv
    end
end
