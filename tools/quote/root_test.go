package quote_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// The fingerprint is of the root certificate that genuine quotes have; openssl x509 -fingerprint -sha256 says the same.
func TestIntelRoot(t *testing.T) {
	root := quote.IntelRoot()
	if root.Simulated() {
		t.Error("Intel's root counts as simulated")
	}
	q, err := quote.Parse(func() []byte { v := vectorNamed(t, "attested-tls-v4-fefa5722-202601-uptodate"); return v.quote(t) }())
	if err != nil {
		t.Fatal(err)
	}
	var last *pem.Block
	for rest := q.Certificates; ; {
		block, after := pem.Decode(rest)
		if block == nil {
			break
		}
		last, rest = block, after
	}
	if sha256.Sum256(last.Bytes) != root.Fingerprint() {
		t.Error("the root in a genuine quote is another")
	}
	const want = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"
	if got := root.Fingerprint(); hex.EncodeToString(got[:]) != want {
		t.Errorf("fingerprint %x", got)
	}
	if (quote.TrustRoot{}).Fingerprint() != [32]byte{} || !(quote.TrustRoot{}).Simulated() {
		t.Error("the zero root is something")
	}
}

// rootTemplate is a root as Intel's, self-signed by a new key.
func rootTemplate(t *testing.T, edit func(*x509.Certificate), key *ecdsa.PrivateKey) []byte {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Intel SGX Root CA"}, SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		BasicConstraintsValid: true, IsCA: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	edit(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestParseTrustRoot(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := rootTemplate(t, func(*x509.Certificate) {}, key)
	root, err := quote.ParseTrustRoot(good)
	if err != nil {
		t.Fatal(err)
	}
	if !root.Simulated() {
		t.Error("a root with Intel's name and another key is not simulated")
	}
	for name, text := range map[string][]byte{
		"no last line feed": bytes.TrimSuffix(good, []byte("\n")), "carriage returns": bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")),
		"lines before": append([]byte("\n"), good...), "lines after": append(bytes.Clone(good), "\n\n"...),
	} {
		if same, err := quote.ParseTrustRoot(text); err != nil || same.Fingerprint() != root.Fingerprint() {
			t.Errorf("%s: %v", name, err)
		}
	}
	damaged := bytes.Clone(good)
	block, _ := pem.Decode(damaged)
	block.Bytes[len(block.Bytes)-1] ^= 1
	intermediate := func() []byte { v := vectorNamed(t, "syn-v4-uptodate"); return v.file(t, "pck_crl_chain") }()
	for name, tt := range map[string]struct {
		pem  []byte
		want string
	}{
		"empty":           {nil, "expected 1 certificates"},
		"text":            {[]byte("hello\n"), "not a certificate in PEM"},
		"two":             {append(bytes.Clone(good), good...), "nothing after"},
		"long lines":      {[]byte(strings.Replace(string(good), "\n", "", 2)), "PEM"},
		"text before":     {append([]byte("subject=\n"), good...), "not a certificate in PEM"},
		"text after":      {append(bytes.Clone(good), "x\n"...), "nothing after"},
		"too long":        {make([]byte, 2<<20), "at most"},
		"not a CA":        {rootTemplate(t, func(c *x509.Certificate) { c.IsCA, c.MaxPathLen = false, 0 }, key), "basic constraints"},
		"another name":    {rootTemplate(t, func(c *x509.Certificate) { c.Subject.CommonName = "Root CA" }, key), "common name"},
		"path length 0":   {rootTemplate(t, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }, key), "path length"},
		"usage":           {rootTemplate(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }, key), "key usage"},
		"P-384":           {rootTemplate(t, func(*x509.Certificate) {}, big384), "ECDSA P-256"},
		"not self-signed": {pem.EncodeToMemory(block), "signature"},
		"chain":           {intermediate, "expected 1 certificates"},
	} {
		_, err := quote.ParseTrustRoot(tt.pem)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s: %v, want one line with %q", name, err, tt.want)
		}
	}
	if _, err := os.Stat("intel-sgx-root-ca.pem"); err != nil {
		t.Error(err)
	}
}
