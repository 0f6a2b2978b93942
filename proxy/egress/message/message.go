// Package message is what any HTTP intermediary does to messages on their way:
// it drops what concerns one connection only, refuses what no client must see,
// and tells the end of a body from a cut.
package message

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/egress/wire"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/http/httpguts"
)

// Vet refuses answers that no client must see, and drops a length that clients
// might wait for (RFC 9110 §8.6, §15.4.5). http.ReadResponse and the HTTP/2
// client have refused control bytes in fields already.
func Vet(res *http.Response, upgrade bool) error {
	if res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified {
		res.Header.Del("Content-Length")
	}
	switch {
	case res.StatusCode < 100 || res.StatusCode > 999:
		return fmt.Errorf("it answered with the status %d", res.StatusCode)
	case res.StatusCode == http.StatusSwitchingProtocols && !upgrade:
		return errUpgrade
	}
	return nil
}

// StatusLine is the status with its reason, or the usual reason in place of one
// with bytes that do not belong there (RFC 9112 §4).
func StatusLine(res *http.Response) string {
	code := strconv.Itoa(res.StatusCode)
	reason := strings.TrimPrefix(strings.TrimPrefix(res.Status, code), " ")
	if !httpguts.ValidHeaderFieldValue(reason) {
		reason = http.StatusText(res.StatusCode)
	}
	return code + " " + reason
}

// errUpgrade: see Vet.
var errUpgrade = errors.New("it upgraded the connection, which nobody had asked for")

// errNoCloseNotify ends a body whose end nothing else than the end of the
// connection shows.
var errNoCloseNotify = errors.New("it closed the connection without TLS's close_notify")

// CloseDelimited makes the end of a body that ends with the connection
// (RFC 9112 §6.3) an error when that was cut: crypto/tls takes a bare FIN
// between two records for the end.
func CloseDelimited(res *http.Response, w *wire.Wire) {
	if res.ProtoMajor == 1 && res.ContentLength < 0 && len(res.TransferEncoding) == 0 {
		res.Body = &closeDelimitedBody{res.Body, w}
	}
}

type closeDelimitedBody struct {
	io.ReadCloser
	wire *wire.Wire
}

func (b *closeDelimitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && b.wire.Cut() {
		err = errNoCloseNotify
	}
	return n, err
}

// CleanTrailer drops the fields that no trailer may have (RFC 9110 §6.5.1, by
// the list of RFC 7230 §4.1.2): they would frame, route or control an answer
// that has been given.
func CleanTrailer(h http.Header) {
	for name := range h {
		if !httpguts.ValidTrailerHeader(name) || slices.Contains(hopByHop, name) || slices.Contains(control, name) {
			delete(h, name)
		}
	}
}

// hopByHop are the fields that concern one connection only (RFC 9110 §7.6.1).
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// control are the fields of RFC 7230 §4.1.2 that httpguts does not list.
var control = []string{"Age", "Date", "Expires", "Location", "Retry-After", "Set-Cookie", "Vary", "Warning"}

// DropHopByHop removes what concerns one connection only.
func DropHopByHop(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
}

// ErrStopped ends an answer whose client's connection we have closed ourselves.
var ErrStopped = errors.New("the tunnel was stopped")

// BrokenError is an answer that broke off behind its head.
type BrokenError struct {
	Read, Length int64 // in bytes; Length is -1 when the head did not tell it
	Err          error
}

// Error says how far it came, in words that follow the origin's name.
func (e *BrokenError) Error() string {
	of := ""
	if e.Length >= 0 {
		of = fmt.Sprintf(" of %d", e.Length)
	}
	why := status.Cause(e.Err)
	if errors.Is(e.Err, io.ErrUnexpectedEOF) {
		why = "it closed the connection"
	}
	return fmt.Sprintf("after %d%s bytes: %s", e.Read, of, why)
}

// Unwrap returns the cause.
func (e *BrokenError) Unwrap() error { return e.Err }

// MaxInterim bounds the interim answers (RFC 9110 §15.2) to one request.
const MaxInterim = 100

// ErrTooManyInterim ends a request that gets more of them.
var ErrTooManyInterim = fmt.Errorf("it sent more than %d interim answers", MaxInterim)
