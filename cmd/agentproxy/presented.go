package main

import (
	"context"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// signing is what an upstream egress presents now for the last host on which TLS failed,
// nil when there is none, or the host cannot be asked.
func signing(ctx context.Context, tunnel *attach.Tunnel, cfg *config.Config) *inspect.Report {
	if tunnel.Record.Upstream == "" {
		return nil
	}
	host := ""
	for _, e := range verdict.History(tunnel.Dir) {
		if v := e.Verdict; v.Host != "" && !v.Container && (v.Class == rules.TLSTrust || v.Class == rules.TLSOther) {
			host = v.Host
		}
	}
	target, err := parseHost(host)
	if err != nil {
		return nil
	}
	r, err := presentedBy(ctx, tunnel, cfg, target.String())
	if err != nil {
		return nil
	}
	return r
}
