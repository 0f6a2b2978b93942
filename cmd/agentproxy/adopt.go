package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/attach"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/config"
	"github.com/agentproxy/agentproxy/wrap/inspect"
)

// lookAt is what a host presents through the wanted tunnel, held against the roots that
// commands are given.
func lookAt(ctx context.Context, proc *process, host string) (*inspect.Report, error) {
	asked, err := ask(host, "")
	if err != nil {
		return nil, err
	}
	options, err := (&tunnelFlags{}).options(proc)
	if err != nil {
		return nil, err
	}
	tunnel, err := attached(ctx, proc, options)
	if err != nil {
		return nil, err
	}
	return presentedBy(ctx, tunnel, options.Config, asked.target.String())
}

// presentedBy is that through a tunnel.
func presentedBy(ctx context.Context, tunnel *attach.Tunnel, cfg *config.Config, authority string) (*inspect.Report, error) {
	bundle, err := ca.BuildBundle(tunnel.Dir, tunnel.Dir, tunnel.Record.CAs...)
	if err != nil {
		return nil, err
	}
	dial := tunnel.Dial
	if tunnel.Record.Upstream == "" {
		dial = func(ctx context.Context, authority string) (net.Conn, error) {
			conn, err := tunnel.Dial(ctx, authority)
			return direct(ctx, conn, err, cmp.Or(cfg.Egress.ConnectTo[authority], authority))
		}
	}
	return inspect.Host(ctx, dial, authority, bundle.Path)
}

// direct is a connection to the address itself: our own egress would present a certificate
// of its own. What it refuses by policy is not reached.
func direct(ctx context.Context, tunnel net.Conn, err error, address string) (net.Conn, error) {
	if tunnel != nil {
		tunnel.Close()
	}
	if answer := new(attach.Answer); errors.As(err, &answer) && answer.Code == http.StatusBadGateway {
		err = nil // of what the egress does not like about the host, more is to be said
	}
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", address)
}

// adoptCA puts an authority into the roots: from a file, or the one that signs what a
// host presents, once the user says that its fingerprint is the right one.
func adoptCA(ctx context.Context, proc *process, what, fingerprint string) error {
	certs, named, err := candidatesFor(ctx, proc, what)
	if err != nil {
		return err
	}
	dir, err := config.RootsDir(proc.Getenv)
	if err != nil {
		return err
	}
	for _, c := range certs {
		sum := ca.Fingerprint(c)
		if !c.IsCA {
			return fmt.Errorf("%s is no authority: %s", what, c.Subject)
		}
		if !named || fingerprint != "" {
			if err := confirm(proc, c, what, sum, fingerprint); err != nil {
				return err
			}
		}
		path := filepath.Join(dir, sum[:16]+".pem")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := atomicfile.Write(path, ca.EncodePEM(c), 0o600); err != nil {
			return err
		}
		fmt.Fprintf(proc.Out, "adopted %s\n   sha256 %s\n   %s (remove the file to undo it)\n", c.Subject, sum, path)
	}
	return nil
}

// candidatesFor are the authorities of a file, and then named true, or that of a host.
func candidatesFor(ctx context.Context, proc *process, what string) (certs []*x509.Certificate, named bool, err error) {
	if _, err := os.Stat(what); err == nil {
		certs, err = ca.ReadCertificates(what)
		return certs, true, err
	}
	r, err := lookAt(ctx, proc, what)
	if err != nil {
		return nil, false, err
	}
	switch {
	case r.Trusted():
		return nil, false, fmt.Errorf("%s is signed by %s, which is trusted already", r.Host, r.Signer)
	case r.Root == nil:
		return nil, false, hint(errors.New(r.Detail), "%s", r.Advice)
	}
	return []*x509.Certificate{r.Root}, false, nil
}

// confirm asks whether a fingerprint is the right one, unless it was given.
func confirm(proc *process, c *x509.Certificate, what, sum, given string) error {
	given = strings.ToLower(strings.NewReplacer(":", "", "…", "", ".", "", " ", "").Replace(given))
	switch {
	case len(given) >= 16 && strings.HasPrefix(sum, given):
		return nil
	case given != "":
		return fmt.Errorf("the fingerprint of %s is %s, and not the one that was given (at least its first 16 digits are wanted)", c.Subject, sum)
	case !isTerminal(proc.In) || !isTerminal(proc.Err):
		return hint(fmt.Errorf("whether the fingerprint of %s is right is for you to say", c.Subject), "agentproxy ca adopt %s --sha256 %s", what, sum[:16])
	}
	fmt.Fprintf(proc.Err, "agentproxy: %s\nagentproxy: sha256 %s\nagentproxy: whoever holds its key can read all HTTPS of your commands. Is it your organisation's? [y/N] ", c.Subject, sum)
	answer, _ := bufio.NewReader(proc.In).ReadString('\n')
	if !strings.EqualFold(strings.TrimSpace(answer), "y") {
		return errors.New("not adopted")
	}
	return nil
}
