package canary

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// documents are what package managers and git want to read, by what their paths
// begin with; rest is what follows.
var documents = map[string]func(w http.ResponseWriter, r *http.Request, rest string){
	"npm/":      npm,
	"pypi/":     pypi,
	"go/":       goProxy,
	"cargo/":    cargo,
	"repo.git/": git,
}

// npm is a registry with one package (npm's documentation of its registry API).
func npm(w http.ResponseWriter, r *http.Request, _ string) {
	respond(w, map[string]any{
		"name": "canary", "dist-tags": map[string]string{"latest": "1.0.0"},
		"versions": map[string]any{"1.0.0": map[string]any{"name": "canary", "version": "1.0.0",
			"dist": map[string]string{"tarball": "https://" + r.Host + "/npm/canary.tgz"}}},
	})
}

// pypi is an index with one wheel (PEP 503, PEP 427).
func pypi(w http.ResponseWriter, _ *http.Request, rest string) {
	const name = "canary-1.0-py3-none-any.whl"
	if !strings.HasSuffix(rest, name) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!DOCTYPE html><html><body><a href=%q>%s</a></body></html>\n", "../"+name, name)
		return
	}
	var wheel bytes.Buffer
	z := zip.NewWriter(&wheel)
	for _, f := range [][2]string{
		{"canary.py", ""},
		{"canary-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: canary\nVersion: 1.0\n"},
		{"canary-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: agentproxy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{"canary-1.0.dist-info/RECORD", "canary.py,,\ncanary-1.0.dist-info/METADATA,,\ncanary-1.0.dist-info/WHEEL,,\ncanary-1.0.dist-info/RECORD,,\n"},
	} {
		if entry, err := z.Create(f[0]); err == nil {
			entry.Write([]byte(f[1]))
		}
	}
	z.Close()
	w.Header().Set("Content-Type", "application/zip")
	w.Write(wheel.Bytes())
}

// goProxy is a module proxy that knows one version (go.dev/ref/mod, GOPROXY
// protocol).
func goProxy(w http.ResponseWriter, _ *http.Request, rest string) {
	if strings.HasSuffix(rest, "/@v/list") {
		fmt.Fprintln(w, "v1.0.0")
		return
	}
	respond(w, map[string]string{"Version": "v1.0.0"})
}

// cargo is a registry that finds nothing (The Cargo Book, registry index and
// web API).
func cargo(w http.ResponseWriter, r *http.Request, rest string) {
	if rest == "config.json" {
		base := "https://" + r.Host + "/cargo"
		respond(w, map[string]string{"dl": base + "/dl", "api": base})
		return
	}
	respond(w, map[string]any{"crates": []string{}, "meta": map[string]int{"total": 0}})
}

// git is an empty repository (gitprotocol-http(5)).
func git(w http.ResponseWriter, r *http.Request, rest string) {
	if rest != "info/refs" || r.URL.Query().Get("service") != "git-upload-pack" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	for _, line := range []string{"# service=git-upload-pack\n", "", strings.Repeat("0", 40) + " capabilities^{}\x00agent=agentproxy\n", ""} {
		if line == "" {
			w.Write([]byte("0000"))
			continue
		}
		fmt.Fprintf(w, "%04x%s", len(line)+4, line)
	}
}

func respond(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(document)
}
