package status

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Headers that mark an answer as the tunnel's own and not an origin's.
const (
	ErrorHeader  = "X-Agentproxy-Error"
	ReasonHeader = "X-Agentproxy-Reason"
)

// Text is the failure for people: what happened, and what to do when
// something can be done.
func (f *Failure) Text() string {
	text := "agentproxy: " + f.Error() + "\n"
	if f.Advice != "" {
		text += "agentproxy: " + f.Advice + "\n"
	}
	return text
}

func (f *Failure) header(h http.Header) {
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(ErrorHeader, string(f.Kind))
	h.Set(ReasonHeader, ASCII(f.Detail, 400))
	switch f.Code {
	case http.StatusMethodNotAllowed:
		h.Set("Allow", http.MethodConnect)
	case http.StatusProxyAuthRequired:
		h.Set("Proxy-Authenticate", `Basic realm="agentproxy"`)
	}
}

// Respond answers a request with the failure: status, headers and a body that
// say the same.
func (f *Failure) Respond(w http.ResponseWriter) {
	f.header(w.Header())
	w.WriteHeader(f.Code)
	io.WriteString(w, f.Text())
}

// Response is the failure as the answer to a request inside a tunnel.
func (f *Failure) Response() *http.Response {
	text := f.Text()
	res := &http.Response{StatusCode: f.Code, Status: fmt.Sprintf("%d %s", f.Code, f.Phrase()), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, ContentLength: int64(len(text)), Body: io.NopCloser(strings.NewReader(text))}
	f.header(res.Header)
	return res
}

// permissionDenied is gRPC's status for what a caller may not do.
const permissionDenied = "7"

// RespondGRPC answers a gRPC call with the failure: its clients read the words of an
// answer only where the HTTP status is 200 (gRPC over HTTP/2, Trailers-Only).
func (f *Failure) RespondGRPC(w http.ResponseWriter) {
	h := w.Header()
	f.header(h)
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", permissionDenied)
	h.Set("Grpc-Message", strings.ReplaceAll(ASCII(f.Detail, 400), "%", "%25"))
	w.WriteHeader(http.StatusOK)
}

// Refusal is the answer to a refused CONNECT: the upstream's own words when it
// refused, else ours. The reason stands in the reason phrase, in headers and in
// the body, because clients show one or the other (of 50 measured 28 show the
// phrase, 2 the body).
func (f *Failure) Refusal() []byte {
	if f.Answer != nil {
		return f.Answer.Bytes()
	}
	a := Answer{Status: fmt.Sprintf("%d %s", f.Code, f.Phrase()), Header: http.Header{}, Body: []byte(f.Text())}
	f.header(a.Header)
	return a.Bytes()
}

// Bytes is the answer as an HTTP/1.1 response that ends the connection.
func (a *Answer) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %s\r\n", ASCII(a.Status, 512))
	h := a.Header.Clone()
	for _, name := range []string{"Connection", "Proxy-Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length"} {
		h.Del(name)
	}
	h.Set("Connection", "close")
	h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	h.Write(&b)
	b.WriteString("\r\n")
	b.Write(a.Body)
	return b.Bytes()
}
