package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	simulated "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/guestimage/guestimagetest"
	"github.com/boardroom-tee/boardroom/tools/oci"
	"github.com/boardroom-tee/boardroom/tools/tdx/image/imagetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"boardroom": main})
}

// TestScript runs the manual: each file of testdata/script shows one part of the command line.
//
// A script starts in a folder with
//
//	tree/    a source tree (testdata/tree) with the agents finance-agent and hub; it has no Go source
//	image/   the OCI layout of finance-agent, with a text for a program
//
// and finds in its environment $DIGEST, $INDEX, $MANIFEST, $CONFIG, $LAYER1 and $LAYER2 (the image's digest, and its files
// relative to the layout), $REGISTRY (host and port of an empty registry) and $DOWN (the same, with nobody listening).
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Condition:           condition,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":    exits,
			"copy":     copyTree,
			"flip":     flip,
			"truncate": truncate,
			"replace":  replace,
			"layout":   layout,
			"tagged":   tagged,
			"guest":    guest,
			"built":    builtGuest,
			"vector":   vector,
			"debian":   debian,
			"quote":    unsignedQuote,
			"case":     publishedCase,
			"strip":    stripLog,
			"genuine":  genuineCollateral,
			"pccs":     servePCCS,
			"released": released,
			"same":     sameFolders,
			"checkout": checkedOut,
		},
	})
}

// condition knows [simtee]: the build has a simulated TEE.
func condition(name string) (bool, error) {
	if name != "simtee" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return len(devCommands()) > 0, nil
}

func setup(env *testscript.Env) error {
	tree := filepath.Join(env.WorkDir, "tree")
	if err := os.CopyFS(tree, os.DirFS(filepath.Join("testdata", "tree"))); err != nil {
		return err
	}
	img, err := assemble(tree, "program")
	if err != nil {
		return err
	}
	if err := oci.WriteLayout(filepath.Join(env.WorkDir, "image"), img, "finance-boardroom-tee"); err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return err
	}
	blob := func(h v1.Hash) string { return "blobs/sha256/" + h.Hex }
	registry := httptest.NewServer(simulated.New(simulated.Logger(log.New(io.Discard, "", 0))))
	env.Defer(registry.Close)
	down := httptest.NewServer(nil)
	down.Close()
	for name, value := range map[string]string{
		"DIGEST": digest.String(), "INDEX": "index.json", "MANIFEST": blob(digest), "CONFIG": blob(manifest.Config.Digest),
		"LAYER1": blob(manifest.Layers[0].Digest), "LAYER2": blob(manifest.Layers[1].Digest),
		"REGISTRY": strings.TrimPrefix(registry.URL, "http://"), "DOWN": strings.TrimPrefix(down.URL, "http://"),
		"HOME": filepath.Join(env.WorkDir, "home"), "GOPROXY": "off",
	} {
		env.Setenv(name, value)
	}
	return nil
}

// assemble makes the image of a source tree's finance-agent around a program.
func assemble(tree, program string) (v1.Image, error) {
	d, err := agentimage.Load(filepath.Join(tree, "images", "agents", "finance", "image.json"))
	if err != nil {
		return nil, err
	}
	bundle, err := agentimage.LoadCABundle(filepath.Join(tree, "images", "ca-certificates"))
	if err != nil {
		return nil, err
	}
	return agentimage.Assemble(d, agentimage.Inputs{Program: []byte(program), CABundle: bundle, Epoch: time.Unix(0, 0)})
}

// exits runs a program and checks its exit code: exits 2 boardroom image build nobody.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		if got := exit.ExitCode(); got != want {
			ts.Fatalf("%s: exit code is %d, want %d", strings.Join(args[1:], " "), got, want)
		}
	case err != nil:
		ts.Fatalf("%s: %v", strings.Join(args[1:], " "), err)
	case want != 0:
		ts.Fatalf("%s: exit code is 0, want %d", strings.Join(args[1:], " "), want)
	}
}

// copyTree copies a folder: copy image altered.
func copyTree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: copy DIR NEWDIR")
	}
	to := ts.MkAbs(args[1])
	ts.Check(os.RemoveAll(to))
	ts.Check(os.CopyFS(to, os.DirFS(ts.MkAbs(args[0]))))
}

// edit replaces the content of a file by what change makes of it.
func edit(ts *testscript.TestScript, file string, change func([]byte) []byte) {
	file = ts.MkAbs(file)
	content, err := os.ReadFile(file)
	ts.Check(err)
	changed := change(bytes.Clone(content))
	if bytes.Equal(changed, content) {
		ts.Fatalf("%s was not changed", file)
	}
	ts.Check(os.WriteFile(file, changed, 0o644))
}

// stripLog leaves the events of RTMR3 in a log of dstack, as its certificates have it: strip log.json.
func stripLog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: strip FILE")
	}
	edit(ts, args[0], func(content []byte) []byte {
		var events []map[string]any
		ts.Check(json.Unmarshal(content, &events))
		events = slices.DeleteFunc(events, func(e map[string]any) bool { return e["imr"] != 3.0 })
		stripped, err := json.Marshal(events)
		ts.Check(err)
		return stripped
	})
}

// flip changes one bit in the middle of a file.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	edit(ts, args[0], func(content []byte) []byte {
		content[len(content)/2] ^= 1
		return content
	})
}

// truncate cuts the last byte off a file.
func truncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: truncate FILE")
	}
	edit(ts, args[0], func(content []byte) []byte { return content[:len(content)-1] })
}

// replace replaces the first occurrence of a text in a file.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	edit(ts, args[0], func(content []byte) []byte { return bytes.Replace(content, []byte(args[1]), []byte(args[2]), 1) })
}

// layout writes the OCI layout of another finance-agent, one with the program TEXT: layout DIR TEXT.
func layout(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: layout DIR TEXT")
	}
	img, err := assemble(ts.MkAbs(ts.Getenv("WORK")+"/tree"), args[1])
	ts.Check(err)
	ts.Check(oci.WriteLayout(ts.MkAbs(args[0]), img, "finance-boardroom-tee"))
}

// tagged checks which digest a tag names in the registry: tagged REF DIGEST. ! tagged REF checks that there is no such tag.
func tagged(ts *testscript.TestScript, neg bool, args []string) {
	if neg && len(args) != 1 || !neg && len(args) != 2 {
		ts.Fatalf("usage: tagged REF DIGEST, or ! tagged REF")
	}
	ref, err := name.ParseReference(args[0])
	ts.Check(err)
	got := "nothing"
	if desc, err := remote.Head(ref); err == nil {
		got = desc.Digest.String()
	}
	want := "nothing"
	if !neg {
		want = args[1]
	}
	if got != want {
		ts.Fatalf("%s names %s, want %s", ref, got, want)
	}
}

// guest writes a guest image, and beside it a firmware that is too old: guest DIR.
func guest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: guest DIR")
	}
	vars := unpacked(ts, "tdx/testdata/firmware/OVMF_VARS_4M.fd.gz")
	ts.Check(imagetest.Write(ts.MkAbs(args[0]), vars))
	ts.Check(imagetest.WriteOldFirmware(ts.MkAbs(args[0]+"-old-firmware.fd"), vars))
}

// builtGuest builds a guest image of tiny packages: built production DIR.
func builtGuest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: built FLAVOUR DIR")
	}
	source, err := guestimagetest.New(unpacked(ts, "tdx/testdata/firmware/OVMF_VARS_4M.fd.gz"))
	ts.Check(err)
	dir := ts.MkAbs(args[1] + ".source")
	ts.Check(source.Write(dir))
	d, in, err := guestimagetest.Open(context.Background(), dir, guestimage.Flavour(args[0]))
	ts.Check(err)
	ts.Check(guestimage.Build(context.Background(), d, in, ts.MkAbs(args[1])))
	ts.Check(errors.Join(in.Packages.Close(), in.Firmware.Close()))
}

// vector copies a vector of another package, unpacked: vector eventlog/testdata/ccel/dstack-ccel.bin.gz ccel.bin.
func vector(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: vector PATH FILE, the path being relative to tools")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), unpacked(ts, args[0]), 0o600))
}

// unsignedQuote writes an answer to GetQuote with a JSON event log and an unsigned quote of its registers: quote LOG FILE.
func unsignedQuote(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: quote LOG FILE")
	}
	text := ts.ReadFile(args[0])
	log, err := eventlog.ParseDstackJSON([]byte(text))
	ts.Check(err)
	q := make([]byte, 1000)
	q[0], q[4] = 4, 0x81
	for r, value := range log.Replay() {
		copy(q[376+48*int(r):], value[:])
	}
	answer, err := json.Marshal(map[string]string{"quote": hex.EncodeToString(q), "event_log": text})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), answer, 0o600))
}

// publishedCase is writeCase: case syn-v4-uptodate.
func publishedCase(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: case ID")
	}
	read := func(path string) ([]byte, error) { return unpacked(ts, path), nil }
	ts.Check(writeCase(read, args[0], ts.MkAbs(args[0])))
}

// writeCase makes a folder with a published quote, quote.bin, and its collateral under the names that quote verify reads, with
// root_ca.pem if its root is not Intel's. Paths are relative to tools.
func writeCase(read func(path string) ([]byte, error), id, folder string) error {
	const vectors = "quote/testdata/vectors/"
	data, err := read(vectors + "cases.json")
	if err != nil {
		return err
	}
	var cases []struct {
		ID    string            `json:"id"`
		Files map[string]string `json:"files"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		return err
	}
	for _, c := range cases {
		if c.ID != id {
			continue
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		for kind, name := range map[string]string{
			"quote": "quote.bin", "tcb_info": "tcb_info.json", "tcb_info_chain": "tcb_info_issuer_chain.pem", "qe_identity": "qe_identity.json",
			"qe_identity_chain": "qe_identity_issuer_chain.pem", "pck_crl": "pck_crl.der", "pck_crl_chain": "pck_crl_issuer_chain.pem",
			"root_crl": "root_ca_crl.der", "root_ca": "root_ca.pem",
		} {
			from, ok := c.Files[kind]
			if !ok {
				continue
			}
			content, err := read(vectors + "files/" + from)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no case %s", id)
}

// unpacked reads a file of another package's test data.
func unpacked(ts *testscript.TestScript, path string) []byte {
	data, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(path)))
	ts.Check(err)
	if !strings.HasSuffix(path, ".gz") {
		return data
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	ts.Check(err)
	data, err = io.ReadAll(r)
	ts.Check(err)
	return data
}

// Every command of the app is in the manual, with a test of what it does.
func TestEveryCommandIsInTheManual(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var manual strings.Builder
	for _, script := range scripts {
		content, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		manual.Write(content)
	}
	for _, c := range app().Commands {
		lines := []string{"boardroom " + c.Name}
		if len(c.Subcommands) > 0 {
			lines = nil
		}
		for _, sub := range c.Subcommands {
			lines = append(lines, fmt.Sprintf("boardroom %s %s", c.Name, sub.Name))
		}
		for _, line := range lines {
			if !strings.Contains(manual.String(), line) {
				t.Errorf("no script runs %q", line)
			}
		}
	}
}
