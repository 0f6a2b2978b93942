package ca

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"strings"
)

// SubjectHash is by which OpenSSL finds a root in a directory: the file is named
// after it in eight hexadecimal digits, with a number behind it (X509_NAME_hash,
// openssl-rehash(1)).
func SubjectHash(cert *x509.Certificate) (uint32, error) {
	var name []asn1.RawValue // of sets of attributes (RFC 5280 §4.1.2.4)
	if _, err := asn1.Unmarshal(cert.RawSubject, &name); err != nil {
		return 0, err
	}
	h := sha1.New()
	for _, set := range name {
		canonical, err := canonicalSet(set.Bytes)
		if err != nil {
			return 0, err
		}
		h.Write(canonical)
	}
	return binary.LittleEndian.Uint32(h.Sum(nil)), nil
}

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// canonicalSet is a set with every text in UTF-8, in lower case, and with single
// spaces (x509_name_canon of OpenSSL).
func canonicalSet(rest []byte) ([]byte, error) {
	var all []attribute
	for len(rest) > 0 {
		var a attribute
		var err error
		if rest, err = asn1.Unmarshal(rest, &a); err != nil {
			return nil, err
		}
		switch a.Value.Tag {
		case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String, asn1.TagBMPString:
			var text string
			if _, err := asn1.Unmarshal(a.Value.FullBytes, &text); err != nil {
				return nil, err
			}
			text = strings.Join(strings.FieldsFunc(lowerASCII(text), isSpaceASCII), " ")
			a.Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(text)}
		}
		all = append(all, a)
	}
	return asn1.MarshalWithParams(all, "set")
}

func isSpaceASCII(r rune) bool { return r == ' ' || r >= '\t' && r <= '\r' }

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
