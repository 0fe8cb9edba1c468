//go:build acceptance

package acceptance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

var nixTree shared[string]

// nixClone is the clone that Nix builds from, at another place than the plain path's.
func nixClone(t testing.TB) string {
	t.Helper()
	return nixTree.get(t, func() string {
		dir := filepath.Join(scratch, "nix")
		check(t, os.Mkdir(dir, 0o755))
		return clone(t, filepath.Join(dir, "clone"))
	})
}

// nixBuild builds an attribute of a tree's flake and returns where it lies.
func nixBuild(t testing.TB, tree, attribute string) string {
	t.Helper()
	at{dir: tree}.must(t, "nix", "build", "--no-link", ".#"+attribute)
	return outPath(t, tree, attribute)
}

func outPath(t testing.TB, tree, attribute string) string {
	t.Helper()
	return at{dir: tree}.must(t, "nix", "eval", "--raw", ".#"+attribute+".outPath")
}

// evaluated is what Nix knows of a package before it builds anything. Program and Assembler are an image's.
type evaluated struct {
	Out, Drv, Program, Assembler string
}

// evaluate evaluates all packages of a tree's flake.
func evaluate(t testing.TB, tree string) map[string]evaluated {
	t.Helper()
	out := at{dir: tree}.must(t, "nix", "eval", "--json", ".#packages.x86_64-linux", "--apply",
		`builtins.mapAttrs (_: p: {
			Out = p.outPath; Drv = p.drvPath; Program = p.program.outPath or ""; Assembler = p.assembler.outPath or "";
		})`)
	var all map[string]evaluated
	check(t, json.Unmarshal([]byte(out), &all))
	return all
}
