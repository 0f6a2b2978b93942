package trust

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// Wgetrc writes a system wgetrc that names bundle, and returns its path. wget
// has no variable for its roots; SYSTEM_WGETRC is read before the user's own
// ~/.wgetrc, which still wins. What the present system file says is kept.
func Wgetrc(bundle, present string) (string, error) {
	name := strings.TrimSuffix(filepath.Base(bundle), ".crt")
	path := filepath.Join(filepath.Dir(bundle), "wgetrc"+strings.TrimPrefix(name, "ca-bundle"))
	if present == "" || present == path {
		present = "/etc/wgetrc"
	}
	system, err := os.ReadFile(present)
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	want := append(bytes.TrimRight(system, "\n"), "\nca_certificate = "+bundle+"\n"...)
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, want) {
		return path, nil
	}
	return path, rundir.WriteFile(path, want, 0o644)
}
