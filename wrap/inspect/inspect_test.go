package inspect

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"crypto/x509"
	"encoding/pem"

	"github.com/agentproxy/agentproxy/proxy/proxytest/middle"
)

// tunnel opens one to a.test through an upstream.
func tunnel(t *testing.T, p *middle.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(p.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(c, "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	return c
}

func root(t *testing.T, p *middle.Proxy) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(p.PEM())
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every defect of an upstream is told apart, with its root unknown and known.
func TestLook(t *testing.T) {
	for _, c := range []struct {
		defect         middle.Defect
		unknown, known string // codes
		advice         string // where it is unknown
		lint           string
	}{
		{middle.Unknown, "unknown_root", "", "agentproxy ca adopt a.test:443", ""},
		{middle.RootKept, "unknown_root", "", "agentproxy ca adopt FILE", ""},
		{middle.NoIntermediate, "incomplete_chain", "incomplete_chain", "agentproxy ca adopt FILE", ""},
		{middle.Expired, "expired", "expired", "", ""},
		{middle.NotYetValid, "not_yet_valid", "not_yet_valid", "", ""},
		{middle.WrongName, "wrong_name", "wrong_name", "", ""},
		{middle.NoKeyID, "unknown_root", "", "agentproxy ca adopt a.test:443", "leaf_no_authority_key_id"},
		{middle.NotCritical, "unknown_root", "", "agentproxy ca adopt a.test:443", "basic_constraints_not_critical"},
		{middle.Cut, "closed", "closed", "", ""},
		{middle.PlainText, "not_tls", "not_tls", "", ""},
		{middle.Denied, "unknown_root", "", "agentproxy ca adopt a.test:443", ""},
	} {
		p := middle.Start(t, c.defect)
		r := Look(t.Context(), tunnel(t, p), "a.test:443", nil)
		if r.Code != c.unknown || r.Trusted() || r.Detail == "" || !strings.HasSuffix(r.Advice, c.advice) && c.advice != "" {
			t.Errorf("%s, unknown: %+v", c.defect, r)
		}
		r = Look(t.Context(), tunnel(t, p), "a.test:443", []*x509.Certificate{root(t, p)})
		if r.Code != c.known || r.Trusted() != (c.known == "") {
			t.Errorf("%s, known: %+v", c.defect, r)
		}
		if r.Trusted() && (r.Signer != "CN=Corp Root" || len(r.SHA256) != 64 || r.Root == nil) {
			t.Errorf("%s is signed by %q, %q", c.defect, r.Signer, r.SHA256)
		}
		found := ""
		if len(r.Defects) > 0 {
			found = r.Defects[0].Code
		}
		if r.Trusted() && found != c.lint && c.lint != "" || (r.Refused() != "") != (len(r.Defects) > 0) {
			t.Errorf("%s has the defects %+v", c.defect, r.Defects)
		}
		p.Close()
	}
}
