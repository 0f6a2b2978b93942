package env

import "strings"

// Tunnel is what a command's environment must say about the tunnel.
type Tunnel struct {
	URL      string // http://127.0.0.1:PORT
	Host     string // 127.0.0.1
	Port     string
	StateDir string
	// CA is our certificate alone, Bundle the merged roots, both PEM.
	CA, Bundle string
	// JavaStore is the JVM truststore.
	JavaStore, JavaStorePassword string
	// Run is the run's identity.
	Run string
}

// Loopback never goes through the tunnel.
const Loopback = "localhost,127.0.0.1,::1"

// Facts returns what templates may name about the tunnel, for a command with
// this environment.
func (t Tunnel) Facts(environ []string) map[string]string {
	noProxy := NoProxy(Loopback, Get(environ, "NO_PROXY"), Get(environ, "no_proxy"))
	return map[string]string{
		"url": t.URL, "host": t.Host, "port": t.Port, "state": t.StateDir, "ca": t.CA, "bundle": t.Bundle,
		"java_store": t.JavaStore, "java_password": t.JavaStorePassword, "run": t.Run,
		"no_proxy": noProxy, "non_proxy_hosts": NonProxyHosts(noProxy),
	}
}

// Ours tells that a value is one that we have set: the tunnel's address, or a
// file in its state directory.
func (t Tunnel) Ours(value string) bool {
	return value != "" && (strings.TrimSuffix(value, "/") == t.URL || strings.HasPrefix(value, t.StateDir+"/"))
}
