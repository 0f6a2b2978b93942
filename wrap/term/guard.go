package term

import "golang.org/x/sys/unix"

// Guard puts a terminal in order whose keeper was killed while it was raw.
type Guard struct {
	fd    int
	found settings
}

// NewGuard takes a descriptor of the terminal; the settings to restore are
// those of standard input, a pseudo terminal that has just been made like it.
func NewGuard(fd int) (*Guard, error) {
	found, err := settingsOf(0)
	return &Guard{fd, found}, err
}

// Restore gives the terminal its settings back, unless a shell has done so.
func (g *Guard) Restore() {
	if now, err := settingsOf(g.fd); err == nil && !now.processed() {
		g.found.apply(g.fd)
	}
}

// Close lets go of the terminal.
func (g *Guard) Close() { unix.Close(g.fd) }
