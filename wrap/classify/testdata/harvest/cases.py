"""What harvest.py runs."""
import glob
import os
import re

import origin

# Words of failures, as sources, tests and documents hold them.
WORDS = [
    "unable to verify the first certificate", "self-signed certificate in certificate chain", "unable to get local issuer certificate",
    "x509: certificate signed by unknown authority", "certificate has expired", "getaddrinfo ENOTFOUND api.example.com",
    "Could not resolve host: api.example.com", "connect ECONNREFUSED 127.0.0.1:3128", "Proxy CONNECT aborted",
    "Received HTTP code 403 from proxy after CONNECT", "407 Proxy Authentication Required", "tunneling socket could not be established, statusCode=403",
    "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate (_ssl.c:1006)",
    "HTTPSConnectionPool(host='api.example.com', port=443): Max retries exceeded with url: /v1 (Caused by ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 403 Forbidden')))",
    "dial tcp: lookup api.example.com: no such host", "proxyconnect tcp: dial tcp 127.0.0.1:3128: connect: connection refused",
    "Hostname/IP does not match certificate's altnames: Host: api.example.com. is not in the cert's altnames: DNS:other.example.net",
    "remote error: tls: bad certificate", "tls: first record does not look like a TLS handshake", "read ECONNRESET", "socket hang up",
    "Name or service not known", "Temporary failure in name resolution", "PKIX path building failed: unable to find valid certification path to requested target",
    "SSL_ERROR_SYSCALL in connection to api.example.com:443", "403 Forbidden", "405 Method Not Allowed", "client sent an HTTP request to an HTTPS server",
    "ssh: connect to host git.example.com port 22: Connection timed out", "error:0A000086:SSL routines::certificate verify failed",
    "error:0A00010B:SSL routines::wrong version number", "SSL certificate problem: unable to get local issuer certificate", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "DEPTH_ZERO_SELF_SIGNED_CERT", "the public key does not match pinned public key", "connection timed out", "Connection reset by peer", "invalid peer certificate: UnknownIssuer",
    "Host key verification failed.", "EOF occurred in violation of protocol (_ssl.c:1006)",
]


SEED = int(os.environ.get("SEED", "0"))  # another round takes other words


def two(i):
    i += SEED
    return WORDS[i % len(WORDS)], WORDS[(i * 7 + 3) % len(WORDS)]


def js(text):
    return "'" + text.replace("'", "\\'") + "'"


PARTS = "compilers dumps answers failing fresh tests helps servers services packages builds suites".split()


# ---- tests that fail on words -------------------------------------------------

def tests(add, folder):
    n = 0

    def each(tool, commands, files):
        nonlocal n
        for command in commands:
            a, b = two(n)
            n += 1
            add(tool, "test", command, files(a, b))

    each("jest", ["jest", "jest --verbose", "jest --silent=false --ci", "npx jest a", "jest --json || true; jest"], lambda a, b: {
        "package.json": '{"name":"client","scripts":{"test":"jest"}}', "src/errors.js": f"exports.explain = code => code === 1 ? {js(a)} : 'ok';\n",
        "a.test.js": f"const {{ explain }} = require('./src/errors');\ntest('explains ' + {js(a)}, () => {{\n  expect(explain(2)).toBe({js(a)});\n}});\n"
                     f"test('throws', () => {{\n  expect(() => {{ throw new Error({js(b)}); }}).toThrow('other');\n}});\ntest('logs', async () => {{ console.error(new Error({js(b)})); }});\n"
                     f"test('rejects', async () => {{ throw Object.assign(new Error({js(a)}), {{ code: 'ECONNREFUSED' }}); }});\n"})
    each("npm", ["npm test", "npm run test --silent", "npm t -- --verbose"], lambda a, b: {
        "package.json": '{"name":"client","version":"1.0.0","scripts":{"test":"jest"}}',
        "a.test.js": f"test('x', () => {{ expect('').toMatch({js(a)}); }});\ntest('y', () => {{ throw new Error({js(b)}); }});\n"})
    each("mocha", ["mocha", "mocha -R dot", "mocha -R tap", "mocha -R list", "mocha -R json", "mocha --bail"], lambda a, b: {
        "test/a.js": f"const assert = require('assert');\ndescribe('client', () => {{\n  it('verifies', () => {{ assert.strictEqual({js(a)}, 'ok'); }});\n"
                     f"  it('throws', () => {{ throw new Error({js(b)}); }});\n  it('is fine', () => {{}});\n"
                     f"  it('rejects', async () => {{ await assert.rejects(Promise.reject(new Error({js(a)})), /nothing/); }});\n}});\n"})
    each("vitest", ["vitest run", "vitest run --reporter=verbose", "vitest run --reporter=dot", "vitest run --reporter=tap"], lambda a, b: {
        "package.json": '{"type":"module"}',
        "a.test.js": f"import {{ test, expect }} from '{folder}/tools/node_modules/vitest/dist/index.js';\ntest('v', () => {{ expect({js(a)}).toBe('ok'); }});\n"
                     f"test('w', () => {{ throw new Error({js(b)}); }});\ntest('u', () => {{ expect({{ message: {js(b)}, code: 'E' }}).toEqual({{ message: {js(a)}, code: 'E' }}); }});\n"})
    each("ava", ["ava", "ava --tap", "ava --verbose"], lambda a, b: {
        "package.json": '{"name":"x"}', "test.js": f"const test = require('{folder}/tools/node_modules/ava/entrypoints/main.cjs');\ntest('is', t => {{ t.is({js(a)}, {js(b)}); }});\ntest('throws', async t => {{ throw new Error({js(b)}); }});\n"})
    each("node-test", ["node --test", "node --test --test-reporter=tap", "node --test --test-reporter=spec", "node a.test.js", "node --test --test-reporter=dot"], lambda a, b: {
        "a.test.js": f"const test = require('node:test');\nconst assert = require('node:assert');\ntest('first', () => {{ assert.equal({js(a)}, 'ok'); }});\n"
                     f"test('second', () => {{ throw Object.assign(new Error({js(b)}), {{ code: 'ENOTFOUND' }}); }});\ntest('third', t => {{ assert.match({js(a)}, /nothing/); }});\ntest('ok', () => {{}});\n"})
    each("node-assert", ["node a.js", "node --stack-trace-limit=3 a.js"], lambda a, b: {"a.js": f"const assert = require('assert');\nassert.strictEqual({js(a)}, {js(b)});\n"})
    each("pytest", ["pytest", "pytest -q", "pytest -v", "pytest --tb=short", "pytest --tb=line", "pytest -x", "pytest -rA", "python -m pytest --tb=native", "pytest -s", "pytest --tb=long -vv", "pytest --color=no -q --no-header", "pytest -l"], lambda a, b: {
        "test_client.py": f"import logging\nimport ssl\n\nimport pytest\n\n\ndef explain(code):\n    print('explaining', {a!r})\n    return 'ok'\n\n\ndef test_explains():\n    assert explain(60) == {a!r}\n\n\n"
                          f"def test_raises():\n    with pytest.raises(ValueError, match='nothing'):\n        raise ValueError({b!r})\n\n\ndef test_error():\n    logging.getLogger('http').warning('retrying: %s', {b!r})\n    raise ConnectionError({a!r})\n\n\n"
                          f"@pytest.mark.parametrize('text', [{a!r}, {b!r}])\ndef test_words(text):\n    assert text in {{}}\n\n\ndef test_fine():\n    pass\n"})
    each("unittest", ["python -m unittest", "python -m unittest -v", "python test_a.py", "python -m unittest -f", "python -m unittest -b", "python3.12 -m unittest"], lambda a, b: {
        "test_a.py": f"import ssl\nimport unittest\nimport urllib.error\n\n\nclass Client(unittest.TestCase):\n    def test_words(self):\n        self.assertEqual({a!r}, {b!r})\n\n    def test_raises(self):\n        raise urllib.error.URLError({a!r})\n\n"
                     f"    def test_in(self):\n        \"\"\"says {b}\"\"\"\n        self.assertIn({b!r}, ['a', 'b'])\n\n    def test_fine(self):\n        pass\n\n    def test_regex(self):\n        with self.assertRaisesRegex(OSError, 'nothing'):\n            raise OSError({b!r})\n\n\nif __name__ == '__main__':\n    unittest.main()\n"})
    each("doctest", ["python -m doctest a.py"] * 2, lambda a, b: {"a.py": f"def explain(code):\n    '''\n    >>> explain(1)\n    {a!r}\n    >>> explain(2)\n    Traceback (most recent call last):\n    ...\n    OSError: {b}\n    '''\n    return {b!r}\n"})
    each("prove", ["prove t", "prove -v t", "perl t/a.t", "prove -Q t"], lambda a, b: {
        "t/a.t": f"use strict; use Test::More tests => 4;\nis('ok', {js(a)}, 'explains');\nlike('', qr/\\Q{a}/, 'matches');\nok(1, {js(b)});\ndiag({js(b)});\nis_deeply([{js(a)}], [{js(b)}], 'list');\n"})
    each("rspec", ["rspec a_spec.rb", "rspec -fd a_spec.rb", "rspec -fp -b a_spec.rb"], lambda a, b: {
        "a_spec.rb": f"describe 'client' do\n  it 'says' do\n    expect('ok').to eq({js(a)})\n  end\n  it 'raises' do\n    raise IOError, {js(b)}\n  end\n  it 'does not raise' do\n    expect {{ raise {js(a)} }}.not_to raise_error\n  end\n  it('is fine') {{}}\nend\n"})
    each("minitest", ["ruby a_test.rb", "ruby a_test.rb -v", "ruby a_test.rb --seed 1"], lambda a, b: {
        "a_test.rb": f"require 'minitest/autorun'\nclass ClientTest < Minitest::Test\n  def test_says\n    assert_equal {js(a)}, {js(b)}\n  end\n  def test_raises\n    raise SocketError, {js(b)}\n  end\n  def test_match\n    assert_match(/nothing/, {js(a)})\n  end\n  def test_fine; end\nend\n"})
    each("test-unit", ["ruby -rtest/unit a_test.rb", "ruby -rtest/unit a_test.rb -v"], lambda a, b: {
        "a_test.rb": f"class ClientTest < Test::Unit::TestCase\n  def test_says\n    assert_equal({js(a)}, {js(b)})\n  end\n  def test_raises\n    raise SocketError, {js(b)}\n  end\nend\n"})
    each("phpunit", ["phpunit ATest.php", "phpunit --testdox ATest.php", "phpunit --stop-on-failure ATest.php"], lambda a, b: {
        "ATest.php": f"<?php\nclass ATest extends PHPUnit\\Framework\\TestCase {{\n  public function testSays() {{ $this->assertSame({js(a)}, {js(b)}); }}\n  public function testThrows() {{ throw new RuntimeException({js(b)}); }}\n  public function testContains() {{ $this->assertStringContainsString({js(a)}, 'ok'); }}\n  public function testFine() {{ $this->assertTrue(true); }}\n}}\n"})
    quote = lambda t: '"' + t.replace("\\", "\\\\").replace('"', '\\"') + '"'
    each("go-test", ["go test ./...", "go test -v .", "go test -json .", "go test -run Says -v .", "go test -failfast ."], lambda a, b: {
        "go.mod": "module example.com/client\n\ngo 1.21\n", "client_test.go": f"package client\n\nimport (\n\t\"errors\"\n\t\"log\"\n\t\"testing\"\n)\n\nfunc TestSays(t *testing.T) {{\n\tif got := errors.New({quote(a)}).Error(); got != \"ok\" {{\n\t\tt.Errorf(\"got %q, want %q\", got, \"ok\")\n\t}}\n}}\n\n"
        f"func TestFetch(t *testing.T) {{\n\tlog.Print({quote(b)})\n\tt.Fatal(errors.New({quote(b)}))\n}}\n\nfunc TestTable(t *testing.T) {{\n\tfor _, text := range []string{{{quote(a)}, {quote(b)}}} {{\n\t\tt.Run(text, func(t *testing.T) {{ t.Fatalf(\"unexpected error: %v\", text) }})\n\t}}\n}}\n\nfunc TestPanics(t *testing.T) {{ panic(errors.New({quote(b)})) }}\n"})
    each("cargo-test", ["cargo test --offline", "cargo test --offline -q", "cargo test --offline -- --nocapture"], lambda a, b: {
        "Cargo.toml": "[package]\nname = \"client\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
        "src/lib.rs": f"#[cfg(test)]\nmod tests {{\n    #[test]\n    fn says() {{ assert_eq!({quote(a)}, {quote(b)}); }}\n    #[test]\n    fn unwraps() {{ Err::<(), _>(std::io::Error::new(std::io::ErrorKind::Other, {quote(b)})).unwrap(); }}\n    #[test]\n    fn fine() {{ println!({quote(a)}); }}\n    #[test]\n    #[should_panic(expected = {quote(a)})]\n    fn panics() {{ panic!({quote(b)}); }}\n}}\n"})
    each("ctest", ["cmake -S . -B b >/dev/null && cmake --build b >/dev/null && cd b && ctest", "cmake -S . -B b >/dev/null && cmake --build b >/dev/null && cd b && ctest --output-on-failure",
                   "cmake -S . -B b && cmake --build b && cd b && ctest -V", "cmake -S . -B b >/dev/null && cmake --build b >/dev/null && make -C b test CTEST_OUTPUT_ON_FAILURE=1"], lambda a, b: {
        "CMakeLists.txt": "cmake_minimum_required(VERSION 3.10)\nproject(client C)\nenable_testing()\nadd_executable(t t.c)\nadd_test(NAME tls.verify COMMAND t)\nadd_test(NAME proxy.refused COMMAND t x)\n",
        "t.c": f"#include <assert.h>\n#include <stdio.h>\n#include <string.h>\nint main(int n, char **v) {{ fprintf(stderr, \"t.c:4: check failed: got \\\"%s\\\"\\n\", {quote(a)}); puts({quote(b)}); if (n > 1) assert(!strcmp({quote(a)}, \"ok\")); return 1; }}\n"})
    each("shunit", ["bash t.sh"] * 4, lambda a, b: {
        "t.sh": f"check() {{ if [ \"$2\" != \"$3\" ]; then echo \"FAIL: $1\"; echo \"  expected: $2\"; echo \"  got:      $3\"; failed=1; else echo \"PASS: $1\"; fi; }}\ncheck verify {quote(a)} \"ok\"\ncheck resolve {quote(b)} \"\"\ncheck fine a a\necho \"2 of 3 tests failed\"\nexit ${{failed:-0}}\n"})
    each("java-assert", ["javac -d . A.java && java -ea A", "java -ea A.java"], lambda a, b: {
        "A.java": f"public class A {{\n  public static void main(String[] x) {{\n    System.out.println(\"checking {b.replace(chr(34), '')}\");\n    assert explain(60).equals({quote(a)}) : \"expected \" + {quote(a)} + \" but was \" + explain(60);\n  }}\n  static String explain(int code) {{ return {quote(b)}; }}\n}}\n"})


def suites(add, folder):
    """Suites that test TLS and proxies themselves."""
    go = "/usr/local/go/src"
    for package, run in (("crypto/tls", "Verify|Alert|BadCert"), ("crypto/tls", "Handshake.*Client"), ("net/http", "Proxy"), ("net/http", "TLS"), ("crypto/x509", "."), ("crypto/x509", "Verify"), ("net", "Lookup|Resolve"), ("net/http/httputil", "."), ("net/http/httptest", ".")):
        add("go-test", "suite", f"cd {go} && go test -short -v -run '{run}' {package}", timeout=280)
    for package, run in (("net/http", "Transport"), ("net", "Dial"), ("crypto/tls", ".")):
        add("go-test", "suite", f"cd {go} && go test -short -run '{run}' {package}", timeout=280)
    for module in ("test_ssl", "test_urllib2_localnet", "test_httplib", "test_urllib", "test_urllib2", "test_asyncio.test_ssl", "test_asyncio.test_sslproto", "test_socket", "test_smtplib", "test_ftplib", "test_urlparse", "test_imaplib", "test_poplib"):
        add("unittest", "suite", f"python3.11 -m unittest -v test.{module}", timeout=200)
    for module in ("test_ssl", "test_httplib", "test_urllib2", "test_urllib2net"):
        add("python-test", "suite", f"cd . && python3.12 -m test -v {module}", timeout=200)
    for source, args in (("requests-*", "tests -q"), ("requests-*", "tests -v -k 'proxy or ssl or cert'"), ("urllib3-*", "test -q -x"), ("urllib3-*", "test/test_ssl.py test/test_exceptions.py test/test_retry.py -v"),
                         ("urllib3-*", "test -k 'proxy' -v"), ("urllib3-*", "test -k 'ssl or tls or cert' -v --tb=short"), ("urllib3-*", "test/test_connectionpool.py -v"), ("httpx-*", "tests -q"), ("httpx-*", "tests -k 'proxy or ssl or exc' -v"), ("httpx-*", "tests/test_timeouts.py tests/test_exceptions.py -v"),
                         ("aiohttp-*", "tests/test_connector.py -q -k proxy"), ("aiohttp-*", "tests/test_proxy.py -v"), ("aiohttp-*", "tests -q -k 'ssl'"), ("aiohttp-*", "tests/test_client_exceptions.py -v"),
                         ("websockets-*", "tests -q -k 'proxy or tls'"), ("websockets-*", "tests/test_exceptions.py -v"), ("tornado-*", "tornado/test -q -k 'ssl or proxy or resolve'"), ("trustme-*", "tests -v")):
        for path in [p for p in glob.glob(f"{folder}/src/{source}") if os.path.isdir(p)][:1]:
            add("pytest", "suite", f"cd {path} && pytest -p no:cacheprovider {args}", timeout=200)


# ---- compilers and linters ----------------------------------------------------

def compilers(add, folder):
    quote = lambda t: '"' + t.replace("\\", "\\\\").replace('"', '\\"') + '"'
    n = 5

    def each(tool, commands, files):
        nonlocal n
        for command in commands:
            a, b = two(n)
            n += 1
            add(tool, "compiler", command, files(a, b))

    each("tsc", ["tsc --noEmit a.ts", "tsc --noEmit --pretty a.ts", "tsc --noEmit --strict a.ts"], lambda a, b: {"a.ts": f"type Code = {js(a)} | {js(b)};\nconst one: number = {js(a)};\nconst two: Code = 'other';\nfunction explain(code: Code): {js(b)} {{\n  return code;\n}}\nthrow new Error({js(b)}, 1);\n"})
    each("eslint", ["eslint a.js", "eslint -f json a.js", "eslint -f stylish a.js"], lambda a, b: {
        "eslint.config.js": "module.exports = [{ rules: { 'no-unused-vars': 'error', 'no-undef': 'error', 'no-restricted-syntax': ['error', { selector: 'Literal', message: 'no literals' }], 'no-dupe-keys': 'error', 'no-constant-condition': 'error' } }];\n",
        "a.js": f"const message = {js(a)};\nconst codes = {{ {js(b)}: 1, {js(b)}: 2 }};\nif ({js(a)}) explain({js(b)});\n"})
    each("javac", ["javac A.java", "javac -Xlint:all A.java", "javac -Xdiags:verbose A.java"], lambda a, b: {"A.java": f"class A {{\n  int code = {quote(a)};\n  String explain() {{ return missing({quote(b)}); }}\n  void fail() {{ throw new java.io.IOException({quote(a)}); }}\n}}\n"})
    each("rustc", ["rustc a.rs", "rustc --error-format=short a.rs", "rustc --edition 2021 --crate-type lib a.rs"], lambda a, b: {"a.rs": f"fn explain(code: u32) -> u32 {{\n    let unused = {quote(a)};\n    match code {{ 1 => {quote(a)}, _ => panic!({quote(b)}) }}\n}}\nfn main() {{ let x: i32 = {quote(b)}; explain(x, {quote(a)}); }}\n"})
    each("cargo", ["cargo build --offline", "cargo check --offline", "cargo clippy --offline"], lambda a, b: {"Cargo.toml": "[package]\nname = \"client\"\nversion = \"0.1.0\"\nedition = \"2021\"\n", "src/main.rs": f"fn main() {{\n    let code: u32 = {quote(a)};\n    if {quote(b)} == code {{ println!(\"{{}}\", missing); }}\n    Err({quote(b)})?;\n}}\n"})
    each("go-vet", ["go vet ./...", "go build ./...", "go build -gcflags=-e ./..."], lambda a, b: {"go.mod": "module example.com/client\n\ngo 1.21\n", "a.go": f"package client\n\nimport (\n\t\"errors\"\n\t\"fmt\"\n)\n\nvar code int = {quote(a)}\n\nfunc Explain() error {{\n\tfmt.Printf({quote(b)} + \"%d\\n\", \"x\")\n\treturn errors.New({quote(a)}, {quote(b)})\n}}\n"})
    each("vet-printf", ["go vet ./..."] * 2, lambda a, b: {"go.mod": "module example.com/client\n\ngo 1.21\n", "a.go": f"package client\n\nimport \"fmt\"\n\nfunc Explain() error {{\n\tfmt.Printf({quote(b + ': %d')}, \"x\")\n\treturn fmt.Errorf({quote(a + ': %w')})\n}}\n"})
    each("gcc", ["gcc -c a.c", "gcc -Wall -Wextra -c a.c", "g++ -x c++ -Wall -c a.c", "gcc -fsyntax-only -fdiagnostics-format=json a.c"], lambda a, b: {"a.c": f"#include <stdio.h>\nint code = {quote(a)};\nconst char *explain(int c) {{ switch (c) {{ case 1: return {quote(a)}; case {quote(b)}: break; }} printf({quote(b)}, c, 1 }}\nint main(void) {{ return fail({quote(b)}); }}\n"})
    each("make", ["make", "make -k", "make V=1"], lambda a, b: {"Makefile": "all: a.o b.o\n%.o: %.c\n\t$(CC) -Wall -c $<\n", "a.c": f"int code = {quote(a)};\n", "b.c": f"#error {b}\n"})
    each("python-syntax", ["python a.py", "python -m py_compile a.py", "python3.12 a.py", "python -m compileall -q a.py"], lambda a, b: {"a.py": f"import os\nMESSAGES = {{\n    1: {a!r}\n    2: {b!r},\n}}\n"})
    each("python-error", ["python a.py", "python3.13 a.py", "python3.9 a.py"], lambda a, b: {"a.py": f"CODES = {{{a!r}: 1}}\n\n\ndef explain(code):\n    return CODES[code] or {b!r}\n\n\ntry:\n    explain(2)\nexcept KeyError:\n    raise TypeError('not a code') if {b!r} else None\n"})
    each("mypy", ["mypy a.py", "mypy --strict --pretty a.py"], lambda a, b: {"a.py": f"from typing import Literal\n\ncode: int = {a!r}\n\n\ndef explain(text: Literal[{a!r}]) -> int:\n    return text\n\n\nexplain({b!r})\n"})
    each("pyflakes", ["pyflakes a.py", "flake8 a.py", "pylint a.py", "ruff check a.py", "ruff check --output-format concise a.py"], lambda a, b: {"a.py": f"import ssl\nimport requests\n\ndef explain(code):\n    unused = {a!r}\n    if code is {b!r}:\n        return f\"{'no placeholders'}\"\n    '{a.replace(chr(39), '')}' % code\n    return undefined_name({b!r}, '%s %s' % (1,))\n"})
    each("ruff-diff", ["ruff format --diff a.py", "ruff check --diff --select ALL a.py"], lambda a, b: {"a.py": f"import os, sys\nx = [ {a!r},{b!r} ]\n"})
    each("shellcheck", ["shellcheck a.sh", "shellcheck -f gcc a.sh", "shellcheck -f json a.sh", "shellcheck -f diff a.sh"], lambda a, b: {"a.sh": f"#!/bin/sh\nif grep -q {quote(a)} $1; then\n  echo {b.replace(chr(39), '')} $2\nfi\ncase $3 in {quote(b)}) exit 1;; esac\n[[ $1 == {quote(a)} ]] && echo `cat $2`\n"})
    each("ruby-syntax", ["ruby -c a.rb", "ruby -w a.rb"], lambda a, b: {"a.rb": f"def explain(code)\n  unused = {js(a)}\n  case code\n  when 1 then {js(b)}\n  if code\nend\nexplain {js(a)} {js(b)}\n"})
    each("php-syntax", ["php -l a.php", "php a.php"], lambda a, b: {"a.php": f"<?php\n$a = {js(a)}\n$b = [{js(b)} => 1;\n"})
    each("node-syntax", ["node a.js", "node --check a.js", "node b.js", "node c.mjs"], lambda a, b: {"a.js": f"const messages = [{js(a)}\n  {js(b)}];\n", "b.js": f"const m = {{ text: {js(a)} }};\nm.text.missing({js(b)});\n", "c.mjs": f"import {{ missing }} from 'node:https'; throw new Error({js(a)});\n"})
    each("perl-syntax", ["perl -c a.pl", "perl -w a.pl"], lambda a, b: {"a.pl": f"use strict;\nmy $a = {js(a)};\n$b = {js(b)} $a;\nprint $c, {js(a)};\n"})
    each("jq", ["jq . a.json", "python -m json.tool a.json", "jq -r '.errors[] | .x.y' b.json", "node -e 'JSON.parse(require(\"fs\").readFileSync(\"a.json\"))'"], lambda a, b: {"a.json": f"{{\"errors\": [{quote(a)} {quote(b)}]}}\n", "b.json": f"{{\"errors\": [{quote(a)}, {quote(b)}]}}\n"})
    each("bash", ["bash a.sh", "bash -x b.sh", "sh -x b.sh"], lambda a, b: {"a.sh": f"if grep {quote(a)} nothing; then\n  echo {quote(b)}\n", "b.sh": f"m={quote(a)}\ncase \"$m\" in\n *x509*) echo matched;;\nesac\n[ \"$m\" = {quote(b)} ] || missing_command\n"})
    each("patch", ["diff -u a b", "diff a b", "diff -y a b", "git diff --no-index a b", "git diff --no-index --word-diff a b", "diff -c a b", "cmp a b; diff --brief a b; diff -n a b"], lambda a, b: {"a": f"one\n{a}\ntwo\n{b}\nthree\n", "b": f"one\n{b}\ntwo\nok\n{a}: done\nthree\n"})


# ---- sources and documents ------------------------------------------------------

def dumps(add, folder):
    go = "/usr/local/go/src"
    site = f"{folder}/venv/lib/python3.11/site-packages"
    node = f"{folder}/tools/node_modules"
    std = os.path.expanduser("~/.pyenv/versions/3.11.7/lib/python3.11")
    words = ["certificate verify failed", "unknown authority", "ECONNREFUSED", "ENOTFOUND", "no such host", "Proxy Authentication", "407", "proxyconnect", "certificate has expired", "Connection refused", "handshake failure",
             "CERTIFICATE_VERIFY_FAILED", "tunnel", "self-signed", "Could not resolve", "getaddrinfo", "ECONNRESET", "Forbidden", "bad certificate", "ProxyError", "SSLError", "timed out"]
    if SEED:
        words = ["CERT_HAS_EXPIRED", "no_proxy", "tls: ", "x509: ", "EAI_AGAIN", "ETIMEDOUT", "HTTPS_PROXY", "pinned", "unsupported protocol", "wrong version", "name resolution", "hostname mismatch", "unknown ca", "Tunnel connection failed", "not known", "refused", "SELF_SIGNED"]
    for i, word in enumerate(words):
        for root, name in ((f"{go}/net/http", "go"), (f"{go}/crypto", "go"), (site, "py"), (std, "py"), (node, "js"), ("/usr/share/doc", "doc")):
            if (i + len(root)) % 3 == 0:
                add("grep", "search", f"cd {root} && grep -rnI {word!r} . | cut -c1-300 | head -60")
            if (i + len(root)) % 5 == 1:
                add("rg", "search", f"cd {root} && rg -n --no-heading -C2 {word!r} . | cut -c1-300 | head -70")
            if (i + len(root)) % 7 == 2:
                add("rg", "search", f"cd {root} && rg --heading -n {word!r} . | cut -c1-300 | head -60")
            if (i + len(root)) % 7 == 3:
                add("grep", "search", f"cd {root} && grep -rhI -B3 -A6 {word!r} . | cut -c1-300 | head -70")
            if (i + len(root)) % 11 == 4:
                add("git-grep", "search", f"cd {root} && git grep --no-index -n {word!r} -- . | cut -c1-300 | head -50")
    for file, pattern in ((f"{go}/crypto/tls/alert.go", ""), (f"{go}/crypto/x509/verify.go", ""), (f"{go}/net/http/transport.go", "proxyconnect"), (f"{go}/crypto/tls/handshake_client_test.go", "expired"), (f"{go}/net/dnsclient_unix.go", "no such host"),
                          (f"{site}/urllib3/exceptions.py", ""), (f"{site}/requests/exceptions.py", ""), (f"{site}/requests/adapters.py", "ProxyError"), (f"{site}/urllib3/connection.py", "certificate"), (f"{site}/aiohttp/client_exceptions.py", ""),
                          (f"{std}/ssl.py", "CERTIFICATE"), (f"{std}/http/client.py", "Tunnel"), (f"{std}/http/__init__.py", ""), (f"{std}/test/test_ssl.py", "certificate verify failed"), (f"{node}/undici/lib/core/errors.js", ""), (f"{node}/undici/docs/docs/api/Errors.md", ""),
                          (f"{node}/axios/lib/core/AxiosError.js", ""), (f"{node}/axios/README.md", "ECONN"), (f"{node}/got/readme.md", ""), (f"{node}/undici/docs/docs/api/ProxyAgent.md", ""), ("/usr/share/doc/curl/NEWS.Debian.gz", ""), ("/usr/share/doc/git/RelNotes/2.38.0.txt", ""),
                          ("/usr/lib/node_modules/npm/docs/content/using-npm/config.md", "proxy"), ("/usr/lib/node_modules/npm/lib/utils/error-message.js", ""), ("/usr/share/nmap/nmap-services", ""), ("/etc/services", ""), ("/usr/include/openssl/x509_vfy.h", "X509_V_ERR"), ("/usr/include/openssl/sslerr.h", ""), ("/usr/include/curl/curl.h", "CURLE_"), ("/usr/include/asm-generic/errno.h", "")):
        if not os.path.exists(file):
            continue
        middle = f"grep -n -m1 {pattern!r} {file} | cut -d: -f1" if pattern else "echo 1"
        reader = "zcat" if file.endswith(".gz") else "cat"
        add("cat", "dump", f"{reader} {file} | tail -n +$({middle}) | head -90")
        add("cat", "dump", f"{reader} -f {file} | cat -n | tail -n +$({middle}) | head -60" if reader == "zcat" else f"cat -n {file} | tail -n +$({middle}) | head -60")
        add("sed", "dump", f"{reader} {file} | tail -n +$({middle}) | sed -n '20,60p'")
    repo = "git init -q . && git add -A && git commit -qm 'client: tell why it failed' && "
    for i in range(0, 40, 4):
        a, b = two(i)
        c, d = two(i + 2)
        files = {"errors.py": f"MESSAGES = {{\n    35: {a!r},\n    60: {b!r},\n}}\n\n\ndef explain(code):\n    return MESSAGES.get(code, 'ok')\n", "README.md": f"# Client\n\n## Troubleshooting\n\nIt says\n\n    {a}\n\nSet the proxy, then try again.\n", "log.txt": f"{c}\n{d}\n"}
        change = f"sed -i 's/60:/61:/; s/ok/unknown/' errors.py && echo {d.replace(chr(39), '')!r} >> README.md && rm log.txt && "
        add("git", "patch", repo + change + ["git diff", "git diff -U0", "git diff --color-words", "git diff --stat -p", "git add -A && git commit -qm 'fix: x509: certificate signed by unknown authority' && git log -p", "git commit -qam x && git show", "git commit -qam x && git log -p -1 --stat", "git stash && git stash show -p", "git commit -qam 'y' && git format-patch -1 --stdout", "git blame README.md"][i // 4], files)
        add("git", "patch", repo + change + f"git commit -qam {c.replace(chr(39), '')!r} && " + ["git log", "git log --oneline", "git show --stat", "git log --format=full", "git rebase --onto HEAD~1 HEAD~1 2>&1; git log -p -2", "git cherry-pick HEAD", "git revert --no-edit HEAD && git show", "git shortlog HEAD", "git log --graph --all -p", "git grep -n certificate; git grep proxy HEAD~1"][i // 4], files)
        add("less", "dump", f"less -X README.md errors.py log.txt; head -20 *", files)
    for i, (page, section) in enumerate((("curl", ""), ("wget", ""), ("git-config", ""), ("openssl-verify", ""), ("openssl-s_client", ""), ("ssh_config", ""), ("git-send-email", ""), ("npm-config", ""), ("openssl-verification-options", ""), ("SSL_get_error", ""), ("X509_STORE_CTX_get_error", ""), ("errno", "3"), ("connect", "2"), ("getaddrinfo", "3"), ("LWP::UserAgent", ""), ("IO::Socket::SSL", ""), ("ssh", ""), ("apt-transport-https", ""), ("apt.conf", ""), ("git-http-backend", ""))):
        for word in ("certificate", "proxy", "refused|not known|resolve|fail")[i % 2:]:
            add("man", "document", f"man {section} {page} | grep -n -i -E -m1 {word!r} > at; man {section} {page} | tail -n +$(cut -d: -f1 at) | head -70")
    for i, binary in enumerate(("/usr/bin/curl", "/usr/bin/wget", "/usr/lib/git-core/git-remote-https", "/usr/bin/openssl", "/usr/bin/node", "/usr/lib/x86_64-linux-gnu/libcurl.so.4", "/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib/x86_64-linux-gnu/libgnutls.so.30", "/usr/bin/ssh", "/usr/local/go/bin/go", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/usr/bin/psql", "/usr/bin/git", "/usr/lib/x86_64-linux-gnu/libneon-gnutls.so.27")):
        word = ("certificate", "proxy", "connect", "resolv", "handshake")[i % 5]
        add("strings", "dump", f"strings -n 12 {binary} | grep -i {word} | cut -c1-400 | head -70")
        add("strings", "dump", f"strings -n 16 {binary} | grep -i -B4 -A8 -E 'certificate|proxy|refused' | cut -c1-400 | head -90")
    for command in ("openssl errstr 0A000086 0A00010B 0A000418", "for i in $(seq 0 80); do openssl errstr $(printf '0A%06X' $((i + 100))); done | head -60", "curl --help ssh; curl --manual | grep -n -A40 'EXIT CODES' | head -90", "python -c 'import errno, os; [print(k, os.strerror(k)) for k in sorted(errno.errorcode)]'",
                    "python -c 'import http; [print(s.value, s.phrase, \"-\", s.description) for s in http.HTTPStatus]'", "node -p 'require(\"http\").STATUS_CODES'", "node -p 'require(\"os\").constants.errno'", "perl -e 'for (1..120) { $! = $_; print \"$_ $!\\n\" }'", "python -m pydoc ssl | grep -n -A60 'SSLError' | head -120",
                    "python -m pydoc urllib.error", "go doc crypto/x509 | head -100", "go doc -all crypto/tls | grep -n -i -B2 -A6 verif | head -100", "go doc net/http.Transport", "go doc net.DNSError", "ruby -rsocket -e 'Errno.constants.sort.each { |c| k = Errno.const_get(c); puts \"#{c} #{k.new.message}\" if k.is_a?(Class) }'", "ruby -rnet/http -e 'puts Net::HTTPResponse::CODE_TO_OBJ.inspect'", "getent services | head -50; cat /etc/nsswitch.conf", "moreutils 2>/dev/null; errno -l 2>/dev/null || cpp -dM /usr/include/errno.h | sort",
                    "python -m pydoc aiohttp.client_exceptions | head -150", "python -m pydoc requests.exceptions", "perldoc -T IO::Socket::SSL 2>/dev/null | head -120 || true; echo", "zcat /usr/share/doc/git/RelNotes/2.3*.txt.gz /dev/null 2>/dev/null | grep -i -B1 -A4 -E 'proxy|certificate' | head -90", "zcat /usr/share/doc/*ssl*/changelog*.gz | grep -i -B1 -A3 -E 'certificate|handshake' | head -100", "zcat /usr/share/doc/*curl*/changelog*.gz /usr/share/doc/curl/*.gz | grep -i -A2 -E 'proxy|certif' | head -100"):
        add(command.split()[0].strip("'"), "reference", command)


def helps(add, folder):
    for command in ("curl --help all", "curl --help tls", "curl --help proxy", "curl --help", "curl --help auth", "curl -V; curl --help connection", "git help -a | head -80", "git -c help.format=man help http-backend | head -80", "git config --help | grep -n -A60 'http.proxy' | head -110", "git config --help | grep -n -A70 'http.sslVerify' | head -110", "openssl s_client -help", "openssl verify -help", "openssl x509 -help", "openssl s_server -help", "openssl ocsp -help", "openssl req -help", "wget --help", "npm help config | head -120", "npm install --help", "npm config ls -l", "npm help npmrc | head -80", "pip --help", "pip install --help", "pip config --help; pip download --help", "go help goproxy; go help environment | head -120", "go help module-auth", "go help get", "cargo --help; cargo install --help", "node --help | grep -n -i -E -A2 'tls|proxy|ssl|cert'", "node --v8-options | head -60; node --help | head -100", "java -X 2>&1; java --help", "keytool -help; keytool -importcert -help", "docker --help; docker run --help | grep -i -E 'proxy|tls|cert|dns|host'", "docker build --help; docker login --help", "kubectl options", "kubectl config set-cluster --help", "kubectl get --help", "psql --help", "redis-cli --help", "mysql --help | head -150", "nginx -h; nginx -V", "mvn --help", "gradle --help", "composer --help; composer diagnose --help", "gem help; gem help install", "bundle help config | head -100", "hg help config.web; hg help config.http_proxy", "svn help; svn help checkout", "terraform -help; terraform init -help", "aws help 2>/dev/null | head -90 || aws --help", "ssh 2>&1; ssh-keyscan 2>&1; ssh-keygen -h", "gnutls-cli --help", "certtool --help", "python -m http.server --help; python -m ssl --help 2>&1", "httping -h", "pytest --help | head -130", "jest --help | head -130", "tsc --all | head -130", "eslint --help", "apt-get --help; apt-config dump | grep -i -E 'http|proxy|cert'"):
        add(command.split()[0], "help", command)


# ---- servers' logs of their clients ------------------------------------------

def servers(add, folder):
    key = f"{folder}/api.key"
    cert = f"{folder}/api.crt"
    clients = "for i in 1 2 3; do curl -s https://localhost:$PORT/ >/dev/null 2>&1; curl -sk https://localhost:$PORT/ >/dev/null 2>&1; curl -s http://localhost:$PORT/x >/dev/null 2>&1; curl -s --cacert /etc/ssl/certs/ca-certificates.crt https://127.0.0.1:$PORT/ >/dev/null 2>&1; curl -sk --tls-max 1.2 --ciphers AES128-SHA https://localhost:$PORT/ >/dev/null 2>&1; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 1 nc localhost $PORT >/dev/null 2>&1; done"
    pick = "PORT=$(python3 -c 'import socket; s=socket.socket(); s.bind((\"127.0.0.1\",0)); print(s.getsockname()[1])'); export PORT; "
    wait = "for i in $(seq 60); do (echo > /dev/tcp/127.0.0.1/$PORT) 2>/dev/null && break; sleep .2; done; "

    def serve(tool, command, files=None, after=clients, n=1):
        for i in range(n):
            add(tool, "server", pick + f"({command}) & server=$!; {wait}{after}; sleep .5; pkill -P $server; kill $server; wait $server 2>/dev/null; true", files)

    serve("openssl", f"openssl s_server -accept $PORT -key {key} -cert {cert} -www")
    serve("openssl", f"openssl s_server -accept $PORT -key {key} -cert {cert} -Verify 1 -CAfile {folder}/known.pem -www")
    serve("openssl", f"openssl s_server -accept $PORT -key {key} -cert {cert} -tls1_3 -msg -www 2>&1 | tail -80")
    serve("node", "node s.js", {"s.js": f"const https = require('https'), fs = require('fs');\nconst s = https.createServer({{ key: fs.readFileSync('{key}'), cert: fs.readFileSync('{cert}') }}, (q, r) => {{ console.log(q.method, q.url); r.end('ok'); }});\ns.on('tlsClientError', (e, c) => console.error('tlsClientError', c.remoteAddress, e.message));\ns.on('clientError', e => console.error('clientError', e.code));\ns.listen(process.env.PORT, () => console.log('listening'));\n"})
    serve("node", "node s.js", {"s.js": f"const https = require('https'), fs = require('fs');\nhttps.createServer({{ key: fs.readFileSync('{key}'), cert: fs.readFileSync('{cert}'), requestCert: true }}, (q, r) => r.end('ok')).on('tlsClientError', e => console.error(e)).listen(process.env.PORT);\n"})
    serve("python", "python s.py", {"s.py": f"import http.server, os, ssl\ns = http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler)\nc = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\nc.load_cert_chain('{cert}', '{key}')\ns.socket = c.wrap_socket(s.socket, server_side=True)\ns.serve_forever()\n"})
    serve("python", "python s.py", {"s.py": f"import asyncio, os, ssl, logging\nlogging.basicConfig(level=logging.DEBUG)\nc = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\nc.load_cert_chain('{cert}', '{key}')\nasync def h(r, w):\n    print('client', w.get_extra_info('peername'))\n    w.close()\nasync def main():\n    s = await asyncio.start_server(h, '127.0.0.1', int(os.environ['PORT']), ssl=c)\n    await s.serve_forever()\nasyncio.run(main())\n"})
    serve("python", "python -m http.server $PORT --bind 127.0.0.1", after="for p in 403 x.pem proxy.pac ../etc; do curl -s http://localhost:$PORT/$p >/dev/null; curl -s -X PUT http://localhost:$PORT/$p >/dev/null; curl -sk https://localhost:$PORT/ >/dev/null; curl -s -p -x http://localhost:$PORT http://api.example.com:443/ >/dev/null; done")
    serve("go", "go run .", {"go.mod": "module example.com/server\n\ngo 1.21\n", "main.go": f"package main\n\nimport (\n\t\"log\"\n\t\"net/http\"\n\t\"os\"\n)\n\nfunc main() {{\n\tlog.Println(\"listening\")\n\tlog.Fatal(http.ListenAndServeTLS(\"127.0.0.1:\"+os.Getenv(\"PORT\"), \"{cert}\", \"{key}\", nil))\n}}\n"})
    serve("go", "go run .", {"go.mod": "module example.com/server\n\ngo 1.21\n", "main.go": f"package main\n\nimport (\n\t\"crypto/tls\"\n\t\"log/slog\"\n\t\"log\"\n\t\"net/http\"\n\t\"os\"\n)\n\nfunc main() {{\n\tl := slog.New(slog.NewJSONHandler(os.Stderr, nil))\n\tl.Info(\"listening\")\n\ts := &http.Server{{Addr: \"127.0.0.1:\" + os.Getenv(\"PORT\"), ErrorLog: slog.NewLogLogger(l.Handler(), slog.LevelError), TLSConfig: &tls.Config{{ClientAuth: tls.RequireAnyClientCert}}}}\n\tlog.Fatal(s.ListenAndServeTLS(\"{cert}\", \"{key}\"))\n}}\n"})
    serve("ruby", "ruby s.rb", {"s.rb": f"require 'socket'\nrequire 'openssl'\nc = OpenSSL::SSL::SSLContext.new\nc.cert = OpenSSL::X509::Certificate.new(File.read('{cert}'))\nc.key = OpenSSL::PKey.read(File.read('{key}'))\ns = OpenSSL::SSL::SSLServer.new(TCPServer.new('127.0.0.1', ENV['PORT'].to_i), c)\nloop do\n  begin\n    s.accept.close\n  rescue => e\n    warn \"#{{Time.now}} ERROR client: #{{e.class}}: #{{e.message}}\"\n  end\nend\n"})
    conf = "error_log stderr info;\npid nginx.pid;\ndaemon off;\nmaster_process off;\nevents {}\nhttp {\n  access_log /dev/stdout;\n  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n"
    tls = f"  server {{ listen 127.0.0.1:PORT ssl; ssl_certificate {cert}; ssl_certificate_key {key}; ssl_verify_client VERIFY; ssl_client_certificate {folder}/known.pem; location / {{ BACK }} }}\n}}\n"
    for verify, back in (("off", "return 403;"), ("on", "return 200 ok;"), ("off", "proxy_pass https://127.0.0.1:1;"), ("off", f"proxy_pass https://localhost:PORT/self; proxy_ssl_verify on; proxy_ssl_trusted_certificate {folder}/unknown.pem;"), ("off", "proxy_pass http://127.0.0.1:PORT;"), ("off", "deny all;")):
        serve("nginx", "sed -i \"s/PORT/$PORT/g\" nginx.conf; nginx -p $PWD -c $PWD/nginx.conf -e stderr", {"nginx.conf": conf + tls.replace("VERIFY", verify).replace("BACK", back)})


# ---- an application's own answers ----------------------------------------------

PYTHON = {
    "python-urllib": "import urllib.request\nurllib.request.urlopen('TARGET')\n",
    "python-requests": "import requests\nr = requests.get('TARGET')\nr.raise_for_status()\n",
    "python-httpx": "import httpx\nhttpx.get('TARGET').raise_for_status()\n",
    "python-aiohttp": "import aiohttp, asyncio\nasync def main():\n    async with aiohttp.ClientSession(trust_env=True, raise_for_status=True) as s:\n        async with s.get('TARGET') as r:\n            print(await r.text())\nasyncio.run(main())\n",
    "python-urllib3": "import os, urllib3\nproxy = os.environ.get('HTTPS_PROXY')\np = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()\nr = p.request('GET', 'TARGET', retries=1)\nif r.status >= 400:\n    raise SystemExit(f'GET TARGET: HTTP {r.status} {r.reason}')\n",
    "python-websockets": "import asyncio, websockets\nasync def main():\n    async with websockets.connect('TARGET'.replace('http', 'ws', 1)) as w:\n        print(await w.recv())\nasyncio.run(main())\n",
}
NODE = {
    "node-axios": "require('axios').get('TARGET').then(r => console.log(r.data));\n",
    "node-got": "import('got').then(g => g.got('TARGET', { retry: { limit: 0 } }).text()).then(console.log);\n",
    "node-fetch": "fetch('TARGET').then(async r => { if (!r.ok) throw new Error(`GET TARGET: ${r.status} ${r.statusText}`); console.log(await r.text()); });\n",
    "node-https": "require('TARGET'.split(':')[0]).get('TARGET', r => { if (r.statusCode >= 400) { console.error('HTTP ' + r.statusCode + ' ' + r.statusMessage); process.exit(1); } });\n",
    "node-ws": "const W = require('ws');\nnew W('TARGET'.replace('http', 'ws')).on('open', () => console.log('open'));\n",
}
OTHER = {
    "curl": "curl -fsS TARGET", "curl-v": "curl -v TARGET -f", "curl-i": "curl -sSi --fail-with-body TARGET", "wget": "wget -O- TARGET", "wget-nv": "wget -nv -O- TARGET", "git": "git clone TARGET/repo.git", "git-push": "git init -q . && git commit -q --allow-empty -m first && git push TARGET/repo.git HEAD:main", "perl": "perl -MLWP::UserAgent -e '$r = LWP::UserAgent->new(env_proxy => 1)->get(q(TARGET)); die $r->status_line, \"\\n\" unless $r->is_success'",
    "perl-tiny": "perl -MHTTP::Tiny -e '$r = HTTP::Tiny->new(verify_SSL => 1)->get(q(TARGET)); die \"$r->{status} $r->{reason} $r->{content}\" unless $r->{success}'", "ruby": "ruby -ropen-uri -e 'puts URI.open(%q(TARGET)).read'", "ruby-net": "ruby -rnet/http -e 'puts Net::HTTP.get_response(URI(%q(TARGET))).value'", "php": "php -r 'var_dump(file_get_contents(\"TARGET\"));'",
    "pip": "pip download --retries 0 --no-deps --index-url TARGET/simple left-pad", "npm": "npm install --fetch-retries=0 --registry TARGET/ left-pad", "npm-view": "npm view --fetch-retries=0 --registry TARGET/ left-pad",
}
JAVA = "import java.net.*;\nimport java.net.http.*;\npublic class G {\n  public static void main(String[] a) throws Exception {\n    System.out.println(new URL(\"TARGET\").openConnection().getInputStream().read());\n  }\n}\n"
JAVA2 = "import java.net.*;\nimport java.net.http.*;\npublic class H {\n  public static void main(String[] a) throws Exception {\n    var r = HttpClient.newBuilder().proxy(ProxySelector.getDefault()).build().send(HttpRequest.newBuilder(URI.create(\"TARGET\")).build(), HttpResponse.BodyHandlers.ofString());\n    if (r.statusCode() >= 400) throw new java.io.IOException(\"HTTP \" + r.statusCode() + \" for \" + r.uri());\n  }\n}\n"
GO = "package main\n\nimport (\n\t\"fmt\"\n\t\"net/http\"\n\t\"os\"\n)\n\nfunc main() {\n\tr, err := http.Get(\"TARGET\")\n\tif err == nil && r.StatusCode >= 400 {\n\t\terr = fmt.Errorf(\"GET %s: %s\", r.Request.URL, r.Status)\n\t}\n\tif err != nil {\n\t\tfmt.Fprintln(os.Stderr, \"client:\", err)\n\t\tos.Exit(1)\n\t}\n}\n"


def clients(url):
    """Yields tool, command and files of clients that get a TARGET."""
    for tool, text in PYTHON.items():
        yield tool, "python get.py", {"get.py": text.replace("TARGET", url)}
    for tool, text in NODE.items():
        yield tool, "node get.js", {"get.js": text.replace("TARGET", url)}
    for tool, command in OTHER.items():
        yield tool, command.replace("TARGET/", url.rstrip("/") + "/").replace("TARGET", url), {}
    yield "java", "java G.java", {"G.java": JAVA.replace("TARGET", url)}
    yield "java-http", "java H.java", {"H.java": JAVA2.replace("TARGET", url)}
    yield "go", "go run .", {"go.mod": "module example.com/get\n\ngo 1.21\n", "main.go": GO.replace("TARGET", url)}


def through(folder, port):
    """The environment of a run that goes through the proxy."""
    proxy = f"http://127.0.0.1:{port}"
    bundle = f"{folder}/known.pem"
    env = {k: bundle for k in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "PIP_CERT", "npm_config_cafile", "PERL_LWP_SSL_CA_FILE")}
    store = f"{folder}/trust.p12"
    if not os.path.exists(store):
        origin.run("keytool", "-importcert", "-noprompt", "-file", bundle, "-keystore", store, "-storetype", "PKCS12", "-storepass", "changeit")
    java = f"-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort={port} -Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"
    return env | {"HTTPS_PROXY": proxy, "https_proxy": proxy, "http_proxy": proxy, "NODE_USE_ENV_PROXY": "1", "JDK_JAVA_OPTIONS": java, "CA": bundle, "WGETRC": f"{folder}/wgetrc"}


def answers(add, folder):
    port, _ = origin.proxy(folder)
    env = through(folder, port)
    with open(f"{folder}/wgetrc", "w") as f:
        f.write(f"ca_certificate={folder}/known.pem\n")
    plain = origin.serve()
    own = {"node-fetch", "node-got", "node-https", "node-ws", "node-axios", "php"}  # these ignore the proxy
    for n, code in enumerate((401, 403, 404, 405, 500)):
        for i, (tool, command, files) in enumerate(clients(f"https://api.example.com/{code}")):
            if tool not in own and (i + n) % 2 == 0:
                add(tool, "answer", command, files, env)
        for i, (tool, command, files) in enumerate(clients(f"http://localhost:{plain}/{code}")):
            if (i + n) % 3 == 0 or tool in own:
                add(tool, "answer", command, files)


def services(add, folder):
    for tool, command, files in clients("http://localhost:3999/health"):
        add(tool, "service", command, files)
    for i, (tool, command, files) in enumerate(clients("https://127.0.0.1:8444/v1")):
        if i % 2:
            add(tool, "service", command, files)
    for i, (tool, command, files) in enumerate(clients("http://db-service:8080/")):
        if i % 2 == 0:
            add(tool, "service", command, files)
    for command in ("psql -h localhost -U app app -c 'select 1'", "psql -h 127.0.0.1 -p 5433 -c 'select 1'", "psql postgresql://app@db:5432/app -c 'select 1'", "redis-cli -h localhost ping", "redis-cli -h cache -p 6379 ping", "redis-cli --tls -h localhost -p 6390 ping", "mysql -h 127.0.0.1 -P 3307 -u app -e 'select 1'", "mysql -h db -u app -e 'select 1'", "mysqladmin -h localhost --protocol=tcp -P 3309 ping", "docker ps", "docker build .", "docker run --rm alpine true", "docker -H tcp://localhost:2375 ps", "docker compose up", "kubectl get pods", "kubectl --server https://localhost:6443 get pods", "kubectl --server http://127.0.0.1:8001 get nodes", "kubectl version", "ssh -o BatchMode=yes -p 2222 localhost true", "ssh -o BatchMode=yes build-box true", "git clone git://localhost/repo.git", "git clone ssh://git@localhost:2222/repo.git", "git clone https://localhost:8443/repo.git", "git fetch", "git clone /nonexistent/repo.git", "svn info http://localhost:3980/svn", "hg clone http://localhost:3980/hg", "rsync -n rsync://localhost/x .", "aws --endpoint-url http://localhost:4566 s3 ls", "aws --endpoint-url http://localhost:8000 --region us-east-1 dynamodb list-tables", "openssl s_client -connect localhost:4433", "nc -zv localhost 9092", "telnet localhost 25", "mvn -q -o compile", "composer install", "bundle install --local", "gradle --offline build", "terraform validate", "python -c 'import smtplib; smtplib.SMTP(\"localhost\", 2525)'", "python -c 'import xmlrpc.client; xmlrpc.client.ServerProxy(\"http://localhost:9001\").system.listMethods()'", "python -c 'import socket; socket.create_connection((\"localhost\", 5432))'", "python -c 'import socket; socket.getaddrinfo(\"db\", 5432)'", "node -e 'require(\"net\").connect(6379, \"redis\")'", "node -e 'require(\"net\").connect(5432)'", "ruby -rsocket -e 'TCPSocket.new(\"localhost\", 11211)'", "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(\"localhost:5672\") or die \"amqp: $@\"'", "php -r 'new PDO(\"mysql:host=127.0.0.1;port=3310\");'", "gnutls-cli -p 4433 localhost < /dev/null", "curl --unix-socket /run/none.sock http://localhost/", "curl -fsS telnet://localhost:2323", "curl -sS ftp://localhost/x", "pg_isready -h localhost; pg_dump -h localhost app"):
        add(command.split()[0], "service", command, {"main.tf": "resource \"x\" {\n", "composer.json": "{\"require\": {\"a/b\": \"^1\"}", "Gemfile": "source 'https://gems.example'\ngem 'left_pad'\n", "Dockerfile": "FROM alpine\n", "compose.yaml": "services: {db: {image: postgres}}\n"}, timeout=60)
    key, cert = f"{folder}/stranger.key", f"{folder}/stranger.crt"
    pick = "PORT=$(python3 -c 'import socket; s=socket.socket(); s.bind((\"127.0.0.1\",0)); print(s.getsockname()[1])'); export PORT; "
    for tool, command, files in clients("https://localhost:PORT/"):
        if tool in ("curl", "wget", "git", "python-requests", "python-urllib", "node-https", "node-fetch", "node-axios", "java", "go", "ruby", "perl"):
            add(tool, "service-tls", pick + f"(exec openssl s_server -quiet -accept $PORT -key {key} -cert {cert} -www) >/dev/null 2>&1 & server=$!; sleep 1; sed -i \"s/PORT/$PORT/\" get.* main.go G.java H.java 2>/dev/null; " + command.replace("PORT", "$PORT").replace("'", '"' if tool == "perl" else "'") + "; s=$?; kill $server; exit $s", files)


def packages(add, folder):
    conflict = '{"name":"app","version":"1.0.0","dependencies":{"eslint":"8.0.0","eslint-plugin-jest":"28.0.0"},"devDependencies":{"@typescript-eslint/eslint-plugin":"8.0.0"}}'
    for command, files in (("npm install --package-lock-only", {"package.json": conflict}), ("npm install --package-lock-only left-pad@99", {"package.json": "{}"}), ("npm ci", {"package.json": "{\"dependencies\":{\"ws\":\"1\"}}"}), ("npm run nothing", {"package.json": "{}"}), ("npm install", {"package.json": "{ \"name\": \"x\", }"}), ("npm publish --dry-run", {"package.json": "{\"private\":true,\"name\":\"x\",\"version\":\"1.0.0\"}"}), ("npm ls", {"package.json": "{\"dependencies\":{\"proxy-agent\":\"1\"}}"}), ("npm install --engine-strict --package-lock-only", {"package.json": "{\"engines\":{\"node\":\">99\"}}"}), ("npm audit", {"package.json": "{}"}), ("npx --no-install nothing-here", {}), ("npm whoami", {}),
                           ("pip install --dry-run requests==99", {}), ("pip install --dry-run 'requests<2' 'urllib3>2.5'", {}), ("pip install --dry-run 'requests==2.20' 'urllib3==2.0.0'", {}), ("pip install --no-build-isolation .", {"setup.py": "from setuptools import setup, Extension\nsetup(name='x', ext_modules=[Extension('x', ['x.c'])])\n", "x.c": "const char *m = \"certificate verify failed\"; int x = \"proxy\"\n"}), ("pip install -r requirements.txt", {"requirements.txt": "requests==\n"}), ("pip install --dry-run --python-version 2.7 --only-binary :all: --target t numpy", {}), ("pip check", {}), ("pip show nothing-here", {}), ("pip install nothing.whl", {}), ("pip install --require-hashes requests", {}), ("pip uninstall -y nothing-here", {}), ("pip config get global.proxy", {}),
                           ("cargo build --offline", {"Cargo.toml": "[package]\nname = \"x\"\nversion = \"0.1.0\"\n[dependencies]\nno-such-crate-here = \"1\"\n", "src/lib.rs": ""}), ("cargo build", {"Cargo.toml": "[package\n"}), ("cargo install nothing --offline", {}), ("go build ./...", {"go.mod": "module x\n\ngo 1.21\n", "a.go": "package x\n\nimport _ \"example.com/nothing/proxy\"\n"}), ("go mod verify; GOFLAGS=-mod=readonly go build ./...", {"go.mod": "module x\n\ngo 1.21\n\nrequire golang.org/x/net v0.0.1\n", "a.go": "package x\n\nimport _ \"golang.org/x/net/proxy\"\n"}), ("go run nothing.go", {}), ("gem install --local nothing", {}), ("bundle exec rake", {"Gemfile": "gem 'nothing'\n"}), ("composer validate", {"composer.json": "{}"}), ("mvn -o -q package", {"pom.xml": "<project><modelVersion>4.0.0</modelVersion><groupId>a</groupId><artifactId>b</artifactId><version>1</version><dependencies><dependency><groupId>x</groupId><artifactId>y</artifactId><version>1</version></dependency></dependencies></project>"}), ("apt-get install -y nothing-here", {}), ("apt-cache policy nothing", {}), ("dpkg -i nothing.deb", {}), ("terraform plan", {"main.tf": "resource \"null_resource\" \"x\" { triggers = var.missing }\n"}), ("cmake .", {"CMakeLists.txt": "cmake_minimum_required(VERSION 3.10)\nproject(x C)\nfind_package(OpenSSL 99 REQUIRED)\nfind_package(Proxy REQUIRED)\n"}), ("./configure", {"configure": "#!/bin/sh\necho 'checking for OpenSSL... no'; echo 'checking for proxy support... no'; echo 'configure: error: TLS certificate support wanted, no TLS library found'; exit 1\n"})):
        add(command.split()[0], "package", command.replace("./configure", "sh ./configure"), files, timeout=90)


def builds(add, folder):
    port, _ = origin.proxy(folder)
    env = through(folder, port)
    plain = origin.serve()
    for i in range(2):
        for scheme, base, e in (("http", f"http://localhost:{plain}", {}), ("https", "https://api.example.com", env)):
            for kind in ("flaky", "flakyreset"):
                u = f"{base}/{kind}/{scheme}{i}"
                for tool, command in (("curl", f"curl -fsS --retry 4 --retry-all-errors --retry-delay 1 {u}/c && echo done"), ("wget", f"wget --tries=4 --waitretry=1 --retry-on-http-error=503 -O- {u}/w"), ("python-requests", "python get.py"), ("node-got", "node get.js"), ("bash", f"for i in 1 2 3; do curl -fsS {u}/b && break; echo \"attempt $i failed, trying again\"; sleep .2; done; echo 'build finished'")):
                    if tool == "node-got" and e:
                        continue
                    add(tool, "retry", command, {"get.py": f"import logging, requests\nfrom requests.adapters import HTTPAdapter, Retry\nlogging.basicConfig(level=logging.DEBUG)\ns = requests.Session()\nfor p in 'http://', 'https://':\n    s.mount(p, HTTPAdapter(max_retries=Retry(4, status_forcelist=[503], backoff_factor=.1)))\nprint(s.get('{u}/p').text)\n", "get.js": f"import('got').then(async g => {{ console.log(await g.got('{u}/g', {{ retry: {{ limit: 4 }}, hooks: {{ beforeRetry: [(e, n) => console.warn('retry', n, e.message)] }} }}).text()); console.log('done'); }});\n"}, e)


# ---- causes of ours --------------------------------------------------------------

def failing(add, folder):
    port, _ = origin.proxy(folder)
    locked, _ = origin.proxy(folder, "407 Proxy Authentication Required")
    env = through(folder, port)
    with open(f"{folder}/wgetrc", "w") as f:
        f.write(f"ca_certificate={folder}/known.pem\n")
    dead = through(folder, 28999)
    direct = {k: v for k, v in env.items() if "proxy" not in k.lower() and k != "JDK_JAVA_OPTIONS"}
    ignores = {"node-fetch", "node-got", "node-https", "node-ws", "php"}
    for label, url, e in (("tls_other", "https://expired.example.com/", env), ("tls_other", "https://wrong.example.com/", env), ("tls_trust", "https://stranger.example.com/", env), ("policy_denied", "https://denied.example.com/", env),
                          ("proxy_auth_407", "https://api.example.com/", through(folder, locked)), ("proxy_unreachable", "https://api.example.com/", dead), ("upstream_failed", "https://gone.example.com/", env)):
        for tool, command, files in clients(url):
            if tool in ignores or tool == "ruby-net" and label == "upstream_failed":
                continue
            add(tool, "failing", command, files, e, label)
    for tool, command, files in clients("https://api.example.com/"):
        add(tool, "failing", command, files, direct, "proxy_bypassed")


# Clients that no rule was written with: round 51 is held out.
FRESH_PYTHON = {
    "niquests": "import niquests\nprint(niquests.get('TARGET').text)\n",
    "httplib2": "import httplib2, os\nh = httplib2.Http(ca_certs=os.environ['CA'], proxy_info=httplib2.proxy_info_from_environment('https'))\nprint(h.request('TARGET')[0].status)\n",
    "curl_cffi": "from curl_cffi import requests\nprint(requests.get('TARGET').text)\n",
    "aiosonic": "import asyncio, aiosonic, os\nfrom aiosonic.proxy import Proxy\nasync def main():\n    async with aiosonic.HTTPClient(proxy=Proxy(os.environ['HTTPS_PROXY'])) as c:\n        print((await c.get('TARGET')).status_code)\nasyncio.run(main())\n",
    "mechanize": "import mechanize\nb = mechanize.Browser()\nb.set_handle_robots(False)\nprint(b.open('TARGET').read())\n",
    "boto3": "import boto3, os\ns3 = boto3.client('s3', region_name='eu-central-1', endpoint_url='TARGET', aws_access_key_id='a', aws_secret_access_key='b', verify=os.environ['CA'], config=boto3.session.Config(retries={'total_max_attempts': 1}))\nprint(s3.list_buckets())\n",
    "influxdb-client": "from influxdb_client import InfluxDBClient\nimport os\nc = InfluxDBClient(url='TARGET', token='t', org='o', proxy=os.environ['HTTPS_PROXY'], ssl_ca_cert=os.environ['CA'])\nprint(c.query_api().query('x'))\n",
    "slack_sdk": "from slack_sdk import WebClient\nprint(WebClient(token='t', base_url='TARGET').api_test())\n",
    "stripe": "import stripe\nstripe.api_key, stripe.api_base, stripe.max_network_retries = 'k', 'TARGET'.rstrip('/'), 0\nprint(stripe.Balance.retrieve())\n",
    "PyGithub": "import github\nprint(github.Github(base_url='TARGET'.rstrip('/'), retry=0).get_user('a').id)\n",
    "python-gitlab": "import gitlab\nprint(gitlab.Gitlab('TARGET', private_token='t').projects.list())\n",
    "hvac": "import hvac, os\nprint(hvac.Client(url='TARGET').sys.read_health_status())\n",
    "primp": "import primp, os\nprint(primp.Client(proxy=os.environ['HTTPS_PROXY']).get('TARGET').text)\n",
    "huggingface_hub": "import os\nos.environ['HF_ENDPOINT'] = 'TARGET'.rstrip('/')\nimport huggingface_hub\nprint(huggingface_hub.model_info('gpt2'))\n",
    "pooch": "import pooch\npooch.retrieve('TARGETdata.csv', known_hash=None, path='.')\n",
    "requests-futures": "from requests_futures.sessions import FuturesSession\nprint(FuturesSession().get('TARGET').result().text)\n",
    "elasticsearch": "from elasticsearch import Elasticsearch\nimport os\nprint(Elasticsearch('TARGET', node_class='requests', ca_certs=os.environ['CA'], max_retries=0).info())\n",
    "aiohttp-retry": "import asyncio, os, ssl\nfrom aiohttp_retry import ExponentialRetry, RetryClient\nasync def main():\n    async with RetryClient(trust_env=True, retry_options=ExponentialRetry(attempts=1)) as c, c.get('TARGET') as r:\n        print(r.status)\nasyncio.run(main())\n",
    "feedparser": "import feedparser\nd = feedparser.parse('TARGETfeed.xml')\nif d.bozo:\n    raise d.bozo_exception\n",
    "smart_open": "from smart_open import open\nprint(open('TARGETdata.txt').read())\n",
}
AGENT = "const { HttpsProxyAgent } = require('https-proxy-agent');\nconst agent = new HttpsProxyAgent(process.env.HTTPS_PROXY);\n"
FRESH_NODE = {
    "superagent": AGENT + "require('superagent').get('TARGET').agent(agent).then(r => console.log(r.text));\n",
    "needle": AGENT + "require('needle')('get', 'TARGET', { agent }).then(r => console.log(r.body));\n",
    "simple-get": AGENT + "require('simple-get').concat({ url: 'TARGET', agent }, (err, res, data) => { if (err) throw err; console.log(data.toString()); });\n",
    "gaxios": "require('gaxios').request({ url: 'TARGET' }).then(r => console.log(r.data));\n",
    "hyperquest": AGENT + "require('hyperquest')('TARGET', { agent }).pipe(process.stdout);\n",
    "make-fetch-happen": "require('make-fetch-happen')('TARGET', { retry: 0 }).then(r => r.text()).then(console.log);\n",
    "slack-web-api": AGENT + "const { WebClient } = require('@slack/web-api');\nnew WebClient('t', { slackApiUrl: 'TARGET', agent, retryConfig: { retries: 0 } }).api.test().then(console.log);\n",
    "stripe-node": AGENT + "const s = require('stripe')('k', { host: new URL('TARGET').host, httpAgent: agent, maxNetworkRetries: 0 });\ns.balance.retrieve().then(console.log, e => { console.error(`${e.type}: ${e.message}`); process.exit(1); });\n",
    "socket.io-client": AGENT + "const s = require('socket.io-client').io('TARGET', { agent, transports: ['websocket'], reconnection: false });\ns.on('connect_error', e => { console.error(e); process.exit(1); });\n",
    "prebuild-install": "require('child_process').execFileSync('npx', ['--no-install', 'prebuild-install', '--download', 'TARGETx.tar.gz', '--verbose', '--force'], { stdio: 'inherit' });\n",
    "isomorphic-git": AGENT + "const git = require('isomorphic-git');\nconst http = { request: ({ url, method, headers }) => new Promise((ok, no) => require('https').request(url, { method, headers, agent }, r => ok({ url, statusCode: r.statusCode, statusMessage: r.statusMessage, body: r, headers: r.headers })).on('error', no).end()) };\ngit.clone({ fs: require('fs'), http, dir: 'x', url: 'TARGETa/b.git' });\n",
}
FRESH_OTHER = {
    "lftp": "lftp -c 'set net:max-retries 1; set ssl:ca-file '$CA'; open TARGET && cls'", "wget2": "wget2 --tries=1 --ca-certificate=$CA -O- TARGET", "elinks": "elinks -no-connect -source TARGET",
    "svn-checkout": "svn --non-interactive --config-option servers:global:http-proxy-host=127.0.0.1 --config-option servers:global:http-proxy-port=${HTTPS_PROXY##*:} --config-option servers:global:ssl-authority-files=$CA checkout TARGETrepo",
    "hg-clone": "hg --config http_proxy.host=${HTTPS_PROXY#http://} --config web.cacerts=$CA clone TARGETrepo", "openssl-s_client": "openssl s_client -proxy ${HTTPS_PROXY#http://} -connect HOST:443 -CAfile $CA -verify_return_error </dev/null",
    "ncat": "ncat --proxy ${HTTPS_PROXY#http://} --proxy-type http --ssl-verify --ssl-trustfile $CA HOST 443 </dev/null", "socat": "socat -d - 'PROXY:127.0.0.1:HOST:443,proxyport='${HTTPS_PROXY##*:} </dev/null",
    "erl-httpc": "erl -noshell -eval 'ssl:start(), inets:start(), httpc:set_options([{https_proxy, {{\"127.0.0.1\", '${HTTPS_PROXY##*:}'}, []}}]), {ok, _} = httpc:request(get, {\"TARGET\", []}, [{ssl, [{verify, verify_peer}, {cacertfile, \"'$CA'\"}]}], []), halt().'",
    "tclsh": "printf '%s\\n' 'package require http' 'package require tls' '::http::config -proxyhost 127.0.0.1 -proxyport '${HTTPS_PROXY##*:} '::http::register https 443 [list ::tls::socket -autoservername true -require true -cafile '$CA']' 'puts [::http::data [::http::geturl TARGET]]' >g.tcl; tclsh g.tcl",
    "swipl": "swipl -g \"use_module(library(http/http_open)), http_open('TARGET', S, [proxy('127.0.0.1', ${HTTPS_PROXY##*:}), cacerts([file('$CA')])]), copy_stream_data(S, user_output)\" -t 'halt(1)'",
    "ruby-httpclient": "ruby -rhttpclient -e 'c = HTTPClient.new(ENV[\"HTTPS_PROXY\"]); c.ssl_config.set_trust_ca(ENV[\"CA\"]); puts c.get_content(\"TARGET\")'",
    "ruby-http": "ruby -rhttp -e 'u = URI(ENV[\"HTTPS_PROXY\"]); puts HTTP.via(u.host, u.port).get(\"TARGET\").to_s'", "ruby-mechanize": "ruby -rmechanize -e 'm = Mechanize.new; u = URI(ENV[\"HTTPS_PROXY\"]); m.set_proxy(u.host, u.port); puts m.get(\"TARGET\").body'",
    "gem-sources": "gem sources --add TARGET", "cpan-www": "perl -MLWP::Simple -e 'my $u = LWP::UserAgent->new; $u->env_proxy; my $r = $u->mirror(\"TARGETx\", \"x\"); die \"mirror: \", $r->message, \"\\n\" if $r->is_error'",
    "helm": "helm repo add x TARGET", "git-lfs-fetch": "git init -q . && git -c lfs.url=TARGETlfs lfs fetch --all origin", "pip-index": "pip index versions --retries 0 --index-url TARGETsimple six",
    "npm-ping": "npm ping --registry TARGET --fetch-retries 0", "terraform-init": "printf 'terraform {\\n backend \"http\" {\\n address = \"TARGETs\"\\n }\\n}\\n' >main.tf; terraform init -no-color -input=false",
    "Rscript": "Rscript -e 'x <- url(\"TARGETx.csv\", method = \"libcurl\"); read.csv(x)'", "php-soap": "php -r '$c = stream_context_create([\"http\" => [\"proxy\" => \"tcp://127.0.0.1:'${HTTPS_PROXY##*:}'\", \"request_fulluri\" => true]]); var_dump(simplexml_load_string(file_get_contents(\"TARGETx.xml\", false, $c))); exit(1);'",
    "java-nio": "printf 'import java.net.*; class N { public static void main(String[] a) throws Exception { java.nio.file.Files.copy(URI.create(\"TARGETx\").toURL().openStream(), java.nio.file.Path.of(\"x\")); } }' >N.java; java N.java",
}


def fresh(add, folder):
    port, _ = origin.proxy(folder)
    locked, _ = origin.proxy(folder, "407 Proxy Authentication Required")
    cut, _ = origin.proxy(folder, "cut")
    env = through(folder, port)
    with open(f"{folder}/wgetrc", "w") as f:
        f.write(f"ca_certificate={folder}/known.pem\n")
    gems = {"GEM_PATH": f"{folder}/gems", "PYTHONPATH": "", "PYENV_VERSION": ""}
    n = 0
    for label, host, e in (("tls_other", "expired.example.com", env), ("tls_other", "wrong.example.com", env), ("tls_trust", "stranger.example.com", env), ("policy_denied", "denied.example.com", env),
                           ("proxy_auth_407", "api.example.com", through(folder, locked)), ("proxy_unreachable", "api.example.com", through(folder, 28999)), ("upstream_failed", "gone.example.com", env),
                           ("tls_other", "api.example.com", through(folder, cut))):
        url = f"https://{host}/"
        for tool, text in FRESH_PYTHON.items():
            add(tool, "failing", "python get.py", {"get.py": text.replace("TARGET", url)}, e | gems, label, timeout=25)
        for tool, text in FRESH_NODE.items():
            add(tool, "failing", "node get.js", {"get.js": text.replace("TARGET", url)}, e | gems, label, timeout=25)
        for tool, command in FRESH_OTHER.items():
            add(tool, "failing", command.replace("TARGET", url).replace("HOST", host), {}, e | gems, label, timeout=25)
