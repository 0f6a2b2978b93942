package preload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
)

// pythons returns the Pythons of the machine by their versions.
func pythons(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	root := os.Getenv("PYENV_ROOT")
	if root == "" {
		root = filepath.Join(os.Getenv("HOME"), ".pyenv")
	}
	for _, version := range []string{"2.7", "3.6", "3.8", "3.11", "3.13"} {
		if paths, _ := filepath.Glob(filepath.Join(root, "versions", version+".*", "bin/python")); len(paths) > 0 {
			found[version] = paths[0]
		} else {
			leftout.Note(t, "Python "+version+", which pyenv does not have")
		}
	}
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		found["debian"] = "/usr/bin/python3"
	}
	return found
}

// python returns the Python that tests of details run, or ends the test.
func python(t *testing.T) string {
	t.Helper()
	if path := pythons(t)["3.11"]; path != "" {
		return path
	}
	if path := installed(t, "python3"); path != "" {
		return path
	}
	t.SkipNow()
	return ""
}

// withPython returns a world whose Python loads the hook before what is on the
// user's path.
func withPython(t *testing.T, w *world, user string) *world {
	t.Helper()
	script, err := os.ReadFile("testdata/client.py")
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "client.py", string(script))
	return w.with("PYTHONPATH=" + strings.TrimSuffix(w.hooks.Python+":"+user, ":"))
}

func TestPythonClients(t *testing.T) {
	w := newWorld(t)
	for version, python := range pythons(t) {
		if version == "2.7" {
			continue // there it only must not be in the way; see TestPythonManners
		}
		libraries := map[string]string{"": "connection urllib open_connection"}
		switch version {
		case "debian":
			for _, name := range []string{"urllib3", "requests", "aiohttp", "httpx"} {
				if w.run(t, python, "-c", "import "+name).status == 0 {
					libraries[""] += " " + name
				}
			}
		case "3.6":
			libraries["python-3.6"] = "urllib3 urllib3_proxy requests requests_untrusting"
		case "3.11":
			libraries["python-3.11-old"] = "urllib3 urllib3_proxy requests requests_untrusting aiohttp aiohttp_env"
			fallthrough
		default:
			libraries["python-"+version] = "urllib3 urllib3_proxy requests requests_untrusting httpx aiohttp aiohttp_env boto3"
		}
		for name, clients := range libraries {
			path := ""
			if name != "" {
				var ok bool
				if path, ok = cached(t, name); !ok {
					continue
				}
			}
			w := withPython(t, w, path)
			for _, client := range strings.Fields(clients) {
				t.Run(version+" "+name+" "+client, func(t *testing.T) {
					works(t, w.run(t, python, "-W", "error", "client.py", client, "https://origin.test"))
				})
			}
		}
	}
}

func TestPythonManners(t *testing.T) {
	python := python(t)
	w := withPython(t, newWorld(t), "")
	const remote = "https://origin.test"
	get := func(w *world, client, url string) result { return w.run(t, python, "client.py", client, url) }

	t.Run("a refusal tells its reason", func(t *testing.T) {
		clients := []string{"connection", "open_connection"}
		w := w
		if path, ok := cached(t, "python-3.11"); ok {
			clients = append(clients, "urllib3")
			w = withPython(t, w, path)
			fails(t, get(w, "aiohttp", "https://denied.test"), "ClientHttpProxyError: 403, message='policy denied")
		}
		for _, client := range clients {
			fails(t, get(w, client, "https://denied.test"), "agentproxy refused CONNECT denied.test:443: 403 ")
		}
	})
	t.Run("a proxy that is not there", func(t *testing.T) {
		url := refusing(t)
		for _, client := range []string{"connection", "open_connection"} {
			fails(t, get(w.through(url), client, remote), "ConnectionRefusedError", "proxy of agentproxy at "+url+" is not reachable")
		}
	})
	t.Run("credentials", func(t *testing.T) {
		credentials(t, w, func(w *world) result { return get(w, "connection", remote) }, "407 Who are you")
	})
	t.Run("NO_PROXY", func(t *testing.T) {
		for _, value := range []string{"origin.test", ".test", "test", "x, ORIGIN.TEST:443", "*.test", "*"} {
			fails(t, get(w.sparing(value), "connection", remote), "gaierror")
		}
		for _, value := range []string{"gin.test", "origin.test:80", "sub.origin.test", "10.0.0.0/8,::1,[::1]:443"} {
			works(t, get(w.sparing(value), "connection", remote))
		}
	})
	t.Run("loopback", func(t *testing.T) {
		url := refusing(t)
		works(t, get(w.through(url).sparing(""), "connection", "https://"+w.local))
	})
	t.Run("verification", func(t *testing.T) {
		foreign := w.write(t, "foreign.pem", string(proxytest.NewCA(t, "foreign").PEM()))
		for _, client := range []string{"connection", "open_connection"} {
			fails(t, get(w.with("SSL_CERT_FILE="+foreign), client, remote), "CERTIFICATE_VERIFY_FAILED")
		}
	})
	t.Run("no proxy", func(t *testing.T) {
		fails(t, get(w.through(""), "connection", remote), "gaierror")
	})
}

// The sitecustomize that ours hides runs as it would, whatever it does.
func TestPythonChains(t *testing.T) {
	w := newWorld(t)
	trivial := []string{
		"print(1)", "raise SystemExit(3)", "raise ValueError('x')", "import os; os.kill(os.getpid(), 15)",
		"import sys; print(sys.path, 'sitecustomize' in sys.modules)", "import sitecustomize; print(sitecustomize.__file__)",
		"import sys; print(sorted(sys.modules))",
	}
	for version, python := range pythons(t) {
		for name, content := range map[string]string{
			"none":    "",
			"speaks":  "print('mine')",
			"paths":   "import sys; sys.path.append('/mine')",
			"imports": "import no_such_module",
			"raises":  "raise RuntimeError('mine')",
			"patched": "try:\n import http.client\nexcept ImportError: pass",
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				mine := filepath.Join(w.dir, name)
				if content != "" {
					w.write(t, filepath.Join(name, "sitecustomize.py"), content+"\n")
				}
				without, with := w.with("PYTHONPATH="+mine, "PYTHONDONTWRITEBYTECODE=1"), withPython(t, w, mine).with("PYTHONDONTWRITEBYTECODE=1")
				programs := trivial
				if version != "2.7" && version != "3.11" {
					programs = trivial[len(trivial)-3:]
				}
				for _, program := range programs {
					if name == "patched" && strings.Contains(program, "sorted") {
						continue // a patch may import what it needs
					}
					same(t, without.run(t, python, "-c", program), with.run(t, python, "-c", program))
				}
				for _, flag := range []string{"-S", "-E"} {
					same(t, without.run(t, python, flag, "-c", "print(1)"), with.run(t, python, flag, "-c", "print(1)"))
				}
				if name == "patched" && version != "2.7" {
					works(t, with.run(t, python, "client.py", "connection", "https://origin.test"))
				}
			})
		}
	}
}
