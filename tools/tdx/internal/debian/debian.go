package debian

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Suite is a release of Debian.
type Suite string

// The suites that packages are taken from.
const (
	Bookworm Suite = "bookworm"
	Trixie   Suite = "trixie"
	Forky    Suite = "forky"
)

// Unpack downloads a package, "name" or "name=version", and returns the folder it was unpacked to. Downloads are kept in the user's
// cache. The test is skipped where the package can not be had.
func Unpack(t testing.TB, suite Suite, pkg string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	root := filepath.Join(cache, "boardroom-test", string(suite))
	dir := filepath.Join(root, strings.ReplaceAll(pkg, "=", "_"))
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	options := aptOptions(t, root, suite)
	work, err := os.MkdirTemp(root, "download")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(work) })
	for _, args := range [][]string{append(options, "update"), append(options, "download", pkg)} {
		cmd := exec.CommandContext(t.Context(), "apt-get", args...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("package %s of %s: %v\n%s", pkg, suite, err, out)
		}
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("apt-get download %s left %d packages (%v)", pkg, len(debs), err)
	}
	unpacked := filepath.Join(work, "root")
	if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "-x", debs[0], unpacked).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	// Another process may have been faster; both have the same content.
	if err := os.Rename(unpacked, dir); err != nil {
		if _, statErr := os.Stat(dir); statErr != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// aptOptions gives apt its own lists, so that the suites of the system do not matter and nothing of it changes.
func aptOptions(t testing.TB, root string, suite Suite) []string {
	t.Helper()
	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	line := func(url, name string) string {
		return "deb [signed-by=" + keyring + "] " + url + " " + name + " main\n"
	}
	archive, security := mirrors(t)
	text := line(archive, string(suite))
	if suite != Forky && security != "" {
		text += line(security, string(suite)+"-security")
	}
	list := filepath.Join(root, "sources.list")
	if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{
		"-q", "-o", "Dir::State=" + filepath.Join(root, "state"), "-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache=" + filepath.Join(root, "cache"),
		"-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User=root",
	}
}

// mirrors returns where this machine's apt gets Debian and its security updates from. Which hosts those are is the machine's
// affair; all suites lie side by side on them.
func mirrors(t testing.TB) (archive, security string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)",
		"Created-By: Packages", "Component: main", "Origin: Debian").Output()
	if err != nil {
		t.Skipf("apt-get indextargets: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		uri, codename, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case strings.HasSuffix(codename, "-security"):
			security = uri
		case archive == "" && !strings.Contains(codename, "-"):
			archive = uri
		}
	}
	if archive == "" {
		t.Skip("apt has no Debian archive set up")
	}
	return archive, security
}
