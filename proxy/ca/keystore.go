package ca

import (
	"bytes"
	"crypto/sha1"
	"crypto/subtle"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"os"

	"software.sslmate.com/src/go-pkcs12"
)

// UsualPasswords guard the truststores of JVMs: the one that everybody's has,
// the one of Apple's old JDKs, and none.
var UsualPasswords = []string{"changeit", "changeme", ""}

// Errors of ReadKeystore.
var (
	ErrNoKeystore = errors.New("it is neither a JKS nor a PKCS12 keystore")
	ErrPassword   = errors.New("none of the passwords opens it")
)

// keystore returns the certificates that a JVM's truststore trusts: users name
// one where others name a PEM file. It is read without its password, or with
// one that everybody's has: a password guards such a store against change,
// and who may write the file may name another one as well.
func keystore(raw []byte) [][]byte {
	certs, _, _ := ReadKeystore(raw, UsualPasswords)
	var ders [][]byte
	for _, c := range certs {
		ders = append(ders, c.Raw)
	}
	return ders
}

// Locked reports whether a file is a keystore whose certificates a password hides
// that is none of the usual ones.
func Locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	// Most are PEM, and a JKS hides nothing: neither is worth the reading.
	first := make([]byte, 1)
	if n, _ := f.Read(first); n == 0 || first[0] != asn1Sequence {
		return false
	}
	rest, err := io.ReadAll(f)
	if err != nil {
		return false
	}
	certs, _, err := ReadKeystore(append(first, rest...), UsualPasswords)
	return errors.Is(err, ErrPassword) && len(certs) == 0
}

// ReadKeystore returns the certificates that a JVM's truststore trusts, and
// which of the passwords guards it. Those of a JKS are returned with ErrPassword,
// too.
func ReadKeystore(raw []byte, passwords []string) ([]*x509.Certificate, string, error) {
	if bytes.HasPrefix(raw, jksMagic) {
		var certs []*x509.Certificate
		for _, der := range jks(raw[len(jksMagic):]) {
			if c, err := x509.ParseCertificate(der); err == nil {
				certs = append(certs, c)
			}
		}
		for _, password := range passwords {
			if jksGuardedBy(raw, password) {
				return certs, password, nil
			}
		}
		return certs, "", ErrPassword
	}
	if len(raw) == 0 || raw[0] != asn1Sequence {
		return nil, "", ErrNoKeystore
	}
	var failed error
	for _, password := range passwords {
		certs, err := pkcs12.DecodeTrustStore(raw, password)
		if err == nil {
			return certs, password, nil
		}
		// A store without a password says something else to a wrong one.
		if failed == nil || errors.Is(err, pkcs12.ErrIncorrectPassword) {
			failed = err
		}
	}
	if errors.Is(failed, pkcs12.ErrIncorrectPassword) {
		failed = ErrPassword
	}
	return nil, "", failed
}

// jksGuardedBy checks the digest at the end, which is salted with the password
// and a phrase (sun.security.provider.JavaKeyStore).
func jksGuardedBy(raw []byte, password string) bool {
	if len(raw) < sha1.Size {
		return false
	}
	split := len(raw) - sha1.Size
	return subtle.ConstantTimeCompare(jksDigest(raw[:split], password), raw[split:]) == 1
}

const asn1Sequence = 0x30

var jksMagic = []byte{0xFE, 0xED, 0xFE, 0xED}

// The kinds of entries of a JKS file.
const (
	jksPrivateKey  = 1
	jksCertificate = 2
)

// jks reads a store of version 2, the only one since JDK 1.2, behind its magic
// number. It returns what it has read where the file is damaged.
func jks(raw []byte) [][]byte {
	r := jksReader{rest: raw}
	if version := r.number(4); version != 2 {
		return nil
	}
	var ders [][]byte
	for entries := r.number(4); entries > 0 && !r.failed; entries-- {
		kind := r.number(4)
		r.bytes(2) // alias
		r.number(8)
		switch kind {
		case jksCertificate:
			r.bytes(2) // its type, X.509
			if der := r.bytes(4); !r.failed {
				ders = append(ders, der)
			}
		case jksPrivateKey:
			r.bytes(4)
			for chain := r.number(4); chain > 0 && !r.failed; chain-- {
				r.bytes(2)
				r.bytes(4)
			}
		default: // a secret key, in Java's own serialization
			return ders
		}
	}
	return ders
}

type jksReader struct {
	rest   []byte
	failed bool
}

// number reads an unsigned integer of that many bytes.
func (r *jksReader) number(size int) uint64 {
	if len(r.rest) < size {
		r.failed = true
		return 0
	}
	var buf [8]byte
	copy(buf[8-size:], r.rest)
	r.rest = r.rest[size:]
	return binary.BigEndian.Uint64(buf[:])
}

// bytes reads as many as a length of that size before them says.
func (r *jksReader) bytes(size int) []byte {
	n := r.number(size)
	if uint64(len(r.rest)) < n {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}
