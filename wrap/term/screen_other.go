//go:build !linux

package term

import "golang.org/x/term"

// screen: only Linux's pseudo terminals report changes of settings for output
// alone, so elsewhere a command on a terminal has the terminal itself.
type screen struct{}

func isTerminal(fd int) bool { return term.IsTerminal(fd) }

func newTerminal(int) (*path, error) { return nil, nil }

func (s *screen) data(packet []byte) []byte { return packet }

func (s *screen) resize() {}

// bulk: splice(2) and tee(2) are Linux's.
type bulk struct{}

func newBulk(*path) *bulk { return nil }

func (b *bulk) move(*path) (int, error) { return 0, nil }

func (b *bulk) close() {}

func resume(int, int) *screen { return nil }
