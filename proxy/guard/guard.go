// Package guard keeps a fault of ours from becoming the command's. What reads a
// command's output, or explains how it ended, runs under Do: when it panics, it
// is given up, the fault is kept for a report, and the command ends as it would
// have ended.
package guard

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// Fault is a panic that was caught.
type Fault struct {
	// Doing is what was being done, as in "reading the output".
	Doing string
	// Value is what the panic said.
	Value any
	// Stack is where it happened.
	Stack []byte
}

func (f *Fault) Error() string {
	return fmt.Sprintf("%s failed: %s", f.Doing, strings.Join(strings.Fields(fmt.Sprint(f.Value)), " "))
}

// Do calls f. It returns the panic that ended f, or nil.
func Do(doing string, f func()) (fault *Fault) {
	defer func() {
		if value := recover(); value != nil {
			fault = &Fault{Doing: doing, Value: value, Stack: debug.Stack()}
		}
	}()
	f()
	return nil
}
