package egress

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/idle"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/http/httpguts"
)

const (
	laneHead = 8 << 10 // of requests; a larger one takes the general path
	// laneOut holds a head and a small body; what is larger is written at once.
	laneOut    = 4 << 10
	originHead = 16 << 10
	// hangUpCheck is how often a client that waits is looked at.
	hangUpCheck = time.Second
)

// lane carries the plain requests of one HTTP/1.1 client (GET, HEAD and OPTIONS
// without body, upgrade or expectation) in one goroutine, with net/http's
// parsers but without its server and transport, which cost twice as much as all
// else. The first request that is not plain hands the connection over to them
// for good.
type lane struct {
	client *clientConn
	target policy.Target
	from   *forwarder
	in     *bufio.Reader
	out    *bufio.Writer
	head   *bufio.Reader // over the head at hand

	watch *time.Timer
	// abandon ends what a client that hangs up while it waits would leave behind.
	// The lock keeps it from being called for a connection that has been passed on.
	mu      sync.Mutex
	abandon func()
	gone    bool // the client has hung up while it waited
}

// serveLane returns the bytes that were read but not handled, when the general
// path has to take over, and false when the connection is done with.
func (f *forwarder) serveLane(c *clientConn, raw net.Conn) (rest []byte, handOver bool) {
	l := &lane{client: c, target: c.session.target, from: f,
		in: bufio.NewReaderSize(c, laneHead), out: bufio.NewWriterSize(c, laneOut),
		head: bufio.NewReaderSize(nil, laneHead)}
	l.watch = time.AfterFunc(time.Hour, func() { l.lookAt(raw) })
	l.watch.Stop()
	defer l.watch.Stop()
	for {
		r, size, plain := l.next()
		if !plain {
			rest, _ := l.in.Peek(l.in.Buffered())
			return bytes.Clone(rest), l.in.Buffered() > 0
		}
		l.in.Discard(size)
		if !l.carry(r) {
			return nil, false
		}
	}
}

// next looks at the next request without taking it. It is not plain when it
// cannot be parsed, or ends its lines in an unusual way: the general path has
// the answer to that. Nothing buffered then means that the client has gone.
func (l *lane) next() (r *http.Request, size int, plain bool) {
	begun := false
	for n := 1; n <= laneHead; n = l.in.Buffered() + 1 {
		if n > 1 && !begun { // it must come to its end
			begun = true
			l.client.SetReadDeadline(time.Now().Add(clientHeadTimeout))
			defer l.client.SetReadDeadline(time.Time{})
		}
		if _, err := l.in.Peek(n); err != nil {
			break
		}
		buffered, _ := l.in.Peek(l.in.Buffered())
		if bytes.Contains(buffered, []byte("\n\n")) {
			break
		}
		if end := bytes.Index(buffered, []byte("\n\r\n")); end >= 0 {
			size = end + 3
			l.head.Reset(bytes.NewReader(buffered[:size]))
			r, err := http.ReadRequest(l.head)
			return r, size, err == nil && isPlain(r)
		}
	}
	return nil, 0, false
}

func isPlain(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		return false
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 || r.Close || !r.ProtoAtLeast(1, 1) || !strings.HasPrefix(r.RequestURI, "/") {
		return false
	}
	for _, name := range []string{"Upgrade", "Expect", "Te", "Trailer", "Content-Length"} {
		if _, ok := r.Header[name]; ok {
			return false
		}
	}
	// http.ReadRequest lets pass what the server refuses: a name with a space in
	// it could be read as another header behind us.
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) }) {
			return false
		}
	}
	return true
}

// carry forwards one request and its response. It returns false when the
// client's connection must end.
func (l *lane) carry(r *http.Request) bool {
	l.client.requests.Add(1)
	if why := l.client.misdirected(r); why != "" {
		return l.refuse(misdirected(l.client, why))
	}
	dropHopByHop(r.Header)
	if !l.from.origins.prefersHTTP1(l.target, l.client.requests.Load() == 1) {
		defer l.rest()
		res, err := l.roundTrip(r)
		if err != nil {
			return l.fail(err)
		}
		defer res.Body.Close()
		return l.respond(r, res, nil) == nil
	}
	conn, res, err := l.exchange(r)
	var failure *status.Failure
	if errors.As(err, &failure) && failure.Reason == noHTTP1 {
		l.from.origins.onlyHTTP2(l.target)
		return l.carry(r)
	}
	if err != nil {
		return l.fail(err)
	}
	err = l.respond(r, res, conn.in)
	l.rest()
	if err != nil {
		conn.Close()
		return false
	}
	if res.Close {
		conn.Close()
	} else {
		l.from.idle.put(l.target, conn)
	}
	return true
}

// roundTrip sends the request over HTTP/2.
func (l *lane) roundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l.await(cancel)
	out := r.WithContext(ctx)
	out.RequestURI = ""
	address(out, l.target, r.RequestURI)
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = []string{""} // keeps net/http from naming itself
	}
	return l.from.any.RoundTrip(out)
}

// exchange sends the request on a pooled connection, or a new one, and reads
// the head of the response. A pooled connection may have been closed by the
// origin meanwhile; plain requests may then be sent again (RFC 9110 §9.2.2).
func (l *lane) exchange(r *http.Request) (*originConn, *http.Response, error) {
	for {
		conn, reused, err := l.from.idle.get(l.target)
		if err != nil {
			return nil, nil, err
		}
		l.await(func() { conn.Close() })
		res, err := conn.exchange(r, l.interim)
		if err == nil {
			return conn, res, nil
		}
		conn.Close()
		l.rest()
		if !reused || l.hungUp() {
			return nil, nil, err
		}
	}
}

// await watches over a client that waits: abandon is called when it hangs up.
func (l *lane) await(abandon func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abandon = abandon
	l.watch.Reset(hangUpCheck)
}

// rest ends the watch.
func (l *lane) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abandon = nil
	l.watch.Stop()
}

// hungUp tells whether the client has hung up while it waited. What failed then
// is not the origin's doing.
func (l *lane) hungUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}

// lookAt abandons the request when the client has hung up, so that an answer
// that never comes holds nothing.
func (l *lane) lookAt(raw net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.abandon == nil:
	case idle.HungUp(raw):
		l.gone = true
		l.abandon()
		l.abandon = nil
	default:
		l.watch.Reset(hangUpCheck)
	}
}

// interim passes an informational response on (RFC 9110 §15.2).
func (l *lane) interim(res *http.Response) error {
	dropHopByHop(res.Header)
	l.writeHead(res)
	return l.out.Flush()
}

func (l *lane) writeHead(res *http.Response) {
	fmt.Fprintf(l.out, "HTTP/1.1 %s\r\n", res.Status)
	res.Header.Write(l.out)
	l.out.WriteString("\r\n")
}

// respond writes the response. Bytes are flushed as soon as no more of them are
// at hand, so that events arrive when they are sent.
func (l *lane) respond(r *http.Request, res *http.Response, origin *bufio.Reader) error {
	dropHopByHop(res.Header)
	hasBody := r.Method != http.MethodHead && res.StatusCode != http.StatusNoContent && res.StatusCode != http.StatusNotModified
	chunked := hasBody && res.ContentLength < 0
	if chunked {
		res.Header.Del("Content-Length")
		res.Header.Set("Transfer-Encoding", "chunked")
		for name := range res.Trailer {
			res.Header.Add("Trailer", name)
		}
	} else if hasBody {
		res.Header.Set("Content-Length", strconv.FormatInt(res.ContentLength, 10))
	}
	l.writeHead(res)
	if hasBody {
		if err := l.body(res, chunked, origin); err != nil {
			return err
		}
	}
	return l.out.Flush()
}

func (l *lane) body(res *http.Response, chunked bool, origin *bufio.Reader) error {
	buf := l.from.proxy.BufferPool.Get()
	defer l.from.proxy.BufferPool.Put(buf)
	var w io.Writer = l.out
	if chunked {
		if err := l.out.Flush(); err != nil { // the head, before the first event
			return err
		}
		w = httputil.NewChunkedWriter(l.out)
	}
	for {
		n, err := res.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if origin == nil || origin.Buffered() == 0 {
			if err := l.out.Flush(); err != nil {
				return err
			}
		}
	}
	if chunked {
		l.out.WriteString("0\r\n")
		res.Trailer.Write(l.out)
		l.out.WriteString("\r\n")
	}
	return nil
}

// fail answers a request that could not be carried, if there is still somebody
// to answer.
func (l *lane) fail(err error) bool {
	if l.hungUp() {
		return false
	}
	return l.refuse(l.from.failure(l.client, err))
}

// refuse answers with a failure and ends the connection.
func (l *lane) refuse(f *status.Failure) bool {
	l.client.report(f)
	l.out.Write(f.Refusal())
	l.out.Flush()
	return false
}

// dropHopByHop removes what concerns one connection only (RFC 9110 §7.6.1).
func dropHopByHop(h http.Header) {
	for _, value := range h["Connection"] {
		for name := range strings.SplitSeq(value, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		delete(h, name)
	}
}

// originConn is a connection to an origin that speaks HTTP/1.1.
type originConn struct {
	*tls.Conn
	in    *bufio.Reader
	out   *bufio.Writer
	since time.Time // when it was put into the pool
}

func (c *originConn) exchange(r *http.Request, interim func(*http.Response) error) (*http.Response, error) {
	fmt.Fprintf(c.out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Host)
	r.Header.Write(c.out)
	c.out.WriteString("\r\n")
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	for {
		res, err := http.ReadResponse(c.in, r)
		switch {
		case err != nil:
			return nil, err
		case res.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("an upgrade that nobody asked for")
		case res.StatusCode >= 200:
			return res, nil
		}
		if err := interim(res); err != nil {
			return nil, err
		}
	}
}
