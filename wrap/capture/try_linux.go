package capture

import (
	"errors"
	"os/exec"

	"github.com/agentproxy/agentproxy/proxy/capture/sockets"
)

// Try makes a command a network, isolated or not, with a real child, and says what came
// in the way. Its error is a Refused.
func Try(isolated bool) (Means, error) {
	options := Options{Ports: []uint16{443}}
	if isolated {
		isolation := Isolate("", nil, nil)
		options.Isolation = &isolation
	}
	r, err := New(options, func(set *sockets.Set) error { set.Close(); return nil })
	if err != nil {
		return "", err
	}
	if err = r.try(); err == nil {
		return Namespaces, nil
	}
	if !r.FallBack(err) {
		return "", err
	}
	if err = r.try(); err != nil {
		return "", err
	}
	return Supervisor, nil
}

func (r *Run) try() error {
	defer r.Abandon()
	program, err := exec.LookPath("true")
	if err != nil {
		return err
	}
	path, argv, err := r.Begin(program, []string{"true"})
	if err != nil {
		return r.Refusal(err)
	}
	cmd := &exec.Cmd{Path: path, Args: argv}
	Clone(cmd)
	if err := cmd.Start(); err != nil {
		return r.Refusal(err)
	}
	err = r.Finish()
	defer r.Leave()
	if ended := cmd.Wait(); err == nil && ended != nil {
		err = r.Refusal(errors.New("the command did not end well in it: " + ended.Error()))
	}
	return err
}
