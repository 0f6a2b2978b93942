package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// maxAnswerBody is how much of an upstream's refusal is passed on.
const maxAnswerBody = 64 << 10

// Upstream is a CONNECT proxy that tunnels are opened through. Its Tunnel is a
// TunnelFunc.
type Upstream struct {
	// URL of the proxy, http or https, credentials in its user part.
	URL *url.URL
	// Name is the URL as shown to people, without credentials.
	Name string
	// Roots verify an https:// proxy.
	Roots *x509.CertPool
}

// Tunnel opens a tunnel through the upstream. A refusal keeps its words.
func (u *Upstream) Tunnel(ctx context.Context, target string) (net.Conn, error) {
	t, err := policy.ParseTarget(target)
	if err != nil {
		return nil, &status.Failure{Kind: status.BadRequest, Code: http.StatusBadRequest, Host: target, By: "front", Detail: err.Error(), Err: err}
	}
	conn, err := u.dial(ctx)
	if err != nil {
		return nil, u.unreachable(ctx, t, err)
	}
	// The deadline must also end a read that is under way.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := u.connect(conn, t)
	if !stop() {
		conn.Close()
		return nil, u.unreachable(ctx, t, ctx.Err())
	}
	if err != nil {
		conn.Close()
		var failure *status.Failure
		if errors.As(err, &failure) {
			return nil, failure
		}
		return nil, u.unreachable(ctx, t, err)
	}
	return tunnel, nil
}

func (u *Upstream) dial(ctx context.Context) (net.Conn, error) {
	dialer := new(net.Dialer)
	if u.URL.Scheme == "https" {
		d := &tls.Dialer{NetDialer: dialer, Config: &tls.Config{
			ServerName: u.URL.Hostname(), RootCAs: u.Roots, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}}
		return d.DialContext(ctx, "tcp", u.URL.Host)
	}
	return dialer.DialContext(ctx, "tcp", u.URL.Host)
}

// connect sends CONNECT and reads the answer.
func (u *Upstream) connect(conn net.Conn, t policy.Target) (net.Conn, error) {
	request := "CONNECT " + t.String() + " HTTP/1.1\r\nHost: " + t.String() + "\r\n"
	if u.URL.User != nil {
		password, _ := u.URL.User.Password()
		credentials := base64.StdEncoding.EncodeToString([]byte(u.URL.User.Username() + ":" + password))
		request += "Proxy-Authorization: Basic " + credentials + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return nil, err
	}
	br := bufio.NewReaderSize(conn, headBuffer)
	res, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it closed the connection without an answer")
		}
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		body, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswerBody))
		return nil, u.rejected(t, res, body)
	}
	return (&headConn{Conn: conn, br: br}).afterHead(), nil
}

// rejected is the upstream's refusal in its own words.
func (u *Upstream) rejected(t policy.Target, res *http.Response, body []byte) *status.Failure {
	f := &status.Failure{Kind: status.ConnectRejected, Code: res.StatusCode, Host: t.String(), By: u.Name,
		Detail: fmt.Sprintf("the upstream egress %s answered %s", u.Name, res.Status),
		Answer: &status.Answer{Status: res.Status, Header: res.Header, Body: body}}
	if res.StatusCode == http.StatusProxyAuthRequired {
		f.Kind = status.ProxyAuthRequired
		f.Advice = authAdvice(res.Header.Values("Proxy-Authenticate"), u.URL.User != nil)
	}
	return f
}

// authAdvice says what helps against a 407 (RFC 9110 section 15.5.8), by the schemes that
// it offers. Of those we speak Basic (RFC 7617).
func authAdvice(offers []string, given bool) string {
	var schemes []string
	for _, offer := range offers {
		scheme, _, _ := strings.Cut(strings.TrimSpace(offer), " ")
		if scheme != "" && !slices.Contains(schemes, scheme) {
			schemes = append(schemes, status.ASCII(scheme, 20))
		}
	}
	isBasic := slices.ContainsFunc(schemes, func(s string) bool { return strings.EqualFold(s, "Basic") })
	switch {
	case len(schemes) > 0 && !isBasic:
		return "it offers " + strings.Join(schemes, " and ") + ", and agentproxy speaks Basic only: let a local relay that speaks it (px, cntlm) be egress.upstream"
	case given:
		return "it refuses the user and password that egress.upstream, or the HTTPS_PROXY that names it, holds"
	}
	return "put user:password into egress.upstream, or into the HTTPS_PROXY that names it"
}

func (u *Upstream) unreachable(ctx context.Context, t policy.Target, err error) *status.Failure {
	f := &status.Failure{Kind: status.UpstreamUnreachable, Code: http.StatusBadGateway, Host: t.String(), By: u.Name,
		Detail: fmt.Sprintf("the upstream egress %s cannot be reached: %s", u.Name, status.Cause(err)), Err: err,
		Advice: "check that it runs and that egress.upstream or HTTPS_PROXY names the right address"}
	if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		f.Code = http.StatusGatewayTimeout
		f.Detail = fmt.Sprintf("the upstream egress %s did not answer in time", u.Name)
	}
	return f
}
