package gpt_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
)

// device is a disk in memory.
type device []byte

func (d device) WriteAt(p []byte, at int64) (int, error) { return copy(d[at:], p), nil }

// tables are dstack's, and one with a name that needs surrogates.
var tables = []struct {
	name  string
	table gpt.Table
	sum   string
}{
	{"rootfs", gpt.Layout(guid("000000000000"), rootfs(5<<20+1)), "5a2b52634e1111de02c0ce5ce9644b91896af914d3119708dbe0fb0abd869487"},
	{"cloud", gpt.Layout(guid("000000000000"), gpt.Partition{Type: gpt.EFISystem, GUID: guid("000000000002"), Name: "EFI System Partition", Size: 34 << 20}, rootfs(1)), "47b9dba375f6e2275672d72368d2b360104c51e6fdcb5c9fe91f80a8b8112df1"},
	{"names", gpt.Layout(guid("00000000000a"), gpt.Partition{Type: gpt.EFISystem, GUID: guid("00000000000b"), Name: strings.Repeat("\U0001F512", 18), Size: 1}), "07a1d34890de222b5aa0d3a2e7acc7732d2e9c9d94eee4ceddc4539fa46c1328"},
}

func rootfs(size int64) gpt.Partition {
	return gpt.Partition{Type: gpt.LinuxFilesystem, GUID: guid("000000000001"), Name: "dstack-rootfs", Size: size}
}

func guid(end string) gpt.GUID { return gpt.MustGUID("d5acc000-0000-4000-8000-" + end) }

func write(t testing.TB, table gpt.Table) device {
	t.Helper()
	d := make(device, table.Size)
	if err := table.Write(d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWrite(t *testing.T) {
	for _, tt := range tables {
		d := write(t, tt.table)
		sum := sha256.Sum256(d)
		if got := hex.EncodeToString(sum[:]); got != tt.sum {
			t.Errorf("%s: SHA-256 %s, want %s", tt.name, got, tt.sum)
		}
		got, err := gpt.Read(bytes.NewReader(d), int64(len(d)))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got.GUID != tt.table.GUID || got.Size != tt.table.Size || len(got.Partitions) != len(tt.table.Partitions) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.table)
		}
		for i, p := range tt.table.Partitions {
			if got.Partitions[i] != p {
				t.Errorf("%s: got %+v, want %+v", tt.name, got.Partitions[i], p)
			}
		}
	}
}

// TestLayout has the numbers of section 1.5 of dstack's layout: sector 2048, whole MiB, one more at the end.
func TestLayout(t *testing.T) {
	table := tables[0].table
	if p := table.Partitions[0]; p.Offset != 2048*512 || p.Size != 6<<20 || table.Size != 8<<20 {
		t.Errorf("partition at %d of %d bytes on a disk of %d", p.Offset, p.Size, table.Size)
	}
}

// beginning keeps what is written to the first sector.
type beginning struct{ sector []byte }

func (b *beginning) WriteAt(p []byte, at int64) (int, error) {
	if at == 0 {
		b.sector = bytes.Clone(p[:512])
	}
	return len(p), nil
}

// TestLargeDisk has the MBR's places of the last sector as sgdisk 1.0.9 writes them, where cylinders and where 32 bits end.
func TestLargeDisk(t *testing.T) {
	for size, want := range map[int64]string{
		8422686720: "00000200eefeffff01000000ff03fb00",
		8422687232: "00000200eeffffff010000000004fb00",
		1 << 42:    "00000200eeffffff01000000ffffffff",
	} {
		var b beginning
		if err := (&gpt.Table{Size: size}).Write(&b); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b.sector[446:462]); got != want {
			t.Errorf("%d bytes: MBR %s, want %s", size, got, want)
		}
	}
}

func TestWriteRefused(t *testing.T) {
	good := gpt.Partition{Type: gpt.EFISystem, GUID: guid("000000000001"), Offset: 1 << 20, Size: 1 << 20}
	with := func(change func(*gpt.Partition)) gpt.Partition {
		p := good
		change(&p)
		return p
	}
	for name, table := range map[string]gpt.Table{
		"small disk":     {Size: 16 << 10},
		"odd disk":       {Size: 4<<20 + 1},
		"no type":        {Size: 4 << 20, Partitions: []gpt.Partition{with(func(p *gpt.Partition) { p.Type = gpt.GUID{} })}},
		"no GUID":        {Size: 4 << 20, Partitions: []gpt.Partition{with(func(p *gpt.Partition) { p.GUID = gpt.GUID{} })}},
		"long name":      {Size: 4 << 20, Partitions: []gpt.Partition{with(func(p *gpt.Partition) { p.Name = strings.Repeat("n", 37) })}},
		"name not UTF-8": {Size: 4 << 20, Partitions: []gpt.Partition{with(func(p *gpt.Partition) { p.Name = "\xFF" })}},
		"on the table":   {Size: 4 << 20, Partitions: []gpt.Partition{with(func(p *gpt.Partition) { p.Offset = 33 * 512 })}},
		"on the backup":  {Size: 4 << 20, Partitions: []gpt.Partition{with(func(p *gpt.Partition) { p.Size = 3<<20 - 32*512 })}},
		"past the disk":  {Size: 4 << 20, Partitions: []gpt.Partition{with(func(p *gpt.Partition) { p.Offset = 1 << 40 })}},
		"overflow":       {Size: 4 << 20, Partitions: []gpt.Partition{with(func(p *gpt.Partition) { p.Size = 1<<63 - 512 })}},
		"empty":          {Size: 4 << 20, Partitions: []gpt.Partition{with(func(p *gpt.Partition) { p.Size = 0 })}},
		"overlapping":    {Size: 4 << 20, Partitions: []gpt.Partition{good, with(func(p *gpt.Partition) { p.GUID, p.Offset = guid("000000000002"), 2<<20-512 })}},
		"equal GUIDs":    {Size: 4 << 20, Partitions: []gpt.Partition{good, with(func(p *gpt.Partition) { p.Offset = 2 << 20 })}},
		"too many":       {Size: 4 << 20, Partitions: make([]gpt.Partition, 129)},
	} {
		if err := table.Write(make(device, 0)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestEveryByte changes each byte of the MBR, the headers and the first entries, and some of the others, which are all zeros.
func TestEveryByte(t *testing.T) {
	d := write(t, tables[1].table)
	for at := range d {
		backup := len(d) - 33*512
		if at >= 34*512 && at < backup || (at >= 1536 && at < 34*512 || at >= backup+512 && at < len(d)-512) && at%61 != 0 {
			continue
		}
		d[at] ^= 4
		if _, err := gpt.Read(bytes.NewReader(d), int64(len(d))); !errors.Is(err, gpt.ErrTable) {
			t.Fatalf("byte %d: %v", at, err)
		}
		d[at] ^= 4
	}
	for _, size := range []int64{-1, 0, 512, int64(len(d)) - 512, int64(len(d)) + 512, 1<<63 - 1} {
		if _, err := gpt.Read(bytes.NewReader(d), size); err == nil {
			t.Errorf("size %d: no error", size)
		}
	}
}

func TestParseGUID(t *testing.T) {
	const text = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	g, err := gpt.ParseGUID(text)
	if err != nil || g.String() != text || g[0] != 0xAF || g[4] != 0x83 || g[6] != 0x72 || g[8] != 0x8E {
		t.Errorf("%s (% x): %v", g, g[:], err)
	}
	for _, bad := range []string{"", text[1:], text + "0", strings.ReplaceAll(text, "-", ""), "0fc63da-f8483-4772-8e79-3d69d8477de4", "xfc63daf-8483-4772-8e79-3d69d8477de4"} {
		if _, err := gpt.ParseGUID(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// FuzzRead puts entries behind a header that is right, because a fuzzer does not guess checksums.
func FuzzRead(f *testing.F) {
	table := gpt.Table{GUID: guid("000000000000"), Size: 128 << 10, Partitions: []gpt.Partition{
		{Type: gpt.EFISystem, GUID: guid("000000000001"), Name: "EFI System Partition", Offset: 17 << 10, Size: 512},
		{Type: gpt.LinuxFilesystem, GUID: guid("000000000002"), Name: "dstack-rootfs", Offset: 64 << 10, Size: 1024},
	}}
	good := write(f, table)
	f.Add([]byte(good[1024:][:256]))
	f.Fuzz(func(t *testing.T, entries []byte) {
		image := device(bytes.Clone(good))
		entries = append(bytes.Clone(entries), make([]byte, 128*128)...)[:128*128]
		end := len(image) - 512
		for _, at := range []struct{ header, entries int }{{512, 1024}, {end, end - 128*128}} {
			copy(image[at.entries:], entries)
			h := image[at.header:][:92]
			binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
			clear(h[16:20])
			binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		}
		got, err := gpt.Read(bytes.NewReader(image), int64(len(image)))
		if err != nil {
			return
		}
		again := make(device, len(image))
		if err := got.Write(again); err != nil || !bytes.Equal(again, image) {
			t.Errorf("what was read is not what is written: %v", err)
		}
	})
}
