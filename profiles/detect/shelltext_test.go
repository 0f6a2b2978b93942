package detect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
)

// names returns what the commands of shell text are called, as one line.
func names(text string) string {
	var found []string
	for _, c := range shellCommands(text) {
		found = append(found, c.argv[0])
	}
	return strings.Join(found, " ")
}

func TestShellCommands(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`V="$(date)"; npm ci`, "npm"},
		{`echo "say \"hi\""; npm ci`, "npm"},
		{`curl -d "{\"a\":1}" https://x.test; npm ci`, "curl npm"},
		{`set -- "$(date)"; npm ci`, "npm"},
		{`env FOO="$(id)" npm ci`, "env"},
		{`echo "$((1+2))"; npm ci`, "npm"},
		{"cat <<EOF\nit's\nEOF\nnpm ci", "npm"},
		{"cat <<-'EOF'\n\t$(pip x)\n\tEOF\nnpm ci", "npm"},
		{"cat <<EOF\n$(pip freeze) `gem list` \\$(no)\nEOF\nnpm ci", "pip gem npm"},
		{"echo \"`npm root`\"", "npm"},
		{`for f in $(git ls-files); do node "$f" & done; wait`, "git node"},
		{`if ! npm ci; then yarn; elif pnpm i; then :; else bun i; fi`, "npm yarn pnpm bun"},
		{`case "$1" in a|b) npm ci ;; *) pip install x ;; esac`, "npm pip"},
		{`while read -r l; do curl "$l"; done < <(git log)`, "curl git"},
		{`diff <(curl a) >(wget b)`, "curl wget"},
		{`(cd web && npm ci) | tee log`, "npm"},
		{`build() { npm ci "$@"; }; build --x; build`, "npm"},
		{`npm() { command npm --x "$@"; }; npm ci`, "npm"},
		{`A=1 B="x y" npm ci`, "npm"},
		{`A=$(npm bin)`, "npm"},
		{`export A="$(npm bin)" B`, "npm"},
		{`eval "npm install"`, "npm"},
		{`eval "$(ssh-agent -s)"; eval $'npm\nci'`, "$() ssh-agent npm ci"},
		{`trap 'npm stop' EXIT; trap - EXIT INT; trap`, "npm"},
		{`time npm ci; time -p npm ci`, "npm npm"},
		{`time -f %e npm ci`, "time"},
		{`exec npm ci`, "npm"},
		{`exec -a x npm ci; exec 3>&1`, "npm"},
		{`command -v npm; command -p yarn; command -- pnpm i`, "yarn pnpm"},
		{"alias p='python3 -q'\np f.py", "python3"},
		{`$NPM ci; "$HOME/bin/npm" ci; ${X:-npm} ci`, "$NPM $HOME/bin/npm $X"},
		{`[[ -n $(npm bin) && a =~ ^(b|c)$ ]]`, "npm"},
		{`echo 'npm ci; pip'; # yarn`, ""},
		{`n'p'm ci; "np"m ci; n\pm ci; \npm ci`, "npm npm npm npm"},
		{"npm \\\n  ci", "npm"},
		{"npm ci\r\npip x\r\n", "npm pip"},
		{`npm ci && {`, "npm"},
		{"if x; then\n npm ci\n pip ) x\nfi\nyarn", "x npm pip yarn"},
		{"cat <<'EOF' && npm ci\npip\nEOF\nyarn |\n! bun", "npm yarn bun"},
		{"npm ci\necho \"never ends", "npm"},
		{"main() {\n npm ci\n yarn", "npm yarn"},
		{"npm ci\n\x00\x01\x7fELF)))\nyarn", "npm \x01\x7fELF yarn"},
		{`xargs -0 npm install`, "xargs"},
		{`""; "" x`, ""},
		{"<<0", ""},
	} {
		if got := names(c.text); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

// What a tool is hidden in is opened by the profile of what runs it.
func TestShippedProfilesFindToolsInShellText(t *testing.T) {
	for text, want := range map[string]string{
		`find . -name '*.js' -exec npx eslint {} + -o -name x -execdir pip install {} \;`: "npx pip",
		`find . -name pip`:                      "",
		`fd -e py -x pip install -r`:            "pip",
		`git ls-files -z | xargs -0 -n 1 npm i`: "git npm",
		`env A="$(id)" nohup nice -n 5 npm ci`:  "npm",
		"bash -eu <<'EOF'\nnpm ci\nEOF":         "npm",
		`sh -s x <<< "npm ci"`:                  "", // x is taken for a script
		`bash <<< "npm ci"`:                     "npm",
		`bash -c "cd x && npm ci"`:              "npm",
		"cat <<EOF\nnpm ci\nEOF":                "",
	} {
		s, err := Command(profiles.Open(""), []string{"sh", "-c", text}, machine(nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tool := range s.Tools {
			if slices.Contains([]string{"npm", "npx", "pip", "git"}, tool.Name) {
				got = append(got, tool.Name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Any text is read in bounded depth: each of these would nest ten thousands of
// calls, and more where nothing is cut off.
func TestShellTextNestsDeep(t *testing.T) {
	for _, part := range []string{
		"(", "{ ", "$(", "\"$(", "`", "if ", "while ", "! ", "case x in x) ", "f() ", "((", "$((", "[[ (", "[[ ! ", "${x:-", "<(", "a | ", "a && ", "a <<E\n",
		"$((-", "eval ", "time ", "coproc ", "x=(", "for((", "@(", "\"${x:-\"", "\\`", "a;",
	} {
		text := "npm ci\n" + strings.Repeat(part, maxShellText/len(part)+1)
		if got := names(text); !strings.HasPrefix(got, "npm") {
			t.Errorf("%q…: %.20q", part, got)
		}
	}
}

// A script may call itself, and in many ways.
func TestAScriptThatCallsItself(t *testing.T) {
	script := "#!/bin/sh\n" + strings.Repeat("./run.sh; ./run.sh x && sh ./run.sh\n", 100) + "tool x\n"
	s, err := Command(testLibrary(t, wrappers), []string{"./run.sh"}, machine(map[string]string{"sh": ""}, map[string]string{"./run.sh": script}))
	if err != nil || !slices.ContainsFunc(s.Tools, func(tool Tool) bool { return tool.Name == "tool" }) {
		t.Errorf("%v, %v", s, err)
	}
}

// writer writes shell text by the choices that it is given, and notes which
// commands there are in it: those named tool-N. What is named decoy-N is none.
type writer struct {
	choices []byte
	n       int
	tools   []string
}

func (w *writer) choose(n int) int {
	if len(w.choices) == 0 {
		return 0
	}
	c := int(w.choices[0])
	w.choices = w.choices[1:]
	return c % n
}

func (w *writer) tool() string {
	w.n++
	name := fmt.Sprintf("tool-%d", w.n)
	w.tools = append(w.tools, name)
	return name
}

func (w *writer) decoy() string {
	w.n++
	return fmt.Sprintf("decoy-%d", w.n)
}

// word writes an argument.
func (w *writer) word(depth int) string {
	if depth > 4 {
		return "x"
	}
	switch w.choose(16) {
	case 1:
		return "'" + w.decoy() + "; " + w.decoy() + " \"#`$('"
	case 2:
		return `"say \"` + w.decoy() + `\" it's \$(` + w.decoy() + `)"`
	case 3:
		return `"a $(` + w.lines(depth+1) + `) b's"`
	case 4:
		return "$(" + w.lines(depth+1) + ")"
	case 5:
		return "`" + w.tool() + " x`"
	case 6:
		return "\"`" + w.tool() + "`'\""
	case 7:
		return "<(" + w.lines(depth+1) + ")"
	case 8:
		return `"${X:-a$(` + w.lines(depth+1) + `)}"`
	case 9:
		return `$((1<<2))"$((3+$(` + w.tool() + `)))"`
	case 10:
		return `\"\'\#\$\(` + w.decoy() + `\)\;`
	case 11:
		return `$'it\'s ` + w.decoy() + `;'`
	case 12:
		return "a#" + w.decoy()
	case 13:
		return "{a,b}*?[!a-z]~"
	case 14:
		return `"$@""${#A[@]}"${A[*]%%x}`
	}
	return "--" + w.decoy()
}

// simple writes a command of one line.
func (w *writer) simple(depth int) string {
	switch w.choose(10) {
	case 1:
		return "echo " + w.word(depth) + " " + w.word(depth)
	case 2:
		return "A=" + w.word(depth) + " " + w.tool()
	case 3:
		return []string{"exec ", "command ", "! ", "time ", "builtin ", "time -p ", "command -p ", "exec -a x "}[w.choose(8)] + w.tool() + " x"
	case 4:
		return "eval \"" + w.tool() + " x\""
	case 5:
		return "export B=" + w.word(depth)
	case 6:
		return w.tool() + " 2>&1 >" + w.decoy() + " </dev/null"
	case 7:
		return "[[ -n " + w.word(depth) + " && x =~ ^(a|b)$ ]]"
	case 8:
		return "command -v " + w.decoy()
	}
	return w.tool() + " " + w.word(depth)
}

// lines writes some commands, and a line break behind each.
func (w *writer) lines(depth int) string {
	if depth > 4 {
		return "\n" + w.tool() + "\n"
	}
	var b strings.Builder
	b.WriteByte('\n')
	for range 1 + w.choose(3) {
		b.WriteString(w.compound(depth) + "\n")
	}
	return b.String()
}

func (w *writer) compound(depth int) string {
	switch w.choose(16) {
	case 1:
		return "{" + w.lines(depth+1) + "} | {" + w.lines(depth+1) + "}"
	case 2:
		return "(" + w.lines(depth+1) + ") && " + w.simple(depth) + " || " + w.simple(depth)
	case 3:
		return "if" + w.lines(depth+1) + "then" + w.lines(depth+1) + "else" + w.lines(depth+1) + "fi"
	case 4:
		return "while" + w.lines(depth+1) + "do" + w.lines(depth+1) + "done"
	case 5:
		return "for i in a " + w.word(depth) + "; do" + w.lines(depth+1) + "done"
	case 6:
		return "case " + w.word(depth) + " in\n" + w.decoy() + "|*)" + w.lines(depth+1) + ";;\nesac"
	case 7:
		name := w.decoy()
		return name + "() {" + w.lines(depth+1) + "}\n" + name + " x"
	case 8:
		return "cat <<EOF\nit's \"" + w.decoy() + " $(" + w.lines(depth+1) + ") \\$(" + w.decoy() + ")\nEOF"
	case 9:
		return "cat <<'EOF' && " + w.tool() + "\n" + w.decoy() + " $(" + w.decoy() + ") \"\nEOF"
	case 10:
		return "cat <<-A <<B; " + w.tool() + "\n\tit's\n\tA\n\"\nB"
	case 11:
		return "# it's \"" + w.decoy() + " $("
	case 12:
		return w.simple(depth) + " & " + w.simple(depth) + " # " + w.decoy() + "'"
	case 13:
		return w.simple(depth) + " |\n" + w.tool() + " " + w.word(depth)
	case 14:
		name := w.decoy()
		return "alias " + name + "='" + w.tool() + " x'\n" + name + " y"
	}
	return w.simple(depth)
}

// FuzzShellCommands reads what it is given as shell text, and as the choices by
// which text is written whose commands are known.
func FuzzShellCommands(f *testing.F) {
	f.Add([]byte("a; b \"$(c d)\" | 'e' && # f\n`g`"))
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		seed := make([]byte, 1+random.IntN(60))
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range shellCommands(string(data)) {
			if len(c.argv) == 0 || c.argv[0] == "" {
				t.Errorf("%q has a command without a name: %q", data, c.argv)
			}
		}
		w := writer{choices: data[:min(len(data), 100)]}
		text := w.lines(0)
		var got []string
		for _, c := range shellCommands(text) {
			if name := c.argv[0]; strings.HasPrefix(name, "tool-") || strings.HasPrefix(name, "decoy-") {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		slices.Sort(w.tools)
		if !slices.Equal(slices.Compact(got), w.tools) {
			t.Errorf("%s\ngot  %q\nwant %q", text, got, w.tools)
		}
	})
}
