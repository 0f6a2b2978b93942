# Programs written in Go, with the ways that they dial
# needs: go
start_origin
URL=https://git.test/echo
mkdir -p probe/http probe/gorilla probe/coder
cat >probe/go.mod <<'END'
module probe

go 1.21
END
cat >probe/http/main.go <<'END'
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	res, err := http.Get(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(os.Stdout, res.Body)
}
END
cat >probe/gorilla/main.go <<'END'
package main

import (
	"fmt"
	"log"

	"github.com/gorilla/websocket"
)

func main() {
	conn, _, err := websocket.DefaultDialer.Dial("wss://git.test/ws", nil)
	if err != nil {
		log.Fatal(err)
	}
	conn.WriteMessage(websocket.TextMessage, []byte("GET git.test"))
	_, message, err := conn.ReadMessage()
	fmt.Println(string(message), err)
}
END
cat >probe/coder/main.go <<'END'
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/coder/websocket"
)

func main() {
	ctx := context.Background()
	conn, _, err := websocket.Dial(ctx, "wss://git.test/ws", nil)
	if err != nil {
		log.Fatal(err)
	}
	conn.Write(ctx, websocket.MessageText, []byte("GET git.test"))
	_, message, err := conn.Read(ctx)
	fmt.Println(string(message), err)
}
END
version=$(go env GOVERSION)
behind go -C probe mod tidy
works go-mod-download "$version"
mkdir bin
go -C probe build -o ../bin/ ./...
client go-net/http "$version" bin/http $URL
client go-ws-gorilla "$(go -C probe list -m -f '{{.Version}}' github.com/gorilla/websocket)" bin/gorilla
client go-ws-coder "$(go -C probe list -m -f '{{.Version}}' github.com/coder/websocket)" bin/coder
diagnose go 'go-*'
