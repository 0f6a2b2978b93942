package http1

import (
	"bufio"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// parseRequest parses the head of a request as http.ReadRequest does, in half the
// time. It takes what isSimple takes, and nothing that net/http looks at twice: then it
// returns nil.
func parseRequest(head string) *http.Request {
	line, rest, ended := cutLine(head)
	method, line, _ := strings.Cut(line, " ")
	target, http11 := strings.CutSuffix(line, " HTTP/1.1")
	if !ended || !isSimpleMethod(method) || !http11 || !isSimpleTarget(target) || strings.Contains(target, " ") {
		return nil
	}
	address, err := url.ParseRequestURI(target)
	if err != nil {
		return nil
	}
	header := parseFields(rest)
	host := header["Host"]
	if len(host) != 1 || host[0] == "" || !httpguts.ValidHostHeader(host[0]) {
		return nil
	}
	if _, ok := header["Content-Length"]; ok {
		return nil
	}
	delete(header, "Host")
	return &http.Request{Method: method, URL: address, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, Host: host[0], RequestURI: target}
}

// parseResponse parses the head of an answer as http.ReadResponse does, when a body of known length
// follows, or returns nil. The body is read from in.
func parseResponse(head string, r *http.Request, in *bufio.Reader) *http.Response {
	line, rest, ended := cutLine(head)
	status, http11 := strings.CutPrefix(line, "HTTP/1.1 ")
	number, _, _ := strings.Cut(status, " ")
	code, err := strconv.ParseUint(number, 10, 16)
	if !ended || r.Method == http.MethodHead || !http11 || len(number) != 3 || err != nil || code < 200 || code == http.StatusNoContent || code == http.StatusNotModified {
		return nil
	}
	header := parseFields(rest)
	length := header["Content-Length"]
	if len(length) != 1 {
		return nil
	}
	size, err := strconv.ParseUint(length[0], 10, 62)
	if err != nil {
		return nil
	}
	res := &http.Response{Status: status, StatusCode: int(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, ContentLength: int64(size), Request: r}
	if size > 0 {
		res.Body = &sizedBody{in, int64(size)}
	}
	return res
}

// parseFields parses fields and the empty line behind them (RFC 9112 §5). It returns nil
// unless they are written in the usual way, and say nothing new of the connection or of a body
// but its length.
func parseFields(text string) http.Header {
	n := strings.Count(text, "\n")
	header := make(http.Header, n)
	values := make([]string, n)
	for i := 0; ; i++ {
		line, rest, ended := cutLine(text)
		if line == "" && ended && rest == "" {
			return header
		}
		name, value, isField := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ended || !isField || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch name {
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") { // which HTTP/1.1 has anyway
				return nil
			}
		case "Expect", "Pragma", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
			return nil
		}
		if before, ok := header[name]; ok {
			header[name] = append(before, value)
		} else {
			values[i] = value
			header[name] = values[i : i+1 : i+1]
		}
		text = rest
	}
}

// cutLine cuts at the first line feed, and reports whether it ends a line by CRLF.
func cutLine(text string) (line, rest string, ok bool) {
	line, rest, found := strings.Cut(text, "\n")
	line, ok = strings.CutSuffix(line, "\r")
	return line, rest, ok && found
}

// sizedBody is a body of known length. Its last bytes come with the end, as net/http's do.
type sizedBody struct {
	in   *bufio.Reader
	left int64
}

func (b *sizedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.in.Read(p)
	b.left -= int64(n)
	switch {
	case err == io.EOF && b.left > 0:
		err = io.ErrUnexpectedEOF
	case err == nil && b.left == 0:
		err = io.EOF
	}
	return n, err
}

func (b *sizedBody) Close() error { return nil }
