package env

import (
	"slices"
	"strings"
)

// Tunnel is what a command's environment must say about the tunnel.
type Tunnel struct {
	URL      string // http://127.0.0.1:PORT
	Host     string // 127.0.0.1
	Port     string
	StateDir string
	// CA is our certificate alone, Bundle the merged roots, both PEM.
	CA, Bundle string
	// JavaStore is the JVM truststore, "" when there is none.
	JavaStore, JavaStorePassword string
	// Wgetrc is a system wgetrc that names the bundle, "" when there is none.
	Wgetrc string
	// Run is the run's identity.
	Run string
}

// caVariable is a variable that names a PEM file of roots.
type caVariable struct {
	name string
	// adds is true when the file is trusted beside the tool's own roots; such a
	// variable gets our certificate alone, a replacing one the merged bundle.
	adds bool
	who  string
}

// caVariables is the superset that is harmless to every tool. SSL_CERT_DIR is
// not touched: it adds to SSL_CERT_FILE, except in curl before 8.3, which
// CURL_CA_BUNDLE reaches (TOOLS.md §1).
var caVariables = []caVariable{
	{"SSL_CERT_FILE", false, "OpenSSL, Go, Python ssl, Ruby, rustls-native tools"},
	{"CURL_CA_BUNDLE", false, "curl, R"},
	{"REQUESTS_CA_BUNDLE", false, "Python requests, pip, aws, gcloud, az"},
	{"PIP_CERT", false, "pip"},
	{"GIT_SSL_CAINFO", false, "git"},
	{"AWS_CA_BUNDLE", false, "aws"},
	{"CARGO_HTTP_CAINFO", false, "cargo"},
	{"NODE_EXTRA_CA_CERTS", true, "Node, bun, deno"},
	{"npm_config_cafile", false, "npm, pnpm and yarn 1, whose npmrc may name a cafile that replaces all roots"},
	{"DENO_CERT", true, "deno"},
	{"NIX_SSL_CERT_FILE", false, "nix"},
	{"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", false, "gcloud, gsutil"},
	{"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", false, "gRPC C-core"},
	{"HTTPLIB2_CA_CERTS", false, "Python httplib2"},
	{"COMPOSER_CAFILE", false, "composer"},
	{"PERL_LWP_SSL_CA_FILE", false, "Perl LWP"},
}

// UserCAs returns the CA files and directories that the environment names; they
// are merged into the bundle, so that what the user trusted stays trusted.
func UserCAs(environ []string) []string {
	var files []string
	for _, v := range caVariables {
		files = append(files, Get(environ, v.name))
	}
	files = append(files, Get(environ, "AGENT_PROXY_CA_BUNDLE_PATH"))
	files = append(files, strings.Split(Get(environ, "SSL_CERT_DIR"), ":")...)
	files = slices.DeleteFunc(files, func(s string) bool { return s == "" })
	slices.Sort(files)
	return slices.Compact(files)
}

// elsewhere are proxy variables that would lead past the tunnel or make a
// client speak plain HTTP to it.
var elsewhere = []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"}

// Base returns the edits that every command gets.
func Base(t Tunnel, environ []string) []Edit {
	var edits []Edit
	set := func(name, value, reason string) {
		edits = append(edits, Edit{Name: name, Value: value, Reason: reason})
	}

	set("HTTPS_PROXY", t.URL, "the tunnel; both cases, because tools read one or the other")
	set("https_proxy", t.URL, "the tunnel; an inherited lower-case value would win")
	noProxy := NoProxy("localhost,127.0.0.1,::1", Get(environ, "NO_PROXY"), Get(environ, "no_proxy"))
	set("NO_PROXY", noProxy, "yours, and loopback, which most tools would send to the proxy")
	set("no_proxy", noProxy, "as NO_PROXY")
	for _, name := range elsewhere {
		if value := Get(environ, name); value != "" && strings.TrimSuffix(value, "/") != t.URL {
			edits = append(edits, Edit{Name: name, Unset: true, Reason: "it points past the tunnel"})
		}
	}
	set("AGENT_PROXY_URL", t.URL, "the tunnel, for programs that ask")
	set("AGENT_PROXY_PORT", t.Port, "its port")
	set("AGENT_PROXY_CA_BUNDLE_PATH", t.Bundle, "roots that verify every host")
	set("AGENT_PROXY_STATE_DIR", t.StateDir, "where its files are")
	set("AGENT_PROXY_RUN", t.Run, "ties failures in the tunnel to this run")

	for _, v := range caVariables {
		file := t.Bundle
		if user := Get(environ, v.name); v.adds && (user == "" || user == t.CA) {
			file = t.CA
		}
		set(v.name, file, "roots for "+v.who)
	}
	set("PERL_LWP_ENV_PROXY", "1", "Perl LWP reads proxy variables only with it")
	if t.Wgetrc != "" && Get(environ, "WGETRC") == "" {
		set("SYSTEM_WGETRC", t.Wgetrc, "wget has no CA variable")
	}
	if t.JavaStore != "" {
		set("JAVA_TOOL_OPTIONS", javaOptions(t, Get(environ, "JAVA_TOOL_OPTIONS"), noProxy), "the JVM reads neither proxy nor CA variables")
	}
	return edits
}

// javaOptions adds our properties to the user's options. The last of two equal
// properties counts, so the tunnel is ours; a truststore that the user chose is
// left alone.
func javaOptions(t Tunnel, user, noProxy string) string {
	var options []string
	if !strings.Contains(user, "-Djavax.net.ssl.trustStore=") {
		options = append(options, "-Djavax.net.ssl.trustStore="+t.JavaStore, "-Djavax.net.ssl.trustStorePassword="+t.JavaStorePassword)
	}
	options = append(options,
		"-Dhttps.proxyHost="+t.Host, "-Dhttps.proxyPort="+t.Port, "-Dhttp.nonProxyHosts="+NonProxyHosts(noProxy),
		// Maven 3.9 and 4 read the two above only with these (maven-resolver's configuration page).
		"-Daether.connector.http.useSystemProperties=true", "-Daether.transport.apache.useSystemProperties=true")
	for i, o := range options {
		if strings.ContainsAny(o, " \t") {
			options[i] = `"` + o + `"`
		}
	}
	if user = stripJava(user, options); user != "" {
		options = append([]string{user}, options...)
	}
	return strings.Join(options, " ")
}

// stripJava removes from the user's value what an outer run of ours has added,
// so that an exec in an exec adds nothing twice.
func stripJava(user string, options []string) string {
	for _, o := range options {
		user = strings.ReplaceAll(user, o, "")
	}
	return strings.Join(strings.Fields(user), " ")
}
