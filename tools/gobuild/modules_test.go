package gobuild

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/modtest"
)

// contentSum is the hash of the module's content in its go.sum lines.
func contentSum(p modtest.Module) string {
	return strings.Fields(p.Sums)[2]
}

// What happened to a module's folder after the go command unpacked it, only this package notices.
func TestTamperedModuleFolder(t *testing.T) {
	w := words(t)
	b := isolated(t, builder(t, source(t, nil), serveModules(t, w)))
	compile(t, b)
	folder := filepath.Join(b.cache, "modules", "example.test", "words@v1.0.0")
	original, err := os.ReadFile(filepath.Join(folder, "words.go"))
	if err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := os.RemoveAll(filepath.Join(folder, "extra.go")); err != nil {
			t.Fatal(err)
		}
		modtest.WriteFiles(t, folder, map[string]string{"words.go": string(original)})
	}
	seen := make(map[string]bool)
	for name, files := range map[string]map[string]string{
		"a changed file":  {"words.go": strings.Replace(string(original), "morning", "evening", 1)},
		"a file more":     {"extra.go": "package words\n"},
		"a file cut away": {"words.go": "package words\n\nfunc Greeting() string { return \"\" }\n"},
	} {
		t.Run(name, func(t *testing.T) {
			modtest.WriteFiles(t, folder, files)
			t.Cleanup(restore)
			_, err := b.Program(t.Context(), "cmd/hello")
			var refused *ModuleError
			if !errors.As(err, &refused) {
				t.Fatalf("error is %v, want a *ModuleError", err)
			}
			if refused.Path != w.Path || refused.Version != w.Version || refused.Expected != contentSum(w) {
				t.Errorf("error is %+v, want it to name %s@%s and expect %s", *refused, w.Path, w.Version, contentSum(w))
			}
			if !strings.HasPrefix(refused.Actual, "h1:") || refused.Actual == refused.Expected || seen[refused.Actual] {
				t.Errorf("actual hash is %s, want that of the changed folder", refused.Actual)
			}
			seen[refused.Actual] = true
			for _, want := range []string{"example.test/words@v1.0.0", refused.Expected, refused.Actual} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message is %q, want it to name %s", err, want)
				}
			}
		})
	}
	compile(t, b) // the folder is good again, so it was the change that was refused
}

// A proxy that serves other content than go.sum vouches for is refused by the go command; the message has to come through.
func TestTamperedModuleZip(t *testing.T) {
	good := words(t)
	evil := modtest.Publish(t, good.Path, good.Version, map[string]string{
		"go.mod": good.Mod, "words.go": "package words\n\nfunc Greeting() string { return \"evil\" }\n",
	})
	b := isolated(t, builder(t, source(t, nil), serveModules(t, evil)))
	_, err := b.Program(t.Context(), "cmd/hello")
	if err == nil {
		t.Fatal("the program was built")
	}
	for _, want := range []string{"example.test/words@v1.0.0", contentSum(good), contentSum(evil)} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message is %q, want it to name %s", err, want)
		}
	}
}

func TestUnvouchedModules(t *testing.T) {
	w := words(t)
	lines := strings.SplitAfter(w.Sums, "\n")
	replaced := map[string]string{
		"go.mod":         "module example.test/app\n\ngo 1.24\n\nrequire example.test/words v1.0.0\n\nreplace example.test/words => ./words\n",
		"words/go.mod":   w.Mod,
		"words/words.go": "package words\n\nfunc Greeting() string { return \"replaced\" }\n",
	}
	versioned := maps.Clone(replaced)
	versioned["go.mod"] = strings.Replace(replaced["go.mod"], "./words", "example.test/words v1.0.0", 1)
	tests := []struct {
		name  string
		edits map[string]string
		want  []string
	}{
		{"go.sum without the content's line", map[string]string{"go.sum": lines[1]}, []string{"example.test/words", "go.sum"}},
		{"no go.sum", map[string]string{"go.sum": ""}, []string{"example.test/words", "go.sum"}},
		{"go.sum with a short line", map[string]string{"go.sum": w.Sums + "example.test/words v1.0.1\n"}, []string{"go.sum"}},
		{"a replace directive", replaced, []string{"example.test/words@v1.0.0", "replaces it by ./words"}},
		{"a replace directive that names a module", versioned, []string{"example.test/words@v1.0.0", "replaces it by example.test/words"}},
	}
	proxy := serveModules(t, w)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := isolated(t, builder(t, source(t, tt.edits), proxy))
			program, err := b.Program(t.Context(), "cmd/hello")
			if err == nil {
				t.Fatalf("a program of %d bytes came out", len(program))
			}
			var noHash *RefusedError
			if refused := errors.As(err, &noHash); refused == (tt.name == "go.sum with a short line") {
				t.Errorf("error %v: is a refusal: %v", err, refused)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message is %q, want it to have %q", err, want)
				}
			}
		})
	}
}

func TestModuleVerify(t *testing.T) {
	w := words(t)
	dir := t.TempDir()
	modtest.WriteFiles(t, dir, map[string]string{"go.mod": w.Mod, "words.go": "package words\n\nfunc Greeting() string { return \"good morning\" }\n"})
	m := module{Path: w.Path, Version: w.Version, Dir: dir}
	sums := map[string]string{w.Path + "@" + w.Version: contentSum(w)}
	if err := m.verify(sums); err != nil {
		t.Errorf("a good folder: %v", err)
	}
	var noHash *RefusedError
	if err := m.verify(nil); !errors.Is(err, ErrNotInSum) || !errors.As(err, &noHash) || !strings.Contains(err.Error(), "example.test/words@v1.0.0") {
		t.Errorf("without a line in go.sum: error is %v, want ErrNotInSum and the module's name", err)
	}
	absent := m
	absent.Dir = filepath.Join(dir, "absent")
	var refused *ModuleError
	if err := absent.verify(sums); err == nil || errors.As(err, &refused) {
		t.Errorf("without the folder: error is %v, want a fault and no *ModuleError", err)
	}
}

func TestReadSums(t *testing.T) {
	const hash = "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM="
	tests := []struct {
		name, content string
		want          map[string]string
		err           string
	}{
		{"empty", "", nil, ""},
		{"blank lines", "\n\na v1 " + hash + "\n\n", map[string]string{"a@v1": hash}, ""},
		{"go.mod lines are left out", "a v1 " + hash + "\na v1/go.mod h1:x\n", map[string]string{"a@v1": hash}, ""},
		{"no line end", "a v1 " + hash, map[string]string{"a@v1": hash}, ""},
		{"two versions", "a v1 h1:1\na v2 h1:2\n", map[string]string{"a@v1": "h1:1", "a@v2": "h1:2"}, ""},
		{"two words", "a v1 h1:1\na v2\n", nil, `go.sum:2: expected module, version and hash, got "a v2"`},
		{"four words", "a v1 h1:1 h1:2\n", nil, "go.sum:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "go.sum")
			if err := os.WriteFile(file, []byte(tt.content), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := readSums(file)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error is %v, want %q in it", err, tt.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, tt.want) {
				t.Errorf("hashes are %v (%v), want %v", got, err, tt.want)
			}
		})
	}
	if got, err := readSums(filepath.Join(t.TempDir(), "absent")); err != nil || len(got) > 0 {
		t.Errorf("an absent file: hashes are %v (%v), want none", got, err)
	}
	if _, err := readSums(t.TempDir()); err == nil {
		t.Error("a folder in the file's place was read without an error")
	}
}

// FuzzReadSums: whatever the file holds, it is read or refused, and no hash is made up.
func FuzzReadSums(f *testing.F) {
	f.Add("a v1 h1:1\na v1/go.mod h1:2\n")
	f.Add("a v1\n")
	f.Add("\x00 \xff  \r\n/go.mod /go.mod /go.mod")
	file := filepath.Join(f.TempDir(), "go.sum")
	f.Fuzz(func(t *testing.T, content string) {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		sums, err := readSums(file)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "go.sum:") {
				t.Errorf("message is %q, want it to begin with file and line", err)
			}
			return
		}
		for id, hash := range sums {
			if !strings.Contains(content, hash) || hash == "" || !strings.Contains(id, "@") || strings.HasSuffix(id, "/go.mod") {
				t.Errorf("%q gave %q for %q", content, hash, id)
			}
		}
	})
}
