package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"testing"
	"time"
)

var verificationTime = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

const smallRelease = `{
  "schema": "https://boardroom-tee.github.io/release/v1",
  "name": "board",
  "version": "1.0.0",
  "created": "2026-11-20T12:00:00Z",
  "source": {
    "repository": "https://example.org/board",
    "revision": "1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a",
    "tree": "2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b"
  },
  "images": [
    {
      "name": "hub",
      "repository": "registry.example/board/hub",
      "digest": "sha256:0101010101010101010101010101010101010101010101010101010101010101",
      "layout": "images/hub",
      "provenance": "statements/hub.provenance.json",
      "sbom": "statements/hub.sbom.json"
    }
  ],
  "guests": [],
  "applications": [],
  "files": [
    {
      "path": "statements/hub.provenance.json",
      "digest": "sha256:0101010101010101010101010101010101010101010101010101010101010101",
      "size": 1
    },
    {
      "path": "statements/hub.sbom.json",
      "digest": "sha256:0101010101010101010101010101010101010101010101010101010101010101",
      "size": 1
    }
  ]
}
`

// FuzzParseRelease: what is read is what Encode writes, and has a statement, products and materials.
func FuzzParseRelease(f *testing.F) {
	f.Add([]byte(smallRelease))
	f.Add([]byte(`{"schema":"` + Schema + `"}`))
	if _, err := ParseRelease([]byte(smallRelease)); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRelease(data)
		if err != nil {
			var form *FieldError
			if !errors.As(err, &form) || r != nil {
				t.Fatalf("got %v and %v", r, err)
			}
			return
		}
		again, err := r.Encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("encoded: %s, %v", again, err)
		}
		if _, err := r.Statement(); err != nil {
			t.Error(err)
		}
		if _, err := r.Products(); err != nil {
			t.Error(err)
		}
	})
}

// FuzzParsePolicy: a policy that is read has thresholds that can be met, and that mean something.
func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(`{"schema":"` + PolicySchema + `","name":"board","source":"s","builders":{"threshold":1,"identities":[{"name":"a","keys":[{"file":"a.pub"}]}]},"threshold":1,` +
		`"layout":{"file":"l","owners":[{"file":"o.pub"}],"threshold":1},"development_guests":false,"revoked_releases":[],"revoked_keys":[]}`))
	keys := map[string][]byte{
		"a.pub": []byte("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt\n6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n"),
		"o.pub": []byte("-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfPJ7GI0DT36KUjgDBLUawy8CJ3ij\nmiNK86pC5K5LTCpHB/gVPlIL4hZ2yCrQ9c/WJtGZtZG7sFjmOZ+3ONe3gA==\n-----END PUBLIC KEY-----\n"),
		"l":     []byte("{}"),
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy(data, "policy.json", func(name string) ([]byte, error) {
			if content, ok := keys[name]; ok {
				return content, nil
			}
			return nil, fs.ErrNotExist
		})
		if err != nil {
			var malformed *PolicyError
			if p != nil || !errors.As(err, &malformed) && !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("got %v and %v", p, err)
			}
			return
		}
		if p.Builders.Threshold < 1 || p.Threshold < p.Builders.Threshold+p.Rebuilders.Threshold || p.Threshold > len(p.identities()) || len(p.Logs) < p.RequiredLogs {
			t.Fatalf("thresholds of %+v", p)
		}
		if p.Layout != nil && (p.Layout.Owners.Threshold < 1 || p.Layout.Owners.Threshold > len(p.Layout.Owners.Keys)) {
			t.Fatalf("owners of %+v", p)
		}
	})
}

// FuzzParseMemory: what is read is what is written.
func FuzzParseMemory(f *testing.F) {
	f.Add([]byte(`{"schema":"` + MemorySchema + `","releases":[{"name":"board","source":"s","roots":["r"],"version":"1.0.0",` +
		`"digest":"sha256:0101010101010101010101010101010101010101010101010101010101010101","at":"2026-11-23T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRemembered(data)
		if err != nil {
			return
		}
		written, err := r.encode()
		if err != nil || !json.Valid(written) {
			t.Fatalf("encoded: %s, %v", written, err)
		}
		if again, err := parseRemembered(written); err != nil || len(again.Releases) != len(r.Releases) {
			t.Fatalf("read again: %v, %v", again, err)
		}
	})
}
