package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/agentproxy/agentproxy/proxy/policy"
	"golang.org/x/net/dns/dnsmessage"
)

// ask returns the addresses and the code of an answer.
func ask(t *testing.T, r *resolver, name string, kind dnsmessage.Type) ([]netip.Addr, dnsmessage.RCode) {
	t.Helper()
	return parse(t, r.answer(question(t, name, kind)))
}

func question(t *testing.T, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}}}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func parse(t *testing.T, packed []byte) (addrs []netip.Addr, code dnsmessage.RCode) {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(packed); err != nil {
		t.Fatal(err)
	}
	if m.ID != 7 || !m.Response || !m.RecursionAvailable {
		t.Errorf("the header is %+v", m.Header)
	}
	for _, a := range m.Answers {
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			addrs = append(addrs, netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			addrs = append(addrs, netip.AddrFrom16(body.AAAA))
		}
	}
	return addrs, m.RCode
}

// Each name has one address of each family, which leads back to it; what is not asked
// for by address has no data.
func TestNamesHaveAddresses(t *testing.T) {
	n := new(names)
	r := &resolver{names: n, ipv6: true}
	first, _ := ask(t, r, "a.example.", dnsmessage.TypeA)
	second, _ := ask(t, r, "b.example.", dnsmessage.TypeA)
	again, _ := ask(t, r, "A.Example.", dnsmessage.TypeA)
	sixth, _ := ask(t, r, "a.example.", dnsmessage.TypeAAAA)
	if len(first) != 1 || len(second) != 1 || len(again) != 1 || len(sixth) != 1 || first[0] == second[0] || first[0] != again[0] {
		t.Fatalf("got %v, %v, %v and %v", first, second, again, sixth)
	}
	for _, a := range []netip.Addr{first[0], sixth[0]} {
		if host, ok := n.host(a); !ok || host.String() != "a.example" {
			t.Errorf("%s is %v", a, host)
		}
		if !IsSynthetic(a) {
			t.Errorf("%s is nobody's", a)
		}
	}
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeHTTPS, dnsmessage.TypeSVCB, dnsmessage.TypeMX, dnsmessage.TypePTR, dnsmessage.TypeTXT} {
		if addrs, code := ask(t, r, "a.example.", kind); len(addrs) != 0 || code != dnsmessage.RCodeSuccess {
			t.Errorf("%s: %v, %s", kind, addrs, code)
		}
	}
}

func TestWhatIsNotAskedOfTheTunnel(t *testing.T) {
	r := &resolver{names: new(names), ipv6: true}
	for _, c := range []struct {
		name string
		kind dnsmessage.Type
		want string
		code dnsmessage.RCode
	}{
		{"localhost.", dnsmessage.TypeA, "127.0.0.1", dnsmessage.RCodeSuccess},
		{"a.localhost.", dnsmessage.TypeAAAA, "::1", dnsmessage.RCodeSuccess},
		{"nothing.invalid.", dnsmessage.TypeA, "", dnsmessage.RCodeNameError},
		{"hidden.onion.", dnsmessage.TypeA, "", dnsmessage.RCodeNameError},
		{"10.0.0.1.", dnsmessage.TypeA, "", dnsmessage.RCodeNameError},
		{"a b.example.", dnsmessage.TypeA, "", dnsmessage.RCodeNameError},
	} {
		addrs, code := ask(t, r, c.name, c.kind)
		got := ""
		if len(addrs) > 0 {
			got = addrs[0].String()
		}
		if got != c.want || code != c.code {
			t.Errorf("%s %s: %q, %s; want %q, %s", c.name, c.kind, got, code, c.want, c.code)
		}
	}
	if addrs, _ := ask(t, &resolver{names: new(names)}, "a.example.", dnsmessage.TypeAAAA); len(addrs) != 0 {
		t.Errorf("without IPv6: %v", addrs)
	}
}

// A run that asks for more names than there are addresses is told so, and the names
// that it had before stay.
func TestNamesRunOut(t *testing.T) {
	n := new(names)
	for i := range maxNames {
		host, err := policy.ParseHost(fmt.Sprintf("n%d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		if n.number(host) == 0 {
			t.Fatalf("no address for the name %d", i)
		}
	}
	r := &resolver{names: n}
	if addrs, code := ask(t, r, "one.more.example.", dnsmessage.TypeA); len(addrs) != 0 || code != dnsmessage.RCodeServerFailure {
		t.Errorf("got %v, %s", addrs, code)
	}
	last := ipv4(maxNames)
	if host, ok := n.host(last); !ok || !synthetic4.Contains(last) {
		t.Errorf("the last is %s, %v", last, host)
	}
	if _, ok := n.host(ipv4(maxNames + 1)); ok {
		t.Error("the broadcast address stands for a name")
	}
}

// Questions by TCP have their length before them.
func TestNamesByTCP(t *testing.T) {
	near, far := net.Pipe()
	r := &resolver{names: new(names)}
	go r.serveTCP(far)
	defer near.Close()
	for range 2 {
		q := question(t, "a.example.", dnsmessage.TypeA)
		if _, err := near.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)); err != nil {
			t.Fatal(err)
		}
		var length [2]byte
		if _, err := io.ReadFull(near, length[:]); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(near, answer); err != nil {
			t.Fatal(err)
		}
		if addrs, _ := parse(t, answer); len(addrs) != 1 {
			t.Errorf("got %v", addrs)
		}
	}
}

// Whatever is sent to the name server, it answers or says nothing.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"))
	f.Add([]byte("\x00\x07\x28\x00\x00\x01\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, q []byte) {
		r := &resolver{names: new(names), ipv6: true}
		answer := r.answer(q)
		if answer == nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(answer); err != nil {
			t.Fatalf("%q was answered with what cannot be read: %v", q, err)
		}
		if !m.Response || len(m.Answers) > 1 {
			t.Errorf("%+v", m)
		}
	})
}
