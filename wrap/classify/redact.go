package classify

import (
	"regexp"
	"strings"
	"sync"
)

// longestQuote is how much of a line is quoted.
const longestQuote = 240

// secrets are what must not be quoted; what is kept of them is their first
// group.
var secrets = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(://)[^/\s:@"']*(?::[^/\s@"']*)?@` +
		`|(\b(?:proxy-)?authorization["']?\s*[:=]\s*["']?)(?:(?:basic|bearer|digest|token|negotiate|ntlm)\s+)?[^\s"',;]+` +
		`|(\b(?:set-)?cookie["']?\s*[:=]\s*["']?)[^"'\r\n]+` +
		`|(\b(?:bearer|basic)\s+)[A-Za-z0-9+/_=.~-]{8,}` +
		`|(\b[A-Za-z0-9_-]*(?:password|passwd|secret|token|api[_-]?key|apikey|access[_-]?key|private[_-]?key|credential|signature|sig)["']?\s*[:=]\s*["']?)[^\s"',;&]+` +
		`|()\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{16,}|xox[a-z]-[A-Za-z0-9-]{10,}|AKIA[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{30,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*|pypi-[A-Za-z0-9_-]{30,})`)
})

// Redact takes credentials out of a text.
func Redact(text string) string {
	return secrets().ReplaceAllString(text, "${1}${2}${3}${4}${5}${6}…")
}

// quote is a line as it is shown: without credentials, and no more of it than
// can be read, around what was found.
func quote(text string, from, to int) string {
	clean := strings.ToValidUTF8(strings.Join(strings.Fields(Redact(text)), " "), "?")
	if len(clean) <= longestQuote {
		return clean
	}
	found := strings.Join(strings.Fields(Redact(text[from:min(to, from+longestQuote/2)])), " ")
	start := max(0, strings.Index(clean, strings.ToValidUTF8(found, "?")))
	if start > longestQuote/3 {
		start -= longestQuote / 6
		start += 1 + max(0, strings.IndexByte(clean[start:], ' '))
		clean = "… " + clean[start:]
	}
	if len(clean) > longestQuote {
		clean = strings.ToValidUTF8(clean[:longestQuote], "") + " …"
	}
	return clean
}
