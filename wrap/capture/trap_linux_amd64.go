package capture

import "golang.org/x/sys/unix"

// The older calls, which other architectures have not.
func init() {
	namings[unix.SYS_OPEN] = naming{at: none, path: 0, flags: 1, exempt: notRead}
	namings[unix.SYS_CREAT] = naming{at: none, path: 0, flags: none, creates: true}
	namings[unix.SYS_STAT] = naming{at: none, path: 0, flags: none, answer: 1, ask: statAll}
	namings[unix.SYS_LSTAT] = naming{at: none, path: 0, flags: none, answer: 1, ask: lstatAll}
	namings[unix.SYS_ACCESS] = naming{at: none, path: 0, flags: none, answer: none, ask: mayRead}
	namings[unix.SYS_READLINK] = naming{at: none, path: 0, flags: none, answer: 1, ask: readLink}
}
