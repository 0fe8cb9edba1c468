package agentimage_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
)

const images = "../../images"

// The table of the deployment guide.
func TestDefinitionsOfThisRepository(t *testing.T) {
	all, err := agentimage.LoadAll(filepath.Join(images, "agents"))
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		api, attestation, memory int
		model                    string
	}
	want := map[string]row{
		"hub":             {8080, 29343, 3000, "meta-llama/Llama-3.2-1B-Instruct"},
		"finance-agent":   {8081, 29344, 7000, "AdaptLLM/finance-LLM"},
		"marketing-agent": {8082, 29345, 4000, "mistralai/Mistral-7B-Instruct-v0.3"},
		"sales-agent":     {8083, 29346, 4000, ""},
		"ceo-agent":       {8084, 29347, 4000, ""},
	}
	if len(all) != len(want) {
		t.Errorf("%d definitions, want %d", len(all), len(want))
	}
	for _, d := range all {
		w, ok := want[d.Name]
		if !ok {
			t.Errorf("%s is not in the table", d.Name)
			continue
		}
		if w.model == "" {
			w.model = d.Model
		}
		if got := (row{d.Ports.API, d.Ports.Attestation, d.MemoryLimitMB, d.Model}); got != w {
			t.Errorf("%s is %v, want %v", d.Name, got, w)
		}
		if !strings.HasSuffix(d.Repository, "-boardroom-tee") || strings.Join(d.Volumes, " ") != "/app/data /app/logs /app/config" {
			t.Errorf("%s: repository %s, volumes %v", d.Name, d.Repository, d.Volumes)
		}
	}
}

func TestCABundleOfThisRepository(t *testing.T) {
	bundle, err := agentimage.LoadCABundle(filepath.Join(images, "ca-certificates"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for rest := bundle; len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			t.Fatalf("%d bytes that are not PEM", len(rest))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !cert.IsCA || seen[string(cert.Raw)] {
			t.Errorf("%s: is a CA: %v, stands twice: %v", cert.Subject, cert.IsCA, seen[string(cert.Raw)])
		}
		seen[string(cert.Raw)] = true
	}
	if len(seen) < 100 {
		t.Errorf("only %d certificates", len(seen))
	}
}

func TestLoadCABundleRefuses(t *testing.T) {
	copyTo := func(t *testing.T) string {
		t.Helper()
		dir := t.TempDir()
		for _, name := range []string{"ca-certificates.crt", "source.json"} {
			content, err := os.ReadFile(filepath.Join(images, "ca-certificates", name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	alter := func(t *testing.T, file string, f func([]byte) []byte) {
		t.Helper()
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	dir := copyTo(t)
	alter(t, filepath.Join(dir, "ca-certificates.crt"), func(b []byte) []byte { return append(b, '\n') })
	var tampered *agentimage.TamperedError
	if _, err := agentimage.LoadCABundle(dir); !errors.As(err, &tampered) || tampered.Expected == tampered.Actual {
		t.Errorf("changed bundle: error is %v, want a *TamperedError", err)
	}

	dir = copyTo(t)
	alter(t, filepath.Join(dir, "source.json"), func(b []byte) []byte { return bytes.Replace(b, []byte(`"file"`), []byte(`"File"`), 1) })
	var malformed *agentimage.DefinitionError
	if _, err := agentimage.LoadCABundle(dir); !errors.As(err, &malformed) {
		t.Errorf("malformed pin: error is %v, want a *DefinitionError", err)
	}

	if _, err := agentimage.LoadCABundle(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: error is %v", err)
	}
}
