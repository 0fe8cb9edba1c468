package gobuild

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/modtest"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

func TestProgram(t *testing.T) {
	b := isolated(t, builder(t, source(t, nil), serveModules(t, words(t))))
	program := compile(t, b)

	file := filepath.Join(t.TempDir(), "hello")
	if err := os.WriteFile(file, program, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(file).CombinedOutput()
	if err != nil || string(out) != "good morning\n" {
		t.Errorf("the program says %q (%v), want good morning", out, err)
	}
	binary, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	for _, segment := range binary.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Error("the program asks for a dynamic linker, want it static")
		}
	}
	if strings.Contains(string(program), b.root) || strings.Contains(string(program), b.cache) {
		t.Error("the program holds paths of the machine that built it")
	}
}

func TestToolchainIsTheSeed(t *testing.T) {
	b := builder(t, source(t, nil), "off")
	if want := filepath.Join(lab.cache, "seed", "go9.9.9"); b.Toolchain() != want {
		t.Errorf("toolchain is %s, want %s", b.Toolchain(), want)
	}
	pin, err := seed.ReadPin(filepath.Join(b.root, "nix", "seed.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := seed.Verify(b.Toolchain(), pin); err != nil {
		t.Error(err)
	}
}

// Two people with two folders and two caches build one program.
func TestSameBytesFromTwoDirectories(t *testing.T) {
	proxy := serveModules(t, words(t))
	first := isolated(t, builder(t, source(t, nil), proxy))
	second := isolated(t, builder(t, source(t, nil), proxy))
	if first.root == second.root || first.cache == second.cache {
		t.Fatal("the two builders are not two")
	}
	one, two := compile(t, first), compile(t, second)
	if !bytes.Equal(one, two) {
		t.Errorf("%s and %s gave different programs, of %d and %d bytes", first.root, second.root, len(one), len(two))
	}
	// The comparison means something only if it notices a change.
	changed := isolated(t, builder(t, source(t, map[string]string{"cmd/hello/more.go": "package main\n\nfunc init() { println() }\n"}), proxy))
	if bytes.Equal(one, compile(t, changed)) {
		t.Error("a changed program has the same bytes")
	}
}

func TestEnvironmentDoesNotReachTheCompiler(t *testing.T) {
	proxy := serveModules(t, words(t))
	want := compile(t, isolated(t, builder(t, source(t, nil), proxy)))

	dir := source(t, nil)
	modtest.WriteFiles(t, filepath.Dir(dir), map[string]string{
		"go.mod":  "module example.test/parent\n",
		"go.work": "go 1.24\n\nuse ./elsewhere\n",
	})
	for name, value := range map[string]string{
		"CGO_ENABLED":  "1",
		"CC":           "/nonexistent/cc",
		"GO111MODULE":  "off",
		"GOAMD64":      "v3",
		"GOARCH":       "arm64",
		"GOCACHE":      t.TempDir(),
		"GODEBUG":      "inittrace=1",
		"GOENV":        filepath.Join(dir, "absent"),
		"GOEXPERIMENT": "none",
		"GOFLAGS":      "-tags=evil -race -ldflags=-X=main.x=y",
		"GOMODCACHE":   t.TempDir(),
		"GOOS":         "windows",
		"GOTMPDIR":     t.TempDir(),
		"GOWORK":       filepath.Join(filepath.Dir(dir), "go.work"),
		"LC_ALL":       "tr_TR.UTF-8",
		"TZ":           "Asia/Kathmandu",
		"TMPDIR":       t.TempDir(),
		"PWD":          "/",
	} {
		t.Setenv(name, value)
	}
	t.Chdir(t.TempDir())
	if got := compile(t, isolated(t, builder(t, dir, proxy))); !bytes.Equal(got, want) {
		t.Errorf("in a hostile environment the program has %d other bytes, want the %d of a plain one", len(got), len(want))
	}
}

// Settings of the caller's that the go command can not work with must not stop it from telling the user's proxies.
func TestNewInAHostileEnvironment(t *testing.T) {
	dir := source(t, nil)
	builder(t, dir, "off") // the seed is there, so that New asks no other go command
	for name, value := range map[string]string{
		"GOROOT": "/nonexistent", "GOEXPERIMENT": "bogus", "GOFIPS140": "bogus", "GOFLAGS": "-bogus", "GOTOOLCHAIN": "go1.999", "GOWORK": "/nonexistent",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			t.Setenv("GOPROXY", "https://proxy.example.test")
			b, err := New(t.Context(), dir, lab.cache, nil)
			if err != nil {
				t.Fatalf("%s=%s: %v", name, value, err)
			}
			if b.proxies != "https://proxy.example.test" {
				t.Errorf("proxies are %q, want the user's", b.proxies)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	tests := []struct {
		name, pkg string
		edits     map[string]string
		want      []string
	}{
		{"an undefined name", "cmd/hello", map[string]string{"cmd/hello/main.go": "package main\n\nfunc main() { undefinedThing() }\n"},
			[]string{"build cmd/hello", "cmd/hello/main.go:3:15", "undefined: undefinedThing"}},
		{"a syntax error", "cmd/hello", map[string]string{"cmd/hello/main.go": "package main\n\nfunc main( {\n"},
			[]string{"cmd/hello", "main.go:3"}},
		{"no such folder", "cmd/absent", nil, []string{"cmd/absent"}},
		{"an import that nothing provides", "cmd/hello", map[string]string{"cmd/hello/main.go": "package main\n\nimport _ \"example.test/absent\"\n\nfunc main() {}\n"},
			[]string{"example.test/absent"}},
		{"go.mod asks for a newer Go", "cmd/hello", map[string]string{"go.mod": "module example.test/app\n\ngo 1.999\n\nrequire example.test/words v1.0.0\n"},
			[]string{"1.999"}},
	}
	proxy := serveModules(t, words(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := isolated(t, builder(t, source(t, tt.edits), proxy))
			program, err := b.Program(t.Context(), tt.pkg)
			if err == nil {
				t.Fatalf("a program of %d bytes came out", len(program))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message is %q, want it to have %q", err, want)
				}
			}
		})
	}
}

func TestProgramLeavesNothingBehind(t *testing.T) {
	b := isolated(t, builder(t, source(t, nil), serveModules(t, words(t))))
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	compile(t, b)
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("after the build the folder for temporary files holds %v (%v), want nothing", left, err)
	}
	if _, err := os.Stat(filepath.Join(b.root, "hello")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the build wrote a program into the source tree (%v)", err)
	}
}

func TestProgramCancelled(t *testing.T) {
	b := builder(t, source(t, nil), "off")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Program(ctx, "cmd/hello"); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled in it", err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := source(t, nil)
	builder(t, good, "off")
	tests := []struct {
		name  string
		edits map[string]string
		want  []string
	}{
		{"settings that are not JSON", map[string]string{SettingsFile: "args: none"}, []string{SettingsFile, "malformed JSON"}},
		{"a member of the settings that is unknown", map[string]string{SettingsFile: `{"args": [], "env": {}, "flags": []}`}, []string{SettingsFile, `"flags"`}},
		{"a variable that stands twice", map[string]string{SettingsFile: `{"args": ["-trimpath"], "env": {"GOOS": "linux", "GOOS": "js"}}`}, []string{SettingsFile, `"GOOS"`, "twice"}},
		{"a variable that is no text", map[string]string{SettingsFile: `{"args": ["-trimpath"], "env": {"CGO_ENABLED": 0}}`}, []string{SettingsFile, "string"}},
		{"settings without members", map[string]string{SettingsFile: `{}`}, []string{SettingsFile, "args"}},
		{"no settings", map[string]string{SettingsFile: ""}, []string{"build settings", "no such file"}},
		{"a pin that is not JSON", map[string]string{seed.PinFile: "go9.9.9"}, []string{"seed.json", "malformed JSON"}},
		{"a pin without a hash", map[string]string{seed.PinFile: `{"version": "go9.9.9"}`}, []string{"seed.json", "nar"}},
		{"no pin", map[string]string{seed.PinFile: ""}, []string{"seed pin", "no such file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(t.Context(), source(t, tt.edits), lab.cache, nil)
			if err == nil {
				t.Fatal("New took it without an error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message is %q, want it to have %q", err, want)
				}
			}
		})
	}
}

// Another toolchain under the seed's name is refused before anything is compiled with it.
func TestNewRefusesAnotherToolchain(t *testing.T) {
	cache := t.TempDir()
	modtest.WriteFiles(t, filepath.Join(cache, "seed", "go9.9.9", "bin"), map[string]string{"go": "#!/bin/sh\necho compiled\n"})
	_, err := New(t.Context(), source(t, nil), cache, nil)
	var mismatch *seed.MismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("error is %v, want a *seed.MismatchError", err)
	}
	if !strings.Contains(lab.pin, mismatch.Expected.String()) || mismatch.Actual == mismatch.Expected {
		t.Errorf("error is %v, want the pinned hash and another", err)
	}
}

// The settings of this repository are those that make builds the same everywhere.
func TestSettingsOfThisRepository(t *testing.T) {
	s, err := readSettings(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-trimpath", "-buildvcs=false", "-mod=readonly"} {
		if !strings.Contains(strings.Join(s.Args, "\n"), want) {
			t.Errorf("args are %q, want %s among them", s.Args, want)
		}
	}
	for name, want := range map[string]string{
		"CGO_ENABLED": "0", "GOOS": "linux", "GOARCH": "amd64", "GOAMD64": "v1", "GOENV": "off", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOEXPERIMENT": "",
	} {
		if got, ok := s.Env[name]; !ok || got != want {
			t.Errorf("env.%s is %q (there: %v), want %q", name, got, ok, want)
		}
	}
}

func compile(t *testing.T, b *Builder) []byte {
	t.Helper()
	program, err := b.Program(t.Context(), "cmd/hello")
	if err != nil {
		t.Fatal(err)
	}
	if len(program) == 0 {
		t.Fatal("the program is empty")
	}
	return program
}
