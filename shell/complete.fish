# Completion for fish, from 3.0 on.

function __agentproxy_complete
    set -l words (commandline -opc) (commandline -ct)
    # Behind exec's "--" stands another command line.
    if test "$words[2]" = exec; and set -l end (contains -i -- -- $words[1..-2])
        set -l inner (string escape -- $words[(math $end + 1)..-2]) $words[-1]
        complete -C "$inner"
        return
    end
    $__agentproxy_bin __complete $words[2..-1] 2>/dev/null
end

complete -c agentproxy -f -n 'test (count (__agentproxy_complete)) -gt 0' -a '(__agentproxy_complete)'
complete -c agentproxy -F -n 'test (count (__agentproxy_complete)) -eq 0'
