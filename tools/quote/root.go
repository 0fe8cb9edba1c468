package quote

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/hex"
	"encoding/pem"
	"fmt"
)

// intelRootPEM is Intel's production root, as https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.pem
// has it and each genuine quote repeats it. It is valid until the end of 2049.
//
//go:embed intel-sgx-root-ca.pem
var intelRootPEM []byte

// intelRootKey is the public key in it, x and y. It is what makes a root Intel's; the certificate could be issued again.
const intelRootKey = "0ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f567918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"

// TrustRoot is the certificate that everything must lead to. The zero value is none, to which nothing leads.
type TrustRoot struct {
	cert *x509.Certificate
}

// IntelRoot is Intel's production root, whose certificate is part of this program.
func IntelRoot() TrustRoot {
	root, err := ParseTrustRoot(intelRootPEM)
	if err != nil {
		return TrustRoot{} // a test holds that it can be read
	}
	return root
}

// ParseTrustRoot reads one self-signed CA certificate in PEM. It has to be such a one as Intel's: with its names, constraints,
// usage and kind of key.
func ParseTrustRoot(text []byte) (TrustRoot, error) {
	if len(text) > maxMember {
		return TrustRoot{}, fmt.Errorf("trust root: expected at most %d bytes, got %d", maxMember, len(text))
	}
	// The caller's own file may have ends of lines and white space as it likes.
	if block, rest := pem.Decode(bytes.TrimSpace(text)); block != nil && len(bytes.TrimSpace(rest)) == 0 && bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN")) {
		text = pem.EncodeToMemory(block)
	}
	ders, err := splitPEM(text, 1)
	if err != nil {
		return TrustRoot{}, fmt.Errorf("trust root: %w", err)
	}
	cert, err := x509.ParseCertificate(ders[0])
	if err != nil {
		return TrustRoot{}, fmt.Errorf("trust root: expected an X.509 certificate: %w", err)
	}
	if err := roleRoot.check(cert, cert); err != nil {
		return TrustRoot{}, fmt.Errorf("trust root: %w", err)
	}
	return TrustRoot{cert}, nil
}

// Simulated reports whether the root is another than Intel's production root: what it vouches for is not hardware.
func (r TrustRoot) Simulated() bool {
	if r.cert == nil {
		return true
	}
	key, err := p256(r.cert)
	if err != nil {
		return true
	}
	point, err := key.Bytes()
	return err != nil || hex.EncodeToString(point[1:]) != intelRootKey
}

// Fingerprint is the SHA-256 of the certificate's DER; zero if there is none.
func (r TrustRoot) Fingerprint() [32]byte {
	if r.cert == nil {
		return [32]byte{}
	}
	return sha256.Sum256(r.cert.Raw)
}
