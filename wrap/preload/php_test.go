package preload

import (
	"os"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
)

func TestPHP(t *testing.T) {
	php := installed(t, "php")
	if php == "" {
		t.SkipNow()
	}
	w := newWorld(t)
	script, err := os.ReadFile("testdata/client.php")
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "client.php", string(script))
	without := w
	w = w.with("PHP_INI_SCAN_DIR=:" + w.hooks.PHP)
	const remote = "https://origin.test/"
	run := func(w *world, arguments ...string) result {
		r := w.run(t, append([]string{php, "-d", "display_errors=stderr"}, arguments...)...)
		r.stderr += r.stdout // where PHP writes depends on its ini
		return r
	}
	get := func(w *world, client, url string) result { return run(w, "client.php", client, url) }

	t.Run("clients", func(t *testing.T) {
		clients := strings.Split("contents,headers,post,context,own proxy,copy,twice", ",")
		for name, function := range map[string]string{"curl": "curl_init", "dom": "dom_import_simplexml"} {
			if without.run(t, php, "-r", "exit((int) !function_exists('"+function+"'));").status == 0 {
				clients = append(clients, name)
			} else {
				leftout.Note(t, "PHP's "+name+", which is not installed")
			}
		}
		for _, client := range clients {
			t.Run(client, func(t *testing.T) { works(t, get(w, client, remote)) })
		}
	})
	t.Run("a refusal tells its reason", func(t *testing.T) {
		fails(t, get(w, "contents", "https://denied.test/"), "agentproxy refused CONNECT denied.test:443: 403 policy denied", "file_get_contents(https://denied.test/): Failed to open stream")
	})
	t.Run("a proxy that is not there", func(t *testing.T) {
		url := refusing(t)
		fails(t, get(w.through(url), "contents", remote), "proxy of agentproxy at "+url+" is not reachable")
	})
	t.Run("credentials", func(t *testing.T) {
		credentials(t, w, func(w *world) result { return get(w, "contents", remote) }, "407 Who are you")
		// A tunnel does not carry them to the origin, which would say so.
		works(t, get(w.through(withCredentials(w.proxyURL)), "contents", remote))
	})
	t.Run("NO_PROXY", func(t *testing.T) {
		for _, value := range []string{"origin.test", ".test", "test", "x, ORIGIN.TEST:443", "*.test", "*"} {
			fails(t, get(w.sparing(value), "contents", remote), "getaddrinfo")
		}
		for _, value := range []string{"gin.test", "origin.test:80", "sub.origin.test", "10.0.0.0/8,::1,[::1]:443"} {
			works(t, get(w.sparing(value), "contents", remote))
		}
	})
	t.Run("loopback", func(t *testing.T) {
		url := refusing(t)
		works(t, get(w.through(url).sparing(""), "contents", "https://"+w.local+"/"))
	})
	t.Run("verification", func(t *testing.T) {
		foreign := w.write(t, "foreign.pem", string(proxytest.NewCA(t, "foreign").PEM()))
		fails(t, get(w.with("AGENT_PROXY_CA_BUNDLE_PATH="+foreign), "contents", remote), "certificate verify failed")
		fails(t, get(w.with("AGENT_PROXY_CA_BUNDLE_PATH=", "SSL_CERT_FILE="), "contents", remote), "certificate verify failed")
	})
	t.Run("no proxy", func(t *testing.T) {
		fails(t, get(w.through(""), "contents", remote), "getaddrinfo")
	})
	t.Run("the user's own", func(t *testing.T) {
		w.write(t, "mine.php", "<?php $mine = 'mine'; echo \"mine\\n\";")
		ini := w.write(t, "user/own.ini", "[PHP]\nauto_prepend_file = \""+w.dir+"/mine.php\" ; mine\nmemory_limit = 77M\n")
		user := w.dir + "/user"
		program := w.write(t, "program.php", "<?php echo ini_get('memory_limit'), $mine, count(get_defined_vars()), \"\\n\"; exit(3);")
		same(t, run(without.with("PHP_INI_SCAN_DIR="+user), program), run(w.with("PHP_INI_SCAN_DIR="+user+":"+w.hooks.PHP), program))
		same(t, run(without, "-c", ini, program), run(w, "-c", ini, program))
		// Given on the command line it replaces ours, and nothing else changes.
		same(t, run(without, "-d", "auto_prepend_file="+w.dir+"/mine.php", program), run(w, "-d", "auto_prepend_file="+w.dir+"/mine.php", program))
	})
	t.Run("trivial programs", func(t *testing.T) {
		for _, program := range []string{
			"echo 1;", "exit(3);", "throw new Exception('x');", "var_dump(array_keys(get_defined_vars()));", "var_dump(file_exists('https://a.test/'), is_file('https://a.test/'), is_dir('https://a.test/'), is_readable('https://a.test/'));",
			"var_dump(@file_get_contents('https://localhost:1/'));", "echo file_get_contents('data:,x');", "var_dump(in_array('https', stream_get_wrappers()));",
		} {
			file := w.write(t, "trivial.php", "<?php "+program)
			same(t, run(without, file), run(w, file))
		}
	})
}
