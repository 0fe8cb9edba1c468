package deb_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
)

func vector(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func keyring(t testing.TB, data []byte) openpgp.EntityList {
	t.Helper()
	keys, err := deb.ReadKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func date(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}

// What Debian signed, with the keys that it published.
func TestOpenRelease(t *testing.T) {
	keys := keyring(t, vector(t, "keyring.gpg"))
	now := date("2026-11-23T00:00:00Z")
	for _, tt := range []struct {
		file, codename, date, until, sha256, path string
		size                                      int64
		signers                                   []string
	}{
		{
			"trixie.InRelease", "trixie", "2026-09-12T07:55:41Z", "0001-01-01T00:00:00Z",
			"0584fba32e13e0ab8285fb16c27adea1ec03a73669c18702821094fd6ca86675", "main/binary-amd64/Packages.xz", 9678380,
			// The third signature is by the key of bookworm, which is not in the keyring.
			[]string{"04B54C3CDCA79751B16BC6B5225629DF75B188BD", "41587F7DB8C774BCCF131416762F67A0B2C39DE4"},
		},
		{
			"trixie-security.InRelease", "trixie-security", "2026-11-21T00:53:03Z", "2026-11-28T00:53:03Z",
			"3d31c58caa2397eda1af459a0db092bb3b8f5abb31c67e50e1dd491958c2ddb9", "main/binary-amd64/Packages.xz", 0,
			[]string{"5E04A1E3223A19A20706E20F9904613D4CCE68C6"},
		},
	} {
		t.Run(tt.codename, func(t *testing.T) {
			r, err := deb.OpenRelease(vector(t, tt.file), keys, now)
			if err != nil {
				t.Fatal(err)
			}
			if r.Codename != tt.codename || !r.Date.Equal(date(tt.date)) || !r.ValidUntil.Equal(date(tt.until)) || !r.ByHash || r.SHA256.String() != tt.sha256 {
				t.Errorf("got %s of %s until %s, by hash %t, sha256 %s", r.Codename, r.Date, r.ValidUntil, r.ByHash, r.SHA256)
			}
			if !slices.Equal(r.SignedBy, tt.signers) {
				t.Errorf("signed by %v, want %v", r.SignedBy, tt.signers)
			}
			index, err := r.Packages("main", "amd64")
			if err != nil {
				t.Fatal(err)
			}
			if index.Path != tt.path || tt.size != 0 && index.Size != tt.size {
				t.Errorf("got %+v", index)
			}
			if err := r.Check(tt.codename, now, false); err != nil {
				t.Error(err)
			}
			for _, missing := range [][2]string{{"main", "m68k"}, {"nothing", "amd64"}} {
				if _, err := r.Packages(missing[0], missing[1]); !errors.Is(err, deb.ErrSuite) {
					t.Errorf("%v: got %v", missing, err)
				}
			}
		})
	}
}

func TestOpenReleaseRefuses(t *testing.T) {
	signed := vector(t, "trixie.InRelease")
	keys := keyring(t, vector(t, "keyring.gpg"))
	now := date("2026-11-23T00:00:00Z")
	// The first signature is by a key that is not in the keyring.
	alter := func(old, replacement string) []byte {
		changed := bytes.Replace(signed, []byte(old), []byte(replacement), 1)
		if bytes.Equal(changed, signed) {
			t.Fatalf("%q is not in the document", old)
		}
		return changed
	}
	other := debtest.NewKey()
	text := debtest.Release("trixie", debtest.Epoch, nil)
	ours := keyring(t, debtest.Keyring(debtest.Key()))
	for _, tt := range []struct {
		name string
		data []byte
		keys openpgp.EntityList
		now  time.Time
		kind error
		want string
	}{
		{"digest changed", alter("SHA256:\n ", "SHA256:\n 0"), keys, now, deb.ErrSignature, "signature 2"},
		{"codename changed", alter("Codename: trixie", "Codename: forky"), keys, now, deb.ErrSignature, "signature 2"},
		{"line added", alter("Codename: trixie\n", "Codename: trixie\nX: y\n"), keys, now, deb.ErrSignature, "signature 2"},
		{"text before", append([]byte("Codename: sid\n"), signed...), keys, now, deb.ErrSignature, "clear-signed"},
		{"empty line before", append([]byte("\n"), signed...), keys, now, deb.ErrSignature, "clear-signed"},
		{"text after", append(bytes.Clone(signed), "Codename: sid\n"...), keys, now, deb.ErrSignature, "after the signature"},
		{"signed twice over", append(bytes.Clone(signed), signed...), keys, now, deb.ErrSignature, "after the signature"},
		{"header", alter("Hash: SHA256", "Codename: sid"), keys, now, deb.ErrSignature, ""},
		{"not signed", []byte(text), keys, now, deb.ErrSignature, "clear-signed"},
		{"signature cut", signed[:len(signed)-200], keys, now, deb.ErrSignature, ""},
		{"signature damaged", alter("b4RLW1Z7KWu1OfiE", "b4RLW1Z7KWu1OfiF"), keys, now, deb.ErrSignature, ""},
		{"keys of others", signed, ours, now, deb.ErrSignature, "got none"},
		{"key expired", signed, keys, date("2040-01-01T00:00:00Z"), deb.ErrSignature, "got none"},
		{"unknown key", debtest.Sign(text, debtest.Epoch, other), ours, now, deb.ErrSignature, "got none"},
		{"nothing", nil, keys, now, deb.ErrSignature, "clear-signed"},
		{"not a release", debtest.Sign("hello\n", debtest.Epoch, debtest.Key()), ours, now, deb.ErrIndex, "Name: value"},
		{"two paragraphs", debtest.Sign(text+"\nCodename: sid\n", debtest.Epoch, debtest.Key()), ours, now, deb.ErrIndex, "second one"},
		{"no codename", debtest.Sign(strings.Replace(text, "Codename", "Kodename", 1), debtest.Epoch, debtest.Key()), ours, now, deb.ErrIndex, "Codename: expected"},
		{"codename with a slash", debtest.Sign(strings.Replace(text, "trixie", "../trixie", 1), debtest.Epoch, debtest.Key()), ours, now, deb.ErrIndex, "Codename: expected"},
		{"other zone", debtest.Sign(strings.Replace(text, "UTC", "EST", 1), debtest.Epoch, debtest.Key()), ours, now, deb.ErrIndex, "Date: expected"},
		{"bad Valid-Until", debtest.Sign("Valid-Until: tomorrow\n"+text, debtest.Epoch, debtest.Key()), ours, now, deb.ErrIndex, "Valid-Until: expected"},
		{"index twice", debtest.Sign(text+text[strings.LastIndex(text, " e3b0"):], debtest.Epoch, debtest.Key()), ours, now, deb.ErrIndex, "stands twice"},
		{"index path up", debtest.Sign(strings.Replace(text, "main/binary", "../main/binary", 1), debtest.Epoch, debtest.Key()), ours, now, deb.ErrIndex, "without . and .."},
		{"too large", make([]byte, deb.MaxRelease+1), keys, now, deb.ErrIndex, "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := deb.OpenRelease(tt.data, tt.keys, tt.now)
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %v: %q", err, tt.kind, tt.want)
			}
		})
	}
}

// Space at the end of a line is not signed, and is not read.
func TestReleaseIsWhatIsSigned(t *testing.T) {
	data := debtest.Sign(debtest.Release("trixie", debtest.Epoch, nil), debtest.Epoch, debtest.Key())
	spaced := bytes.Replace(data, []byte("Architectures: all amd64\n"), []byte("Architectures: all amd64 \t\n"), 1)
	if bytes.Equal(data, spaced) {
		t.Fatal("nothing changed")
	}
	r, err := deb.OpenRelease(spaced, keyring(t, debtest.Keyring(debtest.Key())), debtest.Epoch.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if r.Codename != "trixie" {
		t.Errorf("got %q", r.Codename)
	}
}

// One good signature is enough beside one of an unknown key; it is not beside a wrong one of a known key.
func TestSeveralSignatures(t *testing.T) {
	now := debtest.Epoch.Add(time.Hour)
	first, second, unknown := debtest.Key(), debtest.NewKey(), debtest.NewKey()
	keys := append(keyring(t, debtest.Keyring(first)), keyring(t, debtest.Keyring(second))...)
	text := debtest.Release("trixie", debtest.Epoch, nil)
	r, err := deb.OpenRelease(debtest.Sign(text, debtest.Epoch, first, unknown), keys, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.SignedBy) != 1 {
		t.Errorf("signed by %v, want one", r.SignedBy)
	}
	if r, err = deb.OpenRelease(debtest.Sign(text, debtest.Epoch, first, second), keys, now); err != nil || len(r.SignedBy) != 2 || !slices.IsSorted(r.SignedBy) {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestCheckRelease(t *testing.T) {
	keys := keyring(t, debtest.Keyring(debtest.Key()))
	open := func(fields ...string) *deb.Release {
		r, err := deb.OpenRelease(debtest.Sign(debtest.Release("trixie", debtest.Epoch, nil, fields...), debtest.Epoch, debtest.Key()), keys, debtest.Epoch.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	week := open("Valid-Until: Sat, 08 Nov 2025 00:00:00 UTC")
	for _, tt := range []struct {
		name    string
		release *deb.Release
		suite   string
		now     time.Time
		expired bool
		want    error
	}{
		{"in time", week, "trixie", date("2025-11-07T23:59:59Z"), false, nil},
		{"a second late", week, "trixie", date("2025-11-08T00:00:01Z"), false, deb.ErrExpired},
		{"late, and accepted", week, "trixie", date("2025-12-08T00:00:00Z"), true, nil},
		{"no end", open(), "trixie", date("2035-11-08T00:00:00Z"), false, nil},
		{"other suite", week, "bookworm", date("2025-11-02T00:00:00Z"), true, deb.ErrSuite},
		{"by its moving name", open("Suite: stable"), "stable", date("2025-11-02T00:00:00Z"), true, deb.ErrSuite},
		{"clocks differ a little", week, "trixie", date("2025-10-31T23:59:55Z"), false, nil},
		{"from the future", week, "trixie", date("2025-10-31T23:00:00Z"), true, deb.ErrExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.release.Check(tt.suite, tt.now, tt.expired); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestReadKeyring(t *testing.T) {
	for name, data := range map[string][]byte{"nothing": nil, "text": []byte("hello"), "too large": make([]byte, deb.MaxKeyring+1)} {
		if _, err := deb.ReadKeyring(data); err == nil {
			t.Errorf("%s: got a keyring", name)
		}
	}
}

func TestOpenIndex(t *testing.T) {
	data := debtest.Gzip([]byte("hello"))
	digest := func(data []byte) deb.Index {
		text := debtest.Release("trixie", debtest.Epoch, data)
		r, err := deb.OpenRelease(debtest.Sign(text, debtest.Epoch, debtest.Key()), keyring(t, debtest.Keyring(debtest.Key())), debtest.Epoch.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		index, err := r.Packages("main", "amd64")
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	if text, err := digest(data).Open(data); err != nil || text != "hello" {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := digest(data).Open(append(bytes.Clone(data), 0)); !errors.Is(err, deb.ErrContent) {
		t.Errorf("longer: got %v", err)
	}
	if _, err := digest(data).Open(append(bytes.Clone(data[:len(data)-1]), 1)); !errors.Is(err, deb.ErrContent) {
		t.Errorf("other: got %v", err)
	}
	if _, err := digest([]byte("plain")).Open([]byte("plain")); !errors.Is(err, deb.ErrIndex) {
		t.Errorf("not compressed: got %v", err)
	}
	bomb := debtest.Gzip(make([]byte, deb.MaxIndex+1))
	if _, err := digest(bomb).Open(bomb); !errors.Is(err, deb.ErrIndex) {
		t.Errorf("bomb: got %v", err)
	}
}

func FuzzRelease(f *testing.F) {
	keys := keyring(f, append(vector(f, "keyring.gpg"), debtest.Keyring(debtest.Key())...))
	f.Add(vector(f, "trixie-security.InRelease"))
	f.Add(debtest.Sign(debtest.Release("trixie", debtest.Epoch, nil), debtest.Epoch, debtest.Key()))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := deb.OpenRelease(data, keys, date("2026-11-23T00:00:00Z"))
		if err != nil {
			if !errors.Is(err, deb.ErrSignature) && !errors.Is(err, deb.ErrIndex) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		if len(r.SignedBy) == 0 {
			t.Error("accepted without a signer")
		}
	})
}

// FuzzReleaseText reads what an archive could sign.
func FuzzReleaseText(f *testing.F) {
	keys := keyring(f, debtest.Keyring(debtest.Key()))
	f.Add(debtest.Release("trixie", debtest.Epoch, nil))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := deb.OpenRelease(debtest.Sign(text, debtest.Epoch, debtest.Key()), keys, debtest.Epoch.Add(time.Hour))
		if err == nil {
			_ = r.Check("trixie", debtest.Epoch, false)
			_, _ = r.Packages("main", "amd64")
		}
	})
}
