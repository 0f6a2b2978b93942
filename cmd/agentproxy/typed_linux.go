package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// forgetTyped drops what has been typed on a terminal and not been read.
func forgetTyped(in io.Reader) {
	if f, ok := in.(*os.File); ok {
		unix.IoctlSetInt(int(f.Fd()), unix.TCFLSH, unix.TCIFLUSH) // without it, what was typed is read
	}
}
