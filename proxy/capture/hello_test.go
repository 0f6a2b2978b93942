package capture

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
)

// The server name is read, and every byte is still there for whoever serves the
// client.
func TestServerNameIsReadAndLeft(t *testing.T) {
	for name, send := range map[string]func(net.Conn){
		"api.example": func(c net.Conn) {
			tls.Client(c, &tls.Config{ServerName: "api.example"}).Handshake()
		},
		strings.Repeat("long.", 40) + "example": func(c net.Conn) { // and longer than a segment by its protocols
			protocols := strings.Split(strings.Repeat(strings.Repeat("p", 200)+" ", 12)+"end", " ")
			tls.Client(c, &tls.Config{ServerName: strings.Repeat("long.", 40) + "example", NextProtos: protocols}).Handshake()
		},
		"": func(c net.Conn) { io.WriteString(c, "SSH-2.0-client\r\n") },
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			send(client)
		}()
		if got := serverName(server.(*net.TCPConn)); got != name {
			t.Errorf("got %q, want %q", got, name)
		}
		first := make([]byte, 1)
		if _, err := server.Read(first); err != nil || first[0] != handshake && first[0] != 'S' {
			t.Errorf("then %q, %v", first, err)
		}
		server.Close()
		client.Close()
		<-done
		l.Close()
	}
}
