package config

import (
	"bytes"
	"fmt"
	"os"
)

// Source is where a configuration came from, so that its policy can be read again by a
// process with another environment.
type Source struct {
	// Path is the file, "" when there was none: one that appears holds for the next
	// tunnel.
	Path string `json:"path"`
	// Dir is the working directory, Variables what was asked of the environment.
	Dir       string            `json:"dir"`
	Variables map[string]string `json:"variables"`
	// Organisation are the files of Config.Organisation.
	Organisation []string `json:"organisation,omitempty"`
	// State is the state directory, "" for whichever there are.
	State string `json:"-"`
	// Run and Report are what one run adds, as it was written.
	Run    *Layer `json:"run,omitempty"`
	Report bool   `json:"report,omitempty"`
}

// recording notes what is asked of an environment.
func (s *Source) recording(getenv func(string) string) func(string) string {
	return func(name string) string {
		value := getenv(name)
		if value != "" {
			s.Variables[name] = value
		}
		return value
	}
}

// getenv is the environment as it was, and as it is here where nobody had asked.
func (s *Source) getenv(name string) string {
	if value, ok := s.Variables[name]; ok {
		return value
	}
	return os.Getenv(name)
}

// Files are those whose change may change the policy; they need not be there.
func (s *Source) Files() []string {
	files := append(above(s.Dir, ProjectFile), s.Organisation...)
	if s.Path != "" {
		files = append(files, s.Path)
	}
	return files
}

// Load reads it again. A file that has gone or is empty is an error: somebody may be
// about to write it.
func (s *Source) Load() (*Config, error) {
	c := &Config{}
	if s.Path != "" {
		raw, err := os.ReadFile(s.Path)
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(raw)) == 0 {
			return nil, fmt.Errorf("%s is empty", s.Path)
		}
		if c, err = Parse(s.Path, raw); err != nil {
			return nil, err
		}
	}
	if err := c.complete(s.getenv, s.Dir, s.State); err != nil {
		return nil, err
	}
	if s.Run == nil && !s.Report {
		return c, nil
	}
	layer := Layer{}
	if s.Run != nil {
		layer = *s.Run
	}
	return c, c.ForRun(layer, s.Report, s.getenv, s.Dir)
}
