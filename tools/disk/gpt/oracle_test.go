//go:build acceptance

package gpt_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
)

// TestSgdisk makes the same tables with sgdisk, as dstack does, and wants equal bytes; then it has sgdisk verify ours.
func TestSgdisk(t *testing.T) {
	for _, tt := range tables {
		theirs := filepath.Join(t.TempDir(), "theirs")
		if err := os.WriteFile(theirs, make([]byte, tt.table.Size), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"--clear", "--disk-guid=" + tt.table.GUID.String(), "--set-alignment=2048"}
		for i, p := range tt.table.Partitions {
			code := "8300"
			if p.Type == gpt.EFISystem {
				code = "ef00"
			}
			args = append(args, fmt.Sprintf("--new=%d:%d:%d", i+1, p.Offset/512, (p.Offset+p.Size)/512-1), fmt.Sprintf("--typecode=%d:%s", i+1, code),
				fmt.Sprintf("--change-name=%d:%s", i+1, p.Name), fmt.Sprintf("--partition-guid=%d:%s", i+1, p.GUID))
		}
		sgdisk(t, append(args, theirs)...)
		want, err := os.ReadFile(theirs)
		if err != nil {
			t.Fatal(err)
		}
		d := write(t, tt.table)
		if !bytes.Equal(d, want) {
			for at := range d {
				if d[at] != want[at] {
					t.Errorf("%s: byte %d is %#x, sgdisk has %#x", tt.name, at, d[at], want[at])
					break
				}
			}
		}
		ours := filepath.Join(t.TempDir(), "ours")
		if err := os.WriteFile(ours, d, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := sgdisk(t, "--verify", ours); !bytes.Contains(out, []byte("No problems found")) {
			t.Errorf("%s: %s", tt.name, out)
		}
	}
}

func sgdisk(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sgdisk", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sgdisk %q: %v\n%s", args, err, out)
	}
	return out
}
