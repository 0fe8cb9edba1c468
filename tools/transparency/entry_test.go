package transparency_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// releaseSigner signs releases.
type releaseSigner struct {
	private *ecdsa.PrivateKey
	key     provenance.Key
}

func newReleaseSigner(t testing.TB) releaseSigner {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	key, err := provenance.NewKey(&private.PublicKey)
	check(t, err)
	return releaseSigner{private, key}
}

func (s releaseSigner) Key() provenance.Key { return s.key }

func (s releaseSigner) Sign(_ context.Context, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, s.private, digest[:])
}

const predicateType = "https://example.com/release"

func statement(t testing.TB, release provenance.Digest) provenance.Statement {
	t.Helper()
	s, err := provenance.NewStatement([]provenance.Subject{{Name: "release.json", Digest: release.Set()}}, predicateType, struct{}{})
	check(t, err)
	return s
}

func bundle(t testing.TB, s releaseSigner, release provenance.Digest) provenance.Bundle {
	t.Helper()
	b, err := provenance.SignStatement(t.Context(), s, statement(t, release))
	check(t, err)
	return b
}

// withCertificate is the bundle of a key that has a certificate.
func withCertificate(t testing.TB, s releaseSigner, b provenance.Bundle) provenance.Bundle {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{}, &x509.Certificate{}, &s.private.PublicKey, s.private)
	check(t, err)
	b.Hint = ""
	b.Certificate, err = x509.ParseCertificate(der)
	check(t, err)
	return b
}

func TestEntry(t *testing.T) {
	release := provenance.DigestOf([]byte("release"))
	builder, rebuilder := newReleaseSigner(t), newReleaseSigner(t)
	one, two := bundle(t, builder, release), bundle(t, rebuilder, release)
	e, err := transparency.NewEntry("boardroom", "1.2.3", release, one, two)
	check(t, err)
	again, err := transparency.NewEntry("boardroom", "1.2.3", release, two, one)
	check(t, err)
	if !bytes.Equal(e.Encode(), again.Encode()) {
		t.Error("the entry depends on the order of the bundles")
	}
	if e.Statement != provenance.DigestOf(one.Envelope.Payload) || len(e.Signatures) != 2 {
		t.Errorf("the entry is %+v", e)
	}
	certified, err := transparency.NewEntry("boardroom", "1.2.3", release, withCertificate(t, builder, one), two)
	check(t, err)
	if !bytes.Equal(e.Encode(), certified.Encode()) {
		t.Error("the key of a certificate is another key")
	}
	parsed, err := transparency.ParseEntry(e.Encode())
	check(t, err)
	if !bytes.Equal(parsed.Encode(), e.Encode()) {
		t.Errorf("read as %s, want %s", parsed.Encode(), e.Encode())
	}

	positions, err := parsed.MatchBundles("boardroom", "1.2.3", release, bundle(t, newReleaseSigner(t), release), two, one)
	if err != nil || len(positions) != 2 || !slices.Contains(positions, 1) || !slices.Contains(positions, 2) {
		t.Errorf("matches the bundles %v: %v", positions, err)
	}
}

// The entry binds a release, its signatures and their keys (CVE-2022-36056, CVE-2026-22703).
func TestEntryOfAnother(t *testing.T) {
	release, other := provenance.DigestOf([]byte("release")), provenance.DigestOf([]byte("other"))
	s, stranger := newReleaseSigner(t), newReleaseSigner(t)
	mine := bundle(t, s, release)
	e, err := transparency.NewEntry("boardroom", "1.2.3", release, mine)
	check(t, err)
	renamed := mine
	renamed.Hint = stranger.key.Hint()
	tests := []struct {
		name             string
		release, version string
		digest           provenance.Digest
		bundles          []provenance.Bundle
	}{
		{"another name", "boardrooms", "1.2.3", release, []provenance.Bundle{mine}},
		{"another version", "boardroom", "1.2.4", release, []provenance.Bundle{mine}},
		{"another release", "boardroom", "1.2.3", other, []provenance.Bundle{mine}},
		{"another statement", "boardroom", "1.2.3", release, []provenance.Bundle{bundle(t, s, other)}},
		{"no bundle", "boardroom", "1.2.3", release, nil},
		{"another signer", "boardroom", "1.2.3", release, []provenance.Bundle{bundle(t, stranger, release)}},
		{"another signature of the same key", "boardroom", "1.2.3", release, []provenance.Bundle{bundle(t, s, release)}},
		{"the same signature, under another key", "boardroom", "1.2.3", release, []provenance.Bundle{renamed}},
		{"a bundle without a key", "boardroom", "1.2.3", release, []provenance.Bundle{{Envelope: mine.Envelope}}},
		{"a bundle of a blob", "boardroom", "1.2.3", release, []provenance.Bundle{{Hint: mine.Hint, Blob: new(provenance.BlobSignature)}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			positions, err := e.MatchBundles(tt.release, tt.version, tt.digest, tt.bundles...)
			refused(t, err, transparency.CodeEntry)
			if positions != nil {
				t.Errorf("and names the bundles %v", positions)
			}
		})
	}
	_, err = transparency.Entry{Format: 1, Name: "boardroom", Version: "1.2.3", Release: release, Statement: e.Statement}.MatchBundles("boardroom", "1.2.3", release, mine)
	refused(t, err, transparency.CodeEntry)
}

func TestNewEntryRefuses(t *testing.T) {
	release := provenance.DigestOf([]byte("release"))
	s := newReleaseSigner(t)
	mine := bundle(t, s, release)
	blob, err := provenance.SignBlob(t.Context(), s, []byte("blob"))
	check(t, err)
	tests := []struct {
		name, release, version string
		digest                 provenance.Digest
		bundles                []provenance.Bundle
	}{
		{"no bundle", "boardroom", "1.2.3", release, nil},
		{"one key twice", "boardroom", "1.2.3", release, []provenance.Bundle{mine, bundle(t, s, release)}},
		{"two statements", "boardroom", "1.2.3", release, []provenance.Bundle{mine, bundle(t, newReleaseSigner(t), provenance.DigestOf(nil))}},
		{"a blob", "boardroom", "1.2.3", release, []provenance.Bundle{blob}},
		{"a hint that is no key", "boardroom", "1.2.3", release, []provenance.Bundle{{Hint: "my key", Envelope: mine.Envelope}}},
		{"no name", "", "1.2.3", release, []provenance.Bundle{mine}},
		{"a long name", strings.Repeat("n", 257), "1.2.3", release, []provenance.Bundle{mine}},
		{"a name with a line end", "board\nroom", "1.2.3", release, []provenance.Bundle{mine}},
		{"a version with an escape", "boardroom", "1.2.3\x1b[2J", release, []provenance.Bundle{mine}},
		{"no release", "boardroom", "1.2.3", provenance.Digest{}, []provenance.Bundle{mine}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := transparency.NewEntry(tt.release, tt.version, tt.digest, tt.bundles...)
			refused(t, err, transparency.CodeEntry)
		})
	}
}

const exampleEntry = `{"format":1,"name":"boardroom","version":"1.2.3",` +
	`"release":"sha256:0101010101010101010101010101010101010101010101010101010101010101",` +
	`"statement":"sha256:0202020202020202020202020202020202020202020202020202020202020202",` +
	`"signatures":[{"key":"0303030303030303030303030303030303030303030303030303030303030303","signature":"BAQ="},` +
	`{"key":"0404040404040404040404040404040404040404040404040404040404040404","signature":"BQU="}]}`

func TestParseEntryRefuses(t *testing.T) {
	if e, err := transparency.ParseEntry([]byte(exampleEntry)); err != nil || string(e.Encode()) != exampleEntry {
		t.Fatalf("the example is %s: %v", e.Encode(), err)
	}
	_, signatures, _ := strings.Cut(exampleEntry, `,"signatures"`)
	for _, tt := range []struct{ name, old, new string }{
		{"another format", `"format":1`, `"format":2`},
		{"a member more", `"name"`, `"extra":1,"name"`},
		{"a member twice", `"version":"1.2.3"`, `"version":"1.2.2","version":"1.2.3"`},
		{"a member in another case", `"name"`, `"Name"`},
		{"another order", `"format":1,"name":"boardroom"`, `"name":"boardroom","format":1`},
		{"a space", `,"name"`, `, "name"`},
		{"an escape", `"boardroom"`, `"\u0062oardroom"`},
		{"no name", `"name":"boardroom",`, ``},
		{"a digest in upper case", `sha256:01`, `SHA256:01`},
		{"a digest of zeroes", strings.Repeat("01", 32), strings.Repeat("00", 32)},
		{"a short key", `"key":"03`, `"key":"`},
		{"a key in upper case", strings.Repeat("03", 32), strings.Repeat("0C", 32)},
		{"keys in another order", strings.Repeat("03", 32), strings.Repeat("05", 32)},
		{"a key twice", strings.Repeat("03", 32), strings.Repeat("04", 32)},
		{"base64 that is not canonical", `BAQ=`, `BAR=`},
		{"no signature", `"signature":"BAQ="`, `"signature":""`},
		{"something behind it", `]}`, `]} `},
		{"no signatures", `,"signatures"` + signatures, `}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			altered := strings.Replace(exampleEntry, tt.old, tt.new, 1)
			if altered == exampleEntry {
				t.Fatal("nothing was altered")
			}
			_, err := transparency.ParseEntry([]byte(altered))
			refused(t, err, transparency.CodeEntry)
		})
	}
	_, err := transparency.ParseEntry(make([]byte, transparency.MaxEntry+1))
	refused(t, err, transparency.CodeEntry)
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(exampleEntry))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := transparency.ParseEntry(data)
		if err != nil {
			var refusal *transparency.Refusal
			if !errors.As(err, &refusal) || refusal.Code != transparency.CodeEntry {
				t.Fatalf("%q: error is %v, want a refusal", data, err)
			}
			return
		}
		if !bytes.Equal(e.Encode(), data) {
			t.Fatalf("%q was read and is written as %q", data, e.Encode())
		}
	})
}
