package attach

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"

	"github.com/agentproxy/agentproxy/proxy/contract"
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

// Answer gives one of contract's answers. It is an error when nothing waits for it
// any more.
func (t *Tunnel) Answer(ctx context.Context, id, answer string) error {
	_, conn, err := t.call(ctx, http.MethodPost, contract.AskPath+"?"+url.Values{"id": {id}, "answer": {answer}}.Encode())
	if err == nil {
		conn.Close()
	}
	return err
}
