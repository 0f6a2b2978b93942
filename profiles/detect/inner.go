package detect

import (
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/profiles"
)

// inner is a command that another runs.
type inner struct {
	// argv is the command or the script with its arguments, index its place in the
	// arguments.
	argv  []string
	index int
	// text is shell text instead.
	text string
	// script is true when the command is a file of shell commands.
	script bool
}

// find returns the commands that args have inside, in their order.
func find(in *profiles.Inner, args []string) []inner {
	if len(in.Exec) > 0 {
		return clauses(in, args)
	}
	if found, ok := first(in, args); ok {
		return []inner{found}
	}
	return nil
}

// clauses returns the commands behind the flags of Exec.
func clauses(in *profiles.Inner, args []string) []inner {
	var found []inner
	for i := 0; i < len(args); i++ {
		if !slices.Contains(in.Exec, args[i]) {
			continue
		}
		start := i + 1
		// POSIX find: "+" ends a command behind "{}" only.
		for i = start; i < len(args) && args[i] != ";" && !(args[i] == "+" && args[i-1] == "{}"); i++ {
		}
		if i > start {
			found = append(found, inner{argv: args[start:i], index: start})
		}
	}
	return found
}

func first(in *profiles.Inner, args []string) (found inner, ok bool) {
	after, skip := len(in.After) > 0, in.Skip
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case in.Module != "" && arg == in.Module && i+1 < len(args):
			return inner{argv: args[i+1:], index: i + 1}, true
		case in.Shell != "" && isCluster(arg, in.Shell) && i+1 < len(args):
			return inner{text: args[i+1]}, true
		case slices.Contains(in.Flags, arg):
			i++
		case strings.HasPrefix(arg, "-") && arg != "-", in.Assignments && isAssignment(arg):
		case after:
			if !slices.Contains(in.After, arg) {
				return inner{}, false
			}
			after = false
		case skip > 0:
			skip--
		case in.Script:
			return inner{argv: args[i:], index: i, script: true}, true
		case in.Module != "" || in.Shell != "": // its own first argument is no command
			return inner{}, false
		default:
			return inner{argv: args[i:], index: i}, true
		}
	}
	if in.Default != "" && !after {
		return inner{text: in.Default}, true
	}
	return inner{}, false
}

// isCluster reports whether arg is a group of single-letter flags with letter in it,
// such as -ec for c.
func isCluster(arg, letter string) bool {
	return len(arg) > 1 && arg[0] == '-' && arg[1] != '-' && strings.Contains(arg, letter)
}

func isAssignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
