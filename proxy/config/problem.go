package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Problem is what is wrong with a configuration file, and where.
type Problem struct {
	File string
	// Line and Column begin with 1; both are 0 where no place is to blame.
	Line, Column int
	Message      string
	// Allowed says what may stand there, "" where the message does.
	Allowed string

	text  string // the line
	width int    // of what is wrong in it, in characters
}

// Error is one line: the place, and what is wrong there.
func (p *Problem) Error() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Message)
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Detail are the lines below that: the text with a mark under what is wrong, and what
// may stand there. A password in a URL is not in them.
func (p *Problem) Detail() (lines []string) {
	if p.Line > 0 {
		number := strconv.Itoa(p.Line)
		before, text := []rune(p.text), p.text
		before = before[:min(p.Column-1, len(before))]
		text = withoutPassword(string(before)) + withoutPassword(text[len(string(before)):])
		margin := strings.Map(func(r rune) rune {
			if r == '\t' {
				return r
			}
			return ' '
		}, withoutPassword(string(before)))
		lines = append(lines,
			fmt.Sprintf("  %s | %s", number, text),
			fmt.Sprintf("  %*s | %s%s", len(number), "", margin, strings.Repeat("^", max(1, min(p.width, len([]rune(text))-len([]rune(margin)))))))
	}
	if p.Allowed != "" {
		lines = append(lines, p.Allowed)
	}
	return lines
}

// userinfo is what may hold a password in a URL, with or without a scheme.
var userinfo = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`([a-zA-Z]+://|["'])[^/"'\s]*@`) })

func withoutPassword(text string) string { return userinfo().ReplaceAllString(text, "${1}…@") }

// at puts a problem to a place of the file.
func (p *Problem) at(raw []byte, line, column, width int) *Problem {
	lines := bytes.Split(raw, []byte("\n"))
	if line < 1 || line > len(lines) {
		return p
	}
	p.Line, p.Column, p.width = line, column, width
	p.text = strings.TrimRight(string([]rune(string(lines[line-1]))), "\r") // what is no UTF-8 is marked
	return p
}

// over puts it to a range of the file.
func (p *Problem) over(raw []byte, at unstable.Range) *Problem {
	before := raw[:at.Offset]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len([]rune(string(before[bytes.LastIndexByte(before, '\n')+1:]))) + 1
	return p.at(raw, line, column, len([]rune(string(raw[at.Offset:at.Offset+at.Length]))))
}

// asProblem says in words of the file's what the decoder does not like about it.
func asProblem(path string, raw []byte, err error) *Problem {
	p := &Problem{File: path, Message: strings.TrimPrefix(err.Error(), "toml: ")}
	var unknown *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		first := unknown.Errors[0]
		key := first.Key()
		p.Message, p.Allowed = unknownKey(key)
		line, column := first.Position()
		return p.at(raw, line, column, len(key[len(key)-1]))
	case errors.As(err, &bad):
		p.Message = strings.TrimPrefix(bad.Error(), "toml: ")
		if kind := kindOf(bad.Key()); kind != "" && strings.Contains(p.Message, "cannot") {
			p.Message = fmt.Sprintf("%s takes %s", strings.Join(bad.Key(), "."), kind)
		}
		line, column := bad.Position()
		return p.at(raw, line, column, 1)
	}
	return p
}

// unknownKey says what may have been meant by a key that there is none of, and what
// may stand beside it.
func unknownKey(key toml.Key) (message, allowed string) {
	message = "unknown key " + strings.Join(key, ".")
	table, depth := reflect.TypeFor[Config](), 0
	for depth < len(key)-1 {
		next, ok := fieldOf(table, key[depth])
		if !ok || next.Kind() != reflect.Struct {
			break
		}
		table, depth = next, depth+1
	}
	above, names := key[:depth], keysOf(table)
	switch meant := Nearest(key[depth], names); {
	case meant != "":
		message += "; did you mean " + strings.Join(append(slices.Clone(above), meant), ".") + "?"
	default:
		for _, other := range keysOf(reflect.TypeFor[Config]()) {
			if in, _ := fieldOf(reflect.TypeFor[Config](), other); slices.Contains(keysOf(in), key[len(key)-1]) {
				message += fmt.Sprintf("; it belongs into [%s]", other)
				break
			}
		}
	}
	where := "a configuration has the tables"
	if depth > 0 {
		where = fmt.Sprintf("[%s] has", strings.Join(above, "."))
	}
	return message, fmt.Sprintf("%s %s", where, strings.Join(names, ", "))
}

// keysOf are the names of a table's fields.
func keysOf(table reflect.Type) (names []string) {
	if table.Kind() != reflect.Struct {
		return nil
	}
	for i := range table.NumField() {
		if name := table.Field(i).Tag.Get("toml"); name != "-" && name != "" {
			names = append(names, name)
		}
	}
	return names
}

func fieldOf(table reflect.Type, name string) (reflect.Type, bool) {
	if table.Kind() != reflect.Struct {
		return nil, false
	}
	for i := range table.NumField() {
		if table.Field(i).Tag.Get("toml") == name {
			return table.Field(i).Type, true
		}
	}
	return nil, false
}

// kindOf says what a key takes, "" for one that nobody knows.
func kindOf(key toml.Key) string {
	at := reflect.TypeFor[Config]()
	for _, name := range key {
		next, ok := fieldOf(at, name)
		if !ok {
			break
		}
		at = next
	}
	if at.Kind() == reflect.Pointer {
		at = at.Elem()
	}
	switch at.Kind() {
	case reflect.String:
		return `a text in quotes`
	case reflect.Int:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		if at.Elem().Kind() == reflect.String {
			return `a list of texts, such as ["one", "two"]`
		}
	case reflect.Map:
		return `a table of texts, such as {"one" = "two"}`
	}
	return ""
}

// Nearest is the name that was probably meant by a word, "" for none. A longer word
// may have more slips in it: one in three letters at most.
func Nearest(word string, names []string) string {
	best, distance := "", max(2, len(word)/3+1)
	for _, name := range names {
		if d := differences(word, name); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// differences is Levenshtein's distance.
func differences(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// blamed finds which value of a file that can be decoded is wrong: the one that is
// so without the others, too.
func blamed(path string, raw []byte, err error) *Problem {
	p := &Problem{File: path, Message: err.Error()}
	var parser unstable.Parser
	parser.Reset(raw)
	table := ""
	for parser.NextExpression() {
		e := parser.Expression()
		switch e.Kind {
		case unstable.Table:
			table = "[" + dotted(e.Key()) + "]\n"
		case unstable.ArrayTable:
			table = "" // its keys mean nothing one by one
		case unstable.KeyValue:
			for _, value := range elements(e.Value()) {
				text := dotted(e.Key()) + " = " + string(parser.Raw(value.Raw))
				switch e.Value().Kind {
				case unstable.Array:
					text = dotted(e.Key()) + " = [" + string(parser.Raw(value.Raw)) + "]"
				case unstable.InlineTable:
					value.Raw = e.Raw
					text = string(parser.Raw(value.Raw))
				}
				if err := alone(path, table+text); err != nil && value.Raw.Length > 0 {
					p.Message = err.Error()
					if host := hostOf(string(value.Data)); host != "" && strings.HasPrefix(p.Message, "policy.") && !strings.HasPrefix(p.Message, "policy.organisation") {
						key, _, _ := strings.Cut(p.Message, ":")
						p.Message = fmt.Sprintf("%s: a URL stands where a host is wanted; write %q", key, host)
					}
					return p.over(raw, value.Raw)
				}
			}
		}
	}
	return p
}

// elements are the values of an array, or the value.
func elements(value *unstable.Node) (list []*unstable.Node) {
	if value.Kind != unstable.Array {
		return []*unstable.Node{value}
	}
	for it := value.Children(); it.Next(); {
		list = append(list, it.Node())
	}
	return list
}

func dotted(key unstable.Iterator) string {
	var parts []string
	for key.Next() {
		parts = append(parts, strconv.Quote(string(key.Node().Data)))
	}
	return strings.Join(parts, ".")
}

// alone is what is wrong with one key.
func alone(path, text string) error {
	c := &Config{Path: path}
	if err := toml.Unmarshal([]byte(text), c); err != nil {
		return nil // not whole without its neighbours
	}
	return c.resolve()
}

// hostOf is the host of a URL, with its port; "" for anything else.
func hostOf(value string) string {
	_, rest, ok := strings.Cut(value, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return host[strings.LastIndexByte(host, '@')+1:]
}

// readable is a file's text as TOML has it: UTF-8, without the mark that editors put
// before it.
func readable(path string, raw []byte) ([]byte, error) {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(raw, []byte(mark)) {
			return nil, &Problem{File: path, Message: "it is UTF-16; save it as UTF-8"}
		}
	}
	return bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), nil
}
