//go:build acceptance

package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// agents are the images that the repository promises.
var agents = []string{"hub", "finance-agent", "marketing-agent", "sales-agent", "ceo-agent"}

var (
	// scratch is for everybody to read, so that another user can build in it.
	scratch string
	// source is the copy of the tree under test that all others are made from.
	source string
	// boardroom and clockshift are the programs of that tree.
	boardroom, clockshift string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "acceptance:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if scratch, err = os.MkdirTemp("", "boardroom-acceptance-"); err != nil {
		return 0, err
	}
	defer func() {
		if removed := os.RemoveAll(scratch); err == nil {
			err = removed
		}
	}()
	if err := os.Chmod(scratch, 0o755); err != nil {
		return 0, err
	}
	source = filepath.Join(scratch, "source")
	if err := copySource(filepath.Join("..", ".."), source); err != nil {
		return 0, err
	}
	if boardroom, err = compile("./tools/cmd/boardroom"); err != nil {
		return 0, err
	}
	if clockshift, err = compile("./tools/acceptance/clockshift"); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// compile builds a program of the tree under test with the go command of the machine.
func compile(pkg string) (string, error) {
	binary := filepath.Join(scratch, "bin", filepath.Base(pkg))
	cmd := exec.CommandContext(context.Background(), "go", "build", "-buildvcs=false", "-o", binary, pkg)
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return binary, nil
}
