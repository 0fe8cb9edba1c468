package collateral_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/collateral"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

func TestDirectory(t *testing.T) {
	c := directory(t, intel2026)
	files := collateral.Files(c)
	if len(files) != 7 {
		t.Errorf("%d files, want 7", len(files))
	}
	for name, data := range files {
		if !bytes.Equal(data, read(t, intel2026, name)) {
			t.Errorf("%s is not what the file has", name)
		}
	}
	// The trust root of a directory is nobody's.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", simulated))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "pck_crl.der")); err != nil {
		t.Fatal(err)
	}
	c, err := collateral.ReadDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	root := read(t, simulated, "root_ca.pem")
	for name, data := range collateral.Files(c) {
		if bytes.Equal(data, root) {
			t.Errorf("%s is the root certificate", name)
		}
	}
	if c.PCKCRL != nil || len(collateral.Files(c)) != 6 {
		t.Errorf("pck_crl.der is missing, and there are %d members with %d bytes of it", len(collateral.Files(c)), len(c.PCKCRL))
	}
}

// The text of chains and the form of lists are nobody's to sign, and editors and services write them in several ways.
func TestDirectoryForms(t *testing.T) {
	want := directory(t, intel2026)
	asPEM := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}) }
	for name, change := range map[string]func(chain, list []byte) ([]byte, []byte){
		"CRLF and PEM": func(chain, list []byte) ([]byte, []byte) {
			return bytes.ReplaceAll(chain, []byte("\n"), []byte("\r\n")), bytes.ReplaceAll(asPEM(list), []byte("\n"), []byte("\r\n"))
		},
		"blank lines and hex": func(chain, list []byte) ([]byte, []byte) {
			return slices.Concat([]byte("\n\r\n"), chain, []byte("\n\n")), []byte(strings.ToUpper(hex.EncodeToString(list)) + "\r\n")
		},
		"no line feed at the end": func(chain, list []byte) ([]byte, []byte) {
			return bytes.TrimSuffix(chain, []byte("\n")), bytes.TrimSuffix(asPEM(list), []byte("\n"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := want
			c.TCBInfoChain, c.PCKCRL = change(want.TCBInfoChain, want.PCKCRL)
			c.QEIdentityChain, c.RootCRL = change(want.QEIdentityChain, want.RootCRL)
			c.PCKCRLChain, _ = change(want.PCKCRLChain, nil)
			got := directoryOf(t, c)
			equal(t, got, want)
			if r := quote.NewVerifier(got, quote.IntelRoot()).Appraise(read(t, intel2026, "quote.bin"), quote.Policy{}, in2026); !r.Accepted {
				t.Errorf("refused: %v", r.Checks)
			}
		})
	}
	// What is signed, and what is no such form, stays as it is for package quote to refuse.
	for name, spoil := range map[string]func(*quote.Collateral){
		"TCB info":                func(c *quote.Collateral) { c.TCBInfo = append([]byte("\n"), c.TCBInfo...) },
		"QE identity":             func(c *quote.Collateral) { c.QEIdentity = append(bytes.Clone(c.QEIdentity), "\r\n"...) },
		"text before a chain":     func(c *quote.Collateral) { c.TCBInfoChain = append([]byte("subject=x\n"), c.TCBInfoChain...) },
		"a chain of blanks":       func(c *quote.Collateral) { c.PCKCRLChain = []byte(" \r\n") },
		"an empty list":           func(c *quote.Collateral) { c.RootCRL = []byte{} },
		"a list with more behind": func(c *quote.Collateral) { c.PCKCRL = append(bytes.Clone(c.PCKCRL), '\n') },
		"two lists in PEM":        func(c *quote.Collateral) { c.RootCRL = append(asPEM(c.RootCRL), asPEM(c.RootCRL)...) },
	} {
		c := want
		spoil(&c)
		got := collateral.Files(directoryOf(t, c))
		for file, data := range collateral.Files(c) {
			expected := data
			if strings.HasSuffix(file, "_chain.pem") && len(bytes.TrimSpace(data)) > 0 {
				expected = append(bytes.TrimSpace(data), '\n')
			}
			if !bytes.Equal(got[file], expected) {
				t.Errorf("%s: %s is %.60q…, want %.60q…", name, file, got[file], expected)
			}
		}
	}
}

func directoryOf(t testing.TB, c quote.Collateral) quote.Collateral {
	t.Helper()
	dir := t.TempDir()
	writeDirectory(t, dir, c)
	got, err := collateral.ReadDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func writeDirectory(t testing.TB, dir string, c quote.Collateral) {
	t.Helper()
	for name, data := range collateral.Files(c) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDirectoryFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(dir string) error
		want  string
	}{
		"too large": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "tcb_info.json"), make([]byte, collateral.MaxMember+1), 0o600)
		}, "tcb_info.json: expected at most 1048576 bytes"},
		"a folder": {func(dir string) error { return os.Mkdir(filepath.Join(dir, "pck_crl.der"), 0o700) }, "pck_crl.der: expected a regular file"},
		"a device": {func(dir string) error { return os.Symlink("/dev/zero", filepath.Join(dir, "qe_identity.json")) }, "escapes"},
		"a link that leads out": {func(dir string) error {
			return os.Symlink(filepath.Join("..", "elsewhere"), filepath.Join(dir, "root_ca_crl.der"))
		}, "escapes"},
		"no folder": {os.Remove, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "collateral")
			if err := errors.Join(os.Mkdir(dir, 0o700), tt.spoil(dir)); err != nil {
				t.Fatal(err)
			}
			_, err := collateral.ReadDirectory(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
			if _, is := errors.AsType[*collateral.SizeError](err); is != (name == "too large") {
				t.Errorf("error is %v: a SizeError %t", err, is)
			}
		})
	}
}

func TestBundle(t *testing.T) {
	want := directory(t, intel2026)
	data, err := collateral.MarshalBundle(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := collateral.ParseBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, want)
	again, err := collateral.MarshalBundle(got)
	if err != nil || !bytes.Equal(again, data) {
		t.Errorf("the same collateral makes another bundle, %v", err)
	}
	path := filepath.Join(t.TempDir(), "bundle.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err = open(t, path, collateral.Options{}).Get(t.Context(), collateral.Target{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, want)
}

func TestInspectNamesWhatIsMissing(t *testing.T) {
	for _, tt := range []struct{ old, want string }{
		{`{"tcbInfo":`, "tcb_info: tcbInfo: expected an object, and it is missing"},
		{`"issueDate":`, "tcb_info: tcbInfo.issueDate: expected a value, and it is missing"},
		{`"fmspc":`, "tcb_info: tcbInfo.fmspc: expected a value, and it is missing"},
	} {
		c := directory(t, intel2026)
		c.TCBInfo = replaced(t, c.TCBInfo, tt.old, strings.Replace(tt.old, `"`, `"x`, 1))
		if _, err := collateral.Inspect(c); err == nil || err.Error() != tt.want {
			t.Errorf("error is %v, want %s", err, tt.want)
		}
	}
}

func TestBundleCanNotHold(t *testing.T) {
	for _, tt := range []struct {
		want  string
		spoil func(*quote.Collateral)
	}{
		{"qe_identity: expected UTF-8 text", func(c *quote.Collateral) { c.QEIdentity = []byte("\xff") }},
		{"tcb_info_issuer_chain: expected UTF-8 text", func(c *quote.Collateral) { c.TCBInfoChain = append([]byte("\xc3\x28"), c.TCBInfoChain...) }},
		{"root_ca_crl: expected 1 to 1048576 bytes, got 0", func(c *quote.Collateral) { c.RootCRL = nil }},
		{"pck_crl_issuer_chain: expected 1 to 1048576 bytes, got 0", func(c *quote.Collateral) { c.PCKCRLChain = []byte{} }},
		{"tcb_info: expected 1 to 1048576 bytes, got 1048577", func(c *quote.Collateral) { c.TCBInfo = bytes.Repeat([]byte("x"), collateral.MaxMember+1) }},
	} {
		c := directory(t, intel2026)
		tt.spoil(&c)
		var is *collateral.BundleError
		if _, err := collateral.MarshalBundle(c); !errors.As(err, &is) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error is %v, want a BundleError with %q", err, tt.want)
		}
	}
}

func TestBundleRefused(t *testing.T) {
	data, err := collateral.MarshalBundle(directory(t, intel2026))
	if err != nil {
		t.Fatal(err)
	}
	member := func(change func(map[string]any)) []byte {
		var all map[string]any
		if err := json.Unmarshal(data, &all); err != nil {
			t.Fatal(err)
		}
		change(all)
		changed, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "ends too early"},
		{"no JSON", []byte("PK\x03\x04"), "malformed JSON"},
		{"truncated", data[:len(data)-10], "ends too early"},
		{"more behind", append(bytes.Clone(data), '{'), "data after"},
		{"an array", []byte("[]"), "expected"},
		{"another format", member(func(m map[string]any) { m["format"] = "boardroom-collateral/v2"; m["extra"] = 1 }), `format: expected "boardroom-collateral/v1"`},
		{"no format", member(func(m map[string]any) { delete(m, "format") }), `format: expected "boardroom-collateral/v1", and it is missing`},
		{"format is a number", member(func(m map[string]any) { m["format"] = 1 }), "format: expected"},
		{"more members", member(func(m map[string]any) { m["root_ca"] = "x" }), `unknown member "root_ca"`},
		{"another case", bytes.Replace(data, []byte(`"pck_crl"`), []byte(`"PCK_CRL"`), 1), `unknown member "PCK_CRL"`},
		{"twice", bytes.Replace(data, []byte(`"tcb_info":`), []byte(`"tcb_info":"{}","tcb_info":`), 1), `"tcb_info" stands twice`},
		{"missing", member(func(m map[string]any) { delete(m, "pck_crl") }), "pck_crl: expected 1 to"},
		{"null", member(func(m map[string]any) { m["qe_identity"] = nil }), "qe_identity: expected 1 to"},
		{"empty member", member(func(m map[string]any) { m["tcb_info"] = "" }), "tcb_info: expected 1 to"},
		{"no base64", member(func(m map[string]any) { m["root_ca_crl"] = "?" }), "base64"},
		{"an object for a text", member(func(m map[string]any) { m["tcb_info"] = map[string]any{} }), "tcb_info: expected a string"},
		{"no UTF-8", append([]byte{0xff}, data...), "UTF-8"},
		{"too large", make([]byte, 4<<20+1), "expected at most 4194304 bytes"},
		{"large member", member(func(m map[string]any) { m["tcb_info"] = strings.Repeat("x", collateral.MaxMember+1) }), "tcb_info: expected 1 to 1048576 bytes, got 1048577"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var is *collateral.BundleError
			if _, err := collateral.ParseBundle(tt.data); !errors.As(err, &is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want a BundleError with %q", err, tt.want)
			}
		})
	}
}

func FuzzParseBundle(f *testing.F) {
	// Smaller than a real one, which would take the fuzzer's time for nothing.
	const document = `{"%s":{"id":"x","issueDate":"2026-01-12T15:46:45Z","nextUpdate":"2026-02-11T15:46:45Z","fmspc":"90c06f000000","tcbEvaluationDataNumber":18,"tcbLevels":[]},"signature":""}`
	crl := read(f, intel2026, "root_ca_crl.der")
	data, err := collateral.MarshalBundle(quote.Collateral{
		TCBInfo: fmt.Appendf(nil, document, "tcbInfo"), TCBInfoChain: []byte("-"), QEIdentity: fmt.Appendf(nil, document, "enclaveIdentity"), QEIdentityChain: []byte("-"),
		PCKCRL: crl, PCKCRLChain: []byte("-"), RootCRL: crl,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"format":"boardroom-collateral/v1","tcb_info":"a","tcb_info_issuer_chain":"b","qe_identity":"c","qe_identity_issuer_chain":"d","pck_crl":"ZQ==","pck_crl_issuer_chain":"f","root_ca_crl":"Zw=="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := collateral.ParseBundle(data)
		if err != nil {
			return
		}
		again, err := collateral.MarshalBundle(c)
		if err != nil {
			t.Fatalf("what was read can not be written: %v", err)
		}
		back, err := collateral.ParseBundle(again)
		if err != nil {
			t.Fatalf("what was written can not be read: %v", err)
		}
		equal(t, back, c)
		// What it says of itself may be anything.
		_, _ = collateral.Inspect(c)
	})
}
