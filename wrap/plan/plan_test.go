package plan

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentproxy/agentproxy/profiles"
	"github.com/agentproxy/agentproxy/profiles/detect"
	"github.com/agentproxy/agentproxy/profiles/env"
	"github.com/agentproxy/agentproxy/wrap/gitenv"
	gocmp "github.com/google/go-cmp/cmp"
)

var tunnel = env.Tunnel{URL: "http://127.0.0.1:4711", Host: "127.0.0.1", Port: "4711", StateDir: "/s", CA: "/s/ca.crt", Bundle: "/s/bundle.crt",
	JavaStore: "/s/java.p12", JavaStorePassword: "changeit", Run: "R"}

// imagined is a machine with these files and versions, and every program in /bin.
func imagined(environ []string, files, versions map[string]string) detect.System {
	return detect.System{
		Environ: environ, Home: "/home", Dir: "/home/project",
		LookPath: func(name string) string { return "/bin/" + filepath.Base(name) },
		Exists:   func(path string) bool { _, ok := files[path]; return ok },
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		},
		Version: func(program string, _ profiles.Probe) string { return versions[filepath.Base(program)] },
	}
}

func planned(t *testing.T, argv []string, w detect.System) Plan {
	t.Helper()
	survey, err := detect.Command(profiles.Open(""), argv, w)
	if err != nil {
		t.Fatal(err)
	}
	git := gitenv.Detect(gitenv.System{System: w, Config: func() []byte { return nil }}, nil)
	return New(Input{Argv: argv, Environ: w.Environ, Tunnel: tunnel, Detected: survey, Git: git})
}

func TestPlanOfUnknownCommand(t *testing.T) {
	before := []string{"PATH=/bin", "http_proxy=http://elsewhere:1", "ALL_PROXY=socks5://x", "NO_PROXY=corp.test", "no_proxy=low.test", "NODE_EXTRA_CA_CERTS=/mine.pem", "JAVA_TOOL_OPTIONS=-Xmx1g", "GIT_SSL_NO_VERIFY=0"}
	p := planned(t, []string{"unknown"}, imagined(before, nil, nil))
	for name, want := range map[string]string{
		"PATH": "/bin", "HTTPS_PROXY": tunnel.URL, "https_proxy": tunnel.URL, "http_proxy": "", "ALL_PROXY": "",
		"NO_PROXY": "localhost,127.0.0.1,::1,.localhost,127.0.0.0/8,0.0.0.0,corp.test,.corp.test,low.test,.low.test", "SSL_CERT_FILE": tunnel.Bundle,
		"NODE_EXTRA_CA_CERTS": tunnel.Bundle, // the user's own is in the bundle
		"DENO_CERT":           tunnel.CA,     // adds to the tool's roots
		"AGENT_PROXY_PORT":    "4711", "AGENT_PROXY_RUN": "R", "HTTP_PROXY": "", "GIT_SSL_NO_VERIFY": "", "HTTPS_CA_FILE": "", "NODE_OPTIONS": "",
	} {
		if got := env.Get(p.Environ, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if _, set := env.Lookup(p.Environ, "GIT_SSL_NO_VERIFY"); set {
		t.Error("GIT_SSL_NO_VERIFY switches verification off, whatever its value")
	}
	java := env.Get(p.Environ, "JAVA_TOOL_OPTIONS")
	if !strings.HasPrefix(java, "-Xmx1g ") || !strings.Contains(java, "-Dhttps.proxyPort=4711") {
		t.Errorf("JAVA_TOOL_OPTIONS = %q", java)
	}
	for _, c := range p.Changes {
		if c.Reason == "" {
			t.Errorf("%s is changed without a reason", c.Name)
		}
	}
	again := planned(t, []string{"unknown"}, imagined(p.Environ, nil, nil))
	if diff := gocmp.Diff(p.Environ, again.Environ); diff != "" {
		t.Errorf("an exec in an exec (-once +twice):\n%s", diff)
	}
}

// A variable that some programs refuse is changed where the user has set it, and
// added where the command needs it.
func TestAWSBundle(t *testing.T) {
	config := map[string]string{"/home/.aws/config": "[default]\nca_bundle = /corp.pem\n"}
	for _, test := range []struct {
		command string
		environ []string
		files   map[string]string
		want    string
	}{
		{"rclone", nil, nil, ""},
		{"rclone", []string{"AWS_CA_BUNDLE=/mine.pem"}, nil, tunnel.Bundle},
		{"python3", nil, config, tunnel.Bundle},
		{"aws", nil, nil, tunnel.Bundle},
	} {
		p := planned(t, []string{test.command}, imagined(test.environ, test.files, nil))
		if got := env.Get(p.Environ, "AWS_CA_BUNDLE"); got != test.want {
			t.Errorf("%s with %q and %q: %q, want %q", test.command, test.environ, test.files, got, test.want)
		}
	}
}

// The hooks go to whatever may start a program of their languages.
func TestHooksOfWhatMayStartAnything(t *testing.T) {
	script := map[string]string{"/bin/s3cmd": "#!/usr/bin/python3\n"}
	for _, command := range []string{"make", "ninja", "cmake", "npm", "go", "perl", "s3cmd", "sh", "unknown", "git commit", "git alias",
		"sh -c .~./set.sh", "sh -c source~set.sh", "sh -c find~.~-exec~x", "sh -c trap~x~EXIT", "sh -c $V~x"} {
		w := imagined(nil, script, map[string]string{"node": "20.1.0"})
		argv := strings.Fields(command)
		argv[len(argv)-1] = strings.ReplaceAll(argv[len(argv)-1], "~", " ")
		survey, err := detect.Command(profiles.Open(""), argv, w)
		if err != nil {
			t.Fatal(err)
		}
		in := Input{Argv: argv, Tunnel: tunnel, Detected: survey, Git: gitenv.Detect(gitenv.System{System: w, Config: func() []byte { return nil }}, nil),
			Facts: map[string]string{"preload.python": "/h/python", "preload.node": "/h/node.cjs", "preload.ruby": "/h/ruby.rb", "preload.php": "/h/php"}}
		p := New(in)
		for _, name := range []string{"PYTHONPATH", "NODE_OPTIONS", "RUBYOPT", "PHP_INI_SCAN_DIR"} {
			if !strings.Contains(env.Get(p.Environ, name), "/h/") {
				t.Errorf("%s: %s = %q", command, name, env.Get(p.Environ, name))
			}
		}
	}
}

func TestFilesKeepWhatTheUserHas(t *testing.T) {
	system := map[string]string{"/etc/wgetrc": "tries = 3\n", "/mine": "tries = 4\n",
		"/s/files/x/wgetrc": "tries = 5\nca_certificate = /s/bundle.crt\n"} // an outer exec's
	for variable, want := range map[string]string{"PATH=/bin": "tries = 3\n", "SYSTEM_WGETRC=/mine": "tries = 4\n", "SYSTEM_WGETRC=/s/files/x/wgetrc": "tries = 5\n"} {
		p := planned(t, []string{"unknown"}, imagined([]string{variable}, system, nil))
		path := env.Get(p.Environ, "SYSTEM_WGETRC")
		i := slices.IndexFunc(p.Files, func(f File) bool { return f.Path == path })
		if i < 0 || !strings.HasPrefix(path, "/s/files/") {
			t.Fatalf("%s is not among the files", path)
		}
		if got := string(p.Files[i].Content); got != want+"ca_certificate = /s/bundle.crt\n" {
			t.Errorf("%s: got %q", variable, got)
		}
	}
}

func TestCAs(t *testing.T) {
	environ := []string{"SSL_CERT_FILE=/a", "CURL_CA_BUNDLE=/a", "SSL_CERT_DIR=/d1:/d2", "PIP_CERT=", "AGENT_PROXY_CA_BUNDLE_PATH=/outer"}
	survey, err := detect.Command(profiles.Open(""), []string{"unknown"}, imagined(environ, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]string{"/a", "/d1", "/d2", "/outer"}, CAs(survey, &gitenv.Git{}, tunnel, environ)); diff != "" {
		t.Error(diff)
	}
}

// What users of a few tools see: the narrowest carrier each reads, their own
// settings kept, and nothing that a JVM would print.
func TestToolsPlans(t *testing.T) {
	files := map[string]string{
		"/home/.wgetrc":                   "user_agent = mine\nhttps_proxy = http://elsewhere:1\ncheck_certificate = off\n",
		"/home/.gradle/gradle.properties": "systemProp.https.proxyHost=elsewhere\n",
		"/home/.m2/settings.xml":          "<!-- <proxy><host>no</host></proxy> --><proxies><proxy><active>false</active><host>off</host></proxy>\n<proxy><active>true</active><host>on</host></proxy></proxies>",
		"/home/.config/nix/nix.conf":      "ssl-cert-file = mine.pem\n",
		"/home/project/.sentryclirc":      "[http]\nverify_ssl = false\n",
		"/home/project/.mvn/jvm.config":   "-Xmx1g\n-Djavax.net.ssl.trustStore=/mine.p12\n",
		"/etc/apt/apt.conf.d/95proxies":   "Acquire::https::Proxy \"http://elsewhere:1\";\n",
		"/etc/apt/apt.conf":               "Acquire::https::Verify-Peer \"false\";\n",
		"/bin/build.sh":                   "#!/bin/sh\napt-get update && java -jar x.jar",
		"/home/.azure/config":             "[core]\ndisable_connection_verification = yes\n",
		"/home/project/composer.json":     `{"config": {"cafile": "own.pem"}}`,
		"/home/.gemrc":                    ":ssl_ca_cert: /own/ca.pem\n",
		"/home/.w3m/config":               "https_proxy http://elsewhere:1/\n",
		"/home/.config/gcloud/properties": "[core]\nproject = p\n[proxy]\ntype = socks5\naddress = elsewhere\n",
		"/home/.cabal/config":             "repository hackage.haskell.org\n  url: http://hackage.haskell.org/\n",
		"/home/.kube/config":              "  certificate-authority-data: QQ==\n",
		"/home/.aria2/aria2.conf":         "all-proxy=http://elsewhere:1\n",
		"/home/.docker/config.json":       "{\n  \"proxies\": {\"default\": {\"httpsProxy\": \"http://elsewhere:1\"}}}",
		"/home/.bazelrc":                  "startup --host_jvm_args=-Djavax.net.ssl.trustStore=/own.p12\n",
		"/home/.boto":                     "[Boto]\nproxy = elsewhere\n",
		"/home/.nuget/NuGet/NuGet.Config": "<add key=\"http_proxy\" value=\"http://elsewhere:1\" />",
		"/home/.bundle/config":            "---\nBUNDLE_SSL_VERIFY_MODE: \"0\"\n",
	}
	for _, c := range []struct {
		run string
		// argv is what is run in its place, "" for the same.
		argv string
		// environ are variables that hold these texts; one with a "!" must not be
		// set, or not hold it.
		environ map[string]string
		// conflicts are "code overruled" or "code stays".
		conflicts string
	}{
		{run: "mvn verify", conflicts: "maven_settings_proxy stays, maven_jvm_config_trust_store overruled", environ: map[string]string{
			"MAVEN_OPTS": "-Xss2m -Djavax.net.ssl.trustStore=/s/java.p12 ", "!JAVA_TOOL_OPTIONS": ""}},
		{run: "java -jar x.jar", argv: "java -Djavax.net.ssl.trustStore=/s/java.p12 -Djavax.net.ssl.trustStorePassword=changeit " +
			"-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4711 -Dhttp.nonProxyHosts=localhost|127.*|[::1]|*.localhost|0.0.0.0 -jar x.jar", environ: map[string]string{"!JAVA_TOOL_OPTIONS": ""}},
		{run: "java -Djavax.net.ssl.trustStore=own -Dhttps.proxyHost=own X"},
		{run: "./build.sh", conflicts: "apt_conf_https_proxy stays, apt_conf_verify_peer stays", environ: map[string]string{"JAVA_TOOL_OPTIONS": "-Dhttps.proxyPort=4711", "APT_CONFIG": "/s/files/"}},
		{run: "gradle build", argv: "gradle -Djavax.net.ssl.trustStore=/s/java.p12 -Djavax.net.ssl.trustStorePassword=changeit " +
			"-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4711 -Dhttp.nonProxyHosts=localhost|127.*|[::1]|*.localhost|0.0.0.0 build",
			conflicts: "gradle_properties_proxy overruled", environ: map[string]string{"!GRADLE_OPTS": ""}},
		{run: "sh gradlew build", argv: "sh gradlew -Djavax.net.ssl.trustStore=/s/java.p12 -Djavax.net.ssl.trustStorePassword=changeit " +
			"-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4711 -Dhttp.nonProxyHosts=localhost|127.*|[::1]|*.localhost|0.0.0.0 build", conflicts: "gradle_properties_proxy overruled"},
		{run: "bazel build x", argv: "bazel --host_jvm_args=-Djavax.net.ssl.trustStore=/s/java.p12 --host_jvm_args=-Djavax.net.ssl.trustStorePassword=changeit build x",
			conflicts: "bazelrc_trust_store overruled"},
		{run: "openssl s_client -connect a.test:443", argv: "openssl s_client -proxy 127.0.0.1:4711 -connect a.test:443"},
		{run: "openssl s_client -connect localhost:443"},
		{run: "openssl x509 -in a.pem"},
		{run: "bundle exec rake", environ: map[string]string{"http_proxy": tunnel.URL, "GEMRC": "/s/files/", "BUNDLE_SSL_CA_CERT": "/s/bundle.crt", "BUNDLE_SSL_VERIFY_MODE": "1"},
			conflicts: "bundle_config_ssl_verify_mode overruled"},
		{run: "gem install x", environ: map[string]string{"GEMRC": "/s/files/"}, conflicts: "gemrc_ssl_ca_cert overruled"},
		{run: "wget https://a.test/", environ: map[string]string{"WGETRC": "/s/files/"}, conflicts: "wgetrc_https_proxy overruled, wgetrc_check_certificate overruled"},
		{run: "gsutil ls", environ: map[string]string{"BOTO_PATH": "/etc/boto.cfg:~/.boto:/s/files/", "CLOUDSDK_PROXY_PORT": "4711"}, conflicts: "boto_proxy stays, gcloud_config_proxy overruled"},
		{run: "aria2c https://a.test/x", argv: "aria2c --ca-certificate=/s/bundle.crt --https-proxy=http://127.0.0.1:4711 https://a.test/x", conflicts: "aria2_conf_https_proxy overruled"},
		{run: "nix build", environ: map[string]string{"NIX_CONFIG": "ssl-cert-file = /s/bundle.crt"}, conflicts: "nix_conf_ssl_cert_file overruled"},
		{run: "composer install", environ: map[string]string{"COMPOSER_CAFILE": "/s/bundle.crt"}, conflicts: "composer_config_cafile overruled"},
		{run: "apt-get -q update", argv: "apt-get -o Acquire::https::Proxy=http://127.0.0.1:4711 -o Acquire::https::CAInfo=/s/bundle.crt " +
			"-o APT::Sandbox::User=root -o Acquire::https::Verify-Peer=true -q update", conflicts: "apt_conf_https_proxy overruled, apt_conf_verify_peer overruled"},
		{run: "cabal update", conflicts: "cabal_config_http_repository stays"},
		{run: "kubectl get pods", conflicts: "kubeconfig_certificate_authority stays"},
		{run: "docker pull x", conflicts: "docker_config_proxies stays"},
		{run: "dotnet restore", conflicts: "nuget_config_http_proxy stays"},
		{run: "az login", conflicts: "azure_config_disable_connection_verification stays"},
		{run: "sentry-cli info", conflicts: "sentryclirc_verify_ssl stays"},
	} {
		p := planned(t, strings.Fields(c.run), imagined([]string{"MAVEN_OPTS=-Xss2m"}, files, nil))
		if want := cmp.Or(c.argv, c.run); strings.Join(p.Argv, " ") != want {
			t.Errorf("%s: runs\n%s, want\n%s", c.run, strings.Join(p.Argv, " "), want)
		}
		for name, want := range c.environ {
			if absent, ok := strings.CutPrefix(name, "!"); ok {
				if _, set := env.Lookup(p.Environ, absent); set {
					t.Errorf("%s: %s is set", c.run, absent)
				}
			} else if got := env.Get(p.Environ, name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q without %q", c.run, name, got, want)
			}
		}
		var conflicts []string
		for _, k := range p.Conflicts {
			conflicts = append(conflicts, k.Code+map[bool]string{true: " overruled", false: " stays"}[k.Overruled])
			if !k.Overruled && k.Advice == "" {
				t.Errorf("%s: nothing is said about %s", c.run, k.Code)
			}
		}
		if got := strings.Join(conflicts, ", "); got != c.conflicts {
			t.Errorf("%s: conflicts %q, want %q", c.run, got, c.conflicts)
		}
	}
}

// A setting that is overruled by a file leaves the user's others in it.
func TestOverrulingFileKeepsTheUsersOthers(t *testing.T) {
	p := planned(t, []string{"wget", "https://a.test/"}, imagined(nil, map[string]string{"/home/.wgetrc": "user_agent = mine\nhttps_proxy = http://elsewhere:1\n"}, nil))
	for _, f := range p.Files {
		if f.Path == env.Get(p.Environ, "WGETRC") {
			want := "user_agent = mine\nhttps_proxy = http://elsewhere:1\nca_certificate = /s/bundle.crt\ncheck_certificate = on\nuse_proxy = on\nhttps_proxy = http://127.0.0.1:4711\n"
			if diff := gocmp.Diff(want, string(f.Content)); diff != "" {
				t.Error(diff)
			}
			return
		}
	}
	t.Errorf("WGETRC=%s is not among %v", env.Get(p.Environ, "WGETRC"), p.Files)
}

// A user's truststore in a variable that the JVM reads is merged into ours, which
// stands behind it there: of two the last counts.
func TestUsersTrustStoreIsMerged(t *testing.T) {
	const users = "-Djavax.net.ssl.trustStore=/mine.jks"
	for _, command := range []string{"unknown", "java", "mvn", "gradle", "ant", "sbt", "kotlinc", "clojure", "jshell"} {
		for _, variable := range []string{"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS"} {
			in := imagined([]string{variable + "=" + users}, nil, nil)
			p := planned(t, []string{command, "x"}, in)
			value := env.Get(p.Environ, variable)
			if !strings.HasPrefix(value, users+" ") || strings.Count(value, "trustStore=/s/") != 1 {
				t.Errorf("%s: %s=%s", command, variable, value)
			}
			survey, err := detect.Command(profiles.Open(""), []string{command, "x"}, in)
			if err != nil {
				t.Fatal(err)
			}
			if roots := CAs(survey, &gitenv.Git{}, tunnel, in.Environ); !slices.Contains(roots, "/mine.jks") {
				t.Errorf("%s: its roots are not among %v", command, roots)
			}
		}
	}
}

// A variable that would be longer than the kernel takes is left alone, with a word.
func TestAVariableNearTheLimit(t *testing.T) {
	for _, c := range []struct {
		length int
		left   bool
	}{{1000, false}, {maxVariable - 200, true}} {
		user := "-Dx=" + strings.Repeat("y", c.length)
		plan := New(Input{Argv: []string{"true"}, Environ: []string{"LONG=" + user}, Git: &gitenv.Git{}, Detected: &detect.Detection{
			Env: []profiles.Env{{Append: "LONG", Value: profiles.Template("-Dadded=" + strings.Repeat("z", 300)), Reason: "a test"}}}})
		if left := len(plan.Left) == 1 && strings.HasPrefix(plan.Left[0], "LONG: yours is near the limit"); left != c.left {
			t.Errorf("%d bytes: left %v", c.length, plan.Left)
		}
		if changed := env.Get(plan.Environ, "LONG") != user; changed == c.left {
			t.Errorf("%d bytes: changed %v", c.length, changed)
		}
	}
}

// What takes the environment away is known by its flags.
func TestResets(t *testing.T) {
	for line, want := range map[string]int{
		"sudo curl x": 1, "sudo -u dev curl x": 1, "sudo -E curl x": 0, "sudo -u dev -E curl x": 0, "sudo -EH curl x": 0, "sudo --preserve-env=A,B curl x": 0,
		"sudo curl -E x": 1, "env A=b curl x": 0, "env -i curl x": 1, "env - curl x": 1, "env -u A -i curl x": 1, "env curl -i x": 0, "su dev -c x": 0, "su - dev": 1, "su -l dev": 1, "sudo -E env -i curl": 1,
	} {
		world := detect.System{LookPath: func(name string) string { return "/usr/bin/" + name }, Exists: func(string) bool { return false },
			ReadFile: func(string) ([]byte, error) { return nil, os.ErrNotExist }, Version: func(string, profiles.Probe) string { return "" }}
		survey, err := detect.Command(profiles.Open(""), strings.Fields(line), world)
		if err != nil {
			t.Fatal(err)
		}
		if plan := New(Input{Argv: strings.Fields(line), Git: &gitenv.Git{}, Detected: survey}); len(plan.Resets) != want {
			t.Errorf("%s: %v", line, plan.Resets)
		}
	}
}
