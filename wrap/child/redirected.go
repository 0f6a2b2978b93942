package child

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// redirected is a file that a stream of ours goes to, or both do: it is not
// watched, since a file is more than a stream, but what the command has written
// can be read afterwards.
type redirected struct {
	streams []int
	start   int64
	// shown holds once the output has viewed it, and whether that was all.
	shown, all bool
}

// redirectedFiles returns the files that the streams go to, before anything is
// written.
func redirectedFiles() []*redirected {
	var list []*redirected
	var first unix.Stat_t
	for fd := 1; fd <= 2; fd++ {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		if len(list) > 0 && st.Dev == first.Dev && st.Ino == first.Ino {
			list[0].streams = append(list[0].streams, fd)
			continue
		}
		first = st
		start, err := unix.Seek(fd, 0, io.SeekCurrent)
		if flags, ferr := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); ferr == nil && flags&unix.O_APPEND != 0 {
			start = st.Size
		}
		if err == nil {
			list = append(list, &redirected{streams: []int{fd}, start: start})
		}
	}
	return list
}

// show lets the output view the end of what was written, once, and tells
// whether it was all of it. Our own descriptor is for writing, so the file is
// opened anew.
func (w *redirected) show(o *Output) bool {
	if w.shown {
		return w.all
	}
	w.shown = true
	f, err := os.Open(fmt.Sprintf("/dev/fd/%d", w.streams[0]))
	if err != nil {
		return false
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end < w.start {
		return false
	}
	from := max(w.start, end-4*outputLimit)
	data, err := io.ReadAll(io.NewSectionReader(f, from, end-from))
	if len(data) > 0 {
		o.View(w.streams[0], data)
	}
	w.all = err == nil && from == w.start
	return w.all
}
