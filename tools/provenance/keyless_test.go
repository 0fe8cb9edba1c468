package provenance_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

const person = "release@example.com"

// later is when the bundles of testdata/keyless are judged: their certificates expired long ago.
var later = time.Date(2027, 11, 23, 0, 0, 0, 0, time.UTC)

// keyless are bundles that were signed with certificates of Fulcio, as testdata/keyless/README.md says.
type keyless struct {
	t      testing.TB
	root   provenance.TrustRoot
	policy provenance.Policy
}

func newKeyless(t testing.TB) keyless {
	t.Helper()
	root, err := provenance.ParseTrustRoot(read(t, "keyless/root.json"))
	check(t, err)
	issuers := strings.Fields(string(read(t, "keyless/issuers")))
	key, err := provenance.ParseKey(read(t, "keyless/key.pub"))
	check(t, err)
	return keyless{t, root, provenance.Policy{
		Identities: []provenance.Identity{
			{Name: "person", Certificates: []provenance.CertificateIdentity{{Issuer: issuers[0], Subject: person}}},
			{Name: "pipeline", Certificates: []provenance.CertificateIdentity{{Issuer: issuers[1], Subject: "https://ci.example.com/org/repo/.github/workflows/release.yml@refs/heads/main"}}},
			{Name: "board", Keys: []provenance.ValidKey{{Key: key}}},
		},
		Threshold: 1, At: later, PredicateTypes: []string{testType}, Timestamps: 1, LogEntries: 1, CertificateLogs: 1,
	}}
}

func (k keyless) bundle(name string) provenance.Bundle {
	k.t.Helper()
	b, err := provenance.ParseBundle(read(k.t, "keyless/"+name+".sigstore.json"))
	check(k.t, err)
	return b
}

func (k keyless) verify(b provenance.Bundle) (*provenance.Verified, error) {
	k.t.Helper()
	return provenance.VerifyBlob([][]byte{encoded(k.t, b)}, provenance.DigestOf(artifact), k.policy, k.root)
}

func TestKeyless(t *testing.T) {
	k := newKeyless(t)
	for _, name := range []string{"blob", "again"} {
		verified, err := k.verify(k.bundle(name))
		if err != nil || verified.Signers[0].Name != "person" || len(verified.Signers[0].Times) != 1 || len(verified.Signers[0].LogEntries) != 1 || len(verified.NotChecked) > 0 {
			t.Errorf("%s: %+v, %v", name, verified, err)
		}
	}
	if verified, err := k.verify(k.bundle("key")); err != nil || verified.Signers[0].Name != "board" || len(verified.Signers[0].Times) != 1 || len(verified.Signers[0].LogEntries) != 1 {
		t.Errorf("with a key: %+v, %v", verified, err)
	}
	k.policy.Threshold = 2
	statements := [][]byte{read(t, "keyless/statement.sigstore.json"), read(t, "keyless/pipeline.sigstore.json")}
	verified, err := provenance.VerifyStatement(statements, provenance.DigestOf(artifact), k.policy, k.root)
	if err != nil || verified.Signers[0].Name != "person" || verified.Signers[1].Name != "pipeline" {
		t.Errorf("a person and a pipeline: %+v, %v", verified, err)
	}
	text, err := json.Marshal(verified.Signers[1])
	if err != nil || !strings.Contains(string(text), `"log_entries":[{"log":"https://rekor.test","index":`) || !strings.Contains(string(text), `"times":[{"at":"2026-11-23T`) {
		t.Errorf("as JSON: %s, %v", text, err)
	}
	k.policy.Threshold, k.policy.LogEntries = 1, 0
	if _, err := k.verify(k.bundle("unlogged")); err != nil {
		t.Errorf("without a log entry, which nobody asked for: %v", err)
	}
	bare := k.bundle("bare")
	k.policy.At, k.policy.Timestamps = bare.Certificate.NotBefore.Add(time.Minute), 0
	if _, err := k.verify(bare); err != nil {
		t.Errorf("without a timestamp, while the certificate is valid: %v", err)
	}
}

func TestKeylessRefusals(t *testing.T) {
	staging, err := provenance.ParseTrustRoot(read(t, "conformance/roots/rekor2-checkpoint-cosigned.json"))
	check(t, err)
	for _, tt := range []struct {
		name, bundle string
		change       func(*keyless, *provenance.Bundle)
		code         provenance.Code
		want         string
	}{
		{"expired certificate without a timestamp", "bare", func(k *keyless, _ *provenance.Bundle) { k.policy.Timestamps, k.policy.LogEntries = 0, 0 }, provenance.CodeCertificateTime, "valid at 2027-11-23T00:00:00Z"},
		{"the timestamp stripped", "blob", func(k *keyless, b *provenance.Bundle) { k.policy.Timestamps, b.Timestamps = 0, nil }, provenance.CodeCertificateTime, "valid at 2027-11-23T00:00:00Z"},
		{"the timestamp that is asked for stripped", "blob", func(_ *keyless, b *provenance.Bundle) { b.Timestamps = nil }, provenance.CodeTimestampMissing, "expected timestamps of 1"},
		{"the timestamp of another signature", "blob", func(k *keyless, b *provenance.Bundle) { b.Timestamps = k.bundle("again").Timestamps }, provenance.CodeTimestampSubject, "got one of something else"},
		{"timestamp of an unknown authority", "blob", func(k *keyless, _ *provenance.Bundle) { k.root.TimestampAuthorities = staging.TimestampAuthorities }, provenance.CodeTimestampAuthority, "by an authority of the trust root"},
		{"timestamp of an unknown authority, which nobody asked for", "unlogged", func(k *keyless, _ *provenance.Bundle) {
			k.policy.Timestamps, k.policy.LogEntries, k.root.TimestampAuthorities = 0, 0, staging.TimestampAuthorities
		}, provenance.CodeTimestampAuthority, "by an authority of the trust root"},
		{"no timestamp authority", "unlogged", func(k *keyless, _ *provenance.Bundle) {
			k.policy.Timestamps, k.policy.LogEntries, k.root.TimestampAuthorities = 0, 0, nil
		}, provenance.CodeCertificateTime, "valid at 2027-11-23T00:00:00Z"},
		{"signed after the time to judge for", "blob", func(k *keyless, b *provenance.Bundle) { k.policy.At = b.Certificate.NotBefore.Add(-time.Hour) }, provenance.CodeTime, "expected a signature made before"},
		{"identity of another issuer", "blob", func(k *keyless, _ *provenance.Bundle) { k.policy.Identities[0].Certificates[0].Issuer += "/" }, provenance.CodeSigner, person},
		{"identity of another subject", "blob", func(k *keyless, _ *provenance.Bundle) {
			k.policy.Identities[0].Certificates[0].Subject = "Release@example.com"
		}, provenance.CodeSigner, person},
		{"the pipeline's issuer for the person", "blob", func(k *keyless, _ *provenance.Bundle) {
			k.policy.Identities[0].Certificates[0].Issuer = k.policy.Identities[1].Certificates[0].Issuer
		}, provenance.CodeSigner, person},
		{"another certificate authority", "blob", func(k *keyless, _ *provenance.Bundle) { k.root.Authorities = staging.Authorities }, provenance.CodeCertificate, "authority of the trust root"},
		{"no certificate authority", "blob", func(k *keyless, _ *provenance.Bundle) { k.root.Authorities = nil }, provenance.CodeCertificate, "the trust root lists none"},
		{"another certificate log", "blob", func(k *keyless, _ *provenance.Bundle) { k.root.CertificateLogs = staging.CertificateLogs }, provenance.CodeCertificateLog, "certificate log of the trust root"},
		{"a certificate log that was not believed", "blob", func(k *keyless, b *provenance.Bundle) {
			k.root.CertificateLogs[0].Validity.NotBefore = b.Certificate.NotBefore.Add(time.Hour)
		}, provenance.CodeCertificateLog, "believes the certificate log"},
		{"the log entry stripped", "blob", func(_ *keyless, b *provenance.Bundle) { b.LogEntries = nil }, provenance.CodeLogMissing, "expected entries in 1 logs"},
		{"the log entry of another artifact", "blob", func(k *keyless, b *provenance.Bundle) { b.LogEntries = k.bundle("other").LogEntries }, provenance.CodeLogSubject, "expected an entry about"},
		{"the log entry of another signature", "blob", func(k *keyless, b *provenance.Bundle) { b.LogEntries = k.bundle("again").LogEntries }, provenance.CodeLogSubject, "about this signature"},
		{"the log entry of another signer", "blob", func(k *keyless, b *provenance.Bundle) { b.LogEntries = k.bundle("key").LogEntries }, provenance.CodeLogSubject, "about this signature"},
		{"a replayed log entry that nobody asked for", "blob", func(k *keyless, b *provenance.Bundle) {
			k.policy.LogEntries, b.LogEntries = 0, k.bundle("again").LogEntries
		}, provenance.CodeLogSubject, "about this signature"},
		{"another log", "blob", func(k *keyless, _ *provenance.Bundle) { k.root.Logs = staging.Logs }, provenance.CodeLog, "expected a log of the trust root"},
		{"a log that was not believed", "blob", func(k *keyless, b *provenance.Bundle) {
			k.root.Logs[0].Validity.NotBefore = b.Certificate.NotBefore.Add(time.Hour)
		}, provenance.CodeLog, "expected a log that the trust root believes at"},
		{"an authority that was not believed", "blob", func(k *keyless, b *provenance.Bundle) {
			k.root.Authorities[0].Validity.NotBefore = b.Certificate.NotBefore.Add(time.Hour)
		}, provenance.CodeCertificate, "the trust root believes it from"},
		{"the certificate of another signature", "blob", func(k *keyless, b *provenance.Bundle) { b.Certificate = k.bundle("bare").Certificate }, provenance.CodeSignature, "by the key of the certificate"},
		{"the signature of another artifact", "blob", func(k *keyless, b *provenance.Bundle) { b.Blob.Signature = k.bundle("other").Blob.Signature }, provenance.CodeSignature, "by the key of the certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newKeyless(t)
			b := k.bundle(tt.bundle)
			tt.change(&k, &b)
			_, err := k.verify(b)
			var refusal *provenance.Refusal
			if !errors.As(err, &refusal) || refusal.Code() != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %s: %s", err, tt.code, tt.want)
			}
		})
	}
}
