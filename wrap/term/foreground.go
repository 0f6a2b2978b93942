package term

import (
	"bytes"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// recently is how long the signals that a change of the foreground has caused
// may take.
const recently = 200 * time.Millisecond

// suspend gives our terminal back while the command is stopped.
func (t *Terminal) suspend() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leave(suspended)
}

// resume takes our terminal, when we have been resumed in the foreground.
func (t *Terminal) resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(background)
	t.follow()
}

// regained reports whether a stop by the signal is out of date: the command wanted
// the terminal when it was in the background, and we have come to the
// foreground since.
func (t *Terminal) regained(s syscall.Signal) bool {
	if s != syscall.SIGTTIN && s != syscall.SIGTTOU {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.follow()
	return t.phase == foreground && time.Since(t.since) < recently
}

// Cooked reports whether our terminal made signals of keys, for our group, when one
// that we get now was sent: it has just been, or is about to be, made raw.
func (t *Terminal) Cooked() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.phase == foreground {
		return time.Since(t.since) < recently
	}
	return isForeground()
}

// follow notices that a shell has put us into the foreground or out of it. No
// signal tells of that.
func (t *Terminal) follow() {
	switch is := isForeground(); {
	case is && t.phase == background:
		t.enter()
	case !is && t.phase == foreground:
		t.set(background) // the settings are another's by now
	}
}

// enter makes our terminal raw, and the pseudo terminal what ours was, keys
// that wait to be read included.
func (t *Terminal) enter() error {
	found, err := settingsOf(ours)
	if err != nil {
		return err
	}
	keys, err := waiting(ours, found)
	if err != nil {
		return err
	}
	if err := found.raw().apply(ours); err != nil {
		return err
	}
	t.found = found
	if len(keys) > 0 {
		found.refill().apply(t.slave)
		t.send(keys)
		// The kernel takes them from one end to the other in a thread of its own;
		// poll(2) waits for that.
		unix.Poll([]unix.PollFd{{Fd: int32(t.slave), Events: unix.POLLIN}}, 0)
	}
	if err := found.apply(t.slave); err != nil {
		found.apply(ours)
		return err
	}
	t.resize()
	t.set(foreground)
	return nil
}

// leave makes our terminal what the command has made of the pseudo terminal,
// unless it is another's already.
func (t *Terminal) leave(next phase) {
	if t.phase == foreground && isForeground() {
		s, err := settingsOf(t.slave)
		if err != nil { // it was hung up
			s = t.found
		}
		keys, _ := waiting(t.slave, s)
		if mayUnread(ours) && s.uncut().apply(ours) == nil {
			t.unsent = append(t.unsent, queue(ours)...)
		}
		if len(keys) > 0 {
			s.refill().apply(ours)
			unread(ours, keys)
		}
		s.apply(ours)
		unread(ours, t.unsent) // nobody has shown and interpreted these yet
		t.unsent = nil
		s.unprocessed().apply(t.slave)
		if size, err := unix.IoctlGetWinsize(t.slave, unix.TIOCGWINSZ); err == nil && *size != t.size {
			unix.IoctlSetWinsize(ours, unix.TIOCSWINSZ, size)
		}
	}
	t.set(next)
}

func (t *Terminal) set(next phase) {
	if t.job != nil && (t.phase == foreground) != (next == foreground) {
		t.job.Foreground(next == foreground)
	}
	t.phase, t.since = next, time.Now()
	t.wake[1].Write([]byte{0})
}

// waiting takes the keys out of the queue of a terminal with such settings, and
// leaves it uncut. All of them have been shown and interpreted: were the terminal
// raw meanwhile, those that just come would be among them as they were typed, with
// "\r" for Enter, and nobody could tell. An end of file was among the lines as a
// zero byte (n_tty.c, __DISABLED_CHAR).
func waiting(fd int, found settings) ([]byte, error) {
	if err := found.uncut().apply(fd); err != nil {
		return nil, err
	}
	keys := queue(fd)
	if found.canonical() {
		keys = bytes.ReplaceAll(keys, []byte{0}, []byte{found.Cc[unix.VEOF]})
	}
	return keys, nil
}

// queue takes out what waits on a terminal that is uncut or raw.
func queue(fd int) (keys []byte) {
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, buf)
		if n <= 0 && err != syscall.EINTR {
			return keys
		}
		keys = append(keys, buf[:max(n, 0)]...)
	}
}

// mayUnread reports whether unread may put keys back: the kernel looks for the key
// only then.
func mayUnread(fd int) bool { return unix.IoctlSetInt(fd, unix.TIOCSTI, 0) == unix.EFAULT }

// unread puts keys into the queue of our terminal. Where the kernel does not
// allow that to ordinary users (sysctl dev.tty.legacy_tiocsti, since Linux
// 6.2), what was typed ahead is lost.
func unread(fd int, keys []byte) {
	for i := range keys {
		if unix.IoctlSetString(fd, unix.TIOCSTI, string(keys[i:i+1])) != nil {
			return
		}
	}
}
