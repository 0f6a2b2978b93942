package http1

import (
	"bufio"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

var requestHeads = []string{
	"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n",
	"GET /a%20b/../c?d=%zz&e HTTP/1.1\r\nhost:origin.test:443\r\nuser-agent: \t x y\t \r\nX-a: 1\r\nx-A: 2\r\nX-a:\r\n\r\n",
	"HEAD /\"<>^`{|} HTTP/1.1\r\nHost: [::1]\r\nAccept: \x80\xff\r\n\r\n",
	"OPTIONS /* HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=d\r\nCookie: e\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n",
	"GET //a HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
	"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: \r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nPragma: no-cache\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n A: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nA: b\x00\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nA\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore",
	"GET / HTTP/1.1\r\nHost:\r",
}

// What is parsed here is parsed as net/http does, and simple.
func FuzzRequestHead(f *testing.F) {
	for _, head := range requestHeads {
		f.Add(head)
	}
	f.Fuzz(func(t *testing.T, head string) {
		got := parseRequest(head)
		if got == nil {
			return
		}
		rest := strings.NewReader(head)
		in := bufio.NewReader(rest)
		want, err := http.ReadRequest(in)
		if err != nil || !isSimple(want) || in.Buffered()+rest.Len() > 0 {
			t.Fatalf("net/http: %+v, %v, and %d bytes behind it", want, err, in.Buffered()+rest.Len())
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

// The usual is parsed here: else nothing is gained.
func TestUsualHeadsAreParsedHere(t *testing.T) {
	for i, head := range requestHeads[:5] {
		if r := parseRequest(head); r == nil {
			t.Errorf("request %d is left to net/http: %q", i, head)
		}
	}
	for i, text := range answers[:5] {
		head := text[:endOfHead([]byte(text))]
		if parseResponse(head, &http.Request{Method: http.MethodGet}, nil) == nil {
			t.Errorf("answer %d is left to net/http: %q", i, head)
		}
	}
}

var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello",
	"HTTP/1.1 404 Not  Found \r\ncontent-length:0\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n",
	"HTTP/1.1 599 \r\nContent-Length: 007\r\n\r\ncut",
	"HTTP/1.1 301\r\nLocation: /\xff\r\nContent-Length: 2\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\n\r\na",
	"HTTP/1.1 200 OK\r\n\r\nto the end",
	"HTTP/1.1  200 OK\r\nContent-Length: 1\r\n\r\na",
	"HTTP/1.1 +20 OK\r\nContent-Length: 1\r\n\r\na",
	"HTTP/1.1 204 OK\r\nContent-Length: 1\r\n\r\na",
	"HTTP/1.1 304 OK\r\nContent-Length: 1\r\n\r\na",
	"HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\na",
	"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
	"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
	"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\na",
	"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
	"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\na",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nPragma: no-cache\r\n\r\na",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA: b\r\n c\r\n\r\na",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA b: c\r\n\r\na",
	"HTTP/1.1 200 OK\nContent-Length: 1\n\na",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\na",
	"HTTP/1.1 200 \nA\r\nContent-Length: 1\r\n\r\na",
}

// An answer that is parsed here is what net/http makes of it, to the last byte and the error behind it.
func FuzzResponseHead(f *testing.F) {
	for _, answer := range answers {
		f.Add(answer, http.MethodGet)
	}
	f.Add(answers[0], http.MethodHead)
	f.Fuzz(func(t *testing.T, answer, method string) {
		r := &http.Request{Method: method}
		head := answer[:endOfHead([]byte(answer))]
		ours := bufio.NewReader(strings.NewReader(answer[len(head):]))
		got := parseResponse(head, r, ours)
		if got == nil {
			return
		}
		theirs := bufio.NewReader(strings.NewReader(answer))
		want, err := http.ReadResponse(theirs, r)
		if err != nil {
			t.Fatal(err)
		}
		read, readErr := io.ReadAll(got.Body)
		wanted, wantErr := io.ReadAll(want.Body)
		if string(read) != string(wanted) || readErr != wantErr {
			t.Fatalf("got the body %q, %v; want %q, %v", read, readErr, wanted, wantErr)
		}
		left, _ := io.ReadAll(ours)
		wantLeft, _ := io.ReadAll(theirs)
		if string(left) != string(wantLeft) {
			t.Fatalf("left %q behind the body, want %q", left, wantLeft)
		}
		got.Body, want.Body = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func BenchmarkHeads(b *testing.B) {
	request := "GET /small HTTP/1.1\r\nHost: origin.test\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"
	answer := "HTTP/1.1 200 OK\r\nContent-Length: 1024\r\nContent-Type: text/plain\r\nDate: Sat, 28 Nov 2026 00:00:00 GMT\r\n\r\n"
	r := &http.Request{Method: http.MethodGet}
	b.Run("here", func(b *testing.B) {
		for b.Loop() {
			parseRequest(request)
			parseResponse(answer, r, nil)
		}
	})
	b.Run("net/http", func(b *testing.B) {
		in := bufio.NewReader(nil)
		for b.Loop() {
			in.Reset(strings.NewReader(request))
			http.ReadRequest(in)
			in.Reset(strings.NewReader(answer))
			http.ReadResponse(in, r)
		}
	})
}
