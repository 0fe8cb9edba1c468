//go:build acceptance

package acceptance

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestFlakeCheck(t *testing.T) {
	at{dir: nixClone(t)}.must(t, "nix", "flake", "check")
}

func TestFlakeOutputs(t *testing.T) {
	var outputs map[string]json.RawMessage
	check(t, json.Unmarshal([]byte(at{dir: nixClone(t)}.must(t, "nix", "flake", "show", "--json")), &outputs))
	if got, want := slices.Sorted(maps.Keys(outputs)), []string{"apps", "checks", "lib", "packages"}; !slices.Equal(got, want) {
		t.Errorf("outputs %q, want %q", got, want)
	}
	promised := map[string][]string{
		"apps":     {"boardroom", "default"},
		"packages": append([]string{"boardroom", "boardroom-dev", "default", "guest-image", "guest-image-dev", "seed"}, agents...),
	}
	for output, want := range promised {
		var systems map[string]map[string]any
		check(t, json.Unmarshal(outputs[output], &systems))
		got := make(map[string][]string)
		for system, names := range systems {
			got[system] = slices.Sorted(maps.Keys(names))
		}
		slices.Sort(want)
		if want := map[string][]string{"x86_64-linux": want}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s %v, want %v", output, got, want)
		}
	}
	functions := at{dir: nixClone(t)}.must(t, "nix", "eval", "--json", ".#lib", "--apply", "builtins.mapAttrs (_: builtins.isFunction)")
	if functions != `{"mkAgentImage":true}` {
		t.Errorf("lib %s, want the function mkAgentImage", functions)
	}
}

func TestDefaultPackageAndApp(t *testing.T) {
	tree := nixClone(t)
	out := nixBuild(t, tree, "boardroom")
	if got := evaluate(t, tree)["default"].Out; got != out {
		t.Errorf("the default package is %s, want %s", got, out)
	}
	if got := (at{dir: tree}).must(t, "nix", "run", ".#boardroom", "--", "--version"); !strings.Contains(got, "boardroom") {
		t.Errorf("nix run .#boardroom -- --version: %s", got)
	}
}

// Every builder of an image, down to the seed, is Nix itself, the seed's go, or a program that it compiled.
func TestNoShellInAnyBuilder(t *testing.T) {
	drv := evaluate(t, nixClone(t))["finance-agent"].Drv
	allowed := map[string]bool{"go": true, "assemble": true, "modcache": true, "seed-trim": true}
	for path := range strings.FieldsSeq(at{}.must(t, "nix-store", "--query", "--requisites", drv)) {
		if !strings.HasSuffix(path, ".drv") {
			continue
		}
		builder := at{}.must(t, "nix-store", "--query", "--binding", "builder", path)
		base := filepath.Base(builder)
		if len(base) > 33 && !strings.Contains(base[:32], "-") && base[32] == '-' {
			base = base[33:] // the builder is an output by itself
		}
		if !strings.HasPrefix(builder, "builtin:") && (!strings.HasPrefix(builder, "/nix/store/") || !allowed[base]) {
			t.Errorf("%s is built by %s", path, builder)
		}
	}
}

// changedTree is a clone in which a file, there or not, has further text.
func changedTree(t *testing.T, file, text string) string {
	t.Helper()
	dir := filepath.Join(fresh(t), "clone")
	check(t, os.CopyFS(dir, os.DirFS(source)))
	path := filepath.Join(dir, file)
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	data, err := os.ReadFile(path)
	if !os.IsNotExist(err) {
		check(t, err)
	}
	check(t, os.WriteFile(path, append(data, text...), 0o644))
	commit(t, dir)
	return dir
}

func TestChangesOutsideOfSourcesRebuildNothing(t *testing.T) {
	before := evaluate(t, nixClone(t))
	for _, file := range []string{"README.md", "Makefile", "tools/agent/README.md", ".ci/run"} {
		t.Run(file, func(t *testing.T) {
			if after := evaluate(t, changedTree(t, file, "\nchanged\n")); !reflect.DeepEqual(after, before) {
				t.Errorf("evaluates to\n%v\nwant\n%v", after, before)
			}
		})
	}
	// Tests are sources of the set of modules, which is a fixed output. What is built from it is the same, and is not built
	// again; only the derivations have other names.
	for _, file := range []string{"tools/oci/acceptance_test.go", "tools/cmd/agent/acceptance_test.go"} {
		t.Run(file, func(t *testing.T) {
			for name, after := range evaluate(t, changedTree(t, file, "package changed\n")) {
				after.Drv = before[name].Drv
				if after != before[name] {
					t.Errorf("%s: %+v, want %+v", name, after, before[name])
				}
			}
		})
	}
}

func TestChangedAgentKeepsAssembler(t *testing.T) {
	before, after := evaluate(t, nixClone(t)), evaluate(t, changedTree(t, "tools/cmd/agent/main.go", "\n// changed\n"))
	for _, name := range agents {
		if after[name].Program == before[name].Program {
			t.Errorf("%s: the program is still %s", name, before[name].Program)
		}
		if after[name].Assembler != before[name].Assembler {
			t.Errorf("%s: the assembler is %s, want %s", name, after[name].Assembler, before[name].Assembler)
		}
	}
}

// Images of one program have one derivation for it, so that it is compiled once.
func TestAgentsShareProgram(t *testing.T) {
	all := evaluate(t, nixClone(t))
	programs := make(map[string]bool)
	for _, name := range agents {
		programs[all[name].Program] = true
	}
	if len(programs) != 1 {
		t.Errorf("%d derivations of one program: %q", len(programs), slices.Sorted(maps.Keys(programs)))
	}
}
