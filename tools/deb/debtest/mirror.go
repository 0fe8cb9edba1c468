package debtest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Mirror returns the URL of a mirror: the one that DEBIAN_MIRROR names, or the one that this machine's apt uses. Which host that is
// is the machine's affair. Without any the test is skipped.
func Mirror(t testing.TB) string {
	t.Helper()
	if url := os.Getenv("DEBIAN_MIRROR"); url != "" {
		return url
	}
	out, err := exec.CommandContext(t.Context(), "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main", "Origin: Debian").Output()
	if err != nil {
		t.Skipf("apt-get indextargets: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if url := strings.TrimRight(strings.TrimSpace(line), "/"); strings.HasSuffix(url, "/debian") {
			return url
		}
	}
	t.Skip("apt has no mirror of Debian set up")
	return ""
}
