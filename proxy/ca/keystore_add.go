package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
	"unicode/utf16"

	"software.sslmate.com/src/go-pkcs12"
)

// AddToKeystore returns a JVM's truststore, in its own format and guarded by its own
// password, with more certificates in it. Its password must be a usual one.
func AddToKeystore(raw []byte, certs []*x509.Certificate, since time.Time) ([]byte, error) {
	has, password, err := ReadKeystore(raw, UsualPasswords)
	if err != nil {
		return nil, err
	}
	var missing []*x509.Certificate
	for _, c := range certs {
		if !slices.ContainsFunc(has, c.Equal) {
			missing = append(missing, c)
		}
	}
	if bytes.HasPrefix(raw, jksMagic) {
		return addToJKS(raw, missing, password, since), nil
	}
	if password == "" {
		return pkcs12.Passwordless.EncodeTrustStore(append(has, missing...), "")
	}
	return pkcs12.Modern.WithRand(rand.Reader).EncodeTrustStore(append(has, missing...), password)
}

// addToJKS puts entries behind those of a store, and makes its digest anew (see
// jksGuardedBy).
func addToJKS(raw []byte, certs []*x509.Certificate, password string, since time.Time) []byte {
	count := len(jksMagic) + 4
	store := bytes.Clone(raw[:len(raw)-sha1.Size])
	binary.BigEndian.PutUint32(store[count:], binary.BigEndian.Uint32(store[count:])+uint32(len(certs)))
	text := func(s string) {
		store = binary.BigEndian.AppendUint16(store, uint16(len(s)))
		store = append(store, s...)
	}
	for _, c := range certs {
		store = binary.BigEndian.AppendUint32(store, jksCertificate)
		text(fmt.Sprintf("agentproxy-%x", sha1.Sum(c.Raw)))
		store = binary.BigEndian.AppendUint64(store, uint64(since.UnixMilli()))
		text("X.509")
		store = binary.BigEndian.AppendUint32(store, uint32(len(c.Raw)))
		store = append(store, c.Raw...)
	}
	return append(store, jksDigest(store, password)...)
}

// jksDigest is what stands behind a store's entries.
func jksDigest(store []byte, password string) []byte {
	h := sha1.New()
	for _, unit := range utf16.Encode([]rune(password)) {
		h.Write([]byte{byte(unit >> 8), byte(unit)})
	}
	h.Write([]byte("Mighty Aphrodite"))
	h.Write(store)
	return h.Sum(nil)
}
