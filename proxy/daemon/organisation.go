package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/egress"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// The organisation's policy is asked for again when the copy is so old, and after an
// attempt that failed.
const (
	refreshInterval = 5 * time.Minute
	retryInterval   = time.Minute
)

// maxPublished is how large a published policy may be, in bytes.
const maxPublished = 1 << 20

// published keeps the copy of the organisation's policy up to date.
type published struct {
	// client leaves as the tunnel does; nil where the policy has no say.
	client *http.Client
	now    chan struct{} // asks for an attempt

	mu      sync.Mutex
	from    config.Publisher // of the configuration as it was read last
	problem string           // of the last attempt
}

// firstPolicy is the policy to begin with. Where the organisation's has never been
// fetched it is fetched first: without it nothing may pass.
func (d *daemon) firstPolicy(tunnel proxy.TunnelFunc, roots *x509.CertPool) (*policy.Policy, error) {
	o := &d.options
	d.published.now = make(chan struct{}, 1)
	d.published.client = &http.Client{
		Transport: &http.Transport{
			DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return tunnel(ctx, addr) },
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if from, ok := o.Config.Policy.Publisher(); ok {
		d.published.from = from
		if _, err := from.Read(o.Dir); err != nil {
			if err := d.fetchPublished(context.Background()); err != nil {
				return nil, fmt.Errorf("your organisation's policy cannot be had, and there is no good copy of it: %w", err)
			}
		}
	}
	cfg, err := o.Config.FromState(d.live.source, o.Dir)
	if err != nil {
		return nil, err
	}
	p, err := policy.New(cfg.Rules())
	if err != nil {
		return nil, err
	}
	d.live.now.Store(cfg)
	d.live.decide.Store(p)
	if is := cfg.Published; is != nil {
		o.Log.Info("organisation's policy in force", "url", is.URL, "fetched", is.Fetched.Format(time.RFC3339), "problem", is.Problem)
	}
	return p, nil
}

// throughOwnEgress reaches where the organisation's policy is published, whatever the
// user's rules say of it, and nothing else. Addresses are judged as for everything.
func (d *daemon) throughOwnEgress(roots *x509.CertPool) proxy.TunnelFunc {
	return func(ctx context.Context, target string) (net.Conn, error) {
		is := d.live.now.Load().Rules()
		p, err := policy.New(policy.Rules{Default: "deny", Allow: []string{target}, Passthrough: []string{target}, Private: is.Private, Local: is.Local, Lab: is.Lab})
		if err != nil {
			return nil, err
		}
		e := egress.New(egress.Config{Policy: p, CA: d.ca, Roots: roots, ConnectTo: d.options.Config.Egress.ConnectTo})
		defer e.Close()
		return e.Tunnel(ctx, target)
	}
}

// follow takes over where the configuration says that the organisation's policy is.
func (p *published) follow(cfg *config.Config) {
	from, _ := cfg.Policy.Publisher()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.from != from {
		p.from = from
		p.ask()
	}
}

// ask has the policy fetched soon.
func (p *published) ask() {
	select {
	case p.now <- struct{}{}:
	default: // it is about to be, or nobody fetches
	}
}

// watchPublished fetches the policy now and then.
func (d *daemon) watchPublished(ctx context.Context) {
	if d.published.client == nil || d.live.source == nil {
		return
	}
	pause := d.age(refreshInterval)
	for {
		wait := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-d.published.now:
			wait.Stop()
		case <-wait.C:
		}
		pause = refreshInterval
		if d.fetchPublished(ctx) != nil {
			pause = retryInterval
		}
	}
}

// age is what is left of an interval since the copy was known to be the current one.
func (d *daemon) age(interval time.Duration) time.Duration {
	is := d.live.now.Load().Published
	if is == nil {
		return interval
	}
	return min(interval, max(0, interval-time.Since(is.Fetched)))
}

// fetchPublished makes one attempt, and has the policy read again when that brought
// anything new. A failure leaves the copy as it is.
func (d *daemon) fetchPublished(ctx context.Context) error {
	p := &d.published
	p.mu.Lock()
	from := p.from
	p.mu.Unlock()
	if p.client == nil || from == (config.Publisher{}) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, contract.FetchLimit)
	defer cancel()
	dir := d.options.Dir
	had, _ := from.Read(dir) // a bad one is as none
	is, err := p.fetch(ctx, from, had)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%s does not answer within %s", from.URL, contract.FetchLimit)
	}
	problem := ""
	if err != nil {
		problem = status.Printable(err.Error())
		if is, _ = from.Read(dir); is != nil { // another tunnel may have had more luck
			is.Problem = problem
		}
	}
	if is != nil {
		err = errors.Join(err, from.Write(dir, is))
	}
	p.mu.Lock()
	before := p.problem
	p.problem = problem
	p.mu.Unlock()
	switch {
	case problem == "" && (before != "" || had == nil || !bytes.Equal(had.Policy, is.Policy)):
		d.options.Log.Info("organisation's policy fetched", "url", from.URL)
	case problem != "" && problem != before:
		d.options.Log.Warn("organisation's policy not fetched", "url", from.URL, "problem", problem, "copy", is != nil)
	}
	if problem == "" || problem != before {
		d.live.again()
	}
	return err
}

// fetch returns the policy as it is published now; had is the copy that there is, or
// nil.
func (p *published) fetch(ctx context.Context, from config.Publisher, had *config.Copy) (*config.Copy, error) {
	etag := ""
	if had != nil {
		etag = had.ETag
	}
	text, etag, err := p.get(ctx, from.URL, etag)
	if errors.Is(err, errNotModified) && had != nil {
		had.Fetched, had.Problem = time.Now(), ""
		return had, nil
	}
	if err != nil {
		return nil, err
	}
	signature, _, err := p.get(ctx, from.URL+".sig", "")
	if err != nil {
		return nil, err
	}
	return from.Accept(text, signature, etag, time.Now())
}

var errNotModified = errors.New("it has not been modified")

// get fetches a file, unless it is still the one of an ETag (RFC 9110 §13.1.2).
func (p *published) get(ctx context.Context, address, etag string) (text []byte, now string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, "", err
	}
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	res, err := p.client.Do(r)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, "", fmt.Errorf("%s: %w", address, err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified:
		return nil, "", errNotModified
	case res.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("%s answers %s", address, res.Status)
	}
	text, err = io.ReadAll(io.LimitReader(res.Body, maxPublished+1))
	if err == nil && len(text) > maxPublished {
		err = fmt.Errorf("it has more than %d bytes", maxPublished)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", address, err)
	}
	return text, res.Header.Get("ETag"), nil
}

// again has the policy read again although no file of it has changed.
func (l *live) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = "read again"
}

// addPublished tells of a copy that could not be brought up to date.
func (d *daemon) addPublished(doc *status.Document) {
	is := d.live.now.Load().Published
	if d.live.decide.Load() == nil || is == nil || is.Problem == "" {
		return
	}
	doc.Accommodations = append(doc.Accommodations, status.Accommodation{Code: "organisation_policy_copy", Count: 1,
		Detail: fmt.Sprintf("your organisation's policy is the copy of %s: %s", is.Fetched.Format(time.DateTime), is.Problem)})
}
