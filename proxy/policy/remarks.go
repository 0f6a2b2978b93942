package policy

import (
	"fmt"
	"slices"
)

// Remarks says which entries are right and have no effect.
func (p *Policy) Remarks() (list []string) {
	for _, l := range p.lists {
		for i := range l.allow {
			a := &l.allow[i]
			remark := ""
			if d := p.denying(a); d != "" {
				remark = fmt.Sprintf("%s has no effect: %s wins", a.rule, d)
			} else if l.byDefault && a.on != nil && (a.port == 0 && !a.anyPort || a.port == 443) {
				remark = fmt.Sprintf("%s has no effect: %s lets every request pass", a.rule, allowDefault)
			}
			if remark != "" && !slices.Contains(list, remark) {
				list = append(list, remark)
			}
		}
	}
	return list
}

// denying is the rule that denies all of one host that an entry names, "" when there is
// none.
func (p *Policy) denying(allowed *pattern) string {
	if allowed.exact == (Host{}) {
		return ""
	}
	port := allowed.port
	if port == 0 {
		port = 443
	}
	if d := match(p.deny, Target{allowed.exact, port}, false); d != nil {
		return d.rule
	}
	return ""
}
