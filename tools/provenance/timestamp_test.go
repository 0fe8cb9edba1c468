package provenance_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/provenancetest"
)

// stamped is a blob signed by alice with responses of timestamp authorities, which nobody looked at.
func stamped(t testing.TB, stamp ...func(signature []byte) []byte) []byte {
	t.Helper()
	b, err := provenance.SignBlob(t.Context(), signer(t, 1), artifact)
	check(t, err)
	for _, s := range stamp {
		b.Timestamps = append(b.Timestamps, []byte(`{"signedTimestamp":"`+base64.StdEncoding.EncodeToString(s(b.Blob.Signature))+`"}`))
	}
	return encoded(t, b)
}

func by(a *provenancetest.TimestampAuthority, change func(*provenancetest.Token)) func([]byte) []byte {
	return func(signature []byte) []byte { return a.Stamp(signature, change) }
}

// whole is an authority by its whole chain, and rooted one by its root alone.
func whole(a *provenancetest.TimestampAuthority) provenance.Authority {
	return provenance.Authority{URI: "whole", Chain: []*x509.Certificate{a.Leaf, a.Root}}
}

func rooted(a *provenancetest.TimestampAuthority) provenance.Authority {
	return provenance.Authority{URI: "rooted", Chain: []*x509.Certificate{a.Root}}
}

func authorities(list ...provenance.Authority) provenance.TrustRoot {
	return provenance.TrustRoot{TimestampAuthorities: list}
}

func TestTimestamps(t *testing.T) {
	one, two := provenancetest.NewTimestampAuthority(t, now, nil), provenancetest.NewRSATimestampAuthority(t, now.Add(-time.Hour), 2048)
	p := policy(t, 1)
	p.Timestamps = 1
	tests := []struct {
		name   string
		bundle []byte
		root   provenance.TrustRoot
		times  int
	}{
		{"listed with its certificate", stamped(t, by(one, nil)), authorities(whole(one)), 1},
		{"listed with its root", stamped(t, by(one, nil)), authorities(rooted(one)), 1},
		{"listed with its certificate, which is not sent along", stamped(t, by(one, func(k *provenancetest.Token) { k.Certificates = nil })), authorities(whole(one)), 1},
		{"RSA", stamped(t, by(two, nil)), authorities(whole(two)), 1},
		{"accuracy", stamped(t, by(one, func(k *provenancetest.Token) { k.Accuracy = []byte{0x30, 10, 2, 1, 1, 0x80, 2, 1, 244, 0x81, 1, 100} })), authorities(whole(one)), 1},
		{"accuracy of no seconds", stamped(t, by(one, func(k *provenancetest.Token) { k.Accuracy = []byte{0x30, 3, 0x81, 1, 1} })), authorities(whole(one)), 1},
		{"nonce", stamped(t, by(one, func(k *provenancetest.Token) { k.Nonce = big.NewInt(7) })), authorities(whole(one)), 1},
		{"a stranger beside", stamped(t, by(two, nil), by(one, nil)), authorities(whole(one)), 1},
		{"two", stamped(t, by(two, nil), by(one, nil)), authorities(whole(one), rooted(two)), 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			verified, err := provenance.VerifyBlob([][]byte{tt.bundle}, provenance.DigestOf(artifact), p, tt.root)
			if err != nil || len(verified.Signers[0].Times) != tt.times {
				t.Errorf("verified %+v: %v", verified, err)
			}
		})
	}
	verified, err := provenance.VerifyBlob([][]byte{stamped(t, by(one, func(k *provenancetest.Token) { k.Time = "20261122235959.25Z" }))}, provenance.DigestOf(artifact), p, authorities(whole(one)))
	if want := now.Add(-time.Second + 250*time.Millisecond); err != nil || !verified.Signers[0].Times[0].At.Equal(want) || verified.Signers[0].Times[0].By != "whole" {
		t.Errorf("verified %+v: %v; want %s", verified, err, want)
	}
	verified, err = provenance.VerifyBlob([][]byte{stamped(t, by(two, nil), by(one, nil))}, provenance.DigestOf(artifact), p, authorities(whole(one)))
	if err != nil || strings.Join(verified.NotChecked, " ") != "timestamps" {
		t.Errorf("verified %+v: %v", verified, err)
	}
}

func TestTimestampRefusals(t *testing.T) {
	one, two := provenancetest.NewTimestampAuthority(t, now, nil), provenancetest.NewTimestampAuthority(t, now, nil)
	root := authorities(whole(one))
	// usage is the extension of a certificate that says what it is for.
	usage := func(critical bool, purposes ...int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			var list []asn1.ObjectIdentifier
			for _, purpose := range purposes {
				list = append(list, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, purpose})
			}
			value, err := asn1.Marshal(list)
			check(t, err)
			c.ExtraExtensions[0].Critical, c.ExtraExtensions[0].Value = critical, value
		}
	}
	with := func(change func(*x509.Certificate)) (*provenancetest.TimestampAuthority, provenance.TrustRoot) {
		a := provenancetest.NewTimestampAuthority(t, now, change)
		return a, authorities(whole(a))
	}
	twoUses, twoUsesRoot := with(usage(true, 8, 3))
	forCode, forCodeRoot := with(usage(true, 3))
	lax, laxRoot := with(usage(false, 8))
	expired, expiredRoot := with(func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) })
	weak := provenancetest.NewRSATimestampAuthority(t, now, 1024)
	believed := func(from, to time.Time) provenance.TrustRoot {
		r := authorities(whole(one))
		r.TimestampAuthorities[0].Validity = provenance.Validity{NotBefore: from, NotAfter: to}
		return r
	}
	type refused struct {
		name   string
		bundle []byte
		root   provenance.TrustRoot
		code   provenance.Code
		want   string
	}
	token := func(name string, change func(*provenancetest.Token), code provenance.Code, want string) refused {
		return refused{name, stamped(t, by(one, change)), root, code, want}
	}
	raw := func(name string, change func([]byte) []byte, want string) refused {
		return refused{name, stamped(t, func(signature []byte) []byte { return change(one.Stamp(signature, nil)) }), root, provenance.CodeTimestamp, want}
	}
	object := func(name, text, want string) refused {
		b, err := provenance.SignBlob(t.Context(), signer(t, 1), artifact)
		check(t, err)
		b.Timestamps = append(b.Timestamps, []byte(text))
		return refused{name, encoded(t, b), root, provenance.CodeTimestamp, want}
	}
	tests := []refused{
		{"none", stamped(t), root, provenance.CodeTimestampMissing, "expected timestamps of 1 authorities of the trust root, got 0"},
		{"of an unknown authority", stamped(t, by(two, nil)), root, provenance.CodeTimestampAuthority, "expected one by an authority of the trust root"},
		{"of an unknown authority, by roots", stamped(t, by(two, nil)), authorities(rooted(one)), provenance.CodeTimestampAuthority, "expected one by an authority of the trust root"},
		{"of an authority with another leaf", stamped(t, by(two, nil)), authorities(provenance.Authority{Chain: []*x509.Certificate{
			provenancetest.NewTimestampAuthority(t, now, nil).Leaf, two.Root}}), provenance.CodeTimestampAuthority, "by an authority of the trust root"},
		{"of an authority whose chain is none", stamped(t, by(two, nil)), authorities(provenance.Authority{Chain: []*x509.Certificate{two.Leaf, one.Root}}), provenance.CodeTimestampAuthority, "expected a certificate that the authority issued"},
		{"of another message", stamped(t, func([]byte) []byte { return one.Stamp([]byte("x"), nil) }), root, provenance.CodeTimestampSubject, "got one of something else"},
		{"of the artifact in the place of the signature", stamped(t, func([]byte) []byte { return one.Stamp(artifact, nil) }), root, provenance.CodeTimestampSubject, "got one of something else"},
		{"certificate for two uses", stamped(t, by(twoUses, nil)), twoUsesRoot, provenance.CodeTimestampAuthority, "for timestamps alone"},
		{"certificate for code", stamped(t, by(forCode, nil)), forCodeRoot, provenance.CodeTimestampAuthority, "for timestamps alone"},
		{"certificate whose use is not critical", stamped(t, by(lax, nil)), laxRoot, provenance.CodeTimestampAuthority, "for timestamps alone"},
		{"certificate that had expired", stamped(t, by(expired, nil)), expiredRoot, provenance.CodeTimestampAuthority, "valid at 2026-11-23T00:00:00Z"},
		{"weak key", stamped(t, by(weak, nil)), authorities(whole(weak)), provenance.CodeTimestamp, "2048 bits or more, got 1024"},
		{"before the authority is believed", stamped(t, by(one, nil)), believed(now.Add(time.Second), time.Time{}), provenance.CodeTimestampAuthority, "believed from 2026-11-23T00:00:01Z for ever"},
		{"after the authority was believed", stamped(t, by(one, nil)), believed(time.Time{}, now.Add(-time.Second)), provenance.CodeTimestampAuthority, "believed from ever to 2026-11-22T23:59:59Z"},
		{"in the future", stamped(t, by(one, func(k *provenancetest.Token) { k.Time = "20261123000501Z" })), root, provenance.CodeTime, "got one of 2026-11-23T00:05:01Z"},
		token("not granted", func(k *provenancetest.Token) { k.Status = 2 }, provenance.CodeTimestamp, "status: expected 0, granted, got 2"),
		token("another version", func(k *provenancetest.Token) { k.Version = 2 }, provenance.CodeTimestamp, "version: expected 1, got 2"),
		token("imprint by SHA-1", func(k *provenancetest.Token) { k.ImprintAlgorithm, k.Imprint = provenancetest.SHA1, k.Imprint[:20] }, provenance.CodeTimestamp, "expected SHA-256"),
		token("short imprint", func(k *provenancetest.Token) { k.Imprint = k.Imprint[:31] }, provenance.CodeTimestamp, "messageImprint: expected 32 bytes, got 31"),
		token("time with an offset", func(k *provenancetest.Token) { k.Time = "20261123000000+0000" }, provenance.CodeTimestamp, "GeneralizedTime in UTC"),
		token("time without seconds", func(k *provenancetest.Token) { k.Time = "202611230000Z" }, provenance.CodeTimestamp, "GeneralizedTime in UTC"),
		token("time in month 13", func(k *provenancetest.Token) { k.Time = "20261323000000Z" }, provenance.CodeTimestamp, "genTime: expected a time"),
		token("inaccurate", func(k *provenancetest.Token) { k.Accuracy = []byte{0x30, 3, 2, 1, 61} }, provenance.CodeTimestamp, "accuracy: expected at most 1m0s"),
		token("inaccurate by a part", func(k *provenancetest.Token) { k.Accuracy = []byte{0x30, 6, 2, 1, 60, 0x80, 1, 1} }, provenance.CodeTimestamp, "accuracy: expected at most 1m0s"),
		token("accuracy below nothing", func(k *provenancetest.Token) { k.Accuracy = []byte{0x30, 3, 2, 1, 0xff} }, provenance.CodeTimestamp, "accuracy: expected at most 1m0s"),
		token("accuracy twice", func(k *provenancetest.Token) { k.Accuracy = []byte{0x30, 6, 2, 1, 1, 2, 1, 1} }, provenance.CodeTimestamp, "accuracy: expected seconds"),
		token("extensions", func(k *provenancetest.Token) { k.Extensions = []byte{0xa1, 0} }, provenance.CodeTimestamp, "extensions: expected none"),
		token("something behind the content's last element", func(k *provenancetest.Token) { k.InfoTail = []byte{5, 0} }, provenance.CodeTimestamp, "TSTInfo: expected one"),
		token("something behind the response", func(k *provenancetest.Token) { k.Tail = []byte{5, 0} }, provenance.CodeTimestamp, "expected a TimeStampResp"),
		token("another kind of content", func(k *provenancetest.Token) { k.Content = provenancetest.Data }, provenance.CodeTimestamp, "expected a TSTInfo inside"),
		token("another kind of content by its attribute", func(k *provenancetest.Token) { k.ContentAttribute = provenancetest.Data }, provenance.CodeTimestamp, "content type TSTInfo"),
		token("digest of something else", func(k *provenancetest.Token) { k.Digest = make([]byte, 32) }, provenance.CodeTimestamp, "the digest of the content"),
		token("no attribute for the certificate", func(k *provenancetest.Token) { k.Without = provenancetest.SigningCertificateV2 }, provenance.CodeTimestamp, "names the certificate by SHA-2"),
		token("an attribute twice", func(k *provenancetest.Token) { k.Twice = provenancetest.SigningCertificateV2 }, provenance.CodeTimestamp, "once with one value"),
		token("attribute for another certificate", func(k *provenancetest.Token) { k.CertificateHash = make([]byte, 32) }, provenance.CodeTimestampAuthority, "by an authority of the trust root"),
		token("no signer", func(k *provenancetest.Token) { k.Signers = 0 }, provenance.CodeTimestamp, "with one signer"),
		token("two signers", func(k *provenancetest.Token) { k.Signers = 2 }, provenance.CodeTimestamp, "with one signer"),
		token("algorithm of RSA with a key of ECDSA", func(k *provenancetest.Token) { k.Signature = provenancetest.RSAEncryption }, provenance.CodeTimestamp, "expected the signature algorithm"),
		token("many certificates", func(k *provenancetest.Token) { k.Certificates = append(bytesOf(one.Root, 8), one.Leaf) }, provenance.CodeTimestamp, "certificates: expected at most 8"),
		raw("signature altered", func(response []byte) []byte { response[len(response)-1] ^= 1; return response }, "does not verify"),
		raw("cut off", func(response []byte) []byte { return response[:len(response)-1] }, "expected a TimeStampResp"),
		raw("empty", func([]byte) []byte { return nil }, "expected a TimeStampResp"),
		raw("long", func([]byte) []byte { return make([]byte, 1<<17) }, "expected at most 65536 bytes"),
		object("no member", `{}`, "expected a TimeStampResp"),
		object("unknown member", `{"signedTimestamp":"","at":"x"}`, "unknown member"),
		object("no base64", `{"signedTimestamp":"*"}`, "canonical base64"),
	}
	p := policy(t, 1)
	p.Timestamps = 1
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := provenance.VerifyBlob([][]byte{tt.bundle}, provenance.DigestOf(artifact), p, tt.root)
			var refusal *provenance.Refusal
			var undecided *provenance.PolicyError
			switch {
			case tt.code == "":
				if !errors.As(err, &undecided) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v; want %s", err, tt.want)
				}
			case !errors.As(err, &refusal) || refusal.Code() != tt.code || !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v; want %s: %s", err, tt.code, tt.want)
			}
		})
	}

	// One authority counts once, and whoever is asked for has to be listed.
	var refusal *provenance.Refusal
	p.Timestamps = 2
	both := authorities(whole(one), whole(two))
	if _, err := provenance.VerifyBlob([][]byte{stamped(t, by(one, nil), by(one, nil))}, provenance.DigestOf(artifact), p, both); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeTimestampMissing {
		t.Errorf("one authority twice: %v", err)
	}
	// Two of one operator are one.
	same := authorities(whole(one), whole(two))
	same.TimestampAuthorities[0].Operator, same.TimestampAuthorities[1].Operator = "example.com", "example.com"
	third := provenancetest.NewTimestampAuthority(t, now, nil)
	same.TimestampAuthorities = append(same.TimestampAuthorities, whole(third))
	if _, err := provenance.VerifyBlob([][]byte{stamped(t, by(one, nil), by(two, nil))}, provenance.DigestOf(artifact), p, same); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeTimestampMissing {
		t.Errorf("two authorities of one operator: %v", err)
	}
	if _, err := provenance.VerifyBlob([][]byte{stamped(t, by(one, nil), by(third, nil))}, provenance.DigestOf(artifact), p, same); err != nil {
		t.Errorf("two authorities of two operators: %v", err)
	}
	for _, r := range []provenance.TrustRoot{root, authorities(whole(one), whole(one)), {}} {
		var undecided *provenance.PolicyError
		if _, err := provenance.VerifyBlob([][]byte{stamped(t, by(one, nil))}, provenance.DigestOf(artifact), p, r); !errors.As(err, &undecided) {
			t.Errorf("two of %d authorities: %v", len(r.TimestampAuthorities), err)
		}
	}
}

func bytesOf(c *x509.Certificate, n int) []*x509.Certificate {
	list := make([]*x509.Certificate, n)
	for i := range list {
		list[i] = c
	}
	return list
}

// Whichever byte of a timestamp is altered, it is refused, or says the same.
func TestEveryByteOfATimestamp(t *testing.T) {
	a := provenancetest.NewTimestampAuthority(t, now, nil)
	b, err := provenance.SignBlob(t.Context(), signer(t, 1), artifact)
	check(t, err)
	good := a.Stamp(b.Blob.Signature, nil)
	p := policy(t, 1)
	p.Timestamps = 1
	for i := range good {
		for _, flip := range []byte{1, 0x20, 0x80} {
			altered := bytes.Clone(good)
			altered[i] ^= flip
			b.Timestamps = nil
			if b.AddTimestamp(altered) != nil {
				continue
			}
			verified, err := provenance.VerifyBlob([][]byte{encoded(t, b)}, provenance.DigestOf(artifact), p, authorities(whole(a)))
			if err == nil && !verified.Signers[0].Times[0].At.Equal(now) {
				t.Fatalf("byte %d altered by %#x: accepted %+v", i, flip, verified)
			}
			// Nothing depends on a certificate beside the one that is listed.
			if at := bytes.Index(good, a.Leaf.Raw); err == nil && (i < at || i >= at+len(a.Leaf.Raw)) {
				t.Errorf("byte %d altered by %#x: accepted", i, flip)
			}
		}
	}
}

func TestAddTimestamp(t *testing.T) {
	a := provenancetest.NewTimestampAuthority(t, now, nil)
	b, err := provenance.SignStatement(t.Context(), signer(t, 1), statement(t, testType, artifact))
	check(t, err)
	check(t, b.AddTimestamp(a.Stamp(b.Signature(), nil)))
	p := policy(t, 1)
	p.Timestamps = 1
	if _, err := provenance.VerifyStatement([][]byte{encoded(t, b)}, provenance.DigestOf(artifact), p, authorities(whole(a))); err != nil {
		t.Error(err)
	}
	var form *provenance.FormError
	if err := b.AddTimestamp(a.Stamp(artifact, nil)); !errors.As(err, &form) || form.Code != provenance.CodeTimestampSubject || len(b.Timestamps) != 1 {
		t.Errorf("of something else: %v", err)
	}
	if err := b.AddTimestamp([]byte("x")); !errors.As(err, &form) || form.Code != provenance.CodeTimestamp || len(b.Timestamps) != 1 {
		t.Errorf("no timestamp: %v", err)
	}
}

func FuzzParseTimestamp(f *testing.F) {
	a := provenancetest.NewTimestampAuthority(f, now, nil)
	f.Add(a.Stamp(artifact, nil))
	f.Add(a.Stamp(artifact, func(k *provenancetest.Token) { k.Status = 2 }))
	f.Add(a.Stamp(artifact, func(k *provenancetest.Token) {
		k.Accuracy, k.Nonce = []byte{0x30, 10, 2, 1, 1, 0x80, 2, 1, 244, 0x81, 1, 100}, big.NewInt(7)
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := provenance.ParseTimestamp(data)
		var form *provenance.FormError
		if (err == nil) == (parsed == nil) || (err != nil && !errors.As(err, &form)) {
			t.Fatalf("parsed %v: %v", parsed, err)
		}
		if err == nil && parsed.Covers(artifact) && parsed.Covers(otherArtifact) {
			t.Error("a timestamp of two messages")
		}
	})
}
