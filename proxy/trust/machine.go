package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
)

// System is the machine and its user, read once.
type System struct {
	// Root stands before every absolute path of the machine's; "" for the
	// machine that we run on.
	Root string
	// Home is the user's home directory.
	Home   string
	Getenv func(string) string
	// Admin is true for who may change what belongs to the machine.
	Admin bool
	// JavaPassword is tried on Java's stores, before the usual ones.
	JavaPassword string
}

// machine returns the paths that match the patterns below the root.
func (w *System) machine(patterns ...string) []string {
	var all []string
	for _, p := range patterns {
		found, _ := filepath.Glob(filepath.Join(w.Root, p)) // the patterns are constants
		all = append(all, found...)
	}
	return all
}

// user returns the paths that match the patterns below the home directory.
func (w *System) user(patterns ...string) []string {
	var all []string
	for _, p := range patterns {
		found, _ := filepath.Glob(filepath.Join(w.Home, p))
		all = append(all, found...)
	}
	return all
}

// xdg is a base directory of the XDG specification: what the variable names, or
// the default below the home directory.
func (w *System) xdg(variable, byDefault string) string {
	if dir := w.Getenv(variable); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(w.Home, byDefault)
}

// pattern is a regular expression that is compiled when it is first used: every
// start of exec would pay for it.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// Anchor is what stores are made to trust.
type Anchor struct {
	Cert *x509.Certificate
	// File holds the certificate, Bundle the merged one and JavaStore the
	// truststore of the same: what configuration files are pointed at.
	File, Bundle, JavaStore string
}

// Name is what the anchor is called in stores: nickname, alias and file name.
// It is the same for the next CA of the same owner, whose key differs.
func (a *Anchor) Name() string { return name(a.Cert) }

// keyWord is the last word of our CAs' names, a part of their key's digest.
var keyWord = pattern(` [0-9a-f]{8}$`)

var notInNames = pattern(`[^a-z0-9]+`)

func name(c *x509.Certificate) string {
	text := c.Subject.CommonName
	if text == "" {
		text = c.Subject.String()
	}
	if ours(c) {
		text = strings.TrimPrefix(keyWord().ReplaceAllString(text, ""), ca.NamePrefix)
	}
	return "agentproxy-" + strings.Trim(notInNames().ReplaceAllString(strings.ToLower(text), "-"), "-")
}

// ours recognises a CA that an agentproxy made, by its name.
func ours(c *x509.Certificate) bool {
	return len(c.Subject.Organization) == 1 && c.Subject.Organization[0] == ca.Organization && strings.HasPrefix(c.Subject.CommonName, ca.NamePrefix)
}

// HelperError is the failure of a program that a store needs, with its words.
type HelperError struct {
	Argv   []string
	Output string
	Err    error
}

func (e *HelperError) Error() string {
	text := fmt.Sprintf("%s: %v", strings.Join(e.Argv, " "), e.Err)
	if e.Output != "" {
		text += "; it says:\n" + e.Output
	}
	return text
}

func (e *HelperError) Unwrap() error { return e.Err }

// helperTime is what a helper gets; update-ca-certificates with Java's hook
// takes ten seconds on a slow machine.
const helperTime = 2 * time.Minute

// helper is a program that a store is read or changed with.
type helper struct {
	argv  []string
	env   []string
	stdin []byte
}

// run returns what the program printed on stdout.
func (h helper) run() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), helperTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.argv[0], h.argv[1:]...)
	cmd.Env = append(os.Environ(), h.env...)
	cmd.Dir = "/" // no project's configuration counts
	cmd.Stdin = bytes.NewReader(h.stdin)
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, &HelperError{h.argv, strings.TrimSpace(stdout.String() + stderr.String()), err}
	}
	return stdout.Bytes(), nil
}
