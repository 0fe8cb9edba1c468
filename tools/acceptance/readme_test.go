//go:build acceptance

package acceptance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeShowsRealOutput holds the README to what this machine makes. It was written on another one, so this also compares
// the two: where the digest differs and the agent's sources do not, the build is not reproducible.
func TestReadmeShowsRealOutput(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(source, "README.md"))
	check(t, err)
	tree := nixClone(t)
	layout := nixBuild(t, tree, "finance-agent")
	printed := at{}.must(t, outPath(t, tree, "finance-agent.assembler")+"/bin/assemble", "-describe", layout)
	for line := range strings.Lines(printed) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "at ") && !strings.Contains(string(readme), line) {
			t.Errorf("README.md does not show %q; if the agent, its definition or the CA bundle changed, put in what make finance-agent prints", line)
		}
	}
}
