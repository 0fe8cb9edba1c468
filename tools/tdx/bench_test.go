package tdx

import (
	"crypto/sha512"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// benchInputs has a firmware of 4 MiB, a kernel of 12 MiB and an initrd of 20 MiB.
func benchInputs(b *testing.B) Inputs {
	b.Helper()
	noise := func(n int) []byte {
		r := rand.New(rand.NewPCG(1, uint64(n)))
		data := make([]byte, n)
		for i := 0; i+8 <= n; i += 8 {
			binary.LittleEndian.PutUint64(data[i:], r.Uint64())
		}
		return data
	}
	kernel := append(testKernel("6.12.0"), noise(12<<20)...)
	binary.LittleEndian.PutUint32(kernel[0x108:], uint32(len(kernel)-0x1000))
	vars := fwtest.Read(b, "testdata/firmware/OVMF_VARS_4M.fd.gz")
	return Inputs{
		Firmware: fwtest.Image(vars, noise(4<<20-len(vars)-0x1000), fwtest.X64), Profile: releaseProfile(b, 202502), PageOrder: tdvf.OnePass,
		QEMU: qemuVersion(9, 1, 0), Memory: 2 << 30, ACPI: blobs(b, "testdata/dstack"),
		Direct: &DirectBoot{Kernel: kernel, Initrd: noise(20 << 20), HasInitrd: true, Cmdline: "console=ttyS0"},
	}
}

// BenchmarkPredict and BenchmarkSHA384 are to be compared: the prediction should not take more than 1.5 times as long as hashing its
// inputs.
func BenchmarkPredict(b *testing.B) {
	in := benchInputs(b)
	b.SetBytes(int64(len(in.Firmware) + len(in.Direct.Kernel) + len(in.Direct.Initrd)))
	for b.Loop() {
		if _, err := Predict(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSHA384(b *testing.B) {
	in := benchInputs(b)
	b.SetBytes(int64(len(in.Firmware) + len(in.Direct.Kernel) + len(in.Direct.Initrd)))
	for b.Loop() {
		h := sha512.New384()
		h.Write(in.Firmware)
		h.Write(in.Direct.Kernel)
		h.Write(in.Direct.Initrd)
		h.Sum(nil)
	}
}
