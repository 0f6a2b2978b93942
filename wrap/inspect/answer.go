package inspect

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/agentproxy/agentproxy/proxy/ca"
)

// Answer is what is answered to a request for a host's first page, by the host or by
// somebody on the way in its place.
type Answer struct {
	// Status is the line of the status, as "403 Forbidden".
	Status string
	// Lines are the header's, as in HTTP/1.1, and behind them those of the page, first
	// without their markup and then as they came.
	Lines []string
}

// longestPage is how much of a page is read, in bytes: those who refuse say so at its
// beginning.
const longestPage = 64 << 10

// Ask asks for the first page of an authority through the tunnels that dial opens. Who
// answers must be known to the roots in a bundle. No redirect is followed.
func Ask(ctx context.Context, dial func(ctx context.Context, authority string) (net.Conn, error), authority, bundle string) (*Answer, error) {
	roots, err := ca.ReadCertificates(bundle)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range roots {
		pool.AddCert(c)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, authority) },
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableKeepAlives: true,
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+authority+"/", http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := client.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	page, _ := io.ReadAll(io.LimitReader(res.Body, longestPage)) // a part says enough
	a := &Answer{Status: res.Status}
	var head bytes.Buffer
	res.Header.Write(&head)
	plain := markup().ReplaceAll(page, []byte("\n"))
	for _, text := range [][]byte{head.Bytes(), plain, page} {
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" {
				a.Lines = append(a.Lines, line)
			}
		}
	}
	return a, nil
}

// markup is what people do not read of a page.
var markup = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?is)<style\b.*?</style>|<script\b.*?</script>|<!--.*?-->|<[^>]*>`)
})
