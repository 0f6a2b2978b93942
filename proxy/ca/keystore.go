package ca

import (
	"bytes"
	"encoding/binary"

	"software.sslmate.com/src/go-pkcs12"
)

// keystore returns the certificates that a JVM's truststore trusts: users name
// one where others name a PEM file. It is read without its password, or with
// the one that everybody's has: a password guards such a store against change,
// and who may write the file may name another one as well.
func keystore(raw []byte) [][]byte {
	if bytes.HasPrefix(raw, jksMagic) {
		return jks(raw[len(jksMagic):])
	}
	if len(raw) == 0 || raw[0] != asn1Sequence {
		return nil
	}
	for _, password := range []string{"changeit", ""} {
		certs, err := pkcs12.DecodeTrustStore(raw, password)
		if err != nil {
			continue
		}
		var ders [][]byte
		for _, c := range certs {
			ders = append(ders, c.Raw)
		}
		return ders
	}
	return nil
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
