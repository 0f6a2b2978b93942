// Package trust sets up stores that tools read instead of a PEM bundle. Each
// accommodation is built from the merged bundle and verified after the act.
package trust

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"software.sslmate.com/src/go-pkcs12"
)

// JVMPassword is the truststore's password. The store carries neither
// encryption nor MAC, so a JVM opens it with this password, with another or
// with none (measured on JDK 17 and 25): whoever overrides only trustStore does
// not end with an empty one.
const JVMPassword = "changeit"

// JVMTrustStore writes the PKCS#12 truststore for the certificates of bundle
// beside it, unless it is newer than the bundle, and returns its path. No JDK
// is needed.
func JVMTrustStore(bundle string) (string, error) {
	path := JVMTrustStorePath(bundle)
	pem, err := os.Stat(bundle)
	if err != nil {
		return "", err
	}
	if store, err := os.Stat(path); err == nil && !store.ModTime().Before(pem.ModTime()) {
		return path, nil
	}
	certs, err := ca.ReadCertificates(bundle)
	if err != nil {
		return "", err
	}
	store, err := pkcs12.Passwordless.EncodeTrustStore(certs, "")
	if err != nil {
		return "", err
	}
	return path, rundir.WriteFile(path, store, 0o644)
}

// JVMTrustStorePath is where the truststore of a bundle is, made or not: it maps
// ca-bundle.crt to java-truststore.p12, and the bundle of a run with CA settings
// of its own to a store of its own.
func JVMTrustStorePath(bundle string) string {
	name := strings.TrimSuffix(filepath.Base(bundle), ".crt")
	return filepath.Join(filepath.Dir(bundle), "java-truststore"+strings.TrimPrefix(name, "ca-bundle")+".p12")
}
