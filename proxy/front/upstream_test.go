package front

import (
	"strings"
	"testing"
)

// A 407 names the schemes that it offers: what was asked for is not asked for again.
func TestAuthAdvice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		offers []string
		given  bool
		want   string
	}{
		{[]string{"Negotiate", "NTLM"}, true, "it offers Negotiate and NTLM"},
		{[]string{`Basic realm="corp"`, "NTLM"}, false, "put user:password"},
		{[]string{`Basic realm="corp"`}, true, "it refuses the user and password"},
		{nil, false, "put user:password"},
	} {
		if got := authAdvice(c.offers, c.given); !strings.HasPrefix(got, c.want) {
			t.Errorf("%v, %v: %q", c.offers, c.given, got)
		}
	}
}
