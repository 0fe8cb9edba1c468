//go:build acceptance

package acceptance

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/sumdb/dirhash"
)

const bundle = "images/ca-certificates/ca-certificates.crt"

// buildFrom tries to build an image from a tree.
func buildFrom(t *testing.T, tree, cache string, env ...string) outcome {
	t.Helper()
	return at{dir: tree, env: env}.try(t, boardroom, "image", "build", "finance-agent", "--cache", cache, "--to", filepath.Join(fresh(t), "layout"))
}

func copyOfSource(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(fresh(t), "tree")
	check(t, os.CopyFS(dir, os.DirFS(source)))
	return dir
}

func TestTamperedSeed(t *testing.T) {
	pin := seedPin(t)
	for name, tamper := range map[string]func(*testing.T, string){
		"compiler": func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "pkg/tool/linux_amd64/compile"), flip) },
		"library":  func(t *testing.T, dir string) { edit(t, filepath.Join(dir, "src/fmt/print.go"), flip) },
		"file added": func(t *testing.T, dir string) {
			check(t, os.WriteFile(filepath.Join(dir, "src/fmt/evil.go"), nil, 0o644))
		},
		"file absent": func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, "VERSION"))) },
	} {
		t.Run(name, func(t *testing.T) {
			cache := seededCache(t, filepath.Join(fresh(t), "cache"))
			dir := filepath.Join(cache, "seed", pin.Version)
			tamper(t, dir)
			buildFrom(t, plain(t).tree, cache).ended(t, 1, pin.NAR, narHash(t, dir))
		})
	}
}

func TestTamperedSeedPin(t *testing.T) {
	tree := copyOfSource(t)
	edit(t, filepath.Join(tree, "nix/seed.json"), replace(seedPin(t).NAR, wrongNAR))
	buildFrom(t, tree, plain(t).cache).ended(t, 1, wrongNAR, seedPin(t).NAR)
}

func TestTamperedCABundle(t *testing.T) {
	tree := copyOfSource(t)
	file := filepath.Join(tree, bundle)
	expected := sha256File(t, file)
	edit(t, file, flip)
	buildFrom(t, tree, plain(t).cache).ended(t, 1, expected, sha256File(t, file))
}

// moduleUser is a tree whose image has a program of many modules; the agent's own has none.
func moduleUser(t *testing.T) string {
	t.Helper()
	tree := copyOfSource(t)
	edit(t, filepath.Join(tree, "images/agents/finance/image.json"), replace("tools/cmd/agent", "tools/cmd/assemble"))
	return tree
}

const victim = "github.com/google/go-containerregistry"

// victimSum is the version of the victim that go.mod requires, and its hash in go.sum.
func victimSum(t *testing.T) (version, sum string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(source, "go.mod"))
	check(t, err)
	mod, err := modfile.Parse("go.mod", data, nil)
	check(t, err)
	for _, r := range mod.Require {
		if r.Mod.Path == victim {
			version = r.Mod.Version
		}
	}
	data, err = os.ReadFile(filepath.Join(source, "go.sum"))
	check(t, err)
	for line := range strings.Lines(string(data)) {
		if of, found := strings.CutPrefix(line, victim+" "+version+" "); found {
			return version, strings.TrimSpace(of)
		}
	}
	t.Fatalf("go.sum has no %s %s", victim, version)
	return "", ""
}

// A module is changed where it lies unpacked, after the go command compared it with go.sum.
func TestTamperedModule(t *testing.T) {
	tree, cache := moduleUser(t), warmModules(t)
	version, expected := victimSum(t)
	id := victim + "@" + version
	dir := filepath.Join(cache, "modules", id)
	edit(t, filepath.Join(dir, "pkg/v1/hash.go"), flip)
	actual, err := dirhash.HashDir(dir, id, dirhash.Hash1)
	check(t, err)
	buildFrom(t, tree, cache).ended(t, 1, expected, actual)
}

// go.sum vouches for something else than what the proxy has.
func TestTamperedModuleSum(t *testing.T) {
	tree := moduleUser(t)
	_, actual := victimSum(t)
	edit(t, filepath.Join(tree, "go.sum"), replace(actual, wrongSum))
	cache := seededCache(t, filepath.Join(fresh(t), "cache"))
	buildFrom(t, tree, cache).ended(t, 1, wrongSum, actual)
}

// warmModules is a cache that holds the modules of moduleUser's program, unpacked.
func warmModules(t *testing.T) string {
	t.Helper()
	cache := seededCache(t, filepath.Join(fresh(t), "cache"))
	at{dir: source, env: []string{"GOMODCACHE=" + filepath.Join(cache, "modules"), "GOFLAGS=-modcacherw"}}.
		must(t, "go", "list", "-deps", "./tools/cmd/assemble")
	return cache
}

func TestTamperedLayout(t *testing.T) {
	layout := plain(t).layouts["finance-agent"]
	m := readManifest(t, layout)
	for name, victim := range map[string]string{
		"manifest":      digest(t, layout),
		"config":        m.Config.Digest,
		"base layer":    m.Layers[0].Digest,
		"program layer": m.Layers[1].Digest,
	} {
		t.Run(name, func(t *testing.T) {
			for how, change := range map[string]func(string) string{
				"flipped":  flip,
				"cut":      func(s string) string { return s[:len(s)-1] },
				"extended": func(s string) string { return s + "\n" },
			} {
				dir := filepath.Join(fresh(t), "layout")
				check(t, os.CopyFS(dir, os.DirFS(layout)))
				file := blob(dir, victim)
				edit(t, file, change)
				o := at{}.try(t, boardroom, "image", "digest", dir)
				o.command = how + ": " + o.command
				o.ended(t, 1, victim, sha256File(t, file))
			}
		})
	}
}

// manifest is what the tests read of an image manifest; tools/oci is among what they test.
type manifest struct {
	Config      descriptor
	Layers      []descriptor
	Annotations map[string]string
}

type descriptor struct {
	Digest string
	Size   int64
}

func readManifest(t testing.TB, layout string) manifest {
	t.Helper()
	data, err := os.ReadFile(blob(layout, digest(t, layout)))
	check(t, err)
	var m manifest
	check(t, json.Unmarshal(data, &m))
	return m
}

func blob(layout, digest string) string {
	return filepath.Join(layout, "blobs", filepath.FromSlash(strings.Replace(digest, ":", "/", 1)))
}

func sha256File(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	check(t, err)
	return sha256Text(string(data))
}

func sha256Text(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

const (
	wrongNAR = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	wrongSum = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)
