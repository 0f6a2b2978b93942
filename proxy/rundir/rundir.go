// Package rundir is the state directory: where it is, the endpoint records of
// running tunnels and the lock that starters take.
package rundir

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/status"
	homedir "github.com/mitchellh/go-homedir"
	"golang.org/x/sys/unix"
)

// Dir is a state directory, mode 0700, owned by us.
type Dir struct {
	Path string
	// Instead is the directory that could not be used, and Why; both empty when
	// Path is the one that was asked for.
	Instead, Why string
}

// Candidates lists the directories that may hold the state, the wanted one
// first. Only a directory that nobody named explicitly has substitutes. Nothing
// is known about them yet, not even whose they are: see CheckDir.
func Candidates(getenv func(string) string) ([]string, error) {
	if explicit := getenv("AGENT_PROXY_STATE_DIR"); explicit != "" && !foreign(explicit) {
		abs, err := filepath.Abs(explicit)
		return []string{abs}, err
	}
	var dirs []string
	add := func(dir ...string) {
		if path := filepath.Join(dir...); filepath.IsAbs(dir[0]) && !slices.Contains(dirs, path) {
			dirs = append(dirs, path)
		}
	}
	if base := getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		add(base, "agentproxy")
	} else if home, err := Home(getenv); err == nil {
		add(home, ".local", "state", "agentproxy")
	}
	if base := getenv("XDG_RUNTIME_DIR"); base != "" {
		add(base, "agentproxy")
	}
	if home, err := recordedHome(); err == nil && anothers(getenv("HOME")) { // as under sudo -E
		add(home, ".local", "state", "agentproxy")
	}
	own := fmt.Sprintf("agentproxy-%d", os.Geteuid())
	for _, base := range []string{"/dev/shm", os.TempDir()} {
		if info, err := os.Stat(base); err == nil && info.IsDir() {
			add(base, own)
		}
	}
	return dirs, nil
}

// Usable returns the candidates that are there and ours, and why the others that
// are there are not looked into.
func Usable(getenv func(string) string) (dirs []string, unsafe []*UnsafeError, err error) {
	all, err := Candidates(getenv)
	if err != nil {
		return nil, nil, err
	}
	for _, dir := range all {
		problem := new(UnsafeError)
		switch err := CheckDir(dir); {
		case err == nil:
			dirs = append(dirs, dir)
		case errors.As(err, &problem):
			unsafe = append(unsafe, problem)
		}
	}
	return dirs, unsafe, nil
}

// CertFile and KeyFile are the authority's files in a state directory.
const (
	CertFile = "agent-proxy-ca.crt"
	KeyFile  = "agent-proxy-ca.key"
)

// HasKey reports whether an authority's key is in the directory.
func HasKey(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, KeyFile))
	return err == nil
}

// foreign recognises the state directory of another agent proxy, whose sessions
// name theirs by the same variable: it holds a certificate whose key is not
// there for us.
func foreign(dir string) bool {
	_, certErr := os.Lstat(filepath.Join(dir, CertFile))
	_, keyErr := os.Lstat(filepath.Join(dir, KeyFile))
	return certErr == nil && errors.Is(keyErr, fs.ErrNotExist)
}

// Home is the user's home: $HOME, else what the system's user database says.
func Home(getenv func(string) string) (string, error) {
	if home := getenv("HOME"); home != "" {
		return home, nil
	}
	return recordedHome()
}

// recordedHome is what the user database says, whatever the environment does.
func recordedHome() (string, error) {
	if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil && u.HomeDir != "" {
		return u.HomeDir, nil
	}
	return homedir.Dir() // it asks databases that are no file, too
}

// anothers reports whether a directory belongs to somebody else.
func anothers(dir string) bool {
	var st unix.Stat_t
	return dir != "" && unix.Stat(dir, &st) == nil && int(st.Uid) != os.Geteuid()
}

// Open makes the first usable candidate ready for writing. One that is not ours,
// or is on a read-only or full file system, is passed over, and the result says
// so.
func Open(getenv func(string) string) (*Dir, error) {
	dirs, err := Candidates(getenv)
	if err != nil {
		return nil, err
	}
	var first error
	for _, path := range dirs {
		err := prepare(path)
		if err == nil {
			d := &Dir{Path: path}
			if path != dirs[0] {
				d.Instead, d.Why = dirs[0], reason(first)
			}
			return d, nil
		}
		if first == nil {
			first = err
		}
	}
	if unsafe := new(UnsafeError); errors.As(first, &unsafe) && len(dirs) == 1 {
		return nil, first
	}
	return nil, fmt.Errorf("no usable state directory: %w", first)
}

func reason(err error) string {
	if unsafe := new(UnsafeError); errors.As(err, &unsafe) {
		text := unsafe.Problem + "; fix it with: " + unsafe.Fix
		if unsafe.Fix == ownDirectory {
			text = unsafe.Problem
		}
		return text
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

func prepare(path string) error {
	err := CheckDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		err = CheckDir(path)
	}
	if err != nil {
		return err
	}
	return checkWritable(path)
}

// MakeDir makes a directory below a state directory.
func MakeDir(dir string) error {
	if err := makeDirs(dir, 0o700); err != nil {
		return err
	}
	f, err := openDir(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return judge(f, dir, unix.S_IFDIR, 0o022)
}

// Ensure makes sure that a file of ours holds the content, and reads it each
// time: what a command is pointed at may have been damaged since. The directory
// is made where it is not there.
func Ensure(path string, content []byte, mode fs.FileMode) error {
	if is, err := ReadFile(path); err == nil && bytes.Equal(is, content) {
		return nil
	} else if unsafe := new(UnsafeError); errors.As(err, &unsafe) {
		return err
	}
	dirMode := fs.FileMode(0o700)
	if mode&0o004 != 0 { // whoever may read the file must get to it
		dirMode = 0o755
	}
	if err := makeDirs(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	return atomicfile.Write(path, content, mode)
}

// Record describes a running tunnel to the runs that look for it. It is
// readable by its user only: Secret proves to a run that the process behind
// Port is the one that wrote the record.
type Record struct {
	Key string `json:"key"`
	// Settings identifies the configuration as the user wrote it, ConfigPath the
	// file, "" for none.
	Settings   string `json:"settings,omitempty"`
	ConfigPath string `json:"config,omitempty"`
	PID        int    `json:"pid"`
	Port       int    `json:"port"`
	Secret     string `json:"secret"`
	Version    string `json:"version"`
	Upstream   string `json:"upstream,omitempty"`
	// Inherited is true when the environment named the upstream.
	Inherited bool        `json:"inherited,omitempty"`
	CAs       []string    `json:"cas,omitempty"` // CA files of the upstream
	Started   status.Time `json:"started"`

	path string
}

func recordName(key string) string { return "endpoint-" + key + ".json" }

func recordPath(dir, key string) string { return filepath.Join(dir, recordName(key)) }

// Write stores the record.
func (r *Record) Write(dir string) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	r.path = recordPath(dir, r.Key)
	return atomicfile.Write(r.path, raw, 0o600)
}

// Remove deletes the record, unless another process has replaced it.
func (r *Record) Remove() {
	if now, err := readRecord(r.path); err == nil && r.is(now) {
		os.Remove(r.path)
	}
}

// Gone reports whether the record is no longer where it was written, or another
// process has replaced it.
func (r *Record) Gone() bool {
	now, err := readRecord(r.path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return !r.is(now)
}

func (r *Record) is(other *Record) bool { return other.PID == r.PID && other.Secret == r.Secret }

// Read returns the record for key; fs.ErrNotExist when there is none.
func Read(dir, key string) (*Record, error) { return readRecord(recordPath(dir, key)) }

// ReadAll returns every record in dir, the readable ones.
func ReadAll(dir string) []*Record {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var all []*Record
	for _, e := range entries {
		if ok, _ := filepath.Match(recordName("*"), e.Name()); !ok {
			continue
		}
		if r, err := readRecord(filepath.Join(dir, e.Name())); err == nil {
			all = append(all, r)
		}
	}
	return all
}

func readRecord(path string) (*Record, error) {
	raw, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Record{path: path}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Port == 0 || r.Secret == "" {
		return nil, fmt.Errorf("%s: not an endpoint record", path)
	}
	return r, nil
}

// portsFile lists the ports that tunnels of this directory have had, so that an
// environment that still names one is not taken for somebody else's proxy;
// keptPorts is how many.
const (
	portsFile = "ports.json"
	keptPorts = 200
)

// HadPort notes a port as a tunnel's. The caller holds the directory's lock.
func HadPort(dir string, port int) error {
	list := append(slices.DeleteFunc(ports(dir), func(p int) bool { return p == port }), port)
	raw, err := json.Marshal(list[max(0, len(list)-keptPorts):])
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, portsFile), raw, 0o600)
}

// WasOurs reports whether a tunnel of the directory has had the port.
func WasOurs(dir, port string) bool {
	return slices.ContainsFunc(ports(dir), func(p int) bool { return strconv.Itoa(p) == port })
}

func ports(dir string) (list []int) {
	raw, err := ReadFile(filepath.Join(dir, portsFile))
	if err != nil || json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// CapturePath is the socket at which the tunnel with this key takes the networks of
// captured runs over.
func CapturePath(dir, key string) string { return filepath.Join(dir, "capture-"+key+".sock") }

// Proof shows that its maker has read the record. role keeps the two sides of
// an exchange apart, so that neither can send the other's proof back.
func (r *Record) Proof(role, nonce string) string {
	mac := hmac.New(sha256.New, []byte(r.Secret))
	mac.Write([]byte(role + "\x00" + nonce))
	return hex.EncodeToString(mac.Sum(nil))
}

// Verify checks a proof in constant time.
func (r *Record) Verify(role, nonce, proof string) bool {
	return nonce != "" && hmac.Equal([]byte(r.Proof(role, nonce)), []byte(proof))
}

// Roles of Proof.
const (
	RoleClient = "client"
	RoleServer = "server"
)
