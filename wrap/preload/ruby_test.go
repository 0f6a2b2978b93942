package preload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
)

func TestRuby(t *testing.T) {
	ruby := installed(t, "ruby")
	if ruby == "" {
		t.SkipNow()
	}
	w := newWorld(t)
	script, err := os.ReadFile("testdata/client.rb")
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "client.rb", string(script))
	without := w
	// RUBYOPT knows no quotes, so the path has no space in it.
	hooks, err := Write(filepath.Join(w.dir, "preload"))
	if err != nil {
		t.Fatal(err)
	}
	hook := "-r" + hooks.Ruby
	w = w.with("RUBYOPT=" + hook)
	const remote = "https://origin.test/"
	get := func(w *world, client, url string) result { return w.run(t, ruby, "client.rb", client, url) }

	t.Run("clients", func(t *testing.T) {
		clients := strings.Fields("get start open-uri autoload alias explicit")
		for name, library := range map[string]string{"faraday": "faraday", "faraday env": "faraday"} {
			if without.run(t, ruby, "-r"+library, "-e", "").status == 0 {
				clients = append(clients, name)
			} else {
				leftout.Note(t, "Ruby's "+name+", which is not installed")
			}
		}
		for _, client := range clients {
			t.Run(client, func(t *testing.T) { works(t, get(w, client, remote)) })
		}
	})
	t.Run("bundler", func(t *testing.T) {
		bundle := installed(t, "bundle")
		if bundle == "" {
			return
		}
		w.write(t, "Gemfile", "source 'https://origin.test'\ngem 'nothing'\n")
		r := w.run(t, bundle, "install", "--jobs=1", "--retry=0")
		if r.status == 0 || !strings.Contains(r.stdout+r.stderr, "Could not find gem 'nothing'") {
			t.Errorf("the source was not asked: %v", r)
		}
	})
	t.Run("explicit nil", func(t *testing.T) { fails(t, get(w, "nil", remote), "getaddrinfo") })
	t.Run("a refusal tells its reason", func(t *testing.T) {
		fails(t, get(w, "get", "https://denied.test/"), "agentproxy refused CONNECT denied.test:443: 403 ", "policy denied", "Net::HTTP")
	})
	t.Run("a proxy that is not there", func(t *testing.T) {
		url := refusing(t)
		fails(t, get(w.through(url), "get", remote), "proxy of agentproxy at "+url+" is not reachable", "Errno::ECONNREFUSED")
	})
	t.Run("credentials", func(t *testing.T) {
		credentials(t, w, func(w *world) result { return get(w, "get", remote) }, "Who are you")
	})
	t.Run("NO_PROXY", func(t *testing.T) {
		for _, value := range []string{"origin.test", ".test", "test", "x,ORIGIN.TEST:443"} {
			fails(t, get(w.sparing(value), "get", remote), "getaddrinfo")
		}
		for _, value := range []string{"gin.test", "origin.test:80", "sub.origin.test"} {
			works(t, get(w.sparing(value), "get", remote))
		}
	})
	t.Run("loopback", func(t *testing.T) {
		url := refusing(t)
		works(t, get(w.through(url).sparing(""), "get", "https://"+w.local+"/"))
	})
	t.Run("verification", func(t *testing.T) {
		foreign := w.write(t, "foreign.pem", string(proxytest.NewCA(t, "foreign").PEM()))
		fails(t, get(w.with("SSL_CERT_FILE="+foreign), "get", remote), "certificate verify failed")
	})
	t.Run("no proxy", func(t *testing.T) {
		fails(t, get(w.through(""), "get", remote), "getaddrinfo")
	})
	t.Run("the user's own hook", func(t *testing.T) {
		mine := w.write(t, "mine.rb", "puts 'mine'")
		r := get(w.with("RUBYOPT=-r"+mine+" "+hook), "get", remote)
		if r.stdout != "mine\nhello\n" {
			t.Errorf("%v", r)
		}
	})
	w.write(t, "caller.rb", "puts caller_locations.map(&:path).reject { |path| path.start_with?('<internal:') }")
	w.write(t, "warn.rb", "warn 'x', uplevel: 1")
	t.Run("a Ractor that requires", func(t *testing.T) {
		program := w.write(t, "ractor.rb", "p Ractor.new { require 'set'; 1 }.take")
		same(t, without.run(t, ruby, "-W0", "--disable-gems", program), w.run(t, ruby, "-W0", "--disable-gems", program))
	})
	t.Run("two versions of the hook", func(t *testing.T) {
		other := w.write(t, "other.rb", "load '"+hooks.Ruby+"'")
		r := get(w.with("RUBYOPT="+hook+" -r"+other), "get", remote)
		works(t, r)
		if r.stderr != "" {
			t.Errorf("%v", r)
		}
	})
	t.Run("trivial programs", func(t *testing.T) {
		for _, program := range []string{
			"puts 1", "exit 3", "raise 'x'", "Process.kill(:TERM, $$); sleep", "p defined?(Net), $LOAD_PATH", "p require('set'), require('set')",
			"begin; require 'no/such'; rescue LoadError => e; p e.message, e.path; end", "p Kernel.private_method_defined?(:require)",
			"require './caller.rb'", "require './warn.rb'",
			"require 'net/http'; p Net::HTTP.new('a.test', 80).proxy?, Net::HTTP.new('a.test').address",
		} {
			same(t, without.run(t, ruby, "-e", program), w.run(t, ruby, "-e", program))
		}
		for _, option := range []string{"-w", "--disable-gems", "--disable=did_you_mean", "--jit"} {
			same(t, without.run(t, ruby, option, "-e", "require 'json'; p JSON.generate([1])"), w.run(t, ruby, option, "-e", "require 'json'; p JSON.generate([1])"))
		}
	})
}
