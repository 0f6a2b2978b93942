package classify

import (
	"net/netip"
	"regexp"
	"strings"
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
	case "remote":
		return host != "" && !isLocal(host)
	}
	return true
}

// servicePorts are those of protocols that no HTTP proxy carries.
var servicePorts = map[string]bool{
	"21": true, "22": true, "23": true, "25": true, "110": true, "143": true, "389": true, "465": true, "587": true, "636": true, "873": true,
	"993": true, "995": true, "1433": true, "1521": true, "1883": true, "2049": true, "2181": true, "3306": true, "4222": true, "5222": true,
	"5432": true, "5671": true, "5672": true, "6379": true, "6380": true, "6667": true, "7687": true, "8883": true, "9042": true, "9092": true,
	"9093": true, "9418": true, "11211": true, "26257": true, "27017": true, "27018": true, "33060": true,
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
	}
	return true
}

var anyHost = regexp.MustCompile(`https?://(?:[^/\s"'@]*@)?([A-Za-z0-9][A-Za-z0-9.-]*)|(?:resolve host:?|resolve proxy:?|ENOTFOUND|EAI_AGAIN|lookup|host=|hostname:?|connect to(?: host)?|resolving|UnknownHostException:) '?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)|([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}):\d{2,5}\b`)

// nearestHost returns the first remote host that a text names, "" for none.
func nearestHost(text string) string {
	for _, m := range anyHost.FindAllStringSubmatch(text, 8) {
		for _, host := range m[1:] {
			if host != "" && !isLocal(host) && strings.Contains(host, ".") {
				return host
			}
		}
	}
	return ""
}
