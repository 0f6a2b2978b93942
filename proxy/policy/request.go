package policy

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agentproxy/agentproxy/proxy/status"
)

// Request is a request in its normal form: what is judged, and what is sent.
type Request struct {
	// Method is in upper case.
	Method string
	// Path is percent-encoded in one way only (RFC 3986 §6.2.2), without dot segments
	// and empty segments; "*" for the server as a whole (RFC 9112 §3.2.4).
	Path string
	// query is what follows the path, with its "?"; it passes as it came.
	query string
	// sent is the path and the query where they came so, and "" where they did not.
	sent string
	// readings are what servers make of the path, Path first: some decode what others
	// do not, drop parameters of segments, or take "\" for "/".
	readings []string
}

// Target is the request target to send.
func (r Request) Target() string {
	if r.sent != "" {
		return r.sent
	}
	return r.Path + r.query
}

// String is the request for people, without its query.
func (r Request) String() string { return r.Method + " " + status.ASCII(r.Path, maxShown) }

// maxShown is how much of a path is shown, in bytes.
const maxShown = 200

// Limits of what is judged: how long a path may be, in bytes, how many times over it
// may be percent-encoded, and in how many ways it may be read.
const (
	maxPath     = 8 << 10
	maxEscapes  = 3
	maxReadings = 64
)

// Headers that some servers believe more than the request line.
var (
	methodOverrides = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}
	targetOverrides = []string{"X-Original-Url", "X-Rewrite-Url"}
)

// ParseRequest normalises a request line. The readings beside it are what servers
// may take the request for that believe headers more. A path that cannot be read in
// a known number of ways is an error, and so is an upgrade to a protocol that carries
// more requests (h2c, RFC 7540 §3.2).
func ParseRequest(method, target string, header http.Header) (r Request, also []Request, err error) {
	if r, err = parseRequest(method, target); err != nil {
		return r, nil, err
	}
	for _, value := range header["Upgrade"] {
		if !strings.EqualFold(strings.TrimSpace(value), "websocket") {
			return r, nil, fmt.Errorf("it would upgrade the connection to %q, whose requests nobody sees", status.ASCII(value, 40))
		}
	}
	for _, name := range methodOverrides {
		for _, value := range header[name] {
			other := r
			other.Method = strings.ToUpper(strings.TrimSpace(value))
			also = append(also, other)
		}
	}
	for _, name := range targetOverrides {
		for _, value := range header[name] {
			other, err := parseRequest(method, strings.TrimSpace(value))
			if err != nil {
				return r, nil, fmt.Errorf("%s: %w", name, err)
			}
			also = append(also, other)
		}
	}
	return r, also, nil
}

func parseRequest(method, target string) (Request, error) {
	r := Request{Method: strings.ToUpper(method)}
	if r.Method == http.MethodHead && method != http.MethodHead {
		return r, errors.New("the method HEAD must be written in capitals: it says how an answer ends")
	}
	if target == "*" {
		r.Path, r.readings = "*", []string{"*"}
		return r, nil
	}
	if _, rest, ok := strings.Cut(target, "://"); ok && !strings.HasPrefix(target, "/") { // absolute form
		target = strings.TrimLeftFunc(rest, func(c rune) bool { return c != '/' && c != '?' })
	}
	raw := target
	if i := strings.IndexByte(target, '?'); i >= 0 {
		raw, r.query = target[:i], target[i:]
	}
	var err error
	if r.Path, err = canonical(raw); err != nil {
		return r, err
	}
	if r.Path == raw {
		r.sent = target
	}
	if len(r.Path) > maxPath {
		return r, fmt.Errorf("its path is longer than %d bytes", maxPath)
	}
	r.readings, err = readPath(r.Path)
	return r, err
}

// canonical is the one spelling of a path.
func canonical(raw string) (string, error) {
	plain := 0
	for plain < len(raw) && (isUnreserved(raw[plain]) || isPlain(raw[plain])) {
		plain++
	}
	if plain == len(raw) {
		return clean(raw), nil
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		c, escaped := raw[i], false
		if c == '%' {
			v, ok := unhex(raw, i)
			if !ok {
				return "", errors.New("its path has a percent sign that begins no escape")
			}
			c, escaped = v, true
			i += 2
		}
		if isUnreserved(c) || !escaped && isPlain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return clean(b.String()), nil
}

// isPlain: the other characters of a path that need no escape (RFC 3986 §3.3).
func isPlain(c byte) bool { return c == '/' || strings.IndexByte("!$&'()*+,;=:@", c) >= 0 }

// isUnreserved: RFC 3986 §2.3.
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// unhex is the byte that the escape at i stands for.
func unhex(s string, i int) (v byte, ok bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
	return byte(n), err == nil
}

// clean drops empty segments and resolves dot segments (RFC 3986 §5.2.4).
func clean(path string) string {
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") && strings.HasPrefix(path, "/") {
		return path
	}
	var kept []string
	last := ""
	for last = range strings.SplitSeq(path, "/") {
		switch last {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, last)
		}
	}
	cleaned := "/" + strings.Join(kept, "/")
	if len(kept) > 0 && (last == "" || last == "." || last == "..") {
		cleaned += "/"
	}
	return cleaned
}

// ways are what servers do to a path beyond cleaning it.
var ways = []func(string) string{
	unescape,
	func(path string) string { return strings.ReplaceAll(path, `\`, "/") },
	withoutParameters,
	func(path string) string {
		if i := strings.IndexAny(path, "?#"); i >= 0 {
			return path[:i]
		}
		return path
	},
}

// readPath returns what servers make of a canonical path, in whichever order they do
// it, each once.
func readPath(path string) ([]string, error) {
	list := []string{path}
	if strings.IndexByte(path, '%') < 0 && strings.IndexByte(path, ';') < 0 {
		return list, nil
	}
	escapes := []int{0} // how often each was decoded
	for i := 0; i < len(list); i++ {
		for way, read := range ways {
			reading, times := read(list[i]), escapes[i]
			if way == 0 && reading != list[i] {
				times++
			}
			if reading = clean(reading); slices.Contains(list, reading) {
				continue
			}
			switch {
			case times > maxEscapes:
				return nil, fmt.Errorf("its path is percent-encoded more than %d times over", maxEscapes)
			case len(list) == maxReadings:
				return nil, errors.New("its path can be read in too many ways")
			case !utf8.ValidString(reading):
				return nil, errors.New("its path has bytes that are no UTF-8")
			case strings.ContainsFunc(reading, func(c rune) bool { return c < ' ' || c == 0x7f }):
				return nil, errors.New("its path has a control character")
			}
			list, escapes = append(list, reading), append(escapes, times)
		}
	}
	return list, nil
}

func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if v, ok := unhex(s, i); ok {
				b.WriteByte(v)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// withoutParameters drops what follows a ";" in each segment (RFC 3986 §3.3), as
// servers for Java do.
func withoutParameters(path string) string {
	if strings.IndexByte(path, ';') < 0 {
		return path
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	return strings.Join(segments, "/")
}

// loose are the readings, and what each is loosely.
func (r Request) loose() []string {
	readings := r.readings
	for _, reading := range r.readings {
		if loose := loosely(reading); loose != reading {
			readings = append(slices.Clone(readings), loose)
		}
	}
	return readings
}

// loosely is a reading as servers on Windows take it: dots and blanks at the end of
// a segment do not count.
func loosely(reading string) string {
	if !strings.Contains(reading, "./") && !strings.Contains(reading, " /") && !strings.HasSuffix(reading, ".") && !strings.HasSuffix(reading, " ") {
		return reading
	}
	segments := strings.Split(reading, "/")
	for i, segment := range segments {
		segments[i] = strings.TrimRight(segment, ". ")
	}
	return clean(strings.Join(segments, "/"))
}

// service is what a query asks git's discovery for: "git-upload-pack" to fetch,
// "git-receive-pack" to push, "" when it is not the one parameter that git sends.
func (r Request) service() string {
	values, err := url.ParseQuery(strings.TrimPrefix(r.query, "?"))
	if err != nil || len(values["service"]) != 1 {
		return ""
	}
	return values.Get("service")
}

// mentions reports whether a query names a service of git's in any spelling.
func (r Request) mentions(service string) bool {
	query := r.query
	for range maxEscapes {
		query = unescape(query)
	}
	return strings.Contains(strings.ToLower(query), service)
}
