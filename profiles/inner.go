package profiles

import (
	"slices"
	"strings"
	"sync"
)

// Inner says where, in the arguments of a command that runs another, that
// other one is.
type Inner struct {
	// After are the subcommands that run something: exec in "bundle exec rake".
	// Without one there is no inner command. Empty when the first argument is
	// the command.
	After []string `toml:"after"`
	// Flags are those whose value is the next argument.
	Flags []string `toml:"flags"`
	// Assignments are allowed before the command, as after env and sudo.
	Assignments bool `toml:"assignments"`
	// Skip is how many arguments come before the command, as after timeout.
	Skip int `toml:"skip"`
	// Shell is the letter of the flag whose argument is shell text: "c".
	Shell string `toml:"shell"`
	// Module is the flag whose argument is a program's name: -m of Python.
	Module string `toml:"module"`
	// Script is true when the first argument is a file of shell commands.
	Script bool `toml:"script"`
	// Default is the command when there is none in the arguments.
	Default string `toml:"default"`
}

// inner is what Inner finds.
type inner struct {
	// index of the command or the script in the arguments, -1 when it is not there.
	index int
	// text is shell text instead.
	text string
	// script is a file instead.
	script string
}

func (in *Inner) find(args []string) (found inner, ok bool) {
	after, skip := len(in.After) > 0, in.Skip
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case in.Module != "" && arg == in.Module && i+1 < len(args):
			return inner{index: i + 1}, true
		case in.Shell != "" && isCluster(arg, in.Shell) && i+1 < len(args):
			return inner{index: -1, text: args[i+1]}, true
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
			return inner{index: i, script: arg}, true
		case in.Module != "" || in.Shell != "": // its own first argument is no command
			return inner{}, false
		default:
			return inner{index: i}, true
		}
	}
	if in.Default != "" && !after {
		return inner{index: -1, text: in.Default}, true
	}
	return inner{}, false
}

// isCluster tells that arg is a group of single-letter flags with letter in it,
// such as -ec for c.
func isCluster(arg, letter string) bool {
	return len(arg) > 1 && arg[0] == '-' && arg[1] != '-' && strings.Contains(arg, letter)
}

func isAssignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// shellWords are words at a command's place that are none, or run nothing.
var shellWords = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.Fields(`if then else elif fi for do done while until case esac in select function { } ! [[ ]] [ : . source
		alias bg break builtin cd command continue declare dirs disown echo enable eval exec exit export false fc fg getopts hash
		help history jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt
		test times trap true type typeset ulimit umask unalias unset wait
		basename cat chmod chown cp cut date dirname expr find grep head ln ls mkdir mktemp mv nl od paste rm rmdir sed seq sleep
		sort stat tail tee touch tr tty uname uniq wc which whoami awk gawk mawk diff cmp tar gzip gunzip zcat id hostname`) {
		words[w] = true
	}
	return words
})

// leading are shell words that a command follows.
var leading = []string{"if", "then", "else", "elif", "do", "while", "until", "!", "{", "exec", "command", "builtin", "eval"}

// shellCommands returns the commands of shell text, each with its arguments.
// It is a reading for what may be started, not an interpreter: quotes are taken
// off, substitutions are commands, variables stay as they are.
func shellCommands(text string) [][]string {
	var commands [][]string
	var words []string
	end := func() {
		for len(words) > 0 && (slices.Contains(leading, words[0]) || isAssignment(words[0])) {
			words = words[1:]
		}
		if len(words) > 0 && !shellWords()[words[0]] {
			commands = append(commands, words)
		}
		words = nil
	}
	s := scanner{text: text}
	for {
		word, boundary := s.next()
		if word != "" {
			words = append(words, word)
		}
		if boundary {
			end()
		}
		if s.done() {
			end()
			return commands
		}
	}
}

// scanner divides shell text into words and the boundaries of commands.
type scanner struct {
	text string
	i    int
}

func (s *scanner) done() bool { return s.i >= len(s.text) }

// next returns the next word, and whether a command ends behind it.
func (s *scanner) next() (word string, boundary bool) {
	var b strings.Builder
	for ; s.i < len(s.text); s.i++ {
		c := s.text[s.i]
		switch {
		case c == '\\' && s.i+1 < len(s.text):
			s.i++
			if s.text[s.i] != '\n' {
				b.WriteByte(s.text[s.i])
			}
		case c == '\'' || c == '"':
			rest := s.text[s.i+1:]
			end := strings.IndexByte(rest, c)
			if end < 0 {
				end = len(rest)
			}
			quoted := rest[:end]
			if c == '"' {
				if _, inside, ok := strings.Cut(quoted, "$("); ok {
					s.i += len(quoted) - len(inside)
					return b.String(), true
				}
			}
			b.WriteString(quoted)
			s.i += end + 1
		case c == '#' && b.Len() == 0:
			if end := strings.IndexByte(s.text[s.i:], '\n'); end >= 0 {
				s.i += end - 1
			} else {
				s.i = len(s.text)
			}
		case c == '$' && s.i+1 < len(s.text) && s.text[s.i+1] == '(':
			s.i += 2
			return b.String(), true
		case strings.IndexByte("\n;&|()`", c) >= 0:
			s.i++
			return b.String(), true
		case c == ' ' || c == '\t' || c == '\r':
			if b.Len() > 0 {
				s.i++
				return b.String(), false
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), false
}
