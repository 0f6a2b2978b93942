package rundir

import (
	"path"
	"slices"
)

// lockFile is what Lock locks.
const lockFile = "lock"

// registered are the names of what lies in a state directory.
var registered = []string{
	"agent-proxy-ca.*", recordName("*"), "daemon-*.log*", "capture-*.sock", shellFileName("*"), shellsName("*"), lockFile, portsFile,
}

// Register notes what a package puts into a state directory, by its name or a
// pattern (path.Match). It is called where the package's variables are made, so
// that all of it is removed in the end, and nothing else: a state directory may be
// one that the user has chosen, with files of theirs.
func Register(patterns ...string) struct{} {
	registered = append(registered, patterns...)
	return struct{}{}
}

// IsRegistered reports whether an entry of a state directory is ours.
func IsRegistered(name string) bool {
	return slices.ContainsFunc(registered, func(pattern string) bool { ok, err := path.Match(pattern, name); return ok && err == nil })
}
