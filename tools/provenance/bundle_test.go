package provenance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

func TestBundleEncoding(t *testing.T) {
	data := signed(t, 1, statement(t, testType, artifact))
	golden(t, "statement.sigstore.json", data)
	blob, err := provenance.SignBlob(t.Context(), signer(t, 1), artifact)
	check(t, err)
	golden(t, "blob.sigstore.json", encoded(t, blob))
	ca := newAuthority(t)
	blob.Certificate = ca.issue(&signer(t, 1).private.PublicKey, nil)
	blob.LogEntries, blob.Timestamps = []json.RawMessage{json.RawMessage(`{"logIndex":"1"}`)}, []json.RawMessage{json.RawMessage(`{"signedTimestamp":"eA=="}`)}
	again, err := provenance.ParseBundle(encoded(t, blob))
	check(t, err)
	if !again.Certificate.Equal(blob.Certificate) || len(again.LogEntries) != 1 || len(again.Timestamps) != 1 || again.Blob.Digest != blob.Blob.Digest || again.Hint != "" {
		t.Errorf("encoded %+v, parsed %+v", blob, again)
	}
	if _, err := (provenance.Bundle{Hint: "x"}).Encode(); err == nil {
		t.Error("a bundle with no signature was encoded")
	}
}

// What cosign wrote is what we would write, but for the spaces.
func TestCosignsBundles(t *testing.T) {
	for _, name := range []string{"blob", "attestation"} {
		data := read(t, "cosign/"+name+".sigstore.json")
		b, err := provenance.ParseBundle(data)
		check(t, err)
		var theirs, ours any
		check(t, json.Unmarshal(data, &theirs))
		check(t, json.Unmarshal(encoded(t, b), &ours))
		one, err := json.Marshal(theirs)
		check(t, err)
		two, err := json.Marshal(ours)
		check(t, err)
		if !bytes.Equal(one, two) {
			t.Errorf("%s: theirs is\n%s\nours is\n%s", name, one, two)
		}
	}
}

func TestParseBundle(t *testing.T) {
	statementBundle := string(read(t, "statement.sigstore.json"))
	blobBundle := string(read(t, "blob.sigstore.json"))
	certificate := `"certificate":{"rawBytes":"` + base64.StdEncoding.EncodeToString(newAuthority(t).certificate.Raw) + `"}`
	with := func(material, content string) string {
		return `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":` + material + `,` + content + `}`
	}
	tests := []struct{ name, bundle, old, new, want string }{
		{"media type", statementBundle, "v0.3+json", "v0.2+json", `mediaType: expected "application/vnd.dev.sigstore.bundle.v0.3+json", got "application/vnd.dev.sigstore.bundle.v0.2+json"`},
		{"older form of the media type", statementBundle, "bundle.v0.3+json", "bundle+json;version=0.3", `mediaType: expected`},
		{"no media type", statementBundle, `"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json",`, ``, `mediaType: expected`},
		{"unknown member", statementBundle, `{"mediaType"`, `{"x":1,"mediaType"`, `unknown member "x"`},
		{"member in the other form of protocol buffers", statementBundle, `"verificationMaterial"`, `"verification_material"`, `unknown member "verification_material"`},
		{"member twice", statementBundle, `"dsseEnvelope"`, `"dsseEnvelope":null,"dsseEnvelope"`, `member "dsseEnvelope" stands twice`},
		{"key and certificate", statementBundle, `"publicKey"`, certificate + `,"publicKey"`, `expected either publicKey or certificate, got both or none`},
		{"chain of certificates", statementBundle, `"publicKey"`, `"x509CertificateChain"`, `unknown member "x509CertificateChain"`},
		{"certificate that is none", statementBundle, `"publicKey":{"hint":"`, `"certificate":{"rawBytes":"`, `verificationMaterial.certificate: expected X.509`},
		{"long hint", statementBundle, `"hint":"`, `"hint":"` + strings.Repeat("x", 256), `hint: expected at most 256 bytes`},
		{"log entry that is none", statementBundle, `{"publicKey"`, `{"tlogEntries":[1],"publicKey"`, `tlogEntries[0]: expected an object`},
		{"many log entries", statementBundle, `{"publicKey"`, `{"tlogEntries":[` + strings.Repeat("{},", 16) + `{}],"publicKey"`, `tlogEntries: expected at most 16, got 17`},
		{"member of a log entry twice", statementBundle, `{"publicKey"`, `{"tlogEntries":[{"a":1,"a":2}],"publicKey"`, `member "a" stands twice`},
		{"many timestamps", statementBundle, `{"publicKey"`, `{"timestampVerificationData":{"rfc3161Timestamps":[` + strings.Repeat("{},", 16) + `{}]},"publicKey"`, `rfc3161Timestamps: expected at most 16, got 17`},
		{"both contents", statementBundle, `"dsseEnvelope":`, `"messageSignature":{"signature":"eA=="},"dsseEnvelope":`, `expected either dsseEnvelope or messageSignature, got both or none`},
		{"keyid", statementBundle, `[{"sig"`, `[{"keyid":"x","sig"`, `expected exactly one, without a keyid`},
		{"two signatures", statementBundle, `[{"sig"`, `[{"sig":"eA=="},{"sig"`, `expected exactly one, without a keyid`},
		{"algorithm", blobBundle, "SHA2_256", "SHA2_512", `messageSignature.messageDigest.algorithm: expected SHA2_256`},
		{"digest of 33 bytes", blobBundle, `"digest":"`, `"digest":"AAAA`, `messageDigest.digest: expected 32 bytes, got 35`},
		{"signature that is too long", blobBundle, `"signature":"`, `"signature":"` + strings.Repeat("AAAA", 200), `messageSignature.signature: expected 1 to 512 bytes`},
		{"trailing data", blobBundle + "x", ``, ``, `data after the JSON value`},
		{"no material", with(`null`, `"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"eA=="}`), ``, ``, `verificationMaterial: expected an object, got none`},
		{"neither key nor certificate", with(`{}`, `"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"eA=="}`), ``, ``, `verificationMaterial: expected either publicKey or certificate, got both or none`},
		{"null key", with(`{"publicKey":null,"certificate":null}`, `"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"eA=="}`), ``, ``, `verificationMaterial: expected either publicKey or certificate, got both or none`},
		{"empty certificate", with(`{"certificate":{}}`, `"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"eA=="}`), ``, ``, `certificate.rawBytes: expected 1 to 65536 bytes, got 0`},
		{"no content", with(`{"publicKey":{}}`, `"dsseEnvelope":null`), ``, ``, `expected either dsseEnvelope or messageSignature, got both or none`},
		{"no digest", with(`{"publicKey":{}}`, `"messageSignature":{"signature":"eA=="}`), ``, ``, `messageDigest.algorithm: expected SHA2_256, got another one or none`},
		{"short digest", with(`{"publicKey":{}}`, `"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"},"signature":"eA=="}`), ``, ``, `messageDigest.digest: expected 32 bytes, got 3`},
		{"no signature", with(`{"publicKey":{}}`, `"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAA"}}`), ``, ``, `messageSignature.signature: expected 1 to 512 bytes, got 0`},
		{"no signatures", with(`{"publicKey":{}}`, `"dsseEnvelope":{"payload":"eA==","payloadType":"x","signatures":[]}`), ``, ``, `signatures: expected 1 to 64, got 0`},
		{"no payload", with(`{"publicKey":{}}`, `"dsseEnvelope":{"payloadType":"x","signatures":[{"sig":"eA=="}]}`), ``, ``, `payload: expected bytes, got none`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(tt.bundle, tt.old, tt.new, 1)
			_, err := provenance.ParseBundle([]byte(text))
			var form *provenance.FormError
			if !errors.As(err, &form) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s\n%v, want %q", text, err, tt.want)
			}
		})
	}
	if _, err := provenance.ParseBundle(make([]byte, provenance.MaxBundle+1)); err == nil || !strings.Contains(err.Error(), "expected at most") {
		t.Errorf("too large: %v", err)
	}
}

func FuzzParseBundle(f *testing.F) {
	for _, name := range []string{"statement.sigstore.json", "blob.sigstore.json", "cosign/blob.sigstore.json", "cosign/attestation.sigstore.json"} {
		f.Add(read(f, name))
	}
	b, err := provenance.SignBlob(f.Context(), signer(f, 1), artifact)
	check(f, err)
	b.Certificate = newAuthority(f).issue(&signer(f, 1).private.PublicKey, nil)
	f.Add(encoded(f, b))
	p := policy(f, 1)
	// A fuzzer does not forge signatures: nothing that it makes of these is believed but what they say.
	f.Fuzz(func(t *testing.T, data []byte) {
		verified, err := provenance.VerifyBlob([][]byte{data}, provenance.DigestOf(otherArtifact), p, provenance.TrustRoot{})
		if err == nil {
			t.Errorf("%s: accepted for another artifact: %+v", data, verified)
		}
		if _, err := provenance.VerifyStatement([][]byte{data}, provenance.DigestOf(otherArtifact), p, provenance.TrustRoot{}); err == nil {
			t.Errorf("%s: accepted for another artifact", data)
		}
		b, err := provenance.ParseBundle(data)
		if err != nil {
			return
		}
		first := encoded(t, b)
		again, err := provenance.ParseBundle(first)
		check(t, err)
		if second := encoded(t, again); !bytes.Equal(first, second) {
			t.Errorf("%s is encoded as %s, then as %s", data, first, second)
		}
	})
}

func TestKey(t *testing.T) {
	key := signer(t, 1).Key()
	parsed, err := provenance.ParseKey(key.PEM())
	if err != nil || parsed.Fingerprint() != key.Fingerprint() {
		t.Fatalf("parsed %s as %s: %v", key.Fingerprint(), parsed.Fingerprint(), err)
	}
	if (provenance.Key{}).Verify([]byte("x"), []byte("x")) || !(provenance.Key{}).IsZero() {
		t.Error("the zero key verifies")
	}
	pem := string(key.PEM())
	for name, text := range map[string]string{
		"empty":       "",
		"text before": "x\n" + pem,
		"text behind": pem + "x",
		"two keys":    pem + pem,
		"headers":     strings.Replace(pem, "KEY-----\n", "KEY-----\nA: b\n\n", 1),
		"private":     strings.ReplaceAll(pem, "PUBLIC", "PRIVATE"),
		"DER":         pem[27:60],
		"altered":     strings.Replace(pem, "MFkw", "MFkx", 1),
		// RFC 8032's first test key.
		"Ed25519": "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
		"large":   pem + strings.Repeat("\n", 4096),
	} {
		if _, err := provenance.ParseKey([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "public key: expected") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := provenance.NewKey(newAuthority(t).certificate.PublicKey); err == nil || !strings.Contains(err.Error(), "curve P-256") {
		t.Errorf("P-384: %v", err)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(signer(f, 1).Key().PEM())
	f.Add(read(f, "cosign/cosign.pub"))
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := provenance.ParseKey(text)
		if err != nil {
			return
		}
		if again, err := provenance.ParseKey(key.PEM()); err != nil || again.Fingerprint() != key.Fingerprint() {
			t.Errorf("%s is a key, and its PEM is another one: %v", text, err)
		}
	})
}

func TestHandover(t *testing.T) {
	old, successor := signer(t, 1), signer(t, 2).Key()
	at := now.Add(90 * time.Minute)
	b, err := provenance.SignHandover(t.Context(), old, successor, at.In(time.FixedZone("", 3600)))
	check(t, err)
	data := encoded(t, b)
	golden(t, "handover.sigstore.json", data)
	h, err := provenance.VerifyHandover(data, old.Key(), successor)
	if err != nil || h.Old != old.Key() || h.New != successor || !h.At.Equal(at) {
		t.Errorf("verified %+v: %v", h, err)
	}
	if _, err := provenance.SignHandover(t.Context(), old, old.Key(), at); err == nil {
		t.Error("a key was handed over to itself")
	}
	other := signer(t, 3).Key()
	predicate := func(from, key, at string) []byte {
		s, err := provenance.NewStatement([]provenance.Subject{{Name: "key", Digest: provenance.Digest(successor.Fingerprint()).Set()}}, provenance.HandoverType,
			map[string]string{"from": from, "key": key, "at": at})
		check(t, err)
		return signed(t, 1, s)
	}
	from, key := old.Key().Fingerprint().String(), string(successor.PEM())
	tests := []struct {
		name     string
		bundle   []byte
		old, new provenance.Key
		code     provenance.Code
	}{
		{"another old key", data, other, successor, provenance.CodeSigner},
		{"another new key", data, old.Key(), other, provenance.CodeSubject},
		{"keys in the wrong order", data, successor, old.Key(), provenance.CodeSigner},
		{"another claim of the old key", signed(t, 1, statement(t, testType, artifact)), old.Key(), successor, provenance.CodePredicateType},
		{"from another key", predicate(other.Fingerprint().String(), key, "2026-11-23T00:00:00Z"), old.Key(), successor, provenance.CodePredicate},
		{"to another key", predicate(from, string(other.PEM()), "2026-11-23T00:00:00Z"), old.Key(), successor, provenance.CodePredicate},
		{"at a time that is none", predicate(from, key, "tomorrow"), old.Key(), successor, provenance.CodePredicate},
		{"at a time of another zone", predicate(from, key, "2026-11-23T01:00:00+01:00"), old.Key(), successor, provenance.CodePredicate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := provenance.VerifyHandover(tt.bundle, tt.old, tt.new)
			var refusal *provenance.Refusal
			if !errors.As(err, &refusal) || refusal.Code() != tt.code {
				t.Errorf("got %v, want %s", err, tt.code)
			}
		})
	}
	var unusable *provenance.PolicyError
	if _, err := provenance.VerifyHandover(data, provenance.Key{}, successor); !errors.As(err, &unusable) {
		t.Errorf("without an old key: %v", err)
	}
}
