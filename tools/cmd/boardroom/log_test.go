package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// boardroom runs a command that has to succeed, and returns what it prints.
func boardroom(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := app()
	a.Writer, a.ErrWriter = &stdout, &stderr
	if code := cmdline.Run(t.Context(), a, args); code != 0 {
		t.Fatalf("boardroom %s: exit code %d: %s", strings.Join(args, " "), code, &stderr)
	}
	return stdout.String()
}

// writeRelease writes a release of one image, with bundles of it and of something else.
func writeRelease(t *testing.T, dir string, signers ...*keyfile.Signer) *release.Release {
	t.Helper()
	r := &release.Release{
		Schema: release.Schema, Name: "boardroom", Version: "1.0.0",
		Source: release.Source{Repository: "https://example.com/boardroom", Revision: strings.Repeat("a", 40), Tree: strings.Repeat("b", 40)},
		Images: []release.Image{{
			Name: "finance-agent", Repository: "registry.example.com/finance-agent", Digest: provenance.DigestOf([]byte("image")),
			Layout: "images/finance-agent", Provenance: "statements/finance-agent.provenance.json", SBOM: "statements/finance-agent.sbom.json",
		}},
		Guests: []release.Guest{}, Applications: []release.Application{},
	}
	if err := json.Unmarshal([]byte(`"2026-04-24T02:37:51Z"`), &r.Created); err != nil {
		t.Fatal(err)
	}
	write := func(name string, content []byte) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{r.Images[0].Provenance, r.Images[0].SBOM} {
		content := []byte(name)
		r.Files = append(r.Files, release.File{Path: name, Digest: provenance.DigestOf(content), Size: int64(len(content))})
		write(name, content)
	}
	manifest, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(release.ManifestFile, manifest)
	about, err := r.Statement()
	if err != nil {
		t.Fatal(err)
	}
	other, err := provenance.NewStatement([]provenance.Subject{{Name: "other", Digest: provenance.DigestOf(nil).Set()}}, "https://example.com/other", struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	for i, signer := range signers {
		for name, s := range map[string]provenance.Statement{"release": about, "other": other} {
			bundle, err := provenance.SignStatement(t.Context(), signer, s)
			if err != nil {
				t.Fatal(err)
			}
			data, err := bundle.Encode()
			if err != nil {
				t.Fatal(err)
			}
			write("bundles/"+name+string('0'+rune(i))+".sigstore.json", data)
		}
	}
	return r
}

// The entry of a release has the signatures of everybody who signed it, and the proof goes into the release.
func TestLogAddRelease(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(keyfile.PasswordVariable, "swordfish")
	one, err := keyfile.Generate()
	if err != nil {
		t.Fatal(err)
	}
	two, err := keyfile.Generate()
	if err != nil {
		t.Fatal(err)
	}
	r := writeRelease(t, "release", one, two)
	boardroom(t, "log", "init", "site", "--origin", "example.com/releases", "--to", "log.key")
	boardroom(t, "log", "add", "site", "release", "--key", "log.key")
	// The release is still one, and has a proof of an entry about it.
	d, err := release.Open("release")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	proof, err := transparency.ParseProof(d.Proofs[transparency.ProofFile("example.com/releases")])
	if err != nil {
		t.Fatal(err)
	}
	entry, err := transparency.ParseEntry(proof.Entry)
	if err != nil {
		t.Fatal(err)
	}
	var keys []provenance.Fingerprint
	for _, s := range entry.Signatures {
		keys = append(keys, s.Key)
	}
	if entry.Name != r.Name || entry.Version != r.Version || entry.Release != d.Digest || len(keys) != 2 ||
		!slices.Contains(keys, one.Key().Fingerprint()) || !slices.Contains(keys, two.Key().Fingerprint()) {
		t.Errorf("the entry is %+v", entry)
	}
	boardroom(t, "log", "verify", "site", "--key", "log.pub", "--proof", filepath.Join("release", "log", transparency.ProofFile("example.com/releases")), "--entry", "release")

	writeRelease(t, "unsigned")
	var stderr bytes.Buffer
	a := app()
	a.ErrWriter = &stderr
	if code := cmdline.Run(t.Context(), a, []string{"log", "add", "site", "unsigned", "--key", "log.key"}); code != cmdline.ExitRefused || !strings.Contains(stderr.String(), "at least one signature") {
		t.Errorf("a release that nobody signed: exit code %d: %s", code, &stderr)
	}
}

// A log that is served can be verified, monitored and witnessed from elsewhere; serving ends when it is told to.
func TestLogServe(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(keyfile.PasswordVariable, "swordfish")
	boardroom(t, "log", "init", "site", "--origin", "example.com/releases", "--to", "log.key")
	boardroom(t, "log", "witness-key", "witness.example/1", "--to", "witness.key")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	stdout, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		a := app()
		a.Writer, a.ErrWriter = w, os.Stderr
		ended <- cmdline.Run(ctx, a, []string{"log", "serve", "site", "--listen", "127.0.0.1:0", "--output", "json"})
	}()
	var served servedLog
	if err := json.NewDecoder(stdout).Decode(&served); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, stdout)
	for _, command := range [][]string{
		{"verify", served.URL, "--key", "log.pub", "--state", "seen.json"},
		{"monitor", served.URL, "--key", "log.pub", "--state", "seen.json"},
		{"witness", served.URL, "--key", "log.pub", "--state", "witness.json", "--witness-key", "witness.key"},
	} {
		boardroom(t, append([]string{"log"}, command...)...)
	}
	response, err := http.Get(served.URL + "/.state/treeState")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("the writer's state is served with status %d", response.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
	interrupt()
	if code := <-ended; code != 0 {
		t.Errorf("exit code is %d", code)
	}
	if conn, err := net.Dial("tcp", strings.TrimPrefix(served.URL, "http://")); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
}
