package policy

import "slices"

// Ports returns the ports that the allow patterns name, each once.
func (p *Policy) Ports() []uint16 {
	var ports []uint16
	for _, allowed := range p.lists[0].allow {
		if allowed.port != 0 && !slices.Contains(ports, allowed.port) {
			ports = append(ports, allowed.port)
		}
	}
	return ports
}
