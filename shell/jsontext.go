package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What agents keep their settings in is JSON that users and the agents themselves
// write. Our entry goes in, and comes out, without another byte being changed.

// jsonValue is a value of a JSON text, and where it stands there.
type jsonValue struct {
	from, to int
	// kind is '{' or '[', 0 for all else.
	kind    byte
	members []jsonMember
}

// jsonMember is a member of an object, or an element of an array, whose name is "".
type jsonMember struct {
	name string
	from int
	jsonValue
}

// jsonReader reads values with their places.
type jsonReader struct {
	text []byte
	dec  *json.Decoder
}

func parseJSON(text []byte) (jsonValue, error) {
	r := jsonReader{text, json.NewDecoder(bytes.NewReader(text))}
	root, err := r.value()
	if err == nil && len(bytes.TrimSpace(text[root.to:])) > 0 {
		err = errors.New("there is something behind its end")
	}
	if err == nil && root.kind != '{' {
		err = errors.New("it is no object")
	}
	return root, err
}

// next reads a token and says where it stands.
func (r *jsonReader) next() (token json.Token, from int, err error) {
	from = int(r.dec.InputOffset())
	from += len(r.text[from:]) - len(bytes.TrimLeft(r.text[from:], " \t\r\n,:"))
	token, err = r.dec.Token()
	return token, from, err
}

func (r *jsonReader) value() (v jsonValue, err error) {
	token, from, err := r.next()
	if err != nil {
		return v, err
	}
	v = jsonValue{from: from}
	if open, ok := token.(json.Delim); ok {
		v.kind = byte(open)
		for r.dec.More() {
			m, err := r.member(v.kind)
			if err != nil {
				return v, err
			}
			v.members = append(v.members, m)
		}
		_, err = r.dec.Token() // its end
	}
	v.to = int(r.dec.InputOffset())
	return v, err
}

func (r *jsonReader) member(of byte) (m jsonMember, err error) {
	if of == '{' {
		var name json.Token
		if name, m.from, err = r.next(); err != nil {
			return m, err
		}
		m.name, _ = name.(string)
	}
	m.jsonValue, err = r.value()
	if of == '[' {
		m.from = m.jsonValue.from
	}
	return m, err
}

// index returns the place of the member with the name, -1 for none.
func (v jsonValue) index(name string) int {
	return slices.IndexFunc(v.members, func(m jsonMember) bool { return m.name == name })
}

// InsertJSON puts a value into a JSON text at the path of names; "" at the path's end
// is a new first element of an array. What is missing on the way is made. A nil or empty
// text is an object without members. A value that is there already is an error.
func InsertJSON(text []byte, value string, path ...string) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return []byte("{\n  " + nested(value, path) + "\n}\n"), nil
	}
	at, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	depth := 0
	for depth < len(path) && path[depth] != "" {
		i := at.index(path[depth])
		if i < 0 {
			break
		}
		at = at.members[i].jsonValue
		depth++
	}
	switch {
	case depth == len(path):
		return nil, fmt.Errorf("%s is %s already", strings.Join(path, "."), text[at.from:at.to])
	case at.kind != '{' && path[depth] != "", at.kind != '[' && path[depth] == "":
		return nil, fmt.Errorf("%s is %s", strings.Join(path[:depth], "."), text[at.from:at.to])
	}
	piece := "\n" + strings.Repeat("  ", depth+1) + nested(value, path[depth:])
	if len(at.members) > 0 {
		piece += ","
	}
	return slices.Concat(text[:at.from+1], []byte(piece), text[at.from+1:]), nil
}

// nested is a member, or an element, with all that is below it, on one line.
func nested(value string, path []string) string {
	for i, name := range slices.Backward(path) {
		switch {
		case i == 0 && name == "":
		case i == 0:
			value = quoteJS(name) + ": " + value
		case name == "":
			value = "[" + value + "]"
		default:
			value = "{" + quoteJS(name) + ": " + value + "}"
		}
	}
	return value
}

// RemoveJSON takes out the value at the path that the function chooses, and with it
// what InsertJSON has made on the way. It returns nil when nothing is left.
func RemoveJSON(text []byte, ours func(value string) bool, path ...string) ([]byte, error) {
	root, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	way, found := find(text, root, ours, path)
	if !found {
		return text, nil
	}
	// What holds nothing else, on one line as we write it, came with it.
	for len(way) > 1 {
		last, above := way[len(way)-1], way[len(way)-2]
		m := above.in.members[above.i]
		if inner := text[last.in.members[last.i].from:last.in.members[last.i].to]; !bytes.Equal(text[m.jsonValue.from+1:m.to-1], inner) {
			break
		}
		way = way[:len(way)-1]
	}
	cut := way[len(way)-1]
	from, to := cut.span(text)
	left := slices.Concat(text[:from], text[to:])
	if string(left) == "{\n}\n" {
		return nil, nil
	}
	return left, nil
}

// step is a member on the way to a value.
type step struct {
	in jsonValue
	i  int
}

// span is what is cut out with the member: what separates it from its neighbours, too.
func (s step) span(text []byte) (from, to int) {
	m := s.in.members[s.i]
	if s.i > 0 {
		return s.in.members[s.i-1].to, m.to
	}
	from, to = s.in.from+1, m.to
	if len(s.in.members) > 1 {
		to += bytes.IndexByte(text[to:], ',') + 1
	}
	return from, to
}

// find returns the way to the value that is ours.
func find(text []byte, at jsonValue, ours func(string) bool, path []string) (way []step, found bool) {
	for i, m := range at.members {
		if m.name != path[0] || (at.kind == '[') != (path[0] == "") {
			continue
		}
		if len(path) == 1 {
			if ours(string(text[m.jsonValue.from:m.to])) {
				return []step{{at, i}}, true
			}
			continue
		}
		if below, found := find(text, m.jsonValue, ours, path[1:]); found {
			return append([]step{{at, i}}, below...), true
		}
	}
	return nil, false
}
