package attach

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/contract"
	"github.com/agentproxy/agentproxy/proxy/status"
)

// Questions are what waits for an answer in a tunnel. As long as they are listened to,
// somebody is there to answer. Close ends that.
type Questions struct {
	conn    net.Conn
	decoder *json.Decoder
}

// Questions begins to listen.
func (t *Tunnel) Questions(ctx context.Context) (*Questions, error) {
	res, conn, err := t.call(ctx, http.MethodGet, contract.AskPath)
	if err != nil {
		return nil, err
	}
	return &Questions{conn, json.NewDecoder(res.Body)}, nil
}

// Next waits for a change, and returns all that waits then, the oldest first.
func (q *Questions) Next() (list []contract.Question, err error) {
	return list, q.decoder.Decode(&list)
}

// Close stops listening.
func (q *Questions) Close() { q.conn.Close() }

// Link returns the address at which one status page may answer, once opened, until ctx
// ends.
func (t *Tunnel) Link(ctx context.Context) (string, error) {
	res, conn, err := t.call(ctx, http.MethodPost, contract.LinkPath)
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	code, err := bufio.NewReader(res.Body).ReadString('\n')
	if err != nil {
		conn.Close()
		return "", err
	}
	return t.URL() + status.Prefix + "#" + strings.TrimSpace(code), nil
}

// Answer gives one of contract's answers. It is an error when nothing waits for it
// any more.
func (t *Tunnel) Answer(ctx context.Context, id, answer string) error {
	_, conn, err := t.call(ctx, http.MethodPost, contract.AskPath+"?"+url.Values{"id": {id}, "answer": {answer}}.Encode())
	if err == nil {
		conn.Close()
	}
	return err
}
