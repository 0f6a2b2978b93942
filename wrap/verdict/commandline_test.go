package verdict

import (
	"slices"
	"strings"
	"testing"
)

func TestCommandLine(t *testing.T) {
	for line, want := range map[string]CommandLine{
		"curl https://a.example/x":                             {Remote: []string{"a.example"}},
		"curl http://a.example:8080":                           {Remote: []string{"a.example"}, Plain: []string{"a.example"}},
		"git clone git@git.example:org/repo.git":               {Remote: []string{"git.example"}},
		"ping a.example":                                       {Remote: []string{"a.example"}},
		"python3 fetch.py":                                     {},
		"node ./a.b/index.js":                                  {},
		"curl -x http://127.0.0.1:3128 https://a.example":      {Remote: []string{"a.example"}, ProxyPorts: []string{"3128"}},
		"curl --proxy http://127.0.0.1:3128 https://a.example": {Remote: []string{"a.example"}, ProxyPorts: []string{"3128"}},
		"env HTTPS_PROXY=http://127.0.0.1:9 tool":              {ProxyPorts: []string{"9"}},
		"psql postgres://u:p@localhost:5432/db":                {Loopback: true},
	} {
		got := ReadCommandLine(strings.Fields(line))
		if !slices.Equal(got.Remote, want.Remote) || !slices.Equal(got.Plain, want.Plain) || !slices.Equal(got.ProxyPorts, want.ProxyPorts) || got.Loopback != want.Loopback {
			t.Errorf("%s: %+v", line, got)
		}
	}
}

func TestNamesLoopback(t *testing.T) {
	for line, want := range map[string]bool{
		"curl http://localhost:3000/x":               true,
		"curl https://u@127.0.0.1":                   true,
		"curl http://[::1]:80/":                      true,
		"curl LOCALHOST":                             true,
		"nc 127.0.0.2 80":                            true,
		"mysql -h127.0.0.1 --port=1":                 true,
		"wait-for --host=localhost":                  true,
		"dial tcp:localhost:80":                      true,
		`sh -c x="$(curl 'http://api.localhost/a')"`: true,
		"psql postgres://u:p@0.0.0.0:5432/db":        true,
		"curl --proxy http://127.0.0.1:1 a.test":     false,
		"curl http://localhost.corp.example":         false,
		"curl http://127.corp.example":               false,
		"curl 127.0.0.1.nip.example":                 false,
		"curl notlocalhost":                          false,
		"npm ci":                                     false,
	} {
		if got := ReadCommandLine(strings.Fields(line)).Loopback; got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}
