package classify

import (
	"slices"
	"strconv"
	"strings"

	"github.com/agentproxy/agentproxy/profiles/env"
)

// hostIs reports whether a host is of the kind that a rule wants.
func hostIs(kind, host string) bool {
	switch kind {
	case "local":
		return env.IsLoopback(host)
	case "remote": // names without a dot are services of the user's own
		return strings.ContainsAny(host, ".:") && !env.IsLoopback(host)
	}
	return true
}

// servicePorts are those of protocols that no HTTP proxy carries.
var servicePorts = set(`21 22 23 25 110 143 389 465 587 636 873 993 995 1433 1521 1883 2049 2181 3306 4222 5222 5432 5671 5672 6379 6380 6667 7687
	8883 9042 9092 9093 9418 11211 26257 27017 27018 33060`)

// portIs reports whether a port is of the kind that a rule wants.
func portIs(kind, port string) bool {
	web := port == "" || port == "80" || port == "443"
	switch kind {
	case "web":
		return web
	case "other":
		return !web
	case "service":
		return servicePorts[port]
	case "odd":
		return !web && !servicePorts[port] && !isDevPort(port)
	}
	return true
}

// devPorts are ranges of ports of servers that developers run.
var devPorts = [][2]int{{3000, 3099}, {3300, 3999}, {4000, 5999}, {7000, 7099}, {7233, 7233}, {8000, 8099}, {8440, 8449}, {8500, 8599}, {8787, 8787}, {8900, 8999}, {9000, 9999}, {15672, 15672}, {50051, 50051}}

func isDevPort(port string) bool {
	n, _ := strconv.Atoi(port)
	return slices.ContainsFunc(devPorts, func(r [2]int) bool { return r[0] <= n && n <= r[1] })
}

var anyHost = pattern(`https?://(?:[^/\s"'@]*@)?([A-Za-z0-9][A-Za-z0-9.-]*)(?::\d+)?(/[^\s"'<>)]*)?` +
	`|(?:resolve host:?|resolve proxy:?|ENOTFOUND|EAI_AGAIN|lookup|hostname:?|connect to(?: host)?|resolving|UnknownHostException:|(?:host|server)=) ?'?"?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)` +
	`|([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.([A-Za-z]{2,})):\d{2,5}\b`)

// nearestHost returns the first remote host that a text names, "" for none. Neither a
// position in a source file is one (cli.js:42) nor what is only there to be read: help
// pages, documents, issues.
func nearestHost(text string) string {
	for _, at := range anyHost().FindAllStringSubmatchIndex(text, 8) {
		part := func(group int) string {
			if at[2*group] < 0 {
				return ""
			}
			return text[at[2*group]:at[2*group+1]]
		}
		var host string
		switch {
		case at[2] >= 0 && !isToRead(text[:at[0]], part(1), part(2)):
			host = part(1)
		case at[6] >= 0:
			host = part(3)
		case at[8] >= 0 && !sourceFiles[strings.ToLower(part(5))]:
			host = part(4)
		}
		if strings.Contains(host, ".") && !env.IsLoopback(host) {
			return host
		}
	}
	return ""
}

// sourceFiles are the endings of files that programs name with a line's number.
var sourceFiles = set(`js mjs cjs jsx ts tsx mts cts py pyx rb go rs java kt kts scala groovy gradle clj c h cc cpp cxx hh hpp m mm cs fs vb php pl pm t erl hrl ex exs
	ml mli hs lua tcl r jl swift dart zig nim cr d sh bash zsh fish ps vue svelte html css json yaml yml toml xml ini cfg conf txt log md lock tf sql proto`)

// isToRead reports whether a URL stands in a text to be read and not to be fetched.
func isToRead(before, host, path string) bool {
	return pointer().MatchString(before[max(0, len(before)-40):]) || document().MatchString(host+path)
}

var (
	pointer  = pattern(`(?i)(?:\bsee(?: also)?|\bvisit|\brefer to|\bread|\bdocs?|documentation|details(?: here)?|more info(?:rmation)?|help|reference|guide|learn more|report (?:this|it|a bug|an issue)|wiki|faq|homepage|website)\b[^/]{0,24}$`)
	document = pattern(`(?i)^(?:docs?|help|support|wiki|developer|devcenter|learn)\.|^(?:curl\.se|curl\.haxx\.se|aka\.ms|go\.dev|pkg\.go\.dev|go\.microsoft\.com)/|/(?:docs?|documentation|wiki|help|faq|issues|manual|man|reference|errors|troubleshooting|blob|questions|kb|support|learn|rules)(?:/|$|#)|\.html?#`)
)

func set(words string) map[string]bool {
	all := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		all[word] = true
	}
	return all
}
