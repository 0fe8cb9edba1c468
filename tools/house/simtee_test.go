package house_test

import (
	"go/build/constraint"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const simulation = "tools/simtee"

// TestNoProgramHasTheSimulatedTEE holds every program to what a verifier has to be: without a key that signs quotes. Tests may
// have it, under the tag.
func TestNoProgramHasTheSimulatedTEE(t *testing.T) {
	programs := goList(t, "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, "./...")
	programs = slices.DeleteFunc(programs, func(p string) bool { return p == "" })
	if !slices.Contains(programs, module+"tools/cmd/boardroom") {
		t.Fatalf("boardroom is not among the programs %v", programs)
	}
	for _, program := range programs {
		if slices.Contains(goList(t, "-deps", program), module+simulation) {
			t.Errorf("%s has the simulated TEE", program)
		}
	}
	// That the tag adds it to a program shows that the list above would name it.
	if !slices.Contains(goList(t, "-deps", "-tags", "simtee", "./tools/cmd/boardroom"), module+simulation) {
		t.Errorf("tag simtee does not add %s to boardroom", simulation)
	}
}

// TestSimulatedTEEIsTagged asks every file of the package for the tag, as the first thing it says.
func TestSimulatedTEEIsTagged(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, simulation, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found %d files of %s: %v", len(files), simulation, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(content), "\n")
		expr, err := constraint.Parse(first)
		if err != nil || expr.String() != "simtee" {
			t.Errorf("%s begins with %q, want the constraint simtee", file, first)
		}
	}
}

// TestSimulatedTEEDoesNotCompileWithoutTheTag imports the package as a careless program would.
func TestSimulatedTEEDoesNotCompileWithoutTheTag(t *testing.T) {
	for _, tagged := range []bool{false, true} {
		args := []string{"list", "-mod=readonly"}
		if tagged {
			args = append(args, "-tags", "simtee")
		}
		cmd := exec.Command("go", append(args, "./"+simulation)...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if tagged && err != nil {
			t.Errorf("with the tag: %v: %s", err, out)
		}
		if refused := strings.Contains(string(out), "build constraints exclude all Go files"); !tagged && (err == nil || !refused) {
			t.Errorf("without the tag: %v: %s, want that build constraints exclude all files", err, out)
		}
	}
}
