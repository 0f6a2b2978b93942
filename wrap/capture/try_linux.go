package capture

import (
	"errors"
	"os/exec"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
)

// Try makes a command a network, isolated or not, with a real child, and says what came
// in the way. Its error is a Refused.
func Try(isolated bool) error {
	options := Options{Ports: []uint16{443}}
	if isolated {
		isolation := Isolate("", nil, nil)
		options.Isolation = &isolation
	}
	r, err := New(options, func(set *sockets.Set) error { set.Close(); return nil })
	if err != nil {
		return err
	}
	defer r.Abandon()
	program, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	path, argv, err := r.Begin(program, []string{"true"})
	if err != nil {
		return Refusal(err)
	}
	cmd := &exec.Cmd{Path: path, Args: argv}
	Clone(cmd)
	if err := cmd.Start(); err != nil {
		return Refusal(err)
	}
	err = r.Finish()
	if ended := cmd.Wait(); err == nil && ended != nil {
		err = Refusal(errors.New("the command did not end well in it: " + ended.Error()))
	}
	return err
}
