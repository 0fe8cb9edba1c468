package provenance_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/provenancetest"
)

// trustRoot has one of everything.
func trustRoot(t testing.TB) provenance.TrustRoot {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	since := provenance.Validity{NotBefore: now.Add(-time.Hour)}
	until := provenance.Validity{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(1500 * time.Millisecond)}
	stamps := whole(provenancetest.NewTimestampAuthority(t, now, nil))
	stamps.Validity, stamps.Operator = until, "example.com"
	return provenance.TrustRoot{
		Authorities: []provenance.Authority{{URI: "https://fulcio.example.com", Chain: newAuthority(t).root().Authorities[0].Chain, Validity: since}},
		CertificateLogs: []provenance.Log{
			{URL: "https://ct.example.com", Key: &signer(t, 8).private.PublicKey, Validity: since}, {URL: "https://ct.example.com/rsa", Key: &rsaKey.PublicKey, Validity: since},
		},
		Logs: []provenance.Log{
			{URL: "https://rekor.example.com", Key: &signer(t, 9).private.PublicKey, Validity: since},
			{URL: "https://log.example.com", Key: provenancetest.NewLog(t, "log.example.com").Public, Validity: until, Operator: "example.org"},
		},
		TimestampAuthorities: []provenance.Authority{stamps},
	}
}

func TestTrustRoot(t *testing.T) {
	r := trustRoot(t)
	text, err := r.Encode()
	check(t, err)
	again, err := provenance.ParseTrustRoot(text)
	check(t, err)
	twice, err := again.Encode()
	if err != nil || !bytes.Equal(twice, text) {
		t.Errorf("read and written again: %s: %v\nfirst: %s", twice, err, text)
	}
	if got := again.Logs[1]; got.Operator != "example.org" || !got.Validity.NotAfter.Equal(now.Add(1500*time.Millisecond)) || !got.Key.(ed25519.PublicKey).Equal(r.Logs[1].Key) || got.URL != r.Logs[1].URL {
		t.Errorf("read %+v", got)
	}
	if again.Authorities[0].URI != r.Authorities[0].URI || !again.Authorities[0].Chain[0].Equal(r.Authorities[0].Chain[0]) || len(again.TimestampAuthorities[0].Chain) != 2 || len(again.CertificateLogs) != 2 {
		t.Errorf("read %+v", again)
	}
	if text, err := (provenance.TrustRoot{}).Encode(); err != nil || string(text) != `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}` {
		t.Errorf("of nobody: %s, %v", text, err)
	}
	// Those of Sigstore's public instances, with what they have beside.
	files, err := filepath.Glob("testdata/conformance/roots/*.json")
	check(t, err)
	read := 0
	for _, file := range files {
		if _, err := provenance.ParseTrustRoot(readFile(t, file)); err == nil {
			read++
		} else if !strings.Contains(file, "missing-validity-start") {
			t.Errorf("%s: %v", file, err)
		}
	}
	if read < 10 {
		t.Errorf("read %d trust roots", read)
	}
}

func TestParseTrustRootRefuses(t *testing.T) {
	r := trustRoot(t)
	good, err := r.Encode()
	check(t, err)
	rekor, err := r.Logs[0].ID()
	check(t, err)
	log, err := r.Logs[1].ID()
	check(t, err)
	id, logID := base64.StdEncoding.EncodeToString(rekor[:]), base64.StdEncoding.EncodeToString(log[:])
	ca := base64.StdEncoding.EncodeToString(r.Authorities[0].Chain[0].Raw)
	leaf := base64.StdEncoding.EncodeToString(r.TimestampAuthorities[0].Chain[0].Raw)
	stamps := base64.StdEncoding.EncodeToString(r.TimestampAuthorities[0].Chain[1].Raw)
	tests := []struct{ name, old, new, want string }{
		{"media type", "version=0.1", "version=0.3", "mediaType: expected"},
		{"unknown member", `"tlogs"`, `"logs"`, `unknown member "logs"`},
		{"unknown member of a log", `"baseUrl":"https://rekor`, `"x":1,"baseUrl":"https://rekor`, `unknown member "x"`},
		{"hash", `"hashAlgorithm":"SHA2_256","publicKey"`, `"hashAlgorithm":"SHA2_512","publicKey"`, "tlogs[0].hashAlgorithm: expected SHA2_256"},
		{"kind of key", "PKIX_ED25519", "PKIX_ED25519_PH", "publicKey: keyDetails: expected"},
		{"key of another kind", `"keyDetails":"PKIX_ED25519"`, `"keyDetails":"PKIX_ECDSA_P256_SHA_256"`, "expected a key of the kind PKIX_ECDSA_P256_SHA_256"},
		{"identifier of another log", id, logID, "tlogs[0].logId: expected that of the key"},
		{"name that is not the one in the identifier", "https://log.example.com", "https://log.example.org", "tlogs[1].logId: expected that of the key"},
		{"no host", "https://log.example.com", "log", "tlogs[1].baseUrl: expected an address with a host"},
		{"no key", `"rawBytes":"` + leaf + `"`, `"rawBytes":""`, "timestampAuthorities[0].certChain.certificates[0]: expected X.509"},
		{"a signer as certificate authority", ca, leaf, "certificateAuthorities[0].certChain: expected the certificates of authorities"},
		{"a chain that is none", stamps, ca, "timestampAuthorities[0].certChain: expected each certificate to be issued by the next"},
		{"no start", `"start":"2026-11-22T23:00:00Z"`, `"start":""`, "expected a start, got none"},
		{"start with an offset", `"start":"2026-11-22T23:00:00Z"`, `"start":"2026-11-22T23:00:00+01:00"`, "expected a time in UTC"},
		{"end before the start", "2026-11-23T00:00:01.5Z", "2026-11-21T00:00:00Z", "expected an end after the start"},
		{"no validity", `,"validFor":{"start":"2026-11-22T23:00:00Z"}},"logId"`, `},"logId"`, "validFor: expected a start"},
		{"identifier of checkpoints", `"logId":{"keyId":"` + id + `"}`, `"logId":{"keyId":"` + id + `"},"checkpointKeyId":{"keyId":"AAAAAA=="}`, "tlogs[0].checkpointKeyId: expected that of the key"},
		{"not JSON", "{", "", "data after the JSON value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			altered := strings.Replace(string(good), tt.old, tt.new, 1)
			if altered == string(good) {
				t.Fatalf("%q is not in the trust root", tt.old)
			}
			_, err := provenance.ParseTrustRoot([]byte(altered))
			var form *provenance.FormError
			if !errors.As(err, &form) || form.Code != provenance.CodeTrustRoot || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	twice := func(change func(*provenance.TrustRoot)) error {
		r := r
		change(&r)
		_, err := r.Encode()
		return err
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(t, err)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	stamper := r.TimestampAuthorities[0].Chain
	for name, tt := range map[string]struct {
		change func(*provenance.TrustRoot)
		want   string
	}{
		"a log twice":             {func(r *provenance.TrustRoot) { r.Logs = append(r.Logs, r.Logs[0]) }, "log 2: expected each once"},
		"a certificate log twice": {func(r *provenance.TrustRoot) { r.CertificateLogs = append(r.CertificateLogs, r.CertificateLogs[0]) }, "certificate log 2: expected each once"},
		"a timestamper twice": {func(r *provenance.TrustRoot) {
			r.TimestampAuthorities = append(r.TimestampAuthorities, r.TimestampAuthorities[0])
		}, "timestamp authority 1: expected each once"},
		"another curve": {func(r *provenance.TrustRoot) { r.Logs = []provenance.Log{{URL: "https://x", Key: &p384.PublicKey}} }, "expected ECDSA on P-256"},
		"small RSA": {func(r *provenance.TrustRoot) {
			r.CertificateLogs = []provenance.Log{{URL: "https://x", Key: &small.PublicKey}}
		}, "RSA with 2048 bits or more"},
		"a log of signatures: RSA":       {func(r *provenance.TrustRoot) { r.Logs = r.CertificateLogs[1:] }, "log 0: expected a key of ECDSA on P-256 or Ed25519"},
		"a log of certificates: Ed25519": {func(r *provenance.TrustRoot) { r.CertificateLogs = r.Logs[1:] }, "certificate log 0: expected a key of ECDSA on P-256 or RSA"},
		"no chain":                       {func(r *provenance.TrustRoot) { r.Authorities = []provenance.Authority{{}} }, "certChain: expected 1 to 8 certificates"},
		"a long chain": {func(r *provenance.TrustRoot) {
			r.Authorities = []provenance.Authority{{Chain: bytesOf(r.Authorities[0].Chain[0], 9)}}
		}, "certChain: expected 1 to 8 certificates"},
		"many": {func(r *provenance.TrustRoot) {
			for len(r.Authorities) < 65 {
				r.Authorities = append(r.Authorities, r.Authorities[0])
			}
		}, "certificateAuthorities: expected at most 64, got 65"},
		"a leaf behind its authority": {func(r *provenance.TrustRoot) {
			r.TimestampAuthorities = []provenance.Authority{{Chain: []*x509.Certificate{stamper[1], stamper[0]}}}
		}, "got that of a signer as number 1"},
		"no beginning": {func(r *provenance.TrustRoot) { r.Authorities = newAuthority(t).root().Authorities }, "validFor: expected a start"},
	} {
		if err := twice(tt.change); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
	if _, err := provenance.ParseTrustRoot(bytes.Repeat([]byte(" "), provenance.MaxTrustRoot+1)); err == nil || !strings.Contains(err.Error(), "expected at most 1048576 bytes") {
		t.Errorf("long: %v", err)
	}
	if _, err := provenance.VerifyBlob([][]byte{stamped(t)}, provenance.DigestOf(artifact), policy(t, 1), provenance.TrustRoot{Authorities: []provenance.Authority{{Chain: []*x509.Certificate{}}}}); err == nil {
		t.Error("a trust root with an authority of nobody was taken")
	}
}

func FuzzParseTrustRoot(f *testing.F) {
	good, err := trustRoot(f).Encode()
	check(f, err)
	f.Add(good)
	f.Add(readFile(f, "testdata/conformance/roots/public-good.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := provenance.ParseTrustRoot(data)
		if err != nil {
			var form *provenance.FormError
			if !errors.As(err, &form) || form.Code != provenance.CodeTrustRoot {
				t.Fatal(err)
			}
			return
		}
		text, err := r.Encode()
		check(t, err)
		if _, err := provenance.ParseTrustRoot(text); err != nil {
			t.Errorf("what was written is not read: %v\n%s", err, text)
		}
	})
}
