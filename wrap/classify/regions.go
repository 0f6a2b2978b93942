package classify

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// mark frames lines.
func (f *frames) mark(from, to int) {
	for i := max(from, 0); i < min(to, len(f.lines)); i++ {
		f.framed[i] = true
	}
}

// runs frames lines of a kind where so many stand together.
func (f *frames) runs(least int, is func(line string) bool) {
	from := 0
	for i := range len(f.lines) + 1 {
		if i < len(f.lines) && is(f.lines[i]) {
			continue
		}
		if i-from >= least {
			f.mark(from, i)
		}
		from = i + 1
	}
}

func matches(is func() *regexp.Regexp) func(string) bool {
	return func(line string) bool { return is().MatchString(line) }
}

var (
	// patch begins one, or a part of one; hunk tells how many lines follow.
	patch = pattern(`^(?:diff --git |diff -\w|index [0-9a-f]{7,}|--- \S+\s|--- \S+$|\+\+\+ \S+|\*\*\* \S+\s|\*{15}|(?:new|deleted) file mode|Binary files |\d+(?:,\d+)?[acd]\d+(?:,\d+)?$)`)
	hunk  = pattern(`^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@`)
	// added tells how many lines follow in diff --rcs, edited that they end with a dot in
	// diff --ed.
	added  = pattern(`^a\d+ (\d+)$`)
	edited = pattern(`^\d+(?:,\d+)?[ac]$`)
)

// scripts frames the lines that the scripts of diff --rcs and diff --ed add.
func (f *frames) scripts() {
	for i := 0; i < len(f.lines); i++ {
		end := i
		if m := added().FindStringSubmatch(f.lines[i]); m != nil {
			end = i + 1 + length(m[1])
		} else if edited().MatchString(f.lines[i]) {
			end = i + 1 + slices.Index(f.lines[i+1:], ".")
		}
		f.mark(i+1, end)
		i = max(i, min(end, len(f.lines))-1)
	}
}

// patches frames patches and the output of diff.
func (f *frames) patches() {
	inside := false
	for i := 0; i < len(f.lines); i++ {
		line := strings.TrimPrefix(f.lines[i], "| ") // of git log --graph
		if m := hunk().FindStringSubmatch(strings.TrimPrefix(line, "  ")); m != nil {
			end := f.hunk(i+1, length(m[1]), length(m[2]))
			if f.reworded(i+1, end) {
				end += end - i
			}
			f.mark(i, end)
			i, inside = min(end, len(f.lines))-1, true
			continue
		}
		inside = patch().MatchString(line) || inside && line != "" && strings.ContainsRune("+- <>\\!", rune(line[0]))
		f.framed[i] = f.framed[i] || inside
	}
}

// reworded reports whether a hunk marks words and not lines, so that it may be longer
// than it says.
func (f *frames) reworded(from, to int) bool {
	for _, line := range f.lines[from:min(to, len(f.lines))] {
		if line != "" && !strings.ContainsRune("+- |\\", rune(line[0])) {
			return true
		}
	}
	return false
}

// hunk returns where one ends that has so many old and new lines.
func (f *frames) hunk(from, old, now int) int {
	for i := from; i < len(f.lines); i++ {
		if old <= 0 && now <= 0 {
			return i
		}
		switch line := strings.TrimPrefix(f.lines[i], "| "); {
		case strings.HasPrefix(line, "-"):
			old--
		case strings.HasPrefix(line, "+"):
			now--
		case strings.HasPrefix(line, `\`):
		default:
			old, now = old-1, now-1
		}
	}
	return len(f.lines)
}

// length is a hunk's, which is left out when it is one.
func length(text string) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return 1
}

var (
	// listing is a line with its number: a search's, a compiler's or a debugger's view
	// of a file.
	listing = pattern(`^(?:[\w./@~^+-]+[:-])?\d{1,6}[:-](?:\D|$)|^\s*(?:[>❯→])?\s*\d{1,6}\s?[|│]|^\s+[|│] *\^`)
	// hit is one that a search found, without its number.
	hit = pattern(`^(?:[\w@~^.-]+[:/])?[\w./@+-]*\.[A-Za-z]\w{0,5}[:-]\s*\S`)
	// position is what Python shows a source line below.
	position = pattern(`^\s+File "[^"]+", line \d+`)
	// option is a line of a help text.
	option = pattern(`^\s+-\w(?:,| |$)|^\s*(?:-\w, ?)?--[\w-]+`)
	// beside is a line of two files side by side that differ, full one that leaves no room
	// for a tab, columns one whose halves may be the same.
	beside  = pattern(`\t *[<>|](?:\t|$)`)
	full    = pattern(`\S {1,3}[<>|](?:\t|$)`)
	columns = pattern(`^(.*\S)\t+(\S.*)$`)
	// numbered is what cat -n shows.
	numbered = pattern(`^\s*(\d{1,6})(?:\t|  |$)`)
	// constant is a name with its number or its text.
	constant = pattern(`^\s*(?:#\s*define\s+)?(?:[A-Za-z]\w*(?: +\w+)? *=|[A-Z]\w*|\d+|'\w+'|"\w+")[:\s=,]+(?:-?\d+|0x[0-9a-fA-F]+|'[^']*'|"[^"]*"|\[?\d{3}\b.*)[,;]?$`)
	// outline is a line of a generated document, as pydoc shows classes.
	outline = pattern(`^ {1,4}\|  |^ {4,}[\w.]+(?:\([\w., ]+\))?$`)
)

var (
	// caret is what points at a place of the line above.
	caret = pattern(`^(?:\.{3})?\s*(?:[|│] *)?[~^-]*\^[~^-]*(?: \S.*)?$`)
	// instead is what a linter says above what it would write.
	instead = pattern(`^Did you mean: *$`)
)

// views frames the source lines that compilers and interpreters show.
func (f *frames) views() {
	for i, line := range f.lines {
		if i > 0 && caret().MatchString(line) {
			f.framed[i-1] = true
		}
		if instead().MatchString(line) {
			f.mark(i, i+2)
		}
		if i > 0 && position().MatchString(f.lines[i-1]) && strings.HasPrefix(line, "    ") {
			f.framed[i] = true
		}
	}
}

// listings frames numbered lines of which two stand together, what searches found, lists of
// constants, and help texts.
func (f *frames) listings() {
	f.runs(2, matches(listing))
	if slices.ContainsFunc(f.lines, matches(beside)) {
		f.runs(1, func(line string) bool {
			m := columns().FindStringSubmatch(line)
			return beside().MatchString(line) || full().MatchString(line) || m != nil && m[1] == m[2]
		})
	}
	f.runs(3, matches(hit))
	f.runs(4, matches(option))
	f.runs(6, matches(constant))
	f.runs(5, matches(outline))
	next := 0
	f.runs(4, func(line string) bool {
		m := numbered().FindStringSubmatch(line)
		if m == nil {
			next = 0
			return false
		}
		n, _ := strconv.Atoi(m[1])
		follows := next == 0 || n == next
		next = n + 1
		return follows
	})
}

var (
	commit  = pattern(`^(?:[*|/\\ ]*)commit [0-9a-f]{7,40}\b|^From [0-9a-f]{40} |^tag \S+$|^\S.* \(\d+\):$`)
	entry   = pattern(`^(?:[*|/\\ ]*)(?:Author|AuthorDate|Commit|CommitDate|Date|Merge|Tagger|From|Subject):|^[*|/\\ ]*(?: {4}|$)|^ \S.* \| +(?:\d+|Bin)|^ \d+ files? changed|^---$`)
	oneLine = pattern(`^[*|/\\ ]*\^?[0-9a-f]{7,40} (?:\(|\S)`)
	blame   = pattern(`^\^?[0-9a-f]{7,40} .*\(.+ \d{4}-\d\d-\d\d .* \d+\)`)
	// made is what git says of a commit; its subject follows.
	made = pattern(`^\[\S+(?: \([\w-]+\))? [0-9a-f]{7,40}\] `)
)

// histories frames what git tells of commits.
func (f *frames) histories() {
	inside := false
	for i, line := range f.lines {
		inside = commit().MatchString(line) || inside && (entry().MatchString(line) || f.framed[i])
		f.framed[i] = f.framed[i] || inside || blame().MatchString(line) || made().MatchString(line)
	}
	f.runs(2, matches(oneLine))
}

// file is what head and tail say above each of several files.
var file = pattern(`^==> .+ <==$`)

// files frames what head and tail show.
func (f *frames) files() {
	for i, line := range f.lines {
		if file().MatchString(line) {
			f.mark(i, len(f.lines))
			return
		}
	}
}

var (
	// code is a line that hardly stands but in a program.
	code = pattern(`^\s*(?:#\s*(?:define|include|if|ifdef|ifndef|endif|else|undef|error|pragma)\b|//|/\*|\*/|\* |"{3}|'{3}` +
		`|(?:async |export |static |public |private |protected |final )*(?:func|def|class|interface|struct|enum|function|fn|impl|type|namespace|module|package|import|from|const|let|var|return|throw|raise|assert|yield|await|if|else|elif|elsif|for|while|switch|case|default|try|except|finally|catch|with|unless|when|end|do|break|continue|goto|typedef|static|extern|void|int|char|bool|super|this\.|self\.|@\w+)\b.*(?:[({:;,\\)\]}=]|\w)$)` +
		`|[;{]$|^\s*[)}\]]+[;,)]*$|^\s*[\w.\[\]]+ (?::?=|\+=|\|=) \S|^\s*\w[\w.]*\(.*\)$|^\s*[\w.]+: +["'\x60].*["'\x60],$`)
	// speech is a line of a program that runs: of a stack, an object that is shown, or its
	// own word.
	speech = pattern(`^\s+at |^\s+File "|^\S*(?:Error|Exception)\b.*: |^(?:[a-z][\w.-]*|[A-Z]+|ERROR|WARNING): |^\s*\w+: (?:'[^']*'|-?\d+|\w+|\[?\w+\]?),?$|^\d{4}[-/]\d\d|^[*<>{}] |^\[`)
)

// around is how many lines a line is judged by that stand before it and behind it.
const around = 8

// sources frames lines of which most neighbours are program text.
func (f *frames) sources() {
	program := make([]bool, len(f.lines))
	spoken := make([]bool, len(f.lines))
	for i, line := range f.lines {
		spoken[i] = speech().MatchString(line) || i > 0 && position().MatchString(f.lines[i-1])
		program[i] = line != "" && !spoken[i] && code().MatchString(line)
	}
	for i := range f.lines {
		own, other := 0, 0
		for j := max(0, i-around); j <= min(i+around, len(f.lines)-1); j++ {
			switch {
			case program[j]:
				own++
			case spoken[j]:
				other += 2
			case f.lines[j] != "" && j != i:
				other++
			}
		}
		f.framed[i] = f.framed[i] || own >= 5 && own > other && !(spoken[i] && i >= len(f.lines)-3)
	}
}

// prose is a line of a paragraph that was set to a width.
var prose = pattern(`^(?: {3,}|\t+)(?:\S+ +){5,}\S+$`)

// paragraphs frames indented prose, as manuals have it.
func (f *frames) paragraphs() {
	indent := -1
	f.runs(3, func(line string) bool {
		own := len(line) - len(strings.TrimLeft(line, " \t"))
		same := indent < 0 || own >= indent-4 && own <= indent+4
		indent = own
		return same && len(line) > 50 && len(line) < 140 && prose().MatchString(line) && !speech().MatchString(strings.TrimSpace(line))
	})
}

var (
	// listens is what a server says when it starts.
	listens = pattern(`(?i)^ACCEPT$|\blistening\b|^Serving HTTP|server (?:is )?(?:running|started|ready)|start worker process|ready to accept|using the "\w+" event method`)
	// accepting is what only the side says that was connected to.
	accepting = pattern(`(?i)tls_(?:\w*_)?process_client_|statem_srvr|SSL_accept\b|tlsClientError|TLS handshake error from|peer did not return a certificate|SSL handshaking, client`)
	// peer is what it says of the handshake with a client.
	peer = pattern(`(?i)SSL routines|SSL_accept|process_client|handshake|tlsClientError|clientError|alert|ERR_SSL_|ssl_error|\[SSL: `)
)

// listeners frames what a server says of its clients' handshakes.
func (f *frames) listeners() {
	serves := slices.ContainsFunc(f.lines, matches(accepting))
	for i, line := range f.lines {
		serves = serves || listens().MatchString(line)
		f.framed[i] = f.framed[i] || serves && peer().MatchString(line)
	}
}

var (
	// asked is where a command went, as its output names it.
	asked = pattern(`https?://(?:[^/\s"'@]*@)?(\[[0-9a-fA-F:]+\]|[A-Za-z0-9][\w.-]*)|(?:getaddrinfo (?:ENOTFOUND|EAI_AGAIN) |\b(?:hostname|host|servername|address)[:=] ?['"]|host ?(?:name|address)? ['"‘]|Could not resolve host: |Failed to resolve '|certificate of ['"‘]|UnknownHostException: |connect to |lookup | at |connect ECONNREFUSED |connection to |"tcp", ")(\[[0-9a-fA-F:]+\]|[A-Za-z0-9][\w.-]*)(?:['"’]|:\d+\b|$| on | port )`)
	// proxied is a line that speaks of a proxy.
	proxied = pattern(`(?i:proxy)|CONNECT `)
)

// local reports whether a stream names hosts, and only such as are the user's own: of this
// machine, or services without a domain.
func (f *frames) local() bool {
	own := false
	for _, line := range f.lines {
		for _, m := range asked().FindAllStringSubmatch(line, -1) {
			host := m[1] + m[2]
			switch {
			case hostIs("remote", host):
				if !document().MatchString(host + "/") {
					return false
				}
			case !proxied().MatchString(line):
				own = true
			}
		}
	}
	return own
}
