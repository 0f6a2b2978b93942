package trust

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// settings is the table. Which key a tool obeys, and over which other, was
// measured for the profiles (profiles/tools).
var settings = []setting{
	{
		store: "bazel",
		file: func(w *System) string {
			if w.Admin {
				return filepath.Join(w.Root, "/etc/bazel.bazelrc")
			}
			return filepath.Join(w.Home, ".bazelrc")
		},
		also:   noneBeside,
		layout: layout{keys: pattern(`^\s*startup\b.*-Djavax\.net\.ssl\.trustStore=(\S+)`)},
		lines: func(value string) []string {
			return []string{
				`startup "--host_jvm_args=-Djavax.net.ssl.trustStore=` + value + `"`,
				"startup --host_jvm_args=-Djavax.net.ssl.trustStorePassword=" + JVMPassword,
			}
		},
		value: javaStoreOf,
		copied: func(w *System) string {
			if w.Admin {
				return filepath.Join(w.Root, "/etc/bazel.agentproxy.p12")
			}
			return ""
		},
	},
	{
		store: "boto", tool: "gsutil",
		file:   fileOf("BOTO_CONFIG", ".boto"),
		also:   func(w *System) []string { return []string{filepath.Join(w.Root, "/etc/boto.cfg")} },
		layout: layout{section: "Boto", keys: pattern(`(?i)^\s*ca_certificates_file\s*[=:]\s*(.*)`)},
		lines:  line("ca_certificates_file = %s"),
		value:  bundleOf,
	},
	{
		store:  "npm",
		file:   fileOf("NPM_CONFIG_USERCONFIG", ".npmrc"),
		also:   noneBeside,
		layout: layout{keys: pattern(`^\s*(?:cafile|ca|ca\[\])\s*=\s*(.*)`)},
		lines:  line("cafile=%s"),
		value:  bundleOf,
		ask: func(file string) helper {
			return helper{argv: []string{"npm", "config", "get", "cafile", "--userconfig", file}, env: []string{"npm_config_cafile=", "NPM_CONFIG_CAFILE=", "npm_config_logs_max=0"}}
		},
		answers: wholeLine,
	},
	{
		store: "pip",
		file: func(w *System) string {
			if file := w.Getenv("PIP_CONFIG_FILE"); file != "" {
				return file
			}
			mac := filepath.Join(w.Home, "Library", "Application Support", "pip")
			if _, err := os.Stat(mac); err == nil {
				return filepath.Join(mac, "pip.conf")
			}
			return filepath.Join(w.xdg("XDG_CONFIG_HOME", ".config"), "pip", "pip.conf")
		},
		also:   func(w *System) []string { return []string{filepath.Join(w.Home, ".pip", "pip.conf")} },
		layout: layout{section: "global", keys: pattern(`(?i)^\s*cert\s*[=:]\s*(.*)`)},
		lines:  line("cert = %s"),
		value:  bundleOf,
		ask: func(file string) helper {
			// "config get" does not look into PIP_CONFIG_FILE (pip 23.2).
			return helper{argv: []string{"pip", "--disable-pip-version-check", "config", "list"}, env: []string{"PIP_CONFIG_FILE=" + file}}
		},
		answers: pattern(`(?m)^global\.cert='(.*)'$`),
	},
	{
		store:  "git",
		file:   gitFile,
		also:   gitFiles,
		layout: layout{section: "http", atEnd: true, keys: pattern(`(?i)^\s*sslcainfo\s*=\s*(.*)`)},
		lines:  func(value string) []string { return []string{"\tsslCAInfo = " + quoted(value)} },
		value:  bundleOf,
		ask: func(file string) helper {
			return helper{argv: []string{"git", "config", "--file", file, "--includes", "--get", "http.sslCAInfo"}}
		},
		answers: wholeLine,
	},
	{
		store:  "conda",
		closed: notPlainYAML,
		file:   fileOf("CONDARC", ".condarc"),
		also: func(w *System) []string {
			return w.user(".config/conda/.condarc", ".conda/.condarc", ".condarc.d/*.yml")
		},
		layout: layout{keys: pattern(`^["']?(?:ssl_verify|verify_ssl)["']?\s*:\s*(.*)`)},
		lines:  func(value string) []string { return []string{"ssl_verify: " + quoted(value)} },
		value:  bundleOf,
		ask: func(file string) helper {
			return helper{argv: []string{"conda", "config", "--file", file, "--get", "ssl_verify"}}
		},
		answers: pattern(`(?m)^--set ssl_verify (.*)$`),
	},
}

// gitFiles are the user's two; git reads both, and the one in the home directory
// wins.
func gitFiles(w *System) []string {
	if file := w.Getenv("GIT_CONFIG_GLOBAL"); file != "" {
		return []string{file}
	}
	return []string{filepath.Join(w.Home, ".gitconfig"), filepath.Join(w.xdg("XDG_CONFIG_HOME", ".config"), "git", "config")}
}

// gitFile is the one that git would write to.
func gitFile(w *System) string {
	files := gitFiles(w)
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return files[0]
}

// quoted is a text in double quotes, as JSON, YAML and git write it.
func quoted(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		return s // a string can always be written
	}
	return string(raw)
}

// notPlainYAML are the lines of a document behind which nothing can be added: in
// braces, or one of several.
var notPlainYAML = pattern(`^(\{|\.\.\.|---\s*\S)`)
