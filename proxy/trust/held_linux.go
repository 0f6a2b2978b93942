package trust

import (
	"os"
	"path/filepath"
	"slices"
)

// heldOpen reports whether a process that we may look at has one of the files open.
func heldOpen(files []*change) bool {
	open, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	return slices.ContainsFunc(open, func(fd string) bool {
		target, err := os.Readlink(fd)
		return err == nil && slices.ContainsFunc(files, func(c *change) bool { return c.Path == target })
	})
}
