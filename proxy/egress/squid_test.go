package egress_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/policy"
	"github.com/agentproxy/agentproxy/proxy/proxytest"
	"github.com/agentproxy/agentproxy/proxy/proxytest/leftout"
	"github.com/agentproxy/agentproxy/proxy/rundir"
)

// squidVariable names the Squid to compare with; it is built with ssl-crtd.
const squidVariable = "AGENTPROXY_TEST_SQUID"

// TestRequestRulesAgainstSquid sends testdata/requests.txt through a Squid that
// re-terminates TLS, with the same policies as lists of dstdomain, method and url_regex.
// Where it decides otherwise than we do stands in testdata/squid.txt, with the reason.
func TestRequestRulesAgainstSquid(t *testing.T) {
	program := os.Getenv(squidVariable)
	if program == "" {
		leftout.Note(t, "rules on requests beside Squid's; "+squidVariable+" names one")
		return
	}
	var seen atomic.Value
	root := proxytest.NewCA(t, "root")
	origin := proxytest.Origin(t, root.Issue(t, nil, nil, "origin.test"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Method + " " + r.RequestURI)
	}), onlyHTTP1, generalOptions)
	_, port, err := net.SplitHostPort(origin)
	if err != nil {
		t.Fatal(err)
	}
	all := scenarios(t)
	squid := startSquid(t, program, root, all)
	var differences, rewritten []string
	same, count := 0, 0
	for i, s := range all {
		for _, a := range s.asked {
			count++
			seen.Store("")
			squid.ask(t, i, "origin.test:"+port, a)
			saw := seen.Load().(string)
			switch {
			case saw != "" && a.sent == "":
				differences = append(differences, s.name+": "+a.request()+": Squid lets it pass")
			case saw == "" && a.sent != "":
				differences = append(differences, s.name+": "+a.request()+": Squid refuses it")
			case saw != a.sent:
				rewritten = append(rewritten, fmt.Sprintf("%s: Squid sends %q", a.line, saw))
				same++
			default:
				same++
			}
		}
	}
	explained := readDifferences(t)
	t.Logf("%d requests, %d decided alike (%d of them sent on in another spelling), %d otherwise", count, same, len(rewritten), len(differences))
	for _, d := range differences {
		if why, ok := explained[d]; ok {
			t.Logf("%s, because %s", d, why)
			delete(explained, d)
		} else {
			t.Errorf("%s, for no known reason", d)
		}
	}
	for d := range explained {
		t.Errorf("it is no longer so: %s", d)
	}
}

// request is what is asked, without what is expected.
func (a asked) request() string {
	text := a.method + " " + a.target
	if a.header != nil {
		text += fmt.Sprintf(" [%s: %s]", a.header[0], a.header[1])
	}
	return text
}

// readDifferences reads testdata/squid.txt: each difference with its reason.
func readDifferences(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/squid.txt")
	if err != nil {
		t.Fatal(err)
	}
	explained, why := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch reason, begins := strings.CutPrefix(line, "== "); {
		case line == "" || strings.HasPrefix(line, "#"):
		case begins:
			why = reason
		default:
			explained[line] = why
		}
	}
	return explained
}

// squid is a Squid with a port for each policy.
type squid struct {
	ports  []int
	client *tls.Config
}

func startSquid(t *testing.T, program string, root *proxytest.CA, all []scenario) *squid {
	t.Helper()
	state := filepath.Join(t.TempDir(), "ca")
	dir, err := os.MkdirTemp("", "squid") // a test's own directory is closed to the user of a Squid of root's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	authority, err := ca.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	certgen := ""
	for _, lib := range []string{"/usr/lib/squid", "/usr/libexec/squid"} {
		if name := filepath.Join(lib, "security_file_certgen"); certgen == "" && exec.Command("test", "-x", name).Run() == nil {
			certgen = name
		}
	}
	pem := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := os.ReadFile(filepath.Join(state, rundir.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(certgen, "-c", "-s", filepath.Join(dir, "certificates"), "-M", "4MB").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	q := &squid{client: &tls.Config{ServerName: "origin.test", RootCAs: roots, NextProtos: []string{"http/1.1"}}}
	var conf bytes.Buffer
	fmt.Fprintf(&conf, "sslcrtd_program %s -s %s/certificates -M 4MB\nssl_bump bump all\ntls_outgoing_options cafile=%s\nhosts_file %s\n",
		certgen, dir, pem("root.pem", root.PEM()), pem("hosts", []byte("127.0.0.1 origin.test\n")))
	cert, secret := pem("cert.pem", authority.PEM()), pem("key.pem", key)
	for i, s := range all {
		q.ports = append(q.ports, freePort(t))
		fmt.Fprintf(&conf, "http_port 127.0.0.1:%d name=p%d ssl-bump tls-cert=%s tls-key=%s generate-host-certificates=on\n", q.ports[i], i, cert, secret)
		writeACLs(t, &conf, i, s.rules)
	}
	fmt.Fprintf(&conf, "http_access deny all\ncache deny all\naccess_log none\ncache_log %[1]s/cache.log\npid_filename %[1]s/squid.pid\ncoredump_dir %[1]s\npinger_enable off\nshutdown_lifetime 0 seconds\nvisible_hostname squid.test\ncache_effective_user proxy\n", dir)
	conf.WriteString("acl CONNECT method CONNECT\n")
	file := pem("squid.conf", conf.Bytes())
	if os.Geteuid() == 0 {
		giveAway(t, dir)
	}
	cmd := exec.Command(program, "--foreground", "-n", "agentproxy"+strconv.Itoa(os.Getpid()), "-f", file)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
		if t.Failed() {
			log, err := os.ReadFile(filepath.Join(dir, "cache.log"))
			t.Logf("%s\n%s\n%s, error %v", conf.Bytes(), said.Bytes(), log, err)
		}
	})
	for end := time.Now().Add(guard); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", q.ports[len(q.ports)-1]))
		if err == nil {
			conn.Close()
			return q
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// giveAway gives a directory to the user that a Squid of root's runs as, and lets it in.
func giveAway(t *testing.T, dir string) {
	t.Helper()
	u, err := user.Lookup("proxy")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, -1)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// writeACLs writes a policy as an administrator of Squid would: what is denied first, then
// what is allowed, then the rest. CONNECT is let pass, since the requests come within.
func writeACLs(t *testing.T, w io.Writer, i int, rules policy.Rules) {
	t.Helper()
	fmt.Fprintf(w, "acl p%d myportname p%d\nacl connect%d method CONNECT\nhttp_access allow p%d connect%d\n", i, i, i, i, i)
	n := 0
	for _, list := range []struct {
		verb    string
		entries []string
	}{{"deny", rules.Deny}, {"allow", rules.Allow}} {
		for _, entry := range list.entries {
			for _, a := range acls(t, entry) {
				n++
				name := fmt.Sprintf("p%dr%d", i, n)
				access := fmt.Sprintf("http_access %s p%d", list.verb, i)
				for _, is := range [][2]string{{"dstdomain", a.domain}, {"method", a.methods}, {"url_regex", a.url}} {
					if is[1] != "" {
						fmt.Fprintf(w, "acl %s%s %s %s\n", name, is[0], is[0], is[1])
						access += " " + name + is[0]
					}
				}
				fmt.Fprintln(w, access)
			}
		}
	}
	if rules.Default == "allow" {
		fmt.Fprintf(w, "http_access allow p%d\n", i)
	}
}

// acl is what is true of a request together; "" is whatever it is.
type acl struct{ domain, methods, url string }

// acls is an entry of ours in Squid's words. Squid reads a URL after it has decoded it
// once.
func acls(t *testing.T, entry string) []acl {
	t.Helper()
	fields := strings.Fields(entry)
	var a acl
	if regexp.MustCompile(`^[A-Z,]+$`).MatchString(fields[0]) {
		a.methods = strings.ReplaceAll(fields[0], ",", " ")
		fields = fields[1:]
	}
	host, path, hasPath := strings.Cut(fields[0], "/")
	if host != "*" {
		a.domain = strings.TrimPrefix(host, "*")
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		t.Fatal(err)
	}
	before := `^https://[^/]*`
	if len(fields) == 1 {
		if hasPath {
			a.url = before + pathRegexp(path) + `(\?.*)?$`
		}
		return []acl{a}
	}
	repository := "(/[^?]*)?"
	if hasPath {
		repository = pathRegexp(strings.TrimSuffix(path, ".git")) + `(\.git)?`
	}
	service := map[string]string{"fetch": "git-upload-pack", "push": "git-receive-pack"}[fields[1]]
	return []acl{
		{a.domain, "GET", before + repository + `/info/refs\?service=` + service + `$`},
		{a.domain, "POST", before + repository + "/" + service + `$`},
	}
}

// pathRegexp is a path's pattern, without its first slash.
func pathRegexp(pattern string) string {
	var b strings.Builder
	for segment := range strings.SplitSeq(pattern, "/") {
		if segment == "**" {
			b.WriteString(`(/[^?]*)?`)
			continue
		}
		literal := strings.Split(segment, "*")
		for i := range literal {
			literal[i] = regexp.QuoteMeta(literal[i])
		}
		b.WriteString("/" + strings.Join(literal, `[^/?]*`))
	}
	return b.String()
}

// ask sends one request under a policy, on a connection of its own.
func (q *squid) ask(t *testing.T, policy int, authority string, a asked) {
	t.Helper()
	raw, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", q.ports[policy]))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(guard))
	fmt.Fprintf(raw, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", authority)
	res, err := http.ReadResponse(bufio.NewReader(raw), &http.Request{Method: http.MethodConnect})
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT: %v, %v", res, err)
	}
	conn := tls.Client(raw, q.client)
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", a.method, strings.Replace(a.target, "https://origin.test", "https://"+authority, 1), authority)
	if a.header != nil {
		head += fmt.Sprintf("%s: %s\r\n", a.header[0], a.header[1])
		if a.header[0] == "Upgrade" {
			head = strings.Replace(head, "Connection: close", "Connection: upgrade", 1)
		}
	}
	body := "\r\n"
	if hasBody(a.method) {
		body = "Content-Length: 4\r\n\r\nbody"
	}
	if _, err := io.WriteString(conn, head+body); err != nil {
		t.Fatalf("%s: %v", a.line, err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: a.method})
	if err != nil {
		t.Fatalf("%s: %v", a.line, err)
	}
	defer answer.Body.Close()
	if !slices.Contains([]int{200, 403}, answer.StatusCode) {
		t.Logf("%s: Squid answers %s", a.line, answer.Status)
	}
}
