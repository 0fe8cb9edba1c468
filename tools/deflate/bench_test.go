package deflate

import (
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// strippedBinary is a stripped Go program, what most layers consist of.
func strippedBinary(b *testing.B) []byte {
	b.Helper()
	out := filepath.Join(b.TempDir(), "vet")
	cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "cmd/vet")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, msg)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// BenchmarkCompress compares with compress/gzip, which uses one core at any
// GOMAXPROCS. ratio% is output over input.
func BenchmarkCompress(b *testing.B) {
	src := strippedBinary(b)
	run := func(name string, cpus int, open func(io.Writer) io.WriteCloser) {
		b.Run(name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cpus))
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			var size counter
			for b.Loop() {
				size = 0
				w := open(&size)
				if _, err := w.Write(src); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(100*float64(size)/float64(len(src)), "ratio%")
		})
	}
	std := func(level int) func(io.Writer) io.WriteCloser {
		return func(w io.Writer) io.WriteCloser {
			z, err := gzip.NewWriterLevel(w, level)
			if err != nil {
				b.Fatal(err)
			}
			return z
		}
	}
	ours := func(w io.Writer) io.WriteCloser { return NewWriter(w) }
	run("gzip1", 1, std(gzip.BestSpeed))
	run("gzip6", 1, std(6))
	run("deflate-1cpu", 1, ours)
	run("deflate-2cpu", 2, ours)
}
