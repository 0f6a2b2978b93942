// Package trust sets up stores that tools read instead of a PEM bundle. Each
// accommodation is built from the merged bundle and verified after the act.
package trust

import (
	"path/filepath"
	"strings"

	"github.com/agentproxy/agentproxy/proxy/atomicfile"
	"github.com/agentproxy/agentproxy/proxy/ca"
	"github.com/agentproxy/agentproxy/proxy/rundir"
	"software.sslmate.com/src/go-pkcs12"
)

// JVMPassword is the truststore's password. The store carries neither
// encryption nor MAC, so a JVM opens it with this password, with another or
// with none (measured on JDK 17 and 25): whoever overrides only trustStore does
// not end with an empty one.
const JVMPassword = "changeit"

var _ = rundir.Register("java-truststore*")

// JVMTrustStore writes the PKCS#12 truststore for the certificates of bundle
// beside it, unless it is there, whole and made of them, and returns its path. No
// JDK is needed.
func JVMTrustStore(bundle string) (string, error) {
	path := JVMTrustStorePath(bundle)
	of, err := rundir.State(bundle)
	if err != nil {
		return "", err
	}
	if old, err := rundir.ReadFile(path + storeStampSuffix); err == nil {
		if is, err := rundir.State(path); err == nil && string(old) == of+" "+is {
			return path, nil
		}
	}
	pem, err := rundir.ReadFile(bundle)
	if err != nil {
		return "", err
	}
	store, err := pkcs12.Passwordless.EncodeTrustStore(ca.ParseCertificates(pem), "")
	if err != nil {
		return "", err
	}
	if err := atomicfile.WriteDurably(path, store, 0o644); err != nil {
		return "", err
	}
	is, err := rundir.State(path)
	if err != nil {
		return "", err
	}
	return path, atomicfile.Write(path+storeStampSuffix, []byte(of+" "+is), 0o644)
}

// storeStampSuffix is appended to a truststore's name for the file that has the
// states of the bundle that it was made of, and of itself.
const storeStampSuffix = ".stamp"

// JVMTrustStorePath is where the truststore of a bundle is, made or not: it maps
// ca-bundle.crt to java-truststore.p12, and the bundle of a run with CA settings
// of its own to a store of its own.
func JVMTrustStorePath(bundle string) string {
	name := strings.TrimSuffix(filepath.Base(bundle), ".crt")
	return filepath.Join(filepath.Dir(bundle), "java-truststore"+strings.TrimPrefix(name, "ca-bundle")+".p12")
}
