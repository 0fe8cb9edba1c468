//go:build simtee

package simtee

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
)

// Keys of the simulated dstack.
const (
	keyKMS Key = "dstack kms root ca"
	keyApp Key = "dstack app ca"
)

// TLSRequest is what GetTlsKey is asked.
type TLSRequest struct {
	Subject                                    string
	AltNames                                   []string
	RATLS, ServerAuth, ClientAuth, WithAppInfo bool
	NotBefore, NotAfter                        time.Time // zero: 1975, and as long as the platform's PCK certificate
}

// TLSKey is a key with its certificates, leaf first.
type TLSKey struct {
	Key   *ecdsa.PrivateKey
	Chain [][]byte // DER
}

// PEM is the key in PKCS #8, and each certificate.
func (k TLSKey) PEM() (key string, chain []string, err error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.Key)
	if err != nil {
		return "", nil, err
	}
	for _, certificate := range k.Chain {
		chain = append(chain, string(PEM(certificate)))
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), chain, nil
}

// rcgenNotBefore is the start of validity where none is asked for: the default of dstack's certificate library.
var rcgenNotBefore = time.Date(1975, 1, 1, 0, 0, 0, 0, time.UTC)

// TLSKey makes a key and a certificate as GetTlsKey does. Every call makes another key; the sequence follows from the seed. Edits
// change the certificate before it is signed.
func (t *TD) TLSKey(r TLSRequest, edits ...func(*x509.Certificate)) (TLSKey, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	key := t.seed().Private(Key(fmt.Sprintf("tls %x %d", t.body.RTMR[3], t.calls)))
	extensions, err := t.extensions(r, &key.PublicKey)
	if err != nil {
		return TLSKey{}, err
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: r.Subject}, DNSNames: r.AltNames, NotBefore: r.NotBefore, NotAfter: r.NotAfter,
		SerialNumber: new(big.Int).SetBytes(t.seed().bytes(fmt.Sprintf("tls serial %x %d", t.body.RTMR[3], t.calls), 16)),
		KeyUsage:     x509.KeyUsageDigitalSignature, ExtraExtensions: extensions,
	}
	if leaf.NotBefore.IsZero() {
		leaf.NotBefore = rcgenNotBefore
	}
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = t.notAfter
	}
	if r.ServerAuth {
		leaf.ExtKeyUsage = append(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.ClientAuth {
		leaf.ExtKeyUsage = append(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	for _, edit := range edits {
		edit(leaf)
	}
	authorities, err := t.authorities()
	if err != nil {
		return TLSKey{}, err
	}
	issuer, err := x509.ParseCertificate(authorities[0])
	if err != nil {
		return TLSKey{}, err
	}
	der, err := x509.CreateCertificate(nil, leaf, issuer, &key.PublicKey, signer{t.seed().Private(keyApp)})
	if err != nil {
		return TLSKey{}, fmt.Errorf("certificate: %w", err)
	}
	return TLSKey{Key: key, Chain: append([][]byte{der}, authorities...)}, nil
}

// extensions are those of dstack in the leaf; called with the lock held.
func (t *TD) extensions(r TLSRequest, public *ecdsa.PublicKey) ([]pkix.Extension, error) {
	if !r.RATLS {
		return t.record().Extensions(agentapi.TLSRequest(r), nil, [64]byte{})
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	binding := dstack.KeyBinding(spki)
	return t.record().Extensions(agentapi.TLSRequest(r), t.evidence(binding, true).Quote, binding)
}

// authorities are the application's CA and, with a KMS, the KMS's root.
func (t *TD) authorities() ([][]byte, error) {
	authority := func(name, organization, usage string, key Key, level int) (*x509.Certificate, error) {
		template := &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, SerialNumber: t.seed().serial(string(key)), NotBefore: rcgenNotBefore, NotAfter: t.notAfter,
			BasicConstraintsValid: true, IsCA: true, MaxPathLen: level, MaxPathLenZero: level == 0, SubjectKeyId: t.seed().keyID(key),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		if organization != "" {
			template.Subject.Organization = []string{organization}
		}
		if usage == "" {
			return template, nil
		}
		e, err := agentapi.Usage(usage)
		template.ExtraExtensions = []pkix.Extension{e}
		return template, err
	}
	sign := func(of, by *x509.Certificate, key, byKey Key) ([]byte, error) {
		return x509.CreateCertificate(nil, of, by, &t.seed().Private(key).PublicKey, signer{t.seed().Private(byKey)})
	}
	if t.boot.KeyProvider.Kind != dstack.KeyProviderKMS {
		root, err := authority("App Root Cert", "", "", keyApp, 1)
		if err != nil {
			return nil, err
		}
		der, err := sign(root, root, keyApp, keyApp)
		return [][]byte{der}, err
	}
	root, err := authority("Dstack KMS CA", "Dstack", "", keyKMS, 1)
	if err != nil {
		return nil, err
	}
	app, err := authority("Dstack App CA", "Dstack", "app:ca", keyApp, 0)
	if err != nil {
		return nil, err
	}
	appDER, err := sign(app, root, keyApp, keyKMS)
	if err != nil {
		return nil, err
	}
	rootDER, err := sign(root, root, keyKMS, keyKMS)
	return [][]byte{appDER, rootDER}, err
}

// Attestation is dstack's attestation container over report data, as Attest answers it.
func (t *TD) Attestation(reportData [64]byte, edits ...func(*Parts)) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.record().Container(t.evidence(reportData, true, edits...).Quote, reportData)
}
