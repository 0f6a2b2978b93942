package term

import (
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// screen is the pseudo terminal that stands before a real one. It processes
// nothing: the real terminal does, by the settings that the command makes on
// its standard input or on /dev/tty, which are the real one. What the command
// sets on its output (ncurses does) is carried over; ioctl_tty(2), TIOCPKT.
type screen struct {
	master   int
	terminal int
	last     unix.Termios
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

func newTerminal(out int) (*path, error) {
	settings, err := unix.IoctlGetTermios(out, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	master, far, err := pty.Open()
	if err != nil {
		return nil, err
	}
	p := newPath(master, far, out)
	p.screen = &screen{master: p.fd, terminal: out, last: transparent(*settings)}
	p.screen.resize()
	err = unix.IoctlSetTermios(p.fd, unix.TCSETS, &p.screen.last)
	if err == nil {
		err = unix.IoctlSetPointerInt(p.fd, unix.TIOCPKT, 1)
	}
	if err != nil {
		master.Close()
		far.Close()
		return nil, err
	}
	return p, nil
}

// transparent are the settings with which a pseudo terminal passes output
// through, and tells its master of every change to them.
func transparent(t unix.Termios) unix.Termios {
	t.Oflag &^= unix.OPOST
	t.Lflag |= unix.EXTPROC
	return t
}

// data is what a read from a master in packet mode has brought beside the
// control byte; a change of settings is carried over at once.
func (s *screen) data(packet []byte) []byte {
	if packet[0]&unix.TIOCPKT_IOCTL != 0 {
		s.carrySettings()
	}
	if packet[0] != unix.TIOCPKT_DATA {
		return nil
	}
	return packet[1:]
}

// carrySettings changes on the real terminal what was changed on this one, and
// nothing else.
func (s *screen) carrySettings() {
	now, err := unix.IoctlGetTermios(s.master, unix.TCGETS)
	if err != nil || *now == s.last {
		return
	}
	if real, err := unix.IoctlGetTermios(s.terminal, unix.TCGETS); err == nil {
		carry(&real.Iflag, s.last.Iflag, now.Iflag)
		carry(&real.Oflag, s.last.Oflag, now.Oflag)
		carry(&real.Cflag, s.last.Cflag, now.Cflag)
		carry(&real.Lflag, s.last.Lflag, now.Lflag)
		for i, c := range now.Cc {
			if c != s.last.Cc[i] {
				real.Cc[i] = c
			}
		}
		unix.IoctlSetTermios(s.terminal, unix.TCSETS, real)
	}
	s.last = transparent(*now)
	if s.last != *now {
		unix.IoctlSetTermios(s.master, unix.TCSETS, &s.last)
	}
}

func carry(to *uint32, before, after uint32) {
	changed := before ^ after
	*to = *to&^changed | after&changed
}

func (s *screen) resize() {
	real, err := unix.IoctlGetWinsize(s.terminal, unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	if own, err := unix.IoctlGetWinsize(s.master, unix.TIOCGWINSZ); err != nil || *own == *real {
		return
	}
	unix.IoctlSetWinsize(s.master, unix.TIOCSWINSZ, real)
	if foreground, err := unix.IoctlGetInt(s.terminal, unix.TIOCGPGRP); err == nil && foreground > 1 {
		unix.Kill(-foreground, unix.SIGWINCH)
	}
}

// resume takes a pseudo terminal over from the process that made it.
func resume(master, terminal int) *screen {
	s := &screen{master: master, terminal: terminal}
	if t, err := unix.IoctlGetTermios(master, unix.TCGETS); err == nil {
		s.last = *t
	}
	return s
}
