package term

import "golang.org/x/sys/unix"

// settings are those of a terminal, as stty(1) shows them.
type settings struct{ unix.Termios }

func settingsOf(fd int) (settings, error) {
	s, err := unix.IoctlGetTermios(fd, getSettings)
	if err != nil {
		return settings{}, err
	}
	return settings{*s}, nil
}

// apply makes them the terminal's, at once: to wait for its output could take
// for ever.
func (s settings) apply(fd int) error { return unix.IoctlSetTermios(fd, setSettings, &s.Termios) }

// raw passes keys and output as they are, as cfmakeraw(3) has it; a read
// returns what there is, nothing included.
func (s settings) raw() settings {
	s.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	s.Oflag &^= unix.OPOST
	s.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	s.Cc[unix.VMIN], s.Cc[unix.VTIME] = 0, 0
	return s
}

// uncut gives out the keys that wait, lines that are not complete included, and
// goes on showing and interpreting those that come, but for the keys that edit a
// line; a read returns what there is, nothing included.
func (s settings) uncut() settings {
	s.Lflag &^= unix.ICANON
	s.Cc[unix.VMIN], s.Cc[unix.VTIME] = 0, 0
	return s
}

// refill takes keys that another terminal has already shown and interpreted:
// nothing is left to do but to cut them into lines.
func (s settings) refill() settings {
	s.Iflag &^= unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	s.Lflag &^= unix.ECHO | unix.ECHONL | unix.ISIG | unix.IEXTEN
	s.Cc[unix.VERASE], s.Cc[unix.VKILL] = 0, 0
	return s
}

// unprocessed leaves the output as it is.
func (s settings) unprocessed() settings {
	s.Oflag &^= unix.OPOST
	return s
}

// processed reports whether output is not left as it is.
func (s settings) processed() bool { return s.Oflag&unix.OPOST != 0 }

// canonical reports whether keys are read in lines.
func (s settings) canonical() bool { return s.Lflag&unix.ICANON != 0 }
