package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// planted are requests that hold a secret where clients, and people who paste,
// have put one. %s is the secret, as it may be written there.
var planted = []string{
	"GET /tok/%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
	"GET /x?token=%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
	"POST /x HTTP/1.1\r\nHost: user:%s@a.test\r\nContent-Length: 0\r\n\r\n",
	"GET http://user:%s@a.test/%[1]s?q=%[1]s HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"GET https://user:%s@a.test/%[1]s?q=%[1]s HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"GET ftp://user:%s@a.test/%[1]s HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT user:%s@a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT user:%s@a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT https://user:%s@a.test:443/%[1]s HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT a.test:443/?q=%s HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT a.test:443#%s HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT a.test:443/%s HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT a.test/%s:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT [%s@::1]:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT a.test:443 %s HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"CONNECT no.invalid:443 HTTP/1.1\r\nHost: a.test\r\nProxy-Authorization: Basic %s\r\nCookie: %[1]s\r\nAuthorization: Bearer %[1]s\r\n\r\n",
	"CONNECT no.invalid:443 HTTP/1.1\r\nBad %s header\r\n\r\n",
	"%s / HTTP/1.1\r\nHost: a.test\r\n\r\n",
	"GET /a\x1b[31m\u009b31m\u202egnp.exe%s HTTP/1.1\r\nHost: a\u202e.test\r\n\r\n",
	"CONNECT a\u202e\u009b31m.test:443 HTTP/1.1\r\nHost: %s@x\r\n\r\n",
}

// What clients send beside a host is in no log, page, document or report, and
// none of these has a character that a terminal or page acts on.
func TestPlantedSecretsAreNowhere(t *testing.T) {
	home := t.TempDir()
	environ := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	run := func(args ...string) string {
		t.Helper()
		out, err := agentproxy(t, environ, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("agentproxy %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	url := strings.TrimSpace(run("up"))
	t.Cleanup(func() { run("down") })
	const secret = "hunter2SECRET"
	for _, request := range planted {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, request, secret)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		if body, _ := io.ReadAll(res.Body); res.StatusCode < 400 {
			t.Errorf("%q was answered %s: %s", request, res.Status, body)
		}
		conn.Close()
	}
	fetched := func(path string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/__agentproxy/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body) // the events end with the context
		return string(body)
	}
	places := map[string]string{
		"status": run("status"), "status --json": run("status", "--json"), "log": run("log"), "log --json": run("log", "--json"),
		"report": run("report"), "report --json": run("report", "--json"), "guide": run("guide"), "why": run("why", "a.test"),
		"page": fetched(""), "events": fetched("events"), "metrics": fetched("metrics"), "document": fetched("status"),
	}
	err := filepath.WalkDir(filepath.Join(home, ".local", "state", "agentproxy"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var data []byte
			data, err = os.ReadFile(path)
			if strings.Contains(filepath.Base(path), "log") || filepath.Ext(path) == ".json" || filepath.Ext(path) == ".md" {
				places[path] = string(data)
			} else if strings.Contains(string(data), secret) {
				t.Errorf("the secret is in %s", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for place, text := range places {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("the secret is in %s: …%s…", place, text[max(0, i-80):min(len(text), i+80)])
		}
		// Written out they do no harm: as \u202e in a sentence, which is \\u202e in JSON.
		asJSON := strings.Contains(place, "json") || strings.Contains(place, "daemon-") || place == "events" || place == "document"
		decoded := strings.ReplaceAll(text, `\\`, "")
		for _, bad := range []string{"\x1b", "\u009b", "\u202e", `\u001b`, `\u009b`, `\u202e`} {
			if strings.Contains(text, bad) && bad[0] != '\\' || asJSON && strings.Contains(decoded, bad) {
				t.Errorf("%s holds %q", place, bad)
			}
		}
	}
	if !strings.Contains(places["status --json"], "plain_http") || !strings.Contains(places["log"], "bad_request") {
		t.Error("nothing was recorded")
	}
}
