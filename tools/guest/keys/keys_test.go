package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
)

// parse reads the only block of a PEM text.
func parse(t *testing.T, text string) []byte {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(rest) > 0 {
		t.Fatalf("not one PEM block: %.100q", text)
	}
	return block.Bytes
}

func generate(t *testing.T) *Application {
	t.Helper()
	a, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const (
	appKey     = "9151282b1808889153896e1440d2195cdb5aedb651472ca0e0cec091a8b78416"
	appK256Key = "9ee4da4389cd62a9917f8e03224c07ff28d1c74b01e0e2ac7229cfb7e1a24a1d"
)

// TestDerivation: what follows from a seed was computed with another implementation of HKDF (RFC 5869): HMAC-SHA256 with the key "RATLS"
// over the secret, and with the result over the context and a byte 1.
func TestDerivation(t *testing.T) {
	a, err := fromSeed(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := a.authority.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(scalar); got != appKey {
		t.Errorf("app-key %s, want %s", got, appKey)
	}
	if got := hex.EncodeToString(a.k256Secret); got != appK256Key {
		t.Errorf("app-k256-key %s, want %s", got, appK256Key)
	}
}

func TestKey(t *testing.T) {
	a, b := generate(t), generate(t)
	get := func(a *Application, r agentapi.KeyRequest) agentapi.Key {
		t.Helper()
		key, err := a.Key(r)
		if err != nil || len(key.Key) != 32 || len(key.Chain[0]) != 65 || len(key.Chain[1]) != 0 {
			t.Fatalf("%+v: %x, %v", r, key, err)
		}
		return key
	}
	first := get(a, agentapi.KeyRequest{Path: "a", Purpose: "p"})
	if again := get(a, agentapi.KeyRequest{Path: "a", Purpose: "p", Algorithm: "secp256k1"}); string(again.Key) != string(first.Key) || string(again.Chain[0]) != string(first.Chain[0]) {
		t.Error("one path gave two keys")
	}
	if other := get(a, agentapi.KeyRequest{Path: "a", Purpose: "q"}); string(other.Key) != string(first.Key) || string(other.Chain[0]) == string(first.Chain[0]) {
		t.Error("the purpose decides the key, or not the signature")
	}
	if other := get(a, agentapi.KeyRequest{Path: "b", Purpose: "p"}); string(other.Key) == string(first.Key) {
		t.Error("two paths gave one key")
	}
	if other := get(b, agentapi.KeyRequest{Path: "a", Purpose: "p"}); string(other.Key) == string(first.Key) {
		t.Error("two boots gave one key")
	}
	edwards := get(a, agentapi.KeyRequest{Path: "a", Purpose: "p", Algorithm: "ed25519"})
	public := ed25519.NewKeyFromSeed(edwards.Key)[ed25519.SeedSize:]
	if want := a.k256.Sign(keccak256("p:" + hex.EncodeToString(public))); string(edwards.Chain[0]) != string(want[:]) {
		t.Errorf("signature %x, want %x", edwards.Chain[0], want)
	}
}

func TestTLSKey(t *testing.T) {
	a := generate(t)
	var bound []byte
	mark := pkix.Extension{Id: []int{1, 2, 3}, Value: []byte{5, 0}}
	key, err := a.TLSKey(agentapi.TLSRequest{Subject: "sim", AltNames: []string{"a.example"}, ServerAuth: true}, func(publicKey []byte) ([]pkix.Extension, error) {
		bound = publicKey
		return []pkix.Extension{mark}, nil
	})
	if err != nil || len(key.Chain) != 2 {
		t.Fatalf("%+v, %v", key, err)
	}
	leaf, err := x509.ParseCertificate(parse(t, key.Chain[0]))
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(parse(t, key.Chain[1]))
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(parse(t, key.Key))
	if err != nil || !private.(*ecdsa.PrivateKey).PublicKey.Equal(leaf.PublicKey) || string(leaf.RawSubjectPublicKeyInfo) != string(bound) {
		t.Errorf("key and certificate differ, %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "a.example", CurrentTime: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
		t.Error(err)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("a server's certificate is good for a client")
	}
	if root.Subject.CommonName != "App Root Cert" || !root.IsCA || root.MaxPathLen != 1 || leaf.IsCA || leaf.Subject.CommonName != "sim" {
		t.Errorf("root %s, leaf %s", root.Subject, leaf.Subject)
	}
	if len(leaf.Extensions) == 0 || !leaf.Extensions[len(leaf.Extensions)-1].Id.Equal(mark.Id) {
		t.Errorf("extensions %v, want %v as the last", leaf.Extensions, mark.Id)
	}
	none := func([]byte) ([]pkix.Extension, error) { return nil, nil }
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, r := range []agentapi.TLSRequest{
		{NotBefore: now, NotAfter: now.Add(-time.Second)}, {NotAfter: time.Unix(0, 0)}, {NotBefore: time.Date(5000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		quoted := func([]byte) ([]pkix.Extension, error) {
			t.Error("a quote was made before the bounds were looked at")
			return nil, nil
		}
		if _, err := a.TLSKey(r, quoted); err == nil || !strings.Contains(err.Error(), ", which is not_before, or later, got ") {
			t.Errorf("%s to %s: got %v", r.NotBefore, r.NotAfter, err)
		}
	}
	if _, err := a.TLSKey(agentapi.TLSRequest{NotBefore: now, NotAfter: now}, none); err != nil {
		t.Error(err)
	}
	want := errors.New("no quote")
	if key, err := a.TLSKey(agentapi.TLSRequest{}, func([]byte) ([]pkix.Extension, error) { return nil, want }); !errors.Is(err, want) || key.Key != "" {
		t.Errorf("%+v, %v", key, err)
	}
}
