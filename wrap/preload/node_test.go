package preload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
)

// nodes returns the Nodes of the machine and of the cache by their versions.
func nodes(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	if path := installed(t, "node"); path != "" {
		found["installed"] = path
	}
	for _, version := range []string{"18", "22.20.0", "22.21.1", "24", "26"} {
		if dir, ok := cached(t, "node-"+version); ok {
			found[version] = filepath.Join(dir, "node_modules/node/bin/node")
		}
	}
	return found
}

// node returns the Node that tests of details run, or ends the test.
func node(t *testing.T) string {
	t.Helper()
	path := installed(t, "node")
	if path == "" {
		t.SkipNow()
	}
	return path
}

// withNode returns a world whose Node loads the hook after what the user wants.
func withNode(t *testing.T, w *world) *world {
	t.Helper()
	if os.Getenv("PRELOAD_CACHE") != "" {
		if err := os.Symlink(filepath.Join(os.Getenv("PRELOAD_CACHE"), "npm/node_modules"), filepath.Join(w.dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	script, err := os.ReadFile("testdata/client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "client.mjs", string(script))
	return w.with("NODE_OPTIONS=" + `--require="` + w.hooks.Node + `"`)
}

// builtin are the clients that a Node brings itself, libraries those of packages.
var (
	builtin   = strings.Fields("fetch https keepAlive http2 tls worker child WebSocket")
	libraries = strings.Fields(`
		axios-0.21.4 axios-0.27.2 axios-1.6.8 axios-1.7.9 axios-1.13.6 axios-1.16.0 axios-1.16.1 axios-latest got-11 got-latest
		node-fetch-2 node-fetch-3 undici-5 undici-6 undici-7 undici-8 ws-8 superagent-10 openai-4 gaxios-6 request-2 ownAgent
		client-sts-3 grpc-js-1`)
)

// needs says from which Node on a client is to be had.
var needs = map[string]string{"WebSocket": "22", "undici-7": "20.18", "undici-8": "22.19", "undici post": "22.19", "got-latest": "22"}

func TestNodeClients(t *testing.T) {
	w := withNode(t, newWorld(t))
	for version, node := range nodes(t) {
		t.Run(version, func(t *testing.T) {
			clients := append([]string{"https agent", "fetch post"}, builtin...)
			if _, ok := cached(t, "npm"); ok {
				clients = append(append(clients, "axios post", "undici post"), libraries...)
			}
			is := strings.TrimPrefix(strings.TrimSpace(w.run(t, node, "--version").stdout), "v")
			for _, client := range clients {
				if older(is, needs[client]) {
					continue
				}
				t.Run(client, func(t *testing.T) {
					works(t, w.run(t, node, "client.mjs", client, "https://origin.test/"))
					if version == "24" {
						works(t, w.with("NODE_USE_ENV_PROXY=1").run(t, node, "client.mjs", client, "https://origin.test/"))
					}
				})
			}
		})
	}
}

// older compares versions by their first two numbers.
func older(is, than string) bool {
	number := func(s string) (n int) {
		major, minor, _ := strings.Cut(s, ".")
		minor, _, _ = strings.Cut(minor, ".")
		for _, part := range []string{major, minor} {
			n *= 1000
			for i, v := 0, 0; i < len(part); i++ {
				v = v*10 + int(part[i]-'0')
				if i == len(part)-1 {
					n += v
				}
			}
		}
		return n
	}
	return number(is) < number(than)
}

// What the hook must not change, on the Node that is installed.
func TestNodeManners(t *testing.T) {
	w, node := withNode(t, newWorld(t)), node(t)
	const remote = "https://origin.test/"
	get := func(w *world, client, url string) result { return w.run(t, node, "client.mjs", client, url) }

	t.Run("a refusal tells its reason", func(t *testing.T) {
		for _, client := range []string{"fetch", "https", "http2"} {
			fails(t, get(w, client, "https://denied.test/"), "agentproxy refused CONNECT denied.test:443: 403 ", "ERR_PROXY_TUNNEL")
		}
	})
	t.Run("a proxy that is not there", func(t *testing.T) {
		url := refusing(t)
		r := get(w.through(url), "fetch", remote)
		fails(t, r, "proxy of agentproxy at "+url+" is not reachable", "ECONNREFUSED")
	})
	t.Run("credentials", func(t *testing.T) {
		credentials(t, w, func(w *world) result { return get(w, "https", remote) }, "407 Who are you")
	})
	t.Run("NO_PROXY", func(t *testing.T) {
		for _, value := range []string{"origin.test", ".test", "test", "x, ORIGIN.TEST:443", "*.test", "*"} {
			fails(t, get(w.sparing(value), "https", remote), "ENOTFOUND")
		}
		for _, value := range []string{"gin.test", "origin.test:80", "sub.origin.test", "10.0.0.0/8,::1,[::1]:443"} {
			works(t, get(w.sparing(value), "https", remote))
		}
	})
	t.Run("loopback", func(t *testing.T) {
		url := refusing(t)
		away := w.through(url).sparing("")
		works(t, get(away, "https", "https://"+w.local+"/"))
		works(t, get(away, "fetch", strings.Replace("https://"+w.local+"/", "127.0.0.1", "localhost", 1)))
	})
	t.Run("verification", func(t *testing.T) {
		foreign := w.write(t, "foreign.pem", string(proxytest.NewCA(t, "foreign").PEM()))
		r := get(w.with("NODE_EXTRA_CA_CERTS="+foreign), "fetch", remote)
		if r.status == 0 || !strings.Contains(r.stderr, "CERT") && !strings.Contains(r.stderr, "LEAF_SIGNATURE") {
			t.Errorf("who signed it was not checked: %v", r)
		}
	})
	t.Run("no proxy", func(t *testing.T) {
		fails(t, get(w.through(""), "https", remote), "ENOTFOUND")
	})
	t.Run("the user's own hooks", func(t *testing.T) {
		mine := w.write(t, "mine.cjs", "console.log('mine')")
		r := w.with("NODE_OPTIONS=--require="+mine+` --require="`+w.hooks.Node+`"`).run(t, node, "client.mjs", "fetch", remote)
		if r.stdout != "mine\nhello\n" {
			t.Errorf("%v", r)
		}
	})
	t.Run("node --test", func(t *testing.T) {
		file := w.write(t, "one.test.mjs", "import test from 'node:test'; test('get', async () => { if (await (await fetch('"+remote+"')).text() !== 'hello') throw 1; });")
		if r := w.run(t, node, "--test", file); r.status != 0 {
			t.Errorf("%v", r)
		}
	})
	t.Run("trivial programs", func(t *testing.T) {
		without := w.with("NODE_OPTIONS=")
		for _, program := range []string{
			"console.log(1)", "process.exitCode = 3; console.error('x')", "throw new Error('x')", "process.kill(process.pid, 'SIGTERM')", "await 1",
			// What the real one says of arguments that are wrong.
			"try { require('tls').connect() } catch (e) { console.log(e.message) }",
			"try { require('tls').connect({ port: 'x', host: 'a.test' }) } catch (e) { console.log(e.message) }",
			"try { require('tls').connect({ port: 443, host: 'a.test', minVersion: 'x' }) } catch (e) { console.log(e.message) }",
			"require('http').request({ path: 'https://a.test/', host: 'x y' }).on('error', (e) => console.log(e.code)).end()",
		} {
			same(t, without.run(t, node, "-e", program), w.run(t, node, "-e", program))
		}
	})
	t.Run("names of the program's own", func(t *testing.T) {
		_, port, _ := strings.Cut(w.local, ":")
		r := w.run(t, node, "-e", `require('https').get({ host: 'localhost.test', servername: 'localhost', port: `+port+`, checkServerIdentity: () => {},
			lookup: (host, options, done) => options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4) },
			(r) => r.setEncoding('utf8').on('data', console.log))`)
		works(t, r)
	})
	t.Run("an open connection does not keep the program", func(t *testing.T) {
		r := w.run(t, node, "-e", "const s = require('tls').connect(443, 'origin.test', () => { s.unref(); console.log('hello'); })")
		works(t, r)
		if r.took > 3*time.Second {
			t.Errorf("%v", r)
		}
	})
	t.Run("five megabytes", func(t *testing.T) {
		r := w.run(t, node, "-e", "fetch('https://origin.test/large').then((r) => r.text()).then((t) => console.log(t.length))")
		if r.stdout != "5242880\n" {
			t.Errorf("%v", r)
		}
	})
	t.Run("a destroyed connection", func(t *testing.T) {
		r := w.run(t, node, "-e", `
			const s = require('tls').connect(443, 'origin.test');
			s.on('close', () => console.log('hello')).on('error', console.error);
			s.setTimeout(1, () => s.destroy());`)
		works(t, r)
	})
}
