// Package page is the tunnel's status page for a person, with its event
// stream, and its metrics for Prometheus. Whatever clients choose, as host
// names, is text there and nothing else.
package page

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentproxy/agentproxy/proxy/status"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS []byte
	//go:embed page.js
	pageJS []byte
)

// parsed is made when a page is first asked for: every command is the same
// binary, and none but the daemon needs it.
var parsed = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Parse(pageHTML))
})

// Page serves the page of one tunnel.
type Page struct {
	Stats    *Stats
	Document func() *status.Document
	// Lost is how many decisions could not be logged.
	Lost func() int64
	// Policy is the one in force, by its default and its rules; no rules when an upstream
	// decides.
	Policy func() (byDefault string, rules []Rules)
	// Asking is what waits for an answer and what was answered.
	Asking func() Asking

	streams atomic.Int64
}

// Rules are the entries of the configuration under one key.
type Rules struct {
	Name     string
	Patterns []string
}

// Routes are the page's handlers by their paths.
func (p *Page) Routes() map[string]http.Handler {
	return map[string]http.Handler{
		status.Prefix:      http.HandlerFunc(p.page),
		status.StylePath:   file("text/css; charset=utf-8", pageCSS),
		status.ScriptPath:  file("text/javascript; charset=utf-8", pageJS),
		status.EventsPath:  http.HandlerFunc(p.events),
		status.MetricsPath: http.HandlerFunc(p.metrics),
	}
}

func file(contentType string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		w.Write(content)
	})
}

// contentPolicy lets the page have its own script, style, events, answers and filter, by
// path, and nothing else; not even its script can make markup of a text.
func contentPolicy(port int) string {
	own := func(path string) string {
		return fmt.Sprintf("127.0.0.1:%d%s localhost:%d%s", port, path, port, path)
	}
	return strings.Join([]string{
		"default-src 'none'",
		"script-src " + own(status.ScriptPath),
		"style-src " + own(status.StylePath),
		"connect-src " + own(status.EventsPath) + " " + own(status.PairPath) + " " + own(status.AnswerPath),
		"base-uri 'none'",
		"form-action " + own(status.Prefix),
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; ")
}

func (p *Page) page(w http.ResponseWriter, r *http.Request) {
	f := filterOf(r)
	v := p.Stats.View(f)
	v.ask(p.Asking(), f)
	doc := p.Document()
	p.describe(&v, doc)
	var b bytes.Buffer
	err := parsed().Execute(&b, struct {
		View
		Port    int
		Filter  Filter
		Choices Choices
	}{v, doc.Port, f, p.Stats.choices()})
	if err != nil {
		http.Error(w, "agentproxy: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", contentPolicy(doc.Port))
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Write(b.Bytes())
}

const (
	// maxStreams is how many may watch at once.
	maxStreams = 32
	// pause is between two views, so that a burst costs no more than a trickle.
	pause = 250 * time.Millisecond
	// beat is after how long the view is sent anyhow: the timeline moves, and a
	// watcher that has gone is noticed.
	beat = 10 * time.Second
	// stale is how old what is said of the tunnel itself may be while much happens:
	// some of it stands in files.
	stale = 2 * time.Second
)

// events sends a view now and whenever something has happened.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	if p.streams.Add(1) > maxStreams {
		p.streams.Add(-1)
		http.Error(w, "agentproxy: too many pages watch", http.StatusServiceUnavailable)
		return
	}
	defer p.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	f := filterOf(r)
	var facts View
	var described time.Time
	for {
		changed := p.Stats.change()
		v := p.Stats.View(f)
		v.ask(p.Asking(), f)
		if p.Stats.now().Sub(described) >= stale {
			described = p.Stats.now()
			p.describe(&facts, p.Document())
		}
		v.Problem, v.Policy, v.Setup = facts.Problem, facts.Policy, facts.Setup
		view, err := json.Marshal(v)
		if err != nil {
			return
		}
		control.SetWriteDeadline(time.Now().Add(beat))
		if _, err := fmt.Fprintf(w, "retry: 2000\ndata: %s\n\n", view); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(pause):
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-time.After(beat):
		}
	}
}
