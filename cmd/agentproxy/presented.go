package main

import (
	"context"

	"github.com/agentproxy/agentproxy/profiles/rules"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/proxy/status"
	"github.com/agentproxy/agentproxy/wrap/inspect"
	"github.com/agentproxy/agentproxy/wrap/verdict"
)

// signing is what the last host on which TLS failed presents now, through an upstream
// egress or on the direct way, where somebody may re-terminate TLS unasked. It is nil
// when there is no such host, or it cannot be asked.
func signing(ctx context.Context, tunnel *attach.Tunnel, cfg *config.Config) *inspect.Report {
	target, err := parseHost(suspect(ctx, tunnel))
	if err != nil {
		return nil
	}
	r, err := presentedBy(ctx, tunnel, cfg, target.String())
	if err != nil {
		return nil
	}
	return r
}

// suspect is that host, "" for none: with an upstream commands tell of it, else our own
// egress does.
func suspect(ctx context.Context, tunnel *attach.Tunnel) (host string) {
	if tunnel.Record.Upstream != "" {
		for _, e := range verdict.History(tunnel.Dir) {
			if v := e.Verdict; v.Host != "" && !v.Container && (v.Class == rules.TLSTrust || v.Class == rules.TLSOther) {
				host = v.Host
			}
		}
		return host
	}
	doc, err := tunnel.Status(ctx)
	if err != nil {
		return ""
	}
	for _, f := range doc.RecentRelayFailures {
		if f.Kind == status.OriginTLS {
			host = f.Host
		}
	}
	return host
}
