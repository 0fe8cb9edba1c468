//go:build acceptance

package verity_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/disk/verity"
)

func veritysetup(t testing.TB, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "veritysetup", args...).CombinedOutput()
	return string(out), err
}

var rootHash = regexp.MustCompile(`Root hash:\s+([0-9a-f]{64})`)

func format(t testing.TB, image string, size int, p verity.Parameters) string {
	t.Helper()
	salt := hex.EncodeToString(p.Salt)
	if salt == "" {
		salt = "-"
	}
	u := p.UUID
	out, err := veritysetup(t, "format", image, image, "--hash-offset="+strconv.Itoa(size), "--data-blocks="+strconv.Itoa(size/p.DataBlock),
		"--data-block-size="+strconv.Itoa(p.DataBlock), "--hash-block-size="+strconv.Itoa(p.HashBlock), "--salt="+salt,
		fmt.Sprintf("--uuid=%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]))
	root := rootHash.FindStringSubmatch(out)
	if err != nil || root == nil {
		t.Fatalf("veritysetup format: %v\n%s", err, out)
	}
	return root[1]
}

// TestVeritysetup formats with both, and wants equal bytes; and lets each verify.
func TestVeritysetup(t *testing.T) {
	for _, tt := range formatted {
		data := pattern(tt.blocks * 4096)
		theirs := filepath.Join(t.TempDir(), "theirs")
		if err := os.WriteFile(theirs, data, 0o600); err != nil {
			t.Fatal(err)
		}
		root := format(t, theirs, len(data), tt.p)
		if root != tt.root {
			t.Errorf("%s: root hash %s, want %s", tt.name, root, tt.root)
		}
		want, err := os.ReadFile(theirs)
		if err != nil {
			t.Fatal(err)
		}
		d := &device{data}
		if _, _, err := verity.Format(d, int64(len(data)), tt.p); err != nil {
			t.Fatal(err)
		}
		if string(d.b) != string(want) {
			t.Errorf("%s: our image of %d bytes is not theirs of %d", tt.name, len(d.b), len(want))
		}
		ours := filepath.Join(t.TempDir(), "ours")
		for _, change := range []int{-1, len(d.b) / 3} {
			if change >= 0 {
				d.b[change] ^= 1
			}
			if err := os.WriteFile(ours, d.b, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := veritysetup(t, "verify", ours, ours, root, "--hash-offset="+strconv.Itoa(tt.blocks*4096))
			if (err == nil) != (change < 0) {
				t.Errorf("%s: veritysetup verify with byte %d changed: %v\n%s", tt.name, change, err, out)
			}
		}
	}
}

// BenchmarkVeritysetup compares with Debian's tool; time% is ours of theirs. They take turns.
func BenchmarkVeritysetup(b *testing.B) {
	const size = 512 << 20
	image := filepath.Join(b.TempDir(), "image")
	if err := os.WriteFile(image, pattern(size), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		root := format(b, image, size, verity.Default())
		theirs += time.Since(start)
		start = time.Now()
		got, _, err := verity.Format(f, size, verity.Default())
		ours += time.Since(start)
		if err != nil || !strings.EqualFold(got.String(), root) {
			b.Fatalf("root hash %s (%v), want %s", got, err, root)
		}
	}
	b.ReportMetric(ours.Seconds()/float64(b.N), "ours-s")
	b.ReportMetric(theirs.Seconds()/float64(b.N), "theirs-s")
	b.ReportMetric(100*ours.Seconds()/theirs.Seconds(), "time%")
}
