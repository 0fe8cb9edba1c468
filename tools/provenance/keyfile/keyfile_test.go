package keyfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
)

const password = "correct horse"

func generate(t testing.TB) *keyfile.Signer {
	t.Helper()
	signer, err := keyfile.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// sealed is a file as older programs write it, which is opened faster.
func sealed(t testing.TB) []byte {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	data, err := encrypted.EncryptWithCustomKDFParameters(der, []byte(password), encrypted.Legacy)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: data})
}

func TestSealAndOpen(t *testing.T) {
	signer := generate(t)
	sealed, err := signer.Seal([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := keyfile.Open(sealed, []byte(password))
	if err != nil || opened.Key().Fingerprint() != signer.Key().Fingerprint() {
		t.Fatalf("opened %v: %v", opened, err)
	}
	message := []byte("message")
	signature, err := opened.Sign(t.Context(), message)
	if err != nil || !signer.Key().Verify(message, signature) || signer.Key().Verify([]byte("another"), signature) {
		t.Errorf("the signature does not do: %v", err)
	}
	block, _ := pem.Decode(sealed)
	if !strings.Contains(string(block.Bytes), `"params":{"N":131072,"r":8,"p":1}`) {
		t.Errorf("sealed as %s", block.Bytes)
	}
	if _, err := signer.Seal(nil); err == nil {
		t.Error("sealed with an empty password")
	}
	older := []byte(strings.ReplaceAll(string(sealed), "SIGSTORE", "COSIGN"))
	if !keyfile.Sealed(sealed) || !keyfile.Sealed(older) || keyfile.Sealed(signer.Key().PEM()) || keyfile.Sealed(nil) {
		t.Error("Sealed does not tell private from public")
	}
}

// The same key and password that cosign made them with; provenance/testdata/cosign says how.
func TestOpensCosignsKey(t *testing.T) {
	dir := filepath.Join("..", "testdata", "cosign")
	private, err := os.ReadFile(filepath.Join(dir, "cosign.key"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(filepath.Join(dir, "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	// Older versions gave it another type.
	signer, err := keyfile.Open([]byte(strings.ReplaceAll(string(private), "SIGSTORE", "COSIGN")), []byte("secret"))
	if err != nil || string(signer.Key().PEM()) != string(public) {
		t.Error(err)
	}
}

// reseal changes the JSON in the PEM.
func reseal(t *testing.T, sealed []byte, change func(map[string]any)) []byte {
	t.Helper()
	block, _ := pem.Decode(sealed)
	var c map[string]any
	if err := json.Unmarshal(block.Bytes, &c); err != nil {
		t.Fatal(err)
	}
	change(c)
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	block.Bytes = data
	return pem.EncodeToMemory(block)
}

func TestOpenRefuses(t *testing.T) {
	sealed := sealed(t)
	of := func(name string) func(map[string]any) map[string]any {
		return func(c map[string]any) map[string]any { return c[name].(map[string]any) }
	}
	kdf, cipher := of("kdf"), of("cipher")
	params := func(c map[string]any) map[string]any { return kdf(c)["params"].(map[string]any) }
	for want, change := range map[string]func(map[string]any){
		`N 32768, 65536 or 131072, r 8 and p 1, got 1073741824`: func(c map[string]any) { params(c)["N"] = 1 << 30 },
		`N 32768, 65536 or 131072, r 8 and p 1, got 1024`:       func(c map[string]any) { params(c)["N"] = 1024 },
		`r 8 and p 1, got 32768, 9`:                             func(c map[string]any) { params(c)["r"] = 9 },
		`8 and 2`:                                               func(c map[string]any) { params(c)["p"] = 2 },
		`expected scrypt and nacl/secretbox, got "none"`:        func(c map[string]any) { kdf(c)["name"] = "none" },
		`and "none"`: func(c map[string]any) { cipher(c)["name"] = "none" },
		`kdf.salt: expected 1 to 64 bytes, got 0`:        func(c map[string]any) { kdf(c)["salt"] = "" },
		`kdf.salt: expected 1 to 64 bytes, got 66`:       func(c map[string]any) { kdf(c)["salt"] = strings.Repeat("AAAA", 22) },
		`cipher.nonce: expected 24 bytes, got 3`:         func(c map[string]any) { cipher(c)["nonce"] = "AAAA" },
		`ciphertext: expected 1 to 8192 bytes, got 0`:    func(c map[string]any) { c["ciphertext"] = nil },
		`ciphertext: expected 1 to 8192 bytes, got 8193`: func(c map[string]any) { c["ciphertext"] = strings.Repeat("AAAA", 2731) },
		`unknown member "plaintext"`:                     func(c map[string]any) { c["plaintext"] = "" },
	} {
		if _, err := keyfile.Open(reseal(t, sealed, change), []byte(password)); err == nil || errors.Is(err, keyfile.ErrPassword) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// Only the password or the bytes can be wrong here, and nobody can tell which.
	for name, change := range map[string]func(map[string]any){
		"nonce":      func(c map[string]any) { cipher(c)["nonce"] = strings.Repeat("AAAA", 8) },
		"ciphertext": func(c map[string]any) { c["ciphertext"] = "AAAA" + c["ciphertext"].(string)[4:] },
		"salt":       func(c map[string]any) { kdf(c)["salt"] = "AAAA" },
	} {
		if _, err := keyfile.Open(reseal(t, sealed, change), []byte(password)); !errors.Is(err, keyfile.ErrPassword) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := keyfile.Open(sealed, []byte(password+" ")); !errors.Is(err, keyfile.ErrPassword) {
		t.Errorf("another password: %v", err)
	}
	text := string(sealed)
	for name, file := range map[string]string{
		"empty":         "",
		"text before":   "x\n" + text,
		"text behind":   text + "x",
		"headers":       strings.Replace(text, "KEY-----\n", "KEY-----\nA: b\n\n", 1),
		"not encrypted": strings.ReplaceAll(text, "ENCRYPTED SIGSTORE ", ""),
		"large":         text + strings.Repeat("\n", keyfile.MaxFile),
		"no JSON":       string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte("x")})),
	} {
		if _, err := keyfile.Open([]byte(file), []byte(password)); err == nil || errors.Is(err, keyfile.ErrPassword) || !strings.HasPrefix(err.Error(), "private key: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// However a signer is printed, it shows the fingerprint and nothing else.
func TestSignerIsNotPrinted(t *testing.T) {
	signer := generate(t)
	want := "signer " + signer.Key().Fingerprint().String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		if got := fmt.Sprintf(verb, signer); got != want {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "signer", signer)
	if !strings.Contains(log.String(), want) {
		t.Errorf("a log says %s", log.String())
	}
}

var _ provenance.Signer = (*keyfile.Signer)(nil)

func FuzzOpen(f *testing.F) {
	f.Add(sealed(f))
	f.Fuzz(func(t *testing.T, file []byte) {
		// The wrong password: whatever the file is, nothing opens.
		if signer, err := keyfile.Open(file, []byte("wrong")); err == nil {
			t.Errorf("%s was opened: %v", file, signer)
		}
	})
}

func TestPasswords(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := func(text string) func(string) (string, bool) {
		return func(name string) (string, bool) { return text, name == "COSIGN_PASSWORD" }
	}
	none := func(string) (string, bool) { return "", false }
	asked := 0
	type ask = func(string) ([]byte, error)
	answers := func(texts ...string) ask {
		asked = 0
		return func(prompt string) ([]byte, error) {
			if asked == 0 && !strings.Contains(prompt, "board.key") {
				return nil, fmt.Errorf("asked %q", prompt)
			}
			asked++
			return []byte(texts[asked-1]), nil
		}
	}
	tests := []struct {
		name      string
		passwords keyfile.Passwords
		set       bool
		want, err string
		asked     int
	}{
		{"from a file", keyfile.Passwords{File: file("a", "secret\n"), Lookup: env("other"), Ask: answers()}, true, "secret", "", 0},
		{"from a file with spaces and CRLF", keyfile.Passwords{File: file("b", " a b \r\n"), Lookup: none}, false, " a b ", "", 0},
		{"one line end only", keyfile.Passwords{File: file("c", "secret\n\n"), Lookup: none}, false, "secret\n", "", 0},
		{"from the environment", keyfile.Passwords{Lookup: env("secret"), Ask: answers()}, true, "secret", "", 0},
		{"asked once", keyfile.Passwords{Lookup: none, Ask: answers("secret")}, false, "secret", "", 1},
		{"asked twice", keyfile.Passwords{Lookup: none, Ask: answers("secret", "secret")}, true, "secret", "", 2},
		{"typed two", keyfile.Passwords{Lookup: none, Ask: answers("secret", "secrte")}, true, "", "expected the same twice, got two", 2},
		{"nowhere", keyfile.Passwords{Lookup: none}, false, "", "in COSIGN_PASSWORD or from a terminal, got none", 0},
		{"empty file", keyfile.Passwords{File: file("d", "\n"), Lookup: none}, false, "", "not empty", 0},
		{"empty environment", keyfile.Passwords{Lookup: env("")}, false, "", "not empty", 0},
		{"nothing typed", keyfile.Passwords{Lookup: none, Ask: answers("", "")}, true, "", "not empty", 2},
		{"long", keyfile.Passwords{File: file("e", strings.Repeat("x", 5000)), Lookup: none}, false, "", "expected at most 1024 bytes", 0},
		{"no file", keyfile.Passwords{File: filepath.Join(dir, "none"), Lookup: env("secret")}, false, "", "no such file", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked = 0
			got, err := tt.passwords.Get("board.key", tt.set)
			if tt.err == "" && (err != nil || string(got) != tt.want) || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || got != nil) || asked != tt.asked {
				t.Errorf("got %q, %v after %d questions; want %q, %q after %d", got, err, asked, tt.want, tt.err, tt.asked)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "xxx")) {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}
