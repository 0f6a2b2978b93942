package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/policy"
)

// ProjectFile is the name of a project's rules.
const ProjectFile = ".agentproxy.toml"

// Project are the rules that a project brings along.
type Project struct {
	// Path is the file.
	Path string
	// Trusted is true when the user has trusted what the file says now. Else it only
	// narrows.
	Trusted bool
	Policy  Layer
}

// Layer are rules beside the user's own; see policy.Layer.
type Layer struct {
	Default string   `toml:"default"`
	Allow   []string `toml:"allow"`
	Deny    []string `toml:"deny"`
}

func (l Layer) layer(name string, widens bool) policy.Layer {
	return policy.Layer{Name: name, Default: l.Default, Allow: l.Allow, Deny: l.Deny, Widens: widens}
}

// withoutGroups is the layer with a host in place of each group, to be checked.
func (l Layer) withoutGroups() (checked Layer, err error) {
	checked.Default = l.Default
	if checked.Allow, err = checkGroups(l.Allow); err != nil {
		return checked, fmt.Errorf("policy.allow: %w", err)
	}
	if checked.Deny, err = checkGroups(l.Deny); err != nil {
		return checked, fmt.Errorf("policy.deny: %w", err)
	}
	return checked, nil
}

// maxProjectFile is how large a project's file may be, in bytes.
const maxProjectFile = 1 << 20

// findProject returns the rules of the nearest project, nil where there is none.
func findProject(getenv func(string) string, dir string) (*Project, error) {
	for _, path := range above(dir, ProjectFile) {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size() > maxProjectFile {
			return nil, fmt.Errorf("%s is no file of up to %d bytes", path, maxProjectFile)
		}
		return ReadProject(getenv, path)
	}
	return nil, nil
}

// ReadProject reads a project's file, and whether the user trusts it.
func ReadProject(getenv func(string) string, path string) (*Project, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	layer, err := parseLayer(path, raw)
	if err != nil {
		return nil, err
	}
	mark, err := trustMark(getenv, path, raw)
	if err != nil {
		return nil, err
	}
	_, err = os.Stat(mark)
	return &Project{Path: path, Trusted: err == nil, Policy: layer}, nil
}

// parseLayer reads the rules of a file that has no other sections.
func parseLayer(path string, raw []byte) (Layer, error) {
	var file struct {
		Policy Layer `toml:"policy"`
	}
	if err := decode(path, raw, &file); err != nil {
		return Layer{}, err
	}
	checked, err := file.Policy.withoutGroups()
	if err == nil {
		_, err = policy.New(policy.Rules{Layers: []policy.Layer{checked.layer("project", true)}})
	}
	if err != nil {
		return Layer{}, fmt.Errorf("%s: %w", path, err)
	}
	return file.Policy, nil
}

// trustMark is the file that is there when a project's file is trusted as it is.
func trustMark(getenv func(string) string, path string, raw []byte) (string, error) {
	dir, err := Dir(getenv)
	sum := sha256.Sum256([]byte(path + "\x00" + string(raw)))
	return filepath.Join(dir, "trusted", hex.EncodeToString(sum[:])), err
}

// Trust lets a project's file widen the policy as long as nobody changes it, and
// returns what it says.
func Trust(getenv func(string) string, path string) (*Project, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := ReadProject(getenv, path); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	mark, err := trustMark(getenv, path, raw)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(mark), 0o700); err != nil {
		return nil, err
	}
	if err := atomicfile.Write(mark, []byte(path+"\n"), 0o600); err != nil {
		return nil, err
	}
	return ReadProject(getenv, path)
}

// Distrust takes the trust back, whatever the file says by now, and reports whether
// there was any.
func Distrust(getenv func(string) string, path string) (was bool, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return false, err
	}
	dir, err := Dir(getenv)
	if err != nil {
		return false, err
	}
	marks, _ := filepath.Glob(filepath.Join(dir, "trusted", "*")) // the pattern is right
	for _, mark := range marks {
		of, err := os.ReadFile(mark)
		if err != nil || strings.TrimSuffix(string(of), "\n") != path {
			continue
		}
		if err := os.Remove(mark); err != nil {
			return was, err
		}
		was = true
	}
	return was, nil
}

// expandGroups puts the hosts of this machine in the place of groups.
func (c *Config) expandGroups(m machine) {
	lists := []*[]string{&c.Policy.Allow, &c.Policy.Deny}
	for i := range c.Organisation {
		lists = append(lists, &c.Organisation[i].Policy.Allow, &c.Organisation[i].Policy.Deny)
	}
	if c.Project != nil {
		lists = append(lists, &c.Project.Policy.Allow, &c.Project.Policy.Deny)
	}
	for _, list := range lists {
		var empty []string
		*list, empty = m.expand(*list)
		c.Policy.Empty = append(c.Policy.Empty, empty...)
	}
}
