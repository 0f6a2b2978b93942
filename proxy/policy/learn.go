package policy

import (
	"net/http"
	"slices"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/status"
	"golang.org/x/net/publicsuffix"
)

// Need is an entry of a policy that something has needed.
type Need struct {
	// Entry goes into policy.allow.
	Entry string `json:"entry"`
	// Hosts are those that it is for, where it names several.
	Hosts []string `json:"hosts,omitempty"`
	// Asked are the names of the processes that asked, where they are known.
	Asked []string `json:"asked"`
	// Times is how often they did.
	Times int `json:"times"`
	// Why is the reason for which it is refused today, "" where that is not known.
	Why string `json:"why,omitempty"`
}

func (n *Need) add(e status.Entry) {
	n.Times++
	if e.Process != "" && !slices.Contains(n.Asked, e.Process) {
		n.Asked = append(n.Asked, e.Process)
	}
}

// namesAGroup is how many names of a domain make it one entry.
const namesAGroup = 3

// Learn returns the narrowest entries for what passed, in the order of the alphabet:
// hosts, or with requests methods and paths, which must all have been recorded then.
func Learn(seen []status.Entry, requests bool) []Need {
	byEntry := map[string]*Need{}
	for _, e := range seen {
		t, err := ParseTarget(e.Host)
		if err != nil || e.Outcome != status.Opened && e.Outcome != status.Reported || requests != (e.Method != "") {
			continue
		}
		entry := t.entry()
		if requests {
			entry = requestEntry(t, e)
		}
		need(byEntry, entry).add(e)
	}
	if requests {
		groupRequests(byEntry)
	} else {
		groupHosts(byEntry)
	}
	return sorted(byEntry)
}

// Missing returns entries for what the policy refuses of what was asked, with its
// reasons. Addresses are not among them: they are for policy.private.
func (p *Policy) Missing(seen []status.Entry) []Need {
	byEntry := map[string]*Need{}
	for _, e := range seen {
		t, err := ParseTarget(e.Host)
		if err != nil || e.Outcome == status.Failed {
			continue
		}
		d, entry := p.Decide(t), t.entry()
		if requests := p.Requests(t); d.Allowed && requests != nil && e.Method != "" {
			d, entry = p.again(requests, e), requestEntry(t, e)
		}
		if d.Allowed || d.address {
			continue
		}
		n := need(byEntry, entry)
		n.Why = d.Reason
		n.add(e)
	}
	return sorted(byEntry)
}

// again is the decision on a request that was recorded.
func (p *Policy) again(requests *Requests, e status.Entry) Decision {
	r, also, err := ParseRequest(e.Method, e.Path, nil)
	if err != nil {
		return requests.Unreadable(err)
	}
	return requests.Decide(r, also)
}

func need(byEntry map[string]*Need, entry string) *Need {
	if byEntry[entry] == nil {
		byEntry[entry] = &Need{Entry: entry, Asked: []string{}}
	}
	return byEntry[entry]
}

func sorted(byEntry map[string]*Need) []Need {
	list := []Need{}
	for _, n := range byEntry {
		list = append(list, *n)
	}
	slices.SortFunc(list, func(a, b Need) int { return strings.Compare(a.Entry, b.Entry) })
	return list
}

// entry is the target as an entry: without the port that is meant anyhow.
func (t Target) entry() string {
	if t.Port == 443 {
		return t.Host.String()
	}
	return t.String()
}

// requestEntry is an entry for a request that was recorded. A path of which the end was
// left out stands for its directory.
func requestEntry(t Target, e status.Entry) string {
	path := strings.ReplaceAll(e.Path, "*", "%2A")
	switch {
	case e.Path == "*":
		path = ""
	case e.WasCut():
		path = path[:strings.LastIndexByte(path, '/')] + "/**"
	}
	return e.Method + " " + t.entry() + path
}

// groupHosts puts names of one domain together when there are enough, except where the
// domain is one under which anybody registers.
func groupHosts(byEntry map[string]*Need) {
	byDomain := map[string][]string{}
	for entry := range byEntry {
		_, domain, ok := strings.Cut(entry, ".")
		name, _, _ := strings.Cut(domain, ":")
		if suffix, _ := publicsuffix.PublicSuffix(name); !ok || name == suffix || !isName(entry) {
			continue
		}
		byDomain[domain] = append(byDomain[domain], entry)
	}
	for domain, entries := range byDomain {
		if len(entries) < namesAGroup {
			continue
		}
		slices.Sort(entries)
		merge(byEntry, "*."+domain, entries, true)
	}
}

func isName(entry string) bool {
	t, err := ParseAuthority(entry, 443)
	return err == nil && !t.Host.IsIP()
}

// merge puts entries in one.
func merge(byEntry map[string]*Need, into string, entries []string, hosts bool) {
	all := need(byEntry, into)
	for _, entry := range entries {
		one := byEntry[entry]
		if entry == into {
			continue
		}
		all.Times += one.Times
		for _, name := range one.Asked {
			if !slices.Contains(all.Asked, name) {
				all.Asked = append(all.Asked, name)
			}
		}
		delete(byEntry, entry)
	}
	if hosts {
		all.Hosts = entries
	}
}

// pathsOfAHost is how many paths of one host are entries of their own.
const pathsOfAHost = 8

// groupRequests puts requests together: those of a git service, those that differ by
// their methods alone, and the paths of a host when there are many.
func groupRequests(byEntry map[string]*Need) {
	for word, service := range services {
		for entry := range byEntry {
			repository, ok := strings.CutSuffix(entry, "/"+service)
			if repository, ok = cutMethod(repository, http.MethodPost, ok); ok {
				merge(byEntry, repository+" "+word, []string{entry}, false)
			}
		}
	}
	for entry := range byEntry { // its discovery, whose service is not recorded
		repository, ok := strings.CutSuffix(entry, "/info/refs")
		repository, ok = cutMethod(repository, http.MethodGet, ok)
		for word := range services {
			if known := repository + " " + word; ok && byEntry[known] != nil {
				merge(byEntry, known, []string{entry}, false)
				break
			}
		}
	}
	methods := map[string][]string{} // by host and path
	for entry := range byEntry {
		if method, rest, ok := strings.Cut(entry, " "); ok && services[rest] == "" {
			methods[rest] = append(methods[rest], method)
		}
	}
	paths := map[string][]string{} // by methods and host
	for rest, list := range methods {
		slices.Sort(list)
		together := strings.Join(list, ",") + " " + rest
		var entries []string
		for _, method := range list {
			entries = append(entries, method+" "+rest)
		}
		merge(byEntry, together, entries, false)
		host, _, _ := strings.Cut(together, "/")
		paths[host] = append(paths[host], together)
	}
	for _, entries := range paths {
		if len(entries) > pathsOfAHost {
			merge(byEntry, commonDirectory(entries)+"/**", entries, false)
		}
	}
}

func cutMethod(entry, method string, ok bool) (rest string, is bool) {
	rest, is = strings.CutPrefix(entry, method+" ")
	return rest, is && ok
}

// commonDirectory is the longest beginning of all that ends before a "/".
func commonDirectory(entries []string) string {
	common := entries[0]
	for _, entry := range entries {
		for !strings.HasPrefix(entry+"/", common+"/") {
			common = common[:strings.LastIndexByte(common, '/')]
		}
	}
	return common
}
