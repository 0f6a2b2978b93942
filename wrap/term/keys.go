package term

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// keysAtOnce is how many keys are taken from our terminal at a time.
	keysAtOnce = 512
	// lookAgain is how often a command in the background looks whether it still
	// is there, in milliseconds.
	lookAgain = 100
)

// relayKeys gives the pseudo terminal what is typed at ours, until the end.
func (t *Terminal) relayKeys() {
	buf := make([]byte, keysAtOnce)
	for {
		woken := unix.PollFd{Fd: int32(t.awaken), Events: unix.POLLIN}
		t.mu.Lock()
		over, source, timeout := t.phase == ended, t.source(), -1
		if t.phase == background {
			timeout = lookAgain
		}
		t.mu.Unlock()
		if over {
			return
		}
		polled := []unix.PollFd{woken, source}
		if _, err := unix.Poll(polled, timeout); err != nil && !errors.Is(err, syscall.EINTR) {
			return
		}
		if polled[0].Revents != 0 {
			unix.Read(t.awaken, buf)
		}
		source = polled[1]
		if source.Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
			return // the output's path sees it, too, and hangs up
		}
		t.mu.Lock()
		t.follow()
		if source.Revents != 0 && t.phase == foreground {
			t.pass(buf)
		}
		t.mu.Unlock()
	}
}

// source is what to wait for. While the pseudo terminal has no room, keys stay
// where they are.
func (t *Terminal) source() unix.PollFd {
	switch {
	case t.phase != foreground:
		return unix.PollFd{Fd: -1}
	case len(t.unsent) > 0:
		return unix.PollFd{Fd: int32(t.master), Events: unix.POLLOUT}
	}
	return unix.PollFd{Fd: int32(ours), Events: unix.POLLIN}
}

// pass passes on some keys.
func (t *Terminal) pass(buf []byte) {
	if len(t.unsent) > 0 {
		t.send(nil)
		return
	}
	n, _ := unix.Read(ours, buf)
	keys := buf[:max(n, 0)]
	signals := t.signals(keys)
	t.send(keys)
	for _, s := range signals {
		t.job.KeySignal(s)
	}
}

// send gives keys to the pseudo terminal, as far as it has room.
func (t *Terminal) send(keys []byte) {
	t.unsent = append(t.unsent, keys...)
	t.withMaster(func(fd int) {
		n, _ := unix.Write(fd, t.unsent)
		t.unsent = t.unsent[max(n, 0):]
	})
}

// signals are those that the keys will send to the command's own process
// group, by the settings of the pseudo terminal. That a key stops the command
// is seen when it has stopped.
func (t *Terminal) signals(keys []byte) []syscall.Signal {
	s, err := settingsOf(t.slave)
	if err != nil || s.Lflag&unix.ISIG == 0 || !t.hasForeground() {
		return nil
	}
	var list []syscall.Signal
	for _, key := range keys {
		switch {
		case t.quoted:
			t.quoted = false
		case key == 0: // as a setting, no key at all
		case key == s.Cc[unix.VLNEXT]:
			t.quoted = s.Lflag&unix.IEXTEN != 0 && s.canonical()
		case key == s.Cc[unix.VINTR]:
			list = append(list, syscall.SIGINT)
		case key == s.Cc[unix.VQUIT]:
			list = append(list, syscall.SIGQUIT)
		}
	}
	return list
}

// hasForeground reports whether the command's own group is the foreground one, and
// not one that it has made.
func (t *Terminal) hasForeground() (has bool) {
	t.withMaster(func(fd int) {
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		has = err == nil && group == t.job.Group()
	})
	return has
}

// withMaster calls f unless the master has been closed.
func (t *Terminal) withMaster(f func(fd int)) {
	if conn, err := t.near.SyscallConn(); err == nil {
		conn.Control(func(fd uintptr) { f(int(fd)) })
	}
}
