package squashfs_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest/listing"
	"github.com/boardroom-tee/boardroom/tools/disk/squashfs"
)

const epoch = 1700000000

// device is a disk in memory.
type device struct{ b []byte }

func (d *device) WriteAt(p []byte, at int64) (int, error) {
	if end := at + int64(len(p)); end > int64(len(d.b)) {
		d.b = append(d.b, make([]byte, end-int64(len(d.b)))...)
	}
	return copy(d.b[at:], p), nil
}

func write(t testing.TB, entries []disk.Entry, o squashfs.Options) []byte {
	t.Helper()
	var d device
	size, err := squashfs.Write(&d, disktest.Tree(t, entries), o)
	if err != nil {
		t.Fatal(err)
	}
	if size != int64(len(d.b)) || size%4096 != 0 {
		t.Fatalf("size %d, expected a multiple of 4096 and the %d bytes that were written", size, len(d.b))
	}
	return d.b
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// golden are digests of images of the synthetic tree at Version 1.
var golden = []struct {
	options squashfs.Options
	sum     string
}{
	{squashfs.Options{Epoch: epoch}, "7129c59316024d0d63c9fc84bb11b4a54d365bf3335366cbfbe38f6f7f70b7ae"},
	{squashfs.Options{Epoch: epoch, Level: squashfs.Better}, "fa4ab3aad8a484a8698e1d14deb2f901340fdb69699c92984ee415df50d8aea7"},
	{squashfs.Options{Epoch: epoch, Level: squashfs.Fast}, "348e057e89d18a8d3c025e421d15a3d5b7affcde37fa81aa0f860a7f351e1b06"},
	{squashfs.Options{Epoch: epoch, Level: squashfs.Fast, BlockSize: 4 << 10}, "e1e2689fb8cfb708ac32ee547ad18e7d00c9b0d403da3a2cd10125171f80ca2e"},
	{squashfs.Options{Epoch: epoch + 1, Level: squashfs.Fast, BlockSize: 1 << 20}, "07f6626b60d53da48ee376c0f741909e32cec3ebb45a8ff70814cff9b4393c9d"},
}

func TestGolden(t *testing.T) {
	for i, tt := range golden {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			image := write(t, disktest.Entries(), tt.options)
			if got := sum(image); got != tt.sum {
				t.Errorf("%+v: SHA-256 %s, want %s at Version %d", tt.options, got, tt.sum, squashfs.Version)
			}
			tree := disktest.Tree(t, disktest.Entries())
			if diff := listing.Diff(listing.OfTree(read(t, image), tt.options.Epoch), listing.OfTree(tree, tt.options.Epoch)); diff != "" {
				t.Errorf("got (+), want (-):\n%s", diff)
			}
		})
	}
}

// TestDeterminism: neither the order of entries, nor the number of cores, nor how a content is cut into reads matters.
func TestDeterminism(t *testing.T) {
	o := golden[2]
	random := rand.New(rand.NewPCG(5, 6))
	for _, procs := range []int{1, 2, 8} {
		entries := disktest.Entries()
		random.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		for i := range entries {
			if open := entries[i].Open; open != nil {
				entries[i].Open = func() (io.ReadCloser, error) {
					r, err := open()
					return io.NopCloser(piecemeal{r}), err
				}
			}
		}
		old := runtime.GOMAXPROCS(procs)
		got := sum(write(t, entries, o.options))
		runtime.GOMAXPROCS(old)
		if got != o.sum {
			t.Errorf("%d cores: SHA-256 %s, want %s", procs, got, o.sum)
		}
	}
}

// piecemeal returns up to 1000 bytes at once.
type piecemeal struct{ io.Reader }

func (p piecemeal) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), 1000)]) }

// TestEqualFiles: equal files take room once, files that only have the same size do not share.
func TestEqualFiles(t *testing.T) {
	content := func(seed byte) []byte {
		b := make([]byte, 300<<10)
		random := rand.NewChaCha8([32]byte{seed})
		_, _ = random.Read(b)
		return b
	}
	file := func(name string, content []byte) disk.Entry {
		return disk.Entry{Path: name, Mode: disk.File | 0o644, Size: int64(len(content)), Open: disk.Content(content)}
	}
	one := len(write(t, []disk.Entry{file("a", content(1))}, squashfs.Options{}))
	two := len(write(t, []disk.Entry{file("a", content(1)), file("b", content(1))}, squashfs.Options{}))
	other := len(write(t, []disk.Entry{file("a", content(1)), file("b", content(2))}, squashfs.Options{}))
	if two != one || other < 2*one-8192 {
		t.Errorf("one file takes %d bytes, two equal ones %d, two different ones %d", one, two, other)
	}
}

func TestEmpty(t *testing.T) {
	image := write(t, nil, squashfs.Options{})
	if diff := listing.Diff(listing.OfTree(read(t, image), 0), listing.OfTree(disktest.Tree(t, nil), 0)); diff != "" || len(image) != 4096 {
		t.Errorf("%d bytes:\n%s", len(image), diff)
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, o := range map[string]squashfs.Options{
		"time before 1970":     {Epoch: -1},
		"time after 32 bits":   {Epoch: 1 << 32},
		"block of 2 KiB":       {BlockSize: 2 << 10},
		"block of 2 MiB":       {BlockSize: 2 << 20},
		"block of 100000":      {BlockSize: 100000},
		"negative block":       {BlockSize: -4096},
		"no such level":        {Level: 3},
		"no such level either": {Level: -1},
	} {
		if _, err := squashfs.Write(&device{}, disktest.Tree(t, nil), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestContent: content that is not what the entry says, or can not be read, or a device that can not be written to, ends in an error.
func TestContent(t *testing.T) {
	for _, size := range []int{0, 1, 1000, 128 << 10, 300 << 10} {
		for name, tt := range map[string]struct {
			entry disk.Entry
			want  error
		}{
			"longer":  {disk.Entry{Open: disk.Content(make([]byte, size+1))}, disk.ErrTree},
			"shorter": {disk.Entry{Open: disk.Content(make([]byte, max(size-1, 0)))}, disk.ErrTree},
			"broken":  {disk.Entry{Open: func() (io.ReadCloser, error) { return nil, os.ErrPermission }}, os.ErrPermission},
		} {
			if size == 0 && name == "shorter" {
				continue
			}
			e := tt.entry
			e.Path, e.Mode, e.Size = "file", disk.File|0o644, int64(size)
			for _, entries := range [][]disk.Entry{{e}, {e, {Path: "z", Mode: disk.File, Size: e.Size, Open: disk.Content(make([]byte, size))}}} {
				if _, err := squashfs.Write(&device{}, disktest.Tree(t, entries), squashfs.Options{}); !errors.Is(err, tt.want) {
					t.Errorf("%s than %d bytes: %v, want %v", name, size, err, tt.want)
				}
			}
		}
	}
}

type full struct{ room int64 }

func (f full) WriteAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > f.room {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestFullDevice(t *testing.T) {
	size := int64(len(write(t, disktest.Entries(), golden[2].options)))
	for _, room := range []int64{0, 100000, size / 2, size - 1} {
		if _, err := squashfs.Write(full{room}, disktest.Tree(t, disktest.Entries()), golden[2].options); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("room for %d of %d bytes: %v", room, size, err)
		}
	}
}

// TestManyOwners: the table of owners ends at 65535 of them.
func TestManyOwners(t *testing.T) {
	entries := make([]disk.Entry, 65535)
	for i := range entries {
		entries[i] = disk.Entry{Path: strconv.Itoa(i), Mode: disk.FIFO | 0o600, UID: uint32(i), GID: 0}
	}
	image := write(t, entries, squashfs.Options{Level: squashfs.Fast})
	tree := read(t, image)
	if !slices.EqualFunc(tree.Entries(), disktest.Tree(t, entries).Entries(), func(a, b disk.Entry) bool { return a.Path == b.Path && a.UID == b.UID && a.GID == b.GID }) {
		t.Error("owners are others")
	}
	entries[7].GID = 70000
	if _, err := squashfs.Write(&device{}, disktest.Tree(t, entries), squashfs.Options{}); err == nil {
		t.Error("65536 owners: no error")
	}
	if !bytes.Equal(image[:4], []byte("hsqs")) {
		t.Errorf("magic %q", image[:4])
	}
}
