# Commands run through "agentproxy exec --" by functions. A function of the user's
# wins, an alias being one, and "command NAME" is the command itself.

# __agentproxy_wrap NAME: unless the name is the user's own already; without
# agentproxy the command itself. "jobs" shows the line of the function, so that it
# has the name.
function __agentproxy_wrap
    if builtin functions -q $argv[1]; or builtin contains -- $argv[1] (builtin -n)
        return
    end
    builtin set -l name (builtin string escape -- $argv[1])
    builtin echo "function $name --wraps $name
        if builtin test -x \$__agentproxy_bin
            \$__agentproxy_bin exec -- $name \$argv
        else
            command $name \$argv
        end
    end" | builtin source
end
