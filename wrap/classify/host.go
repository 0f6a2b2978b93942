package classify

import (
	"net/netip"
	"regexp"
	"strings"
	"sync"
)

// isLocal tells that a host is this machine.
func isLocal(host string) bool {
	host = strings.Trim(strings.ToLower(host), "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || ip.IsUnspecified())
}

// hostIs tells that a host is of the kind that a rule wants.
func hostIs(kind, host string) bool {
	switch kind {
	case "local":
		return isLocal(host)
	case "remote": // names without a dot are services of the user's own
		return strings.ContainsAny(host, ".:") && !isLocal(host)
	}
	return true
}

// servicePorts are those of protocols that no HTTP proxy carries, devPorts those
// of servers that developers run.
var (
	servicePorts = portSet(`21 22 23 25 110 143 389 465 587 636 873 993 995 1433 1521 1883 2049 2181 3306 4222 5222 5432 5671 5672 6379 6380 6667 7687
		8883 9042 9092 9093 9418 11211 26257 27017 27018 33060`)
	devPorts = portSet(`3000 3001 3333 4000 4200 4321 4444 5000 5001 5173 7000 7233 8000 8001 8081 8500 8983 9000 9090 9200 9229 9411 9515 15672 50051`)
)

func portSet(list string) map[string]bool {
	set := map[string]bool{}
	for _, port := range strings.Fields(list) {
		set[port] = true
	}
	return set
}

// portIs tells that a port is of the kind that a rule wants.
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
		return !web && !servicePorts[port] && !devPorts[port]
	}
	return true
}

var anyHost = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`https?://(?:[^/\s"'@]*@)?([A-Za-z0-9][A-Za-z0-9.-]*)|(?:resolve host:?|resolve proxy:?|ENOTFOUND|EAI_AGAIN|lookup|host=|hostname:?|connect to(?: host)?|resolving|UnknownHostException:) '?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)|([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}):\d{2,5}\b`)
})

// nearestHost returns the first remote host that a text names, "" for none.
func nearestHost(text string) string {
	for _, m := range anyHost().FindAllStringSubmatch(text, 8) {
		for _, host := range m[1:] {
			if host != "" && !isLocal(host) && strings.Contains(host, ".") {
				return host
			}
		}
	}
	return ""
}
