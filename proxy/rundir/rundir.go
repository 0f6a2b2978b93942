// Package rundir is the state directory: where it is, the endpoint records of
// running tunnels and the lock that starters take.
package rundir

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/status"
	homedir "github.com/mitchellh/go-homedir"
)

// Dir is a state directory, mode 0700, owned by us.
type Dir struct {
	Path string
	// Instead is the directory that could not be used, and Why; both empty when
	// Path is the one that was asked for.
	Instead, Why string
}

// Candidates lists the directories that may hold the state, the wanted one
// first. Only a directory that nobody named explicitly has substitutes.
func Candidates(getenv func(string) string) ([]string, error) {
	if explicit := getenv("AGENT_PROXY_STATE_DIR"); explicit != "" && !foreign(explicit) {
		abs, err := filepath.Abs(explicit)
		return []string{abs}, err
	}
	var dirs []string
	if base := getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		dirs = append(dirs, filepath.Join(base, "agentproxy"))
	} else if home, err := Home(getenv); err == nil {
		dirs = append(dirs, filepath.Join(home, ".local", "state", "agentproxy"))
	}
	if base := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(base) {
		dirs = append(dirs, filepath.Join(base, "agentproxy"))
	}
	own := fmt.Sprintf("agentproxy-%d", os.Getuid())
	for _, base := range []string{"/dev/shm", os.TempDir()} {
		if info, err := os.Stat(base); err == nil && info.IsDir() {
			dirs = append(dirs, filepath.Join(base, own))
		}
	}
	return dirs, nil
}

// CertFile and KeyFile are the authority's files in a state directory.
const (
	CertFile = "agent-proxy-ca.crt"
	KeyFile  = "agent-proxy-ca.key"
)

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
	return homedir.Dir()
}

// Open makes the first usable candidate ready for writing. A directory on a
// read-only or full file system is passed over, and the result says so; one
// that belongs to somebody else is an error.
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
		if unsafe := new(UnsafeError); errors.As(err, &unsafe) {
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, fmt.Errorf("no usable state directory: %w", first)
}

// UnsafeError says that a private path of ours is open to others, and what to
// type about it. Nothing is read from it then.
type UnsafeError struct {
	Path, Problem, Fix string
}

func (e *UnsafeError) Error() string {
	return fmt.Sprintf("%s %s; fix it with: %s", e.Path, e.Problem, e.Fix)
}

func reason(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

func prepare(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	if err := CheckPrivate(path, 0o700); err != nil {
		return err
	}
	return checkWritable(path)
}

// WriteFile writes beside path and renames, so that a reader sees the old
// content or the new one and a full disk loses nothing.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	return Replace(path, data, func(f *os.File) error { return f.Chmod(mode) })
}

// Replace is WriteFile for a file that needs more than a mode: finish is called
// when everything is written and the file is not in its place yet.
func Replace(path string, data []byte, finish func(*os.File) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err == nil {
		err = finish(tmp)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Record describes a running tunnel to the runs that look for it. It is
// readable by its user only: Secret proves to a run that the process behind
// Port is the one that wrote the record.
type Record struct {
	Key      string      `json:"key"`
	PID      int         `json:"pid"`
	Port     int         `json:"port"`
	Secret   string      `json:"secret"`
	Version  string      `json:"version"`
	Upstream string      `json:"upstream,omitempty"`
	CAs      []string    `json:"cas,omitempty"` // CA files of the upstream
	Started  status.Time `json:"started"`

	path string
}

func recordPath(dir, key string) string { return filepath.Join(dir, "endpoint-"+key+".json") }

// Write stores the record.
func (r *Record) Write(dir string) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	r.path = recordPath(dir, r.Key)
	return WriteFile(r.path, raw, 0o600)
}

// Remove deletes the record, unless another process has replaced it.
func (r *Record) Remove() {
	if now, err := readRecord(r.path); err == nil && now.PID == r.PID && now.Secret == r.Secret {
		os.Remove(r.path)
	}
}

// Read returns the record for key; fs.ErrNotExist when there is none.
func Read(dir, key string) (*Record, error) { return readRecord(recordPath(dir, key)) }

// ReadAll returns every record in dir, the readable ones.
func ReadAll(dir string) []*Record {
	paths, err := filepath.Glob(recordPath(dir, "*"))
	if err != nil {
		return nil
	}
	var all []*Record
	for _, path := range paths {
		if r, err := readRecord(path); err == nil {
			all = append(all, r)
		}
	}
	return all
}

func readRecord(path string) (*Record, error) {
	raw, err := os.ReadFile(path)
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

// LogPath is the daemon's log for the tunnel with this key.
func LogPath(dir, key string) string { return filepath.Join(dir, "daemon-"+key+".log") }

// LogTail returns the last lines of a daemon's log, for an error that must
// explain why it did not start.
func LogTail(path string, lines int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

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
