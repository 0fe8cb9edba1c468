//go:build acceptance

package acceptance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// tampered is a clone with one change.
func tampered(t *testing.T, file string, change func(string) string) string {
	t.Helper()
	dir := filepath.Join(fresh(t), "clone")
	check(t, os.CopyFS(dir, os.DirFS(source)))
	edit(t, filepath.Join(dir, file), change)
	commit(t, dir)
	return dir
}

func modulesPin(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(source, "nix/modules.json"))
	check(t, err)
	var pin struct{ NAR string }
	check(t, json.Unmarshal(data, &pin))
	return pin.NAR
}

func TestNixRefusesOtherModulesPin(t *testing.T) {
	pin := modulesPin(t)
	tree := tampered(t, "nix/modules.json", replace(pin, wrongNAR))
	at{dir: tree}.try(t, "nix", "build", "--no-link", ".#finance-agent.assembler").failed(t, wrongNAR, pin)
}

func TestNixRefusesOtherModule(t *testing.T) {
	_, actual := victimSum(t)
	tree := tampered(t, "go.sum", replace(actual, wrongSum))
	at{dir: tree}.try(t, "nix", "build", "--no-link", "--print-build-logs", ".#finance-agent.assembler").failed(t, wrongSum, actual)
}

func TestNixRefusesOtherCABundle(t *testing.T) {
	tree := tampered(t, bundle, flip)
	at{dir: tree}.try(t, "nix", "build", "--no-link", "--print-build-logs", ".#finance-agent").
		failed(t, sha256File(t, filepath.Join(source, bundle)), sha256File(t, filepath.Join(tree, bundle)))
}
