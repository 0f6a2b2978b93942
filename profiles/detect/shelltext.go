package detect

import (
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"
)

const (
	// maxShellText is how much of a shell text is read, in bytes: what Linux lets one
	// argument have (MAX_ARG_STRLEN).
	maxShellText = 128 << 10
	// maxShellErrors is how many lines of a text may be no shell.
	maxShellErrors = 16
	// maxShellFrames is how deep the parser's calls may go: some hundred levels of
	// nesting.
	maxShellFrames = 2000
	// maxEvals is how many texts may stand one inside another, as with eval.
	maxEvals = 4
)

// shellWords are names at a command's place that run nothing else: builtins, and
// programs that use no network.
var shellWords = sync.OnceValue(func() map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.Fields(`[ :
		bg break cd continue declare dirs disown echo enable exit export false fc fg getopts hash
		help history jobs kill let local logout mapfile popd printf pushd pwd read readarray readonly return set shift shopt
		test times true type typeset ulimit umask unalias unset wait
		basename cat chmod chown cp cut date dirname expr grep head ln ls mkdir mktemp mv nl od paste rm rmdir sed seq sleep
		sort stat tail tee touch tr tty uname uniq wc which whoami awk gawk mawk diff cmp tar gzip gunzip zcat id hostname`) {
		words[w] = true
	}
	return words
})

// shellCommand is a command of shell text.
type shellCommand struct {
	argv []string
	// input is the here-document or here-string that it reads, "" for none.
	input string
	// bare is true when argv[0] may be the name of a function.
	bare bool
}

// shellCommands returns the commands of shell text. It is a reading for what may
// be started, not an interpretation: every branch is taken, quotes are taken off,
// substitutions are commands, variables stay as they are. Of text that is no
// shell it returns what stands around the errors.
func shellCommands(text string) []shellCommand {
	r := shellReader{functions: map[string]bool{}, aliases: map[string][]shellCommand{}}
	r.read(strings.ReplaceAll(text[:min(len(text), maxShellText)], "\r\n", "\n"))
	return slices.DeleteFunc(r.commands, func(c shellCommand) bool { return c.bare && r.functions[c.argv[0]] })
}

// shellReader collects the commands of a text.
type shellReader struct {
	commands  []shellCommand
	functions map[string]bool
	aliases   map[string][]shellCommand
	evals     int
}

// read reads a text. Where it is no shell, what precedes the error in its
// statement and in its line counts, and reading goes on in the next line.
func (r *shellReader) read(text string) {
	for range maxShellErrors {
		end, bad := r.parse(text)
		if bad < 0 {
			return
		}
		line := strings.LastIndexByte(text[:bad], '\n') + 1
		if end < line {
			r.parse(text[end:line])
		}
		r.parse(text[max(end, line):bad])
		if line > 0 && strings.TrimSpace(text[line:bad]) == "" { // by itself the line may be none
			text = text[line:]
			continue
		}
		next := strings.IndexByte(text[bad:], '\n')
		if next < 0 {
			return
		}
		text = text[bad+next+1:]
	}
}

// parse takes the statements of a text up to the first error: where the last of
// them ends, and where the error is, -1 for none.
func (r *shellReader) parse(text string) (end, bad int) {
	bad = -1
	parser := syntax.NewParser(syntax.RecoverErrors(maxShellErrors))
	for stmt, err := range parser.StmtsSeq(&shallow{text: text}) {
		switch {
		case bad >= 0: // v3.14.1 goes on behind an error, and panics when the loop is left
		case err != nil:
			bad = max(end, offsetOf(err, len(text)))
		default:
			syntax.Walk(stmt, r.visit)
			end = endOf(stmt, text)
		}
	}
	return end, bad
}

// endOf returns where a statement ends in its text, its here-documents with it.
func endOf(stmt *syntax.Stmt, text string) int {
	end := int(stmt.End().Offset())
	syntax.Walk(stmt, func(n syntax.Node) bool {
		if redirect, ok := n.(*syntax.Redirect); ok && redirect.Hdoc != nil && len(redirect.Hdoc.Parts) > 0 {
			if body := int(redirect.Hdoc.End().Offset()); body > end && body < len(text) {
				line, _, _ := strings.Cut(text[body:], "\n") // the delimiter's
				end = body + len(line)
			}
		}
		return true
	})
	return min(end, len(text))
}

// offsetOf returns where an error of the parser is in a text of so many bytes.
func offsetOf(err error, length int) int {
	var wrong syntax.ParseError
	var foreign syntax.LangError
	switch {
	case errors.As(err, &wrong):
		return min(int(wrong.Pos.Offset()), length)
	case errors.As(err, &foreign):
		return min(int(foreign.Pos.Offset()), length)
	}
	return length
}

// shallow hands text to a parser for as long as that does not nest too deep: the
// parser descends by calling itself, and calls Read from where it stands.
type shallow struct{ text string }

var errTooDeep = errors.New("nested too deep")

func (s *shallow) Read(p []byte) (int, error) {
	var frame [1]uintptr
	if runtime.Callers(maxShellFrames, frame[:]) > 0 {
		return 0, errTooDeep
	}
	if s.text == "" {
		return 0, io.EOF
	}
	n := copy(p, s.text)
	s.text = s.text[n:]
	return n, nil
}

// visit notes the commands of a node; it is for syntax.Walk.
func (r *shellReader) visit(n syntax.Node) bool {
	switch n := n.(type) {
	case *syntax.FuncDecl:
		if n.Name != nil {
			r.functions[n.Name.Value] = true
		}
	case *syntax.Stmt:
		if call, ok := n.Cmd.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			var argv []string
			for _, word := range call.Args {
				argv = append(argv, literal(word))
			}
			r.command(shellCommand{argv: argv, input: input(n.Redirs), bare: true})
		}
	}
	return true
}

// command notes a simple command, or what it is a prefix of.
func (r *shellReader) command(c shellCommand) {
	name, args := c.argv[0], c.argv[1:]
	if alias, ok := r.aliases[name]; ok && c.bare && len(alias) > 0 {
		last := alias[len(alias)-1]
		last.argv = slices.Concat(last.argv, args)
		last.input = c.input
		r.commands = append(append(r.commands, alias[:len(alias)-1]...), last)
		return
	}
	switch name {
	case "exec", "command", "builtin", "noglob", "nocorrect":
		if rest := afterFlags(name, args); len(rest) > 0 {
			r.command(shellCommand{argv: rest, input: c.input})
		}
	case "eval":
		r.text(strings.Join(args, " "))
	case "trap":
		if len(args) > 0 && args[0] == "--" {
			args = args[1:]
		}
		if len(args) > 1 && !strings.HasPrefix(args[0], "-") {
			r.text(args[0])
		}
	case "alias":
		for _, arg := range args {
			if name, value, ok := strings.Cut(arg, "="); ok {
				r.aliases[name] = r.apart(value)
			}
		}
	default:
		if strings.HasPrefix(name, "-") { // the keyword time has -p alone, the program has more
			c = shellCommand{argv: slices.Concat([]string{"time"}, c.argv), input: c.input}
		} else if name == "" || shellWords()[name] {
			return
		}
		r.commands = append(r.commands, c)
	}
}

// afterFlags returns the command behind a builtin that runs one, nil when it is
// only asked about (command -v).
func afterFlags(name string, args []string) []string {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		flag := args[0]
		args = args[1:]
		switch {
		case flag == "--":
			return args
		case name == "command" && strings.ContainsAny(flag, "vV"):
			return nil
		case name == "exec" && strings.HasSuffix(flag, "a") && len(args) > 0: // the name to run it under
			args = args[1:]
		}
	}
	return args
}

// text reads shell text that is an argument.
func (r *shellReader) text(text string) {
	if r.evals++; r.evals <= maxEvals {
		r.read(text)
	}
	r.evals--
}

// apart returns the commands of shell text without noting them.
func (r *shellReader) apart(text string) []shellCommand {
	before := r.commands
	r.commands = nil
	r.text(text)
	commands := r.commands
	r.commands = before
	return commands
}

// input returns what a here-document or here-string says, "" when there is none.
func input(redirects []*syntax.Redirect) string {
	for _, redirect := range redirects {
		switch {
		case redirect.Hdoc != nil:
			return literal(redirect.Hdoc)
		case redirect.Op == syntax.WordHdoc:
			return literal(redirect.Word)
		}
	}
	return ""
}

// literal returns a word without its quotes: variables as they are written,
// "$()" for what a command says.
func literal(word *syntax.Word) string {
	var b strings.Builder
	if word != nil {
		writeParts(&b, word.Parts, false)
	}
	return b.String()
}

func writeParts(b *strings.Builder, parts []syntax.WordPart, quoted bool) {
	for _, part := range parts {
		switch part := part.(type) {
		case *syntax.Lit:
			b.WriteString(unescape(part.Value, quoted))
		case *syntax.SglQuoted:
			if part.Dollar {
				b.WriteString(ansi.Replace(part.Value))
			} else {
				b.WriteString(part.Value)
			}
		case *syntax.DblQuoted:
			writeParts(b, part.Parts, true)
		case *syntax.ParamExp:
			if part.Param != nil {
				b.WriteString("$" + part.Param.Value)
			}
		case *syntax.ExtGlob:
			if part.Pattern != nil {
				b.WriteString(part.Op.String() + part.Pattern.Value + ")")
			}
		default:
			b.WriteString("$()")
		}
	}
}

// ansi reads the escapes of $” that shell text and names are made with.
var ansi = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\'`, "'", `\"`, `"`, `\\`, `\`)

// unescape takes the backslashes off: all that stand outside of quotes, within
// them those that mean something (POSIX XCU 2.2.3).
func unescape(s string, quoted bool) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (!quoted || strings.IndexByte("$`\"\\\n", s[i+1]) >= 0) {
			if i++; s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
