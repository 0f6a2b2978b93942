package term

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// Mode says what becomes of a terminal that the command would have.
type Mode int

const (
	// Inherit leaves it to the command, unread.
	Inherit Mode = iota
	// Relay puts a pseudo terminal in its place.
	Relay
)

// Job is the command in the session of its terminal. Its methods are not to
// wait for anything.
type Job interface {
	// Foreground makes the command's process group the foreground one of its
	// terminal, or takes that away from it.
	Foreground(bool)
	// Group is the number of the command's process group.
	Group() int
	// KeySignal tells of a key that has signalled the command's group. Without us,
	// our own would have got the signal.
	KeySignal(syscall.Signal)
}

// Terminal is a pseudo terminal in the place of ours. The command has it as its
// controlling terminal, in a session of its own; keys go one way, output the
// other (as a path of the Streams), and the line discipline that echoes,
// signals and edits is the pseudo terminal's.
//
// While we are in the foreground ours is raw. When we are not, because the
// command has ended or stopped or was put into the background, ours is as the
// command had set the pseudo terminal, so that the shell finds what it would
// have found without us. Of the two, only one ever processes output: the
// pseudo terminal while ours is raw, else ours.
type Terminal struct {
	near   *os.File // the master; also of the output's path
	master int      // near's descriptor, to wait for
	far    *os.File // the slave, which the command gets
	slave  int      // the same, for us; never blocking, also when others read there
	wake   [2]*os.File
	awaken int // the end of wake that is read; never blocking
	loop   sync.WaitGroup

	mu    sync.Mutex
	job   Job // nil before the command has started
	phase phase
	since time.Time // when the phase began
	// found are our settings as they were before we made them raw.
	found settings
	// size is the window's, as the pseudo terminal got it last.
	size unix.Winsize
	// unsent are keys for which the pseudo terminal has no room.
	unsent []byte
	// quoted: the next key is to be taken literally.
	quoted bool
}

// ours is our terminal, which is standard input, output and error alike.
const ours = 0

// phase is who has our terminal.
type phase int

const (
	foreground phase = iota // we, for the command
	background              // somebody else, while the command runs
	suspended               // somebody else, while the command is stopped
	ended                   // somebody else for ever
)

var errNotOurs = errors.New("not our terminal alone")

// openTerminal takes the place of our terminal, which must be all of the
// command's standard streams, our controlling terminal, and in our hands.
func openTerminal() (*Terminal, error) {
	if !sameDevice(ours, 1) || !sameDevice(ours, 2) || !isForeground() {
		return nil, errNotOurs
	}
	// Somebody in our group who has made it raw, such as another one of us, is
	// in the middle of using it.
	now, err := settingsOf(ours)
	if err != nil || !now.processed() {
		return nil, errNotOurs
	}
	t := &Terminal{slave: -1}
	if t.near, t.far, err = pty.Open(); err != nil {
		return nil, err
	}
	if t.slave, err = unix.Open(t.far.Name(), unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		t.close()
		return nil, err
	}
	if t.wake[0], t.wake[1], err = os.Pipe(); err != nil {
		t.close()
		return nil, err
	}
	t.awaken = int(t.wake[0].Fd())
	unix.SetNonblock(t.awaken, true)
	if err = t.enter(); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// isForeground reports whether our terminal is our controlling terminal and listens
// to our process group.
func isForeground() bool {
	group, err := unix.IoctlGetInt(ours, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// Environ is the environment for a command that has this terminal. GnuPG finds
// the terminal to ask for passphrases by a variable (gpg-agent(1)).
func (t *Terminal) Environ(environ []string) []string {
	const name = "GPG_TTY="
	environ = slices.Clone(environ)
	for i, e := range environ {
		var named, own unix.Stat_t
		path, ok := strings.CutPrefix(e, name)
		if ok && unix.Stat(path, &named) == nil && unix.Fstat(ours, &own) == nil && named.Rdev == own.Rdev {
			environ[i] = name + t.far.Name()
		}
	}
	return environ
}

// Start begins to relay the keys.
func (t *Terminal) Start(j Job) {
	t.mu.Lock()
	t.job = j
	t.mu.Unlock()
	t.loop.Go(t.relayKeys)
}

// Resize passes the size of our window on; the kernel tells the command.
func (t *Terminal) Resize() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.phase == foreground {
		t.resize()
	}
}

func (t *Terminal) resize() {
	size, err := unix.IoctlGetWinsize(ours, unix.TIOCGWINSZ)
	if err == nil {
		t.size = *size
		unix.IoctlSetWinsize(t.slave, unix.TIOCSWINSZ, size)
	}
}

// end gives our terminal back for good. What others still write to theirs can
// be read on.
func (t *Terminal) end() {
	t.mu.Lock()
	t.leave(ended)
	t.mu.Unlock()
	t.loop.Wait()
	t.far.Close()
	unix.Close(t.slave)
	t.wake[0].Close()
	t.wake[1].Close()
}

func (t *Terminal) close() {
	for _, f := range []*os.File{t.near, t.far, t.wake[0], t.wake[1]} {
		if f != nil {
			f.Close()
		}
	}
	if t.slave >= 0 {
		unix.Close(t.slave)
	}
}

// sameDevice reports whether both descriptors are one terminal.
func sameDevice(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil &&
		x.Mode&unix.S_IFMT == unix.S_IFCHR && y.Mode&unix.S_IFMT == unix.S_IFCHR && x.Rdev == y.Rdev
}
