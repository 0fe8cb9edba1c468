package seed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/seed"
)

// TestMain makes this test binary the stand-in for the go command where a test asks for that: see useSimgo.
func TestMain(m *testing.M) {
	if os.Getenv("SIMGO_LOG") == "" {
		os.Exit(m.Run())
	}
	if err := simgo(strings.Join(os.Args[1:], " ")); err != nil {
		fmt.Fprintln(os.Stderr, "simgo:", err)
		os.Exit(2)
	}
}

// simgo stands in for the go command. It knows the two questions that Obtain asks, and answers a download with a folder of the
// module cache that it was told to use, as the real one does.
func simgo(call string) error {
	if err := note(call); err != nil {
		return err
	}
	switch call {
	case "env GOROOT":
		fmt.Println(os.Getenv("SIMGO_GOROOT"))
		return nil
	case "mod download -json golang.org/toolchain@v0.0.1-go9.9.9.linux-amd64":
		return simDownload(filepath.Join(os.Getenv("GOMODCACHE"), "golang.org", "toolchain@v0.0.1-go9.9.9.linux-amd64"))
	}
	return fmt.Errorf("not understood: %s", call)
}

func note(line string) error {
	log, err := os.OpenFile(os.Getenv("SIMGO_LOG"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(log, line)
	return errors.Join(err, log.Close())
}

func simDownload(dir string) error {
	if err := note(fmt.Sprintf("GOTOOLCHAIN=%s GOFLAGS=%s GOWORK=%s", os.Getenv("GOTOOLCHAIN"), os.Getenv("GOFLAGS"), os.Getenv("GOWORK"))); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if failure := os.Getenv("SIMGO_FAILURE"); failure != "" {
		fmt.Printf("{\"Error\": %q}\n", failure)
		return errors.Join(errors.New("exit code 1"), os.WriteFile(dir+".partial", []byte("half\n"), 0o644))
	}
	if err := os.CopyFS(dir, os.DirFS(os.Getenv("SIMGO_MODULE"))); err != nil {
		return err
	}
	if answer := os.Getenv("SIMGO_ANSWER"); answer != "" {
		fmt.Println(answer)
		return nil
	}
	fmt.Printf("{\"Path\": \"golang.org/toolchain\", \"Dir\": %q, \"Sum\": %q}\n", dir, os.Getenv("SIMGO_SUM"))
	return nil
}

// useSimgo makes the go command of this test one that has the toolchain goroot and downloads module, and returns a function
// that tells the calls it got.
func useSimgo(t *testing.T, goroot, module string) func() []string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "go")); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for name, value := range map[string]string{
		"SIMGO_LOG": log, "SIMGO_GOROOT": goroot, "SIMGO_MODULE": module, "SIMGO_SUM": "h1:good", "SIMGO_FAILURE": "", "SIMGO_ANSWER": "",
	} {
		t.Setenv(name, value)
	}
	return func() []string {
		data, err := os.ReadFile(log)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(data)), "\n")
	}
}

// other is a toolchain that is not the seed.
func other(t *testing.T) string {
	t.Helper()
	dir := tarball(t)
	put(t, filepath.Join(dir, "VERSION"), "go9.9.8\n")
	return dir
}

// holds lists what lies in the seed folder of a cache.
func holds(t *testing.T, cache string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(cache, "seed"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func checkObtained(t *testing.T, cache, dir string, p seed.Pin) {
	t.Helper()
	if want := filepath.Join(cache, "seed", p.Version); dir != want {
		t.Errorf("the seed is at %s, want %s", dir, want)
	}
	if err := seed.Verify(dir, p); err != nil {
		t.Errorf("the tree that was obtained: %v", err)
	}
	if got := holds(t, cache); len(got) != 1 {
		t.Errorf("the cache holds %v, want the seed and nothing else", got)
	}
}

func TestObtainFromTheLocalToolchain(t *testing.T) {
	for name, goroot := range map[string]string{"tarball": tarball(t), "module": module(t)} {
		t.Run(name, func(t *testing.T) {
			calls := useSimgo(t, goroot, "")
			p, cache := pin(t), filepath.Join(t.TempDir(), "not", "yet", "there")
			var progress bytes.Buffer
			dir, err := seed.Obtain(t.Context(), p, cache, &progress)
			if err != nil {
				t.Fatal(err)
			}
			checkObtained(t, cache, dir, p)
			if got := calls(); len(got) != 1 {
				t.Errorf("go was called with %q, want one question for its GOROOT", got)
			}
			if strings.Contains(progress.String(), "fetching") {
				t.Errorf("progress is %q, but there was nothing to fetch", progress.String())
			}
		})
	}
}

func TestObtainFromTheModule(t *testing.T) {
	calls := useSimgo(t, other(t), module(t))
	p, cache := pin(t), t.TempDir()
	var progress bytes.Buffer
	dir, err := seed.Obtain(t.Context(), p, cache, &progress)
	if err != nil {
		t.Fatal(err)
	}
	checkObtained(t, cache, dir, p)
	// The flag lets the module cache be removed; the others keep the go command from becoming another.
	if got := strings.Join(calls(), "\n"); !strings.Contains(got, "GOTOOLCHAIN=local GOFLAGS=-modcacherw GOWORK=off") {
		t.Errorf("go was called with %q, want GOTOOLCHAIN=local GOFLAGS=-modcacherw GOWORK=off for the download", got)
	}
	for _, want := range []string{p.Version, p.Module.Path, p.Module.Version} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("progress is %q, want it to name %s", progress.String(), want)
		}
	}
}

func TestObtainUsesTheCachedTree(t *testing.T) {
	useSimgo(t, tarball(t), "")
	p, cache := pin(t), t.TempDir()
	first, err := seed.Obtain(t.Context(), p, cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", t.TempDir()) // no go command any more
	again, err := seed.Obtain(t.Context(), p, cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(again)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the second call made the tree anew")
	}
}

func TestObtainRefusesATamperedCache(t *testing.T) {
	p, cache := pin(t), t.TempDir()
	dir := filepath.Join(cache, "seed", p.Version)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := seed.Copy(tarball(t), dir); err != nil {
		t.Fatal(err)
	}
	const evil = "the compiler, with a present"
	put(t, filepath.Join(dir, "pkg", "tool", "linux_amd64", "compile"), evil)
	actual := sum(t, seed.Tree(dir))
	calls := useSimgo(t, tarball(t), module(t)) // a good toolchain is at hand, and must not paper over it

	got, err := seed.Obtain(t.Context(), p, cache, nil)
	var mismatch *seed.MismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("Obtain gave %q and %v, want a *MismatchError", got, err)
	}
	if mismatch.Expected.String() != p.NAR || mismatch.Actual != actual {
		t.Errorf("error is %v, want expected %s and actual %s", err, p.NAR, actual)
	}
	if content, err := os.ReadFile(filepath.Join(dir, "pkg", "tool", "linux_amd64", "compile")); err != nil || string(content) != evil {
		t.Errorf("the tampered file has %q (%v), want it left for inspection", content, err)
	}
	if got := calls(); got != nil {
		t.Errorf("go was called with %q, want no call", got)
	}
}

func TestObtainRefuses(t *testing.T) {
	changed := func(t *testing.T) string {
		dir := module(t)
		chmod(t, filepath.Join(dir, "bin", "go"), 0o644)
		put(t, filepath.Join(dir, "bin", "go"), "another go command")
		return dir
	}
	tests := []struct {
		name     string
		module   func(*testing.T) string
		env      map[string]string
		mismatch bool
		want     []string
	}{
		{"another sum", module, map[string]string{"SIMGO_SUM": "h1:evil"}, false, []string{"golang.org/toolchain@v0.0.1-go9.9.9.linux-amd64", "h1:good", "h1:evil"}},
		{"another tree", changed, nil, true, nil},
		{"an unreachable proxy", module, map[string]string{"SIMGO_FAILURE": "dial tcp 127.0.0.1:9: connection refused"}, false, []string{"go mod download", "127.0.0.1:9: connection refused"}},
		{"no answer", module, map[string]string{"SIMGO_ANSWER": "<html>"}, false, []string{"go mod download"}},
		{"an empty answer", module, map[string]string{"SIMGO_ANSWER": "{}"}, false, []string{"h1:good"}},
		{"an answer without the folder", module, map[string]string{"SIMGO_ANSWER": `{"Sum": "h1:good"}`}, false, []string{"toolchain"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			useSimgo(t, other(t), tt.module(t))
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			cache := t.TempDir()
			dir, err := seed.Obtain(t.Context(), pin(t), cache, nil)
			if err == nil {
				t.Fatalf("Obtain gave %s without an error", dir)
			}
			var mismatch *seed.MismatchError
			if errors.As(err, &mismatch) != tt.mismatch {
				t.Errorf("error is %v, want a *MismatchError: %v", err, tt.mismatch)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message is %q, want it to have %q", err, want)
				}
			}
			if got := holds(t, cache); len(got) > 0 {
				t.Errorf("the cache holds %v, want nothing left of the attempt", got)
			}
		})
	}
}

func TestObtainWithoutGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	cache := t.TempDir()
	if _, err := seed.Obtain(t.Context(), pin(t), cache, nil); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("error is %v, want exec.ErrNotFound in it", err)
	}
	if got := holds(t, cache); len(got) > 0 {
		t.Errorf("the cache holds %v, want nothing", got)
	}
}

func TestObtainCancelled(t *testing.T) {
	useSimgo(t, tarball(t), "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	cache := t.TempDir()
	if _, err := seed.Obtain(ctx, pin(t), cache, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled in it", err)
	}
	if got := holds(t, cache); len(got) > 0 {
		t.Errorf("the cache holds %v, want nothing", got)
	}
}

func TestObtainIntoNoFolder(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "file")
	put(t, cache, "in the way")
	dir, err := seed.Obtain(t.Context(), pin(t), cache, nil)
	var mismatch *seed.MismatchError
	if err == nil || errors.As(err, &mismatch) {
		t.Errorf("a cache that is a file: Obtain gave %q and %v, want a fault", dir, err)
	}
}

// Several builds may start at once on a machine that has no seed yet.
func TestObtainConcurrently(t *testing.T) {
	useSimgo(t, tarball(t), "")
	p, cache := pin(t), t.TempDir()
	const calls = 8
	var (
		start, done sync.WaitGroup
		dirs        [calls]string
		errs        [calls]error
	)
	start.Add(1)
	for i := range calls {
		done.Go(func() {
			start.Wait()
			dirs[i], errs[i] = seed.Obtain(t.Context(), p, cache, nil)
		})
	}
	start.Done()
	done.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		checkObtained(t, cache, dir, p)
	}
}

// What the caller's environment sets for the go command must not keep it from telling where it is.
func TestObtainInAHostileEnvironment(t *testing.T) {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"GOROOT": "/nonexistent", "GOEXPERIMENT": "bogus", "GOFIPS140": "bogus", "GOFLAGS": "-bogus", "GOTOOLCHAIN": "go9.9.9", "GOWORK": "/nonexistent",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			// A pin that nothing has, and no network: the question for GOROOT must be passed and the download must fail.
			t.Setenv("GOPROXY", "off")
			p := pin(t)
			var progress bytes.Buffer
			if _, err := seed.Obtain(t.Context(), p, t.TempDir(), &progress); err == nil || !strings.Contains(fmt.Sprint(err), "go mod download") {
				t.Errorf("%s=%s for %s: error is %v, want that of the download", name, value, goCommand, err)
			}
		})
	}
}
