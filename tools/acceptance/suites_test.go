//go:build acceptance

package acceptance

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestOtherVersionsOfNix evaluates and rebuilds with the nix of newer Debian suites what this machine's nix built. A store path
// is a hash of everything that goes into a build, so equal paths mean that the versions agree on every input; --rebuild compares
// the bytes. The machine's own nix is covered by every other test.
func TestOtherVersionsOfNix(t *testing.T) {
	need(t, "apt-get", "unshare")
	tree := nixClone(t)
	want := nixBuild(t, tree, "finance-agent")
	script, err := filepath.Abs("nix-in-suite.sh")
	check(t, err)
	for _, suite := range []struct{ name, version string }{{"trixie", "2.26."}, {"forky", "2.3"}} {
		t.Run(suite.name, func(t *testing.T) {
			// Git refuses a checkout of another user, and inside the chroot HOME has no settings of this one's.
			there := at{dir: tree, env: []string{"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}}
			call := func(words ...string) string {
				return there.must(t, append([]string{script, suite.name, filepath.Join(scratch, suite.name)}, words...)...)
			}
			if version := call("nix", "--version"); !strings.Contains(version, suite.version) {
				t.Errorf("%s has %s, want %s", suite.name, version, suite.version)
			}
			if got := call("nix", "eval", "--raw", ".#finance-agent.outPath"); got != want {
				t.Errorf("the image's store path is %s, this machine's nix says %s", got, want)
			}
			call("nix", "build", "--no-link", "--rebuild", ".#finance-agent", ".#finance-agent.program")
			call("nix", "flake", "show")
		})
	}
}
