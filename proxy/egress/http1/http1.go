// Package http1 is the fast path for HTTP/1.1: it carries the simple requests of
// one client (GET, HEAD and OPTIONS without body, upgrade or expectation) to one
// origin in one goroutine. It parses the usual heads itself, and leaves the others to
// net/http's parsers. It uses neither net/http's server nor its transport, which cost
// more than all else: 1.4 times the rate at 1 KiB answers, 1.2 at 64 KiB (testdata/bench).
//
// It takes: a request line and fields that http.ReadRequest and httpguts accept,
// lines ended by CRLF, origin form, HTTP/1.1, a head of 8 KiB at most. It hands
// over to net/http, for good, the first request that is anything else, with every
// byte that was read of it. The limits on answers are those of net/http's
// Transport. Fuzzers hold both ways against each other, request by request and
// answer by answer (proxy/egress), and the parsers, head by head.
package http1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/egress/message"
	"github.com/agentproxy/agentproxy/proxy/idle"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/http/httpguts"
)

const (
	headBuffer = 8 << 10 // for requests; a larger one takes the general path
	// outBuffer holds a head and a small body; what is larger is written at once.
	outBuffer = 4 << 10
	// hangUpCheck is how often a client that waits is looked at.
	hangUpCheck = time.Second
)

// Egress is what the path needs of the egress, for one client and one origin.
type Egress interface {
	// Begin counts a request, and ends with what End does. It returns why the
	// request is not carried, or nil; then Host is what the origin is to read.
	Begin(*http.Request) *status.Failure
	End()
	// OverHTTP1 reports whether the request at hand should go over HTTP/1.1.
	OverHTTP1() bool
	// Refused reports whether an error of Connect means that the origin refuses
	// HTTP/1.1, and remembers that.
	Refused(error) bool
	// Connect returns an idle connection to the origin, or dials one; Keep takes
	// one back that can carry another request, or closes it.
	Connect() (c *Conn, reused bool, err error)
	Keep(*Conn)
	// RoundTrip carries a request to the origin over HTTP/2. The request has no
	// URL yet, but the path that is to be asked for.
	RoundTrip(r *http.Request, path string) (*http.Response, error)
	// Failed words an error of a round trip, Report tells of a failure, and Broken
	// of an answer that broke off.
	Failed(error) *status.Failure
	Report(*status.Failure)
	Broken(*message.BrokenError)
}

// path carries the requests of one client.
type path struct {
	egress  Egress
	client  net.Conn
	raw     net.Conn // below the client's TLS
	buffers httputil.BufferPool
	in      *bufio.Reader
	out     *bufio.Writer

	watch *time.Timer
	// abandon ends what a client that hangs up while it waits would leave behind.
	// The lock keeps it from being called for a connection that has been passed on.
	mu      sync.Mutex
	abandon func()
	gone    bool // the client has hung up while it waited
}

// Options are the limits of Serve.
type Options struct {
	// HeadTimeout is how long a request's head may take to come to its end.
	HeadTimeout time.Duration
	// Buffers are for bodies.
	Buffers httputil.BufferPool
}

// Serve carries the requests of a client's connection; raw is the one below its
// TLS. It returns the bytes that were read but not handled, when the general path
// has to take over, and false when the connection is done with.
func Serve(client, raw net.Conn, e Egress, o Options) (rest []byte, handOver bool) {
	p := &path{egress: e, client: client, raw: raw, buffers: o.Buffers,
		in: bufio.NewReaderSize(client, headBuffer), out: bufio.NewWriterSize(client, outBuffer)}
	p.watch = time.AfterFunc(time.Hour, p.lookAtClient)
	p.watch.Stop()
	defer p.watch.Stop()
	for {
		r, size, simple := p.next(o.HeadTimeout)
		if !simple {
			rest, _ := p.in.Peek(p.in.Buffered())
			return bytes.Clone(rest), p.in.Buffered() > 0
		}
		p.in.Discard(size)
		goesOn := false
		switch failure := e.Begin(r); {
		case failure == nil:
			goesOn = p.carry(r)
		case failure.Method != "":
			goesOn = p.decline(r, failure)
		default:
			p.refuse(failure)
		}
		e.End()
		if !goesOn {
			return nil, false
		}
	}
}

// next looks at the next request without taking it. It is not simple when it
// cannot be parsed, or ends its lines in an unusual way: the general path has
// the answer to that. Nothing buffered then means that the client has gone.
func (p *path) next(timeout time.Duration) (r *http.Request, size int, simple bool) {
	begun := false
	for n := 1; n <= headBuffer; n = p.in.Buffered() + 1 {
		if n > 1 && !begun { // it must come to its end
			begun = true
			p.client.SetReadDeadline(time.Now().Add(timeout))
			defer p.client.SetReadDeadline(time.Time{})
		}
		if _, err := p.in.Peek(n); err != nil {
			break
		}
		buffered, _ := p.in.Peek(p.in.Buffered())
		if bytes.Contains(buffered, []byte("\n\n")) {
			break
		}
		if end := bytes.Index(buffered, []byte("\n\r\n")); end >= 0 {
			size = end + 3
			if r := parseRequest(string(buffered[:size])); r != nil {
				return r, size, true
			}
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(buffered[:size])))
			return r, size, err == nil && isSimple(r)
		}
	}
	return nil, 0, false
}

func isSimple(r *http.Request) bool {
	if !isSimpleMethod(r.Method) || !isSimpleTarget(r.RequestURI) {
		return false
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Close || r.ProtoMajor != 1 || r.ProtoMinor != 1 {
		return false
	}
	for _, name := range []string{"Upgrade", "Expect", "Te", "Trailer", "Content-Length"} {
		if _, ok := r.Header[name]; ok {
			return false
		}
	}
	// http.ReadRequest lets pass what the server refuses: a request without a
	// Host (RFC 9112 §3.2), or a name with a space in it, which could be read as
	// another header behind us.
	if r.Host == "" || !httpguts.ValidHostHeader(r.Host) {
		return false
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return false
		}
	}
	return true
}

func isSimpleMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func isSimpleTarget(target string) bool {
	return strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "//")
}

// carry forwards one request and its response. It returns false when the
// client's connection must end.
func (p *path) carry(r *http.Request) bool {
	message.DropHopByHop(r.Header)
	if !p.egress.OverHTTP1() {
		return p.carryOver2(r)
	}
	conn, res, err := p.exchange(r)
	if p.egress.Refused(err) {
		return p.carryOver2(r)
	}
	if err != nil {
		return p.fail(err)
	}
	err = p.respond(r, res, conn)
	p.rest()
	if err != nil || res.Close {
		conn.Close()
	} else {
		p.egress.Keep(conn)
	}
	return p.ended(err)
}

func (p *path) carryOver2(r *http.Request) bool {
	defer p.rest()
	res, err := p.roundTrip(r)
	if err != nil {
		return p.fail(err)
	}
	defer res.Body.Close()
	return p.ended(p.respond(r, res, nil))
}

// ended reports whether the client's connection can go on after an answer that
// ended with err. That an origin broke off is noted; that a client did is its
// own affair.
func (p *path) ended(err error) bool {
	var broken *message.BrokenError
	if errors.As(err, &broken) && (broken.Err == message.ErrStopped || !p.hungUp() && !idle.HungUp(p.raw)) {
		p.egress.Broken(broken)
	}
	return err == nil
}

// roundTrip sends the request over HTTP/2.
func (p *path) roundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p.await(cancel)
	out := r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: p.passInterim()}))
	out.RequestURI = ""
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // keeps net/http from naming itself
	}
	res, err := p.egress.RoundTrip(out, r.RequestURI)
	if err != nil {
		return nil, err
	}
	if err := message.Vet(res, false); err != nil {
		res.Body.Close()
		return nil, err
	}
	return res, nil
}

// passInterim passes interim answers on that come over HTTP/2.
func (p *path) passInterim() func(int, textproto.MIMEHeader) error {
	n := 0
	return func(code int, header textproto.MIMEHeader) error {
		if n++; n > message.MaxInterim {
			return message.ErrTooManyInterim
		}
		return p.interim(&http.Response{StatusCode: code, Header: http.Header(header)})
	}
}

// exchange sends the request on a pooled connection, or a new one, and reads
// the head of the response. A pooled connection may have been closed by the
// origin meanwhile; simple requests may then be sent again (RFC 9110 §9.2.2).
func (p *path) exchange(r *http.Request) (*Conn, *http.Response, error) {
	for {
		conn, reused, err := p.egress.Connect()
		if err != nil {
			return nil, nil, err
		}
		p.await(func() { conn.Close() })
		res, err := conn.exchange(r, reused, p.interim)
		if err == nil {
			return conn, res, nil
		}
		conn.Close()
		p.rest()
		if !reused || p.hungUp() {
			return nil, nil, err
		}
	}
}

// await watches over a client that waits: abandon is called when it hangs up.
func (p *path) await(abandon func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandon = abandon
	p.watch.Reset(hangUpCheck)
}

// rest ends the watch.
func (p *path) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandon = nil
	p.watch.Stop()
}

// hungUp reports whether the client has hung up while it waited. What failed then
// is not the origin's doing.
func (p *path) hungUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// lookAtClient abandons the request when the client has hung up, so that an answer
// that never comes holds nothing.
func (p *path) lookAtClient() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.abandon == nil:
	case idle.HungUp(p.raw):
		p.gone = true
		p.abandon()
		p.abandon = nil
	default:
		p.watch.Reset(hangUpCheck)
	}
}

// interim passes an informational response on (RFC 9110 §15.2).
func (p *path) interim(res *http.Response) error {
	message.DropHopByHop(res.Header)
	p.writeHead(res)
	return p.out.Flush()
}

func (p *path) writeHead(res *http.Response) {
	fmt.Fprintf(p.out, "HTTP/1.1 %s\r\n", message.StatusLine(res))
	res.Header.Write(p.out)
	p.out.WriteString("\r\n")
}

// respond writes the response. Bytes are flushed as soon as no more of them are
// at hand, so that events arrive when they are sent.
func (p *path) respond(r *http.Request, res *http.Response, origin *Conn) error {
	message.DropHopByHop(res.Header)
	hasBody := r.Method != http.MethodHead && res.StatusCode != http.StatusNoContent && res.StatusCode != http.StatusNotModified
	chunked := hasBody && res.ContentLength < 0
	if chunked {
		res.Header.Del("Content-Length")
		res.Header.Set("Transfer-Encoding", "chunked")
		message.CleanTrailer(res.Trailer)
		for name := range res.Trailer {
			res.Header.Add("Trailer", name)
		}
	} else if hasBody {
		res.Header.Set("Content-Length", strconv.FormatInt(res.ContentLength, 10))
	}
	p.writeHead(res)
	if hasBody {
		if err := p.body(res, chunked, origin); err != nil {
			return err
		}
	}
	return p.out.Flush()
}

// body writes the body. That the origin broke off is a *message.BrokenError.
func (p *path) body(res *http.Response, chunked bool, origin *Conn) error {
	buf := p.buffers.Get()
	defer p.buffers.Put(buf)
	var w io.Writer = p.out
	if chunked {
		if err := p.out.Flush(); err != nil { // the head, before the first event
			return err
		}
		w = httputil.NewChunkedWriter(p.out)
	}
	for read := int64(0); ; {
		n, err := res.Body.Read(buf)
		if err == nil && !chunked && origin != nil {
			n, err = origin.fill(res.Body, buf, n)
		}
		if read += int64(n); n > 0 {
			if _, err := w.Write(buf[:n]); errors.Is(err, net.ErrClosed) {
				return &message.BrokenError{Read: read, Length: res.ContentLength, Err: message.ErrStopped}
			} else if err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			p.out.Flush()
			return &message.BrokenError{Read: read, Length: res.ContentLength, Err: err}
		}
		if origin == nil || origin.in.Buffered() == 0 {
			if err := p.out.Flush(); err != nil {
				return err
			}
		}
	}
	if chunked {
		p.out.WriteString("0\r\n")
		message.CleanTrailer(res.Trailer)
		res.Trailer.Write(p.out)
		p.out.WriteString("\r\n")
	}
	return nil
}

// fail answers a request that could not be carried, if there is still somebody
// to answer.
func (p *path) fail(err error) bool {
	if p.hungUp() {
		return false
	}
	return p.refuse(p.egress.Failed(err))
}

// decline answers a request that the policy refuses; the connection goes on.
func (p *path) decline(r *http.Request, f *status.Failure) bool {
	p.egress.Report(f)
	return p.respond(r, f.Response(), nil) == nil
}

// refuse answers with a failure and ends the connection.
func (p *path) refuse(f *status.Failure) bool {
	p.egress.Report(f)
	p.out.Write(f.Refusal())
	p.out.Flush()
	return false
}
