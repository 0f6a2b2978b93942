package env

import "strings"

// Tunnel is what a command's environment must say about the tunnel.
type Tunnel struct {
	URL      string // http://127.0.0.1:PORT
	Host     string // 127.0.0.1
	Port     string
	StateDir string
	// PublicDir is where files for tools go, which may be read by others than their
	// owner; it is the state directory where there is no need of another.
	PublicDir string
	// CA is our certificate alone, Bundle the merged roots, both PEM.
	CA, Bundle string
	// JavaStore is the JVM truststore.
	JavaStore, JavaStorePassword string
	// Run is the run's identity.
	Run string
	// Config is the configuration file that was named, Upstream the proxy that the
	// environment named before the tunnel took its place; "" for none.
	Config, Upstream string
}

// Loopback never goes through the tunnel.
const Loopback = "localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0"

// Facts returns what templates may name about the tunnel, for a command with
// this environment.
func (t Tunnel) Facts(environ []string) map[string]string {
	noProxy := NoProxy(Loopback, Get(environ, "NO_PROXY"), Get(environ, "no_proxy"))
	facts := map[string]string{
		"url": t.URL, "host": t.Host, "port": t.Port, "state": t.StateDir, "ca": t.CA, "bundle": t.Bundle,
		"java_store": t.JavaStore, "java_password": t.JavaStorePassword, "run": t.Run,
		"no_proxy": noProxy, "non_proxy_hosts": NonProxyHosts(noProxy),
	}
	for name, value := range map[string]string{"config": t.Config, "upstream": t.Upstream} {
		if value != "" { // what names a fact that is not there is left out
			facts[name] = value
		}
	}
	return facts
}

// Ours reports whether a value is one that we have set: the tunnel's address, or a
// file in its state directory.
func (t Tunnel) Ours(value string) bool {
	below := func(dir string) bool { return dir != "" && strings.HasPrefix(value, dir+"/") }
	return value != "" && (strings.TrimSuffix(value, "/") == t.URL || below(t.StateDir) || below(t.PublicDir))
}
