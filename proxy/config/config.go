// Package config reads the configuration file. It is strict: a key that it
// does not know is an error with its line and column.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	homedir "github.com/mitchellh/go-homedir"
	"github.com/pelletier/go-toml/v2"
)

// Config is the configuration in force. Its zero value is the default: an
// embedded egress that allows everything public on port 443.
type Config struct {
	// Path is the file that it was read from, "" when there was none.
	Path string `toml:"-"`
	// Named is true when a flag or variable named the file.
	Named bool `toml:"-" json:"-"`

	Egress Egress `toml:"egress"`
	Policy Policy `toml:"policy"`
	Front  Front  `toml:"front"`
	Git    Git    `toml:"git"`
	// Exec is no matter of the tunnel's.
	Exec Exec `toml:"exec" json:"-"`
	// Isolate is neither.
	Isolate Isolate `toml:"isolate" json:"-"`

	// Organisation are the rules that hold for everybody on this machine, and those that
	// Policy.Organisation names.
	Organisation []Project `toml:"-" json:",omitempty"`
	// Published are those that Policy.Organisation names by a URL, nil when it does not.
	// They are no part of what a tunnel is found by: it keeps them up to date itself.
	Published *Published `toml:"-" json:"-"`
	// Project are the rules of the project that the working directory is in, nil when it
	// has none; Run those of one run.
	Project *Project `toml:"-" json:",omitempty"`
	Run     *Layer   `toml:"-" json:",omitempty"`
	// Source is where all of it came from.
	Source *Source `toml:"-" json:"-"`
}

// Isolate is what isolated commands share with this machine.
type Isolate struct {
	// Reach are services on this machine's loopback that they reach: "localhost:PORT".
	Reach []string `toml:"reach"`
}

// Ports returns the ports of the services.
func (i Isolate) Ports() ([]uint16, error) {
	var ports []uint16
	for _, service := range i.Reach {
		host, text, err := net.SplitHostPort(service)
		port, errPort := strconv.ParseUint(text, 10, 16)
		if err != nil || errPort != nil || port == 0 || host != "localhost" && host != "127.0.0.1" && host != "::1" {
			return nil, fmt.Errorf("isolate.reach: %q is not localhost:PORT", service)
		}
		ports = append(ports, uint16(port))
	}
	return ports, nil
}

// Exec is how commands are run.
type Exec struct {
	// Capture says when a command gets a network of its own: one of Captures, "" for
	// never.
	Capture string `toml:"capture"`
}

// Captures are the values of Exec.Capture: where nothing narrower works, every
// command, none.
var Captures = []string{"auto", "always", "never"}

// Git says more about git than can be known.
type Git struct {
	// RewriteHosts are hosts whose SSH remotes go over HTTPS, beside the
	// well-known ones.
	RewriteHosts []string `toml:"rewrite_hosts"`
}

// Egress says where requests leave.
type Egress struct {
	// Upstream is the URL of a CONNECT proxy (http or https, with user:password
	// if it wants them); "" means the embedded egress.
	Upstream string `toml:"upstream"`
	// ExtraRoots are PEM files trusted for origins and for an https:// upstream
	// beside the system's roots; relative to the configuration file.
	ExtraRoots []string `toml:"extra_roots"`
	// ConnectTo maps host:port to the host:port dialled in its place.
	ConnectTo map[string]string `toml:"connect_to"`
}

// Policy is where the embedded egress may go; see policy.Rules. Once loaded its
// entries name no groups any more.
type Policy struct {
	Default     string   `toml:"default" json:"default"`
	Allow       []string `toml:"allow" json:"allow"`
	Deny        []string `toml:"deny" json:"deny"`
	Passthrough []string `toml:"passthrough" json:"passthrough"`
	Private     []string `toml:"private" json:"private"`
	// Organisation is a file with rules that nothing here widens, relative to the
	// configuration file, or an https URL. There OrganisationKey must have signed them:
	// an Ed25519 public key, in base64.
	Organisation    string `toml:"organisation" json:"organisation,omitempty"`
	OrganisationKey string `toml:"organisation_key" json:"organisationKey,omitempty"`
	// Mode "report" lets pass what the rules refuse and records it; "" and "enforce"
	// refuse it; "ask" does so when nobody lets it pass within AskTimeout.
	Mode       string `toml:"mode" json:"mode,omitempty"`
	AskTimeout string `toml:"ask_timeout" json:"askTimeout,omitempty"`
	// Notify false keeps "ask" from telling of questions on the desktop.
	Notify *bool `toml:"notify" json:"notify,omitempty"`
	// Empty are the groups that stand for no host on this machine.
	Empty []string `toml:"-" json:"-"`
}

// The values of Policy.Mode.
const (
	ModeEnforce = "enforce"
	ModeReport  = "report"
	ModeAsk     = "ask"
)

// defaultAskTimeout is how long a question waits when the configuration does not say.
const defaultAskTimeout = 30 * time.Second

// Asks is how long what is refused waits for somebody to let it pass; 0 where nobody
// is asked.
func (p Policy) Asks() time.Duration {
	if p.Mode != ModeAsk {
		return 0
	}
	if p.AskTimeout == "" {
		return defaultAskTimeout
	}
	d, _ := time.ParseDuration(p.AskTimeout) // checked when it was read
	return d
}

// Notifies reports whether the desktop tells of a question.
func (p Policy) Notifies() bool { return p.Notify == nil || *p.Notify }

func (p Policy) checkMode() error {
	modes := []string{ModeEnforce, ModeReport, ModeAsk}
	if p.Mode != "" && !slices.Contains(modes, p.Mode) {
		return fmt.Errorf("policy.mode: %q is none of %s", p.Mode, strings.Join(modes, ", "))
	}
	if d, err := time.ParseDuration(p.AskTimeout); p.AskTimeout != "" && (err != nil || d <= 0) {
		return fmt.Errorf(`policy.ask_timeout: %q is not a duration such as "30s"`, p.AskTimeout)
	}
	return nil
}

// Reports is true when refusals are recorded only.
func (p Policy) Reports() bool { return p.Mode == ModeReport }

// ForRun adds what one run allows, denies and reports. Groups are resolved.
func (c *Config) ForRun(layer Layer, report bool, getenv func(string) string, workingDir string) error {
	checked, err := layer.withoutGroups()
	if err == nil {
		_, err = policy.New(policy.Rules{Layers: []policy.Layer{checked.layer("run", true)}})
	}
	if err != nil {
		return err
	}
	if c.Source != nil {
		asWritten := layer
		c.Source.Run, c.Source.Report = &asWritten, report
	}
	m := machine{getenv: getenv, dir: workingDir, root: "/"}
	layer.Allow, _ = m.expand(layer.Allow)
	layer.Deny, _ = m.expand(layer.Deny)
	c.Run = &layer
	if report {
		c.Policy.Mode = ModeReport
	}
	if c.Front.IdleExit == "" {
		c.Front.IdleExit = runIdleExit // no other run is likely to want the same
	}
	_, err = policy.New(c.rules())
	return err
}

// runIdleExit is the idle time of a tunnel with rules for one run.
const runIdleExit = "1m"

// Front is the loopback listener and the life of the daemon behind it.
type Front struct {
	// Port to listen on; 0 means a free one.
	Port int `toml:"port"`
	// Compat carries absolute-form https:// requests (axios before 1.16.1).
	Compat *bool `toml:"compat"`
	// IdleExit is after how long without run, shell and connection the daemon leaves,
	// a Go duration; "0" means never.
	IdleExit string `toml:"idle_exit"`
}

// DefaultIdleExit is the daemon's idle time when the configuration names none.
const DefaultIdleExit = 30 * time.Minute

// Load reads the configuration: path if given, else $AGENTPROXY_CONFIG, else
// $XDG_CONFIG_HOME/agentproxy/config.toml if it exists. Roots that were adopted are in
// force beside it, and so is the file of the project that the working directory is in;
// "" is in none. Groups are resolved.
func Load(path string, getenv func(string) string, workingDir string) (*Config, error) {
	source := &Source{Dir: workingDir, Variables: map[string]string{}}
	getenv = source.recording(getenv)
	c, err := load(path, getenv)
	if err != nil {
		return nil, err
	}
	source.Path = c.Path
	c.Source = source
	if err := c.complete(getenv, workingDir, ""); err != nil {
		return nil, err
	}
	for _, o := range c.Organisation {
		source.Organisation = append(source.Organisation, o.Path)
	}
	c.Egress.ExtraRoots = append(c.Egress.ExtraRoots, adopted(getenv)...)
	return c, nil
}

// complete adds the organisation's and the project's rules and resolves groups. state
// is the state directory, "" for whichever there are.
func (c *Config) complete(getenv func(string) string, workingDir, state string) (err error) {
	if err := c.addOrganisation(); err != nil {
		return err
	}
	if c.Project, err = findProject(getenv, workingDir); err != nil {
		return err
	}
	m := machine{getenv: getenv, dir: workingDir, root: "/"}
	c.expandGroups(m)
	if isURL(c.Policy.Organisation) {
		dirs := []string{state}
		if state == "" {
			if dirs, _, err = rundir.Usable(getenv); err != nil {
				return err
			}
		}
		c.addPublished(m, dirs)
	}
	_, err = policy.New(c.rules())
	return err
}

// RootsDir is the directory of roots that were adopted: certificates as *.pem, each in
// force as if egress.extra_roots named it.
func RootsDir(getenv func(string) string) (string, error) {
	dir, err := Dir(getenv)
	return filepath.Join(dir, "roots"), err
}

func adopted(getenv func(string) string) []string {
	dir, err := RootsDir(getenv)
	if err != nil {
		return nil // there is no home for one
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.pem")) // the pattern is right
	return files
}

func load(path string, getenv func(string) string) (*Config, error) {
	path, explicit, err := find(path, getenv)
	if err != nil {
		return nil, err
	}
	if path == "" {
		return &Config{}, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !explicit {
		return &Config{}, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := Parse(path, raw)
	if err == nil {
		c.Named = explicit
	}
	return c, err
}

// Path is the file that Load would read, whether it exists or not; "" where there
// is no home to look into.
func Path(path string, getenv func(string) string) (string, error) {
	path, _, err := find(path, getenv)
	return path, err
}

// find returns the absolute path, and whether it was named.
func find(path string, getenv func(string) string) (file string, named bool, err error) {
	if path == "" {
		path = getenv("AGENTPROXY_CONFIG")
	}
	if named = path != ""; !named {
		dir, err := Dir(getenv)
		if err != nil {
			return "", false, nil
		}
		path = filepath.Join(dir, "config.toml")
	}
	if path, err = homedir.Expand(path); err != nil {
		return "", named, err
	}
	file, err = filepath.Abs(path)
	return file, named, err
}

// Dir is the user's directory for our configuration, which need not exist.
func Dir(getenv func(string) string) (string, error) {
	base := getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(base) {
		home, err := rundir.Home(getenv)
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, "agentproxy"), nil
}

// Parse reads a configuration; path is for messages and relative file names. What is
// wrong with it is a *Problem.
func Parse(path string, raw []byte) (*Config, error) {
	raw, err := readable(path, raw)
	if err != nil {
		return nil, err
	}
	c := &Config{Path: path}
	if err := decode(path, raw, c); err != nil {
		return nil, err
	}
	if err := c.resolve(); err != nil {
		return nil, blamed(path, raw, err)
	}
	if err := c.Policy.checkPinned(); err != nil {
		return nil, &Problem{File: path, Message: err.Error()}
	}
	return c, nil
}

// decode reads TOML strictly. What is wrong with it is a *Problem.
func decode(path string, raw []byte, to any) error {
	if err := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields().Decode(to); err != nil {
		return asProblem(path, raw, err)
	}
	return nil
}

// resolve checks every value and makes file names absolute.
func (c *Config) resolve() error {
	if c.Egress.Upstream != "" {
		if _, err := ParseUpstream(c.Egress.Upstream); err != nil {
			return fmt.Errorf("egress.upstream: %w", err)
		}
	}
	for i, root := range c.Egress.ExtraRoots {
		root, err := homedir.Expand(root)
		if err != nil {
			return fmt.Errorf("egress.extra_roots: %w", err)
		}
		if !filepath.IsAbs(root) {
			root = filepath.Join(filepath.Dir(c.Path), root)
		}
		if _, err := os.Stat(root); err != nil {
			return fmt.Errorf("egress.extra_roots: %w", err)
		}
		c.Egress.ExtraRoots[i] = root
	}
	mapped := make(map[string]string, len(c.Egress.ConnectTo))
	for from, to := range c.Egress.ConnectTo {
		t, err := policy.ParseTarget(from)
		if err != nil {
			return fmt.Errorf("egress.connect_to: %w", err)
		}
		if _, err := policy.ParseTarget(to); err != nil {
			return fmt.Errorf("egress.connect_to: %q: %w", from, err)
		}
		mapped[t.String()] = to
	}
	c.Egress.ConnectTo = mapped
	if c.Exec.Capture != "" && !slices.Contains(Captures, c.Exec.Capture) {
		return fmt.Errorf("exec.capture: %q is none of %s", c.Exec.Capture, strings.Join(Captures, ", "))
	}
	if c.Front.Port < 0 || c.Front.Port > 65535 {
		return fmt.Errorf("front.port: %d is not a port", c.Front.Port)
	}
	if _, err := c.Front.Idle(); err != nil {
		return err
	}
	if _, err := c.Isolate.Ports(); err != nil {
		return err
	}
	if err := c.Policy.checkOrganisation(); err != nil {
		return err
	}
	checked, err := Layer{Default: c.Policy.Default, Allow: c.Policy.Allow, Deny: c.Policy.Deny}.withoutGroups()
	if err != nil {
		return err
	}
	if err := c.Policy.checkMode(); err != nil {
		return err
	}
	own := c.Policy
	own.Allow, own.Deny = checked.Allow, checked.Deny
	_, err = policy.New((&Config{Policy: own}).rules())
	return err
}

// rules are those of all layers.
func (c *Config) rules() policy.Rules {
	p := c.Policy
	r := policy.Rules{Default: p.Default, Allow: p.Allow, Deny: p.Deny, Passthrough: p.Passthrough, Private: p.Private, Report: p.Reports()}
	for _, o := range c.organisations() {
		layer := o.layer("organisation", false)
		layer.Fixed = true
		r.Layers = append(r.Layers, layer)
	}
	if c.Project != nil {
		r.Layers = append(r.Layers, c.Project.Policy.layer("project", c.Project.Trusted))
	}
	if c.Run != nil {
		r.Layers = append(r.Layers, c.Run.layer("run", true))
	}
	return r
}

func (c *Config) organisations() (list []Layer) {
	for _, o := range c.Organisation {
		list = append(list, o.Policy)
	}
	if c.Published != nil {
		list = append(list, c.Published.Policy)
	}
	return list
}

// Rules returns the policy in the form that policy.New takes, with what the
// machine's own addresses say about its network.
func (c *Config) Rules() policy.Rules {
	r := c.rules()
	r.Local = interfacePrefixes()
	r.Lab = policy.LabNetwork(r.Local)
	return r
}

func interfacePrefixes() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var prefixes []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			prefixes = append(prefixes, p)
		}
	}
	return prefixes
}

// Idle is the daemon's idle time; 0 means that it stays.
func (f Front) Idle() (time.Duration, error) {
	if f.IdleExit == "" {
		return DefaultIdleExit, nil
	}
	d, err := time.ParseDuration(f.IdleExit)
	if err != nil || d < 0 {
		return 0, fmt.Errorf(`front.idle_exit: %q is not a duration such as "30m" or "0"`, f.IdleExit)
	}
	return d, nil
}

// CompatEnabled reports whether absolute-form https:// requests are carried.
func (f Front) CompatEnabled() bool { return f.Compat == nil || *f.Compat }

// ParseUpstream parses the URL of an upstream egress. The error never repeats
// the URL, which may hold a password.
func ParseUpstream(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		return nil, errors.New("the scheme is missing; write http:// or https:// before the address")
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf(`the scheme must be http or https, not %q`, u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("the URL names no host")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("the URL must end after host and port")
	}
	if u.Port() == "" {
		// curl and Go assume 80 and 443 here too when a scheme is given.
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	u.Path = ""
	return u, nil
}

// Redact returns the URL without its credentials.
func Redact(u *url.URL) string {
	clean := *u
	clean.User = nil
	return clean.String()
}
