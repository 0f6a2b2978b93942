package canary

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/contract"
)

func TestCanary(t *testing.T) {
	authority, err := ca.Open(t.TempDir() + "/state")
	if err != nil {
		t.Fatal(err)
	}
	c := New(authority)
	defer c.Close()
	elsewhere := errors.New("elsewhere")
	tunnel := c.Tunnel(func(context.Context, string) (net.Conn, error) { return nil, elsewhere })

	pool := x509.NewCertPool()
	pool.AddCert(authority.Certificate())
	roots := &tls.Config{RootCAs: pool}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: roots, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return tunnel(ctx, addr) }}}
	for path, want := range map[string]string{
		"": "the canary sings\n", "npm/canary": `"latest":"1.0.0"`, "pypi/simple/canary/": "canary-1.0-py3-none-any.whl",
		"go/canary.test/m/@v/list": "v1.0.0\n", "cargo/config.json": `"api":"https://one.canary`,
		"repo.git/info/refs?service=git-upload-pack": "001e# service=git-upload-pack\n0000",
	} {
		res, err := client.Get("https://" + contract.CanaryHost("one") + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.Contains(string(body), want) {
			t.Errorf("%s: got %q", path, body)
		}
	}
	if got := c.Trial("one"); got.Connects == 0 || got.Requests != 6 {
		t.Errorf("seen %+v", got)
	}
	// A client that does not trust the CA is seen, and asks for nothing.
	if _, err := (&http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return tunnel(ctx, addr) }}}).Get("https://" + contract.CanaryHost("two") + "/"); err == nil {
		t.Error("trusted without roots")
	}
	if got := c.Trial("two"); got != (contract.Trial{Connects: 1}) {
		t.Errorf("seen %+v", got)
	}
	for _, target := range []string{"example.test:443", contract.CanaryHost("one") + ":8443", contract.CanaryDomain + ":443"} {
		if _, err := tunnel(t.Context(), target); err != elsewhere {
			t.Errorf("%s: %v", target, err)
		}
	}
}
