//go:build acceptance

package acceptance

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// external is a copy of the flake in testdata, which is also an example for people, with one change.
func external(t *testing.T, file string, change func(string) string) string {
	t.Helper()
	dir := filepath.Join(fresh(t), "external")
	check(t, os.CopyFS(dir, os.DirFS("testdata/external")))
	if file != "" {
		edit(t, filepath.Join(dir, file), change)
	}
	commit(t, dir)
	return dir
}

// against names this tree for the input that the example takes from where it is published.
func against(t *testing.T, words ...string) []string {
	t.Helper()
	return append(words, "--override-input", "boardroom", "git+file://"+nixClone(t), "--no-write-lock-file")
}

func TestAnotherFlake(t *testing.T) {
	dir := external(t, "", nil)
	at{dir: dir}.must(t, against(t, "nix", "build", "--out-link", "result")...)
	layout := filepath.Join(dir, "result")
	bundle := filepath.Join(dir, "bundle")
	at{}.must(t, "umoci", "unpack", "--image", layout+":greeter", bundle)
	program := filepath.Join(bundle, "rootfs/usr/bin/greeter-agent")
	checkStatic(t, program)
	if got, want := (at{}).must(t, program, "version"), "v0.1.0"; got != want {
		t.Errorf("the agent says it is %s, want %s", got, want)
	}
}

// The name of a program is the image's where it is the module's own package, whatever the module is called.
func TestAnotherFlakeWithAnotherName(t *testing.T) {
	dir := external(t, "image/image.json", replace(`"name": "greeter-agent"`, `"name": "welcome-agent"`))
	at{dir: dir}.must(t, against(t, "nix", "build", "--no-link")...)
}

var modulesHash = regexp.MustCompile(`modulesHash = "(sha256-.+)"`)

func TestAnotherFlakeWithWrongModulesHash(t *testing.T) {
	data, err := os.ReadFile("testdata/external/flake.nix")
	check(t, err)
	right := string(modulesHash.FindSubmatch(data)[1])
	dir := external(t, "flake.nix", replace(right, wrongNAR))
	at{dir: dir}.try(t, against(t, "nix", "build", "--no-link")...).failed(t, "hash mismatch", wrongNAR, right)
}
