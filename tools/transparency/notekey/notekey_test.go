package notekey_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/notekey"
)

var password = []byte("correct horse")

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestGenerateAndOpen(t *testing.T) {
	for _, kind := range []notekey.Kind{notekey.Log, notekey.Witness} {
		t.Run(kind.String(), func(t *testing.T) {
			made, file, err := notekey.Generate(kind, "example.com/log", password)
			check(t, err)
			opened, err := notekey.Open(kind, file, password)
			check(t, err)
			if opened.Key() != made.Key() || opened.Name() != "example.com/log" {
				t.Errorf("opened is %s, want %s", opened.Key(), made.Key())
			}
			name, key, err := notekey.ParsePublic(notekey.PublicFile(made))
			if err != nil || name != "example.com/log" || key != made.Key() {
				t.Errorf("the public key is %s of %s: %v", key, name, err)
			}
			if _, err := notekey.Open(kind, file, []byte("wrong")); !errors.Is(err, keyfile.ErrPassword) {
				t.Errorf("another password gives %v", err)
			}
			if _, err := notekey.Open(notekey.Log+notekey.Witness-kind, file, password); err == nil || !strings.Contains(err.Error(), "got another") {
				t.Errorf("as a key of the other kind: %v", err)
			}
		})
	}
	if _, _, err := notekey.Generate(notekey.Log, "example.com/log", nil); err == nil {
		t.Error("a key has no password")
	}
	if _, _, err := notekey.Generate(notekey.Log, "a log", password); err == nil {
		t.Error("a key has a name with a space")
	}
}

// sealed is a file with any secret inside.
func sealed(t *testing.T, secret string) []byte {
	t.Helper()
	// The weakest strength that is read is the fastest.
	data, err := encrypted.EncryptWithCustomKDFParameters([]byte(secret), password, encrypted.Legacy)
	check(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED BOARDROOM NOTE KEY", Bytes: data})
}

func TestOpenRefuses(t *testing.T) {
	// The secret key of package note's documentation.
	const neumann = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
	opened, err := notekey.Open(notekey.Log, sealed(t, neumann), password)
	check(t, err)
	if want := "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"; opened.Key() != want {
		t.Errorf("opened is %s, want %s", opened.Key(), want)
	}
	good := sealed(t, neumann)
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	tests := map[string][]byte{
		"nothing":                   nil,
		"no PEM":                    []byte("hello"),
		"another type":              bytes.ReplaceAll(good, []byte("NOTE KEY"), []byte("OTHER KEY")),
		"something behind it":       append(bytes.Clone(good), "more"...),
		"too long":                  append(bytes.Clone(good), make([]byte, notekey.MaxFile)...),
		"altered":                   flipped,
		"nothing inside":            sealed(t, ""),
		"no key inside":             sealed(t, "PRIVATE+KEY+PeterNeumann"),
		"a key that is no base64":   sealed(t, "PRIVATE+KEY+PeterNeumann+c74f20a3+!"),
		"a short key":               sealed(t, "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEK"),
		"another name":              sealed(t, strings.Replace(neumann, "Peter", "John", 1)),
		"another key ID":            sealed(t, strings.Replace(neumann, "c74f20a3", "c74f20a4", 1)),
		"a name that can not stand": sealed(t, strings.Replace(neumann, "Peter", "Peter ", 1)),
	}
	for name, file := range tests {
		t.Run(name, func(t *testing.T) {
			signer, err := notekey.Open(notekey.Log, file, password)
			if err == nil || signer != nil {
				t.Fatal("it is opened")
			}
			if text := err.Error(); strings.Contains(text, "\n") || strings.Contains(text, "AYEK") || strings.Contains(text, string(password)) {
				t.Errorf("error is %q", text)
			}
		})
	}
}

func TestParsePublicRefuses(t *testing.T) {
	for _, text := range []string{"", "\n", "name", "name+id+key\nname+id+key\n", "name+id key\n", strings.Repeat("a", 1024) + "+b"} {
		if _, key, err := notekey.ParsePublic([]byte(text)); err == nil {
			t.Errorf("%q is read as %s", text, key)
		}
	}
	// Whether it is a key shows where it is used.
	_, key, err := notekey.ParsePublic([]byte("example.com/log+00000000+AAAA\n"))
	check(t, err)
	var policy *transparency.PolicyError
	if err := (transparency.Policy{Origin: "example.com/log", Key: key}).Check(); !errors.As(err, &policy) {
		t.Errorf("error is %v, want a PolicyError", err)
	}
}
