package acpi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// stored are the releases of which testdata has digests.
var stored = []machine.Version{{Major: 7, Minor: 2, Patch: 22}, {Major: 10, Minor: 0, Patch: 13}, {Major: 11, Minor: 1, Patch: 2}}

func digestsFile(v machine.Version) string {
	return filepath.Join("testdata", "shapes-"+v.String()+".txt")
}

// digestLine is the line of a shape in such a file: what it is of, then SHA-256 of etc/acpi/tables, etc/table-loader and etc/acpi/rsdp.
// What it is of are 8 bytes of SHA-256 of the shape in JSON, for a change of shapes to be told from one of tables.
func digestLine(m machine.Machine, tables, loader, rsdp []byte) (string, error) {
	shape, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	sum := func(b []byte) string {
		d := sha256.Sum256(b)
		return hex.EncodeToString(d[:])
	}
	return fmt.Sprintf("%.16s %s %s %s", sum(shape), sum(tables), sum(loader), sum(rsdp)), nil
}

func readDigests(t *testing.T, v machine.Version) []string {
	t.Helper()
	data, err := os.ReadFile(digestsFile(v))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != manyShapes {
		t.Fatalf("%s has %d lines, want %d", digestsFile(v), len(lines), manyShapes)
	}
	return lines
}

// TestShapes compares the tables of generated shapes with digests of those that QEMU itself made. TestAgainstQEMU writes the digests,
// and compares some of these shapes with a QEMU that it runs.
func TestShapes(t *testing.T) {
	for _, v := range stored {
		t.Run(v.String(), func(t *testing.T) {
			lines := readDigests(t, v)
			for i, m := range generated(v) {
				got, err := Build(m)
				if err != nil {
					t.Fatal(err)
				}
				line, err := digestLine(m, got.Tables, got.Loader, got.RSDP)
				if err != nil {
					t.Fatal(err)
				}
				g, w := strings.Fields(line), strings.Fields(lines[i])
				if len(w) != len(g) {
					t.Fatalf("line %d of %s: %q", i+1, digestsFile(v), lines[i])
				}
				if g[0] != w[0] {
					t.Fatalf("shape %d is another one than the digests are of; have TestAgainstQEMU write them anew with -update", i)
				}
				for k, name := range []string{fileTables, fileLoader, fileRSDP} {
					if g[1+k] != w[1+k] {
						t.Errorf("shape %d, %s: SHA-256 %s, QEMU's has %s\n%+v", i, name, g[1+k], w[1+k], m)
					}
				}
			}
		})
	}
}
