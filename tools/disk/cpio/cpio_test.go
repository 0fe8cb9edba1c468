package cpio_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/cpio"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest/listing"
)

const epoch = 1700000000

func write(t testing.TB, f func(io.Writer, *disk.Tree, int64) error, entries []disk.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b, disktest.Tree(t, entries), epoch); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read reads an archive back, by buffer-format.rst of Linux: fields of eight hexadecimal digits, names and contents padded to four.
func read(t *testing.T, b []byte) *disk.Tree {
	t.Helper()
	if len(b)%512 != 0 {
		t.Errorf("%d bytes, expected a multiple of 512", len(b))
	}
	var entries []disk.Entry
	for number, at := 1, 0; ; number++ {
		field := func(i int) uint32 {
			n, err := strconv.ParseUint(string(b[at+6+8*i:][:8]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return uint32(n)
		}
		if string(b[at:][:6]) != "070701" {
			t.Fatalf("entry %d: magic %q", number, b[at:][:6])
		}
		size, length := int(field(6)), int(field(11))
		name := string(b[at+110:][:length])
		begin := (at + 110 + length + 3) &^ 3
		content := b[begin:][:size]
		e := disk.Entry{Path: strings.TrimSuffix(name, "\x00"), Mode: field(1), UID: field(2), GID: field(3), Major: field(9), Minor: field(10)}
		if e.Path == "TRAILER!!!" {
			if len(bytes.Trim(b[begin:], "\x00")) > 0 {
				t.Error("something stands behind the end")
			}
			break
		}
		if field(0) != uint32(number) || field(5) != epoch || strings.Count(name, "\x00") != 1 {
			t.Errorf("%q: inode %d, time %d", name, field(0), field(5))
		}
		switch e.Type() {
		case disk.File:
			e.Size, e.Open = int64(size), disk.Content(content)
		case disk.Symlink:
			e.Target = string(content)
		}
		entries = append(entries, e)
		at = (begin + size + 3) &^ 3
	}
	return disktest.Tree(t, entries)
}

// owned is what is left of entries: everything belongs to root.
func owned() []disk.Entry {
	entries := disktest.Entries()
	for i := range entries {
		entries[i].UID, entries[i].GID = 0, 0
	}
	return entries
}

func TestWrite(t *testing.T) {
	got := write(t, cpio.Write, disktest.Entries())
	if diff := listing.Diff(listing.OfTree(read(t, got), epoch), listing.OfTree(disktest.Tree(t, owned()), epoch)); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
}

func TestGzip(t *testing.T) {
	const want = "a9fd28988869278698753861fd4672950b3996997c44c778473c315856d02337"
	plain := write(t, cpio.Write, disktest.Entries())
	for _, procs := range []int{1, 8} {
		entries := disktest.Entries()
		rand.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		old := runtime.GOMAXPROCS(procs)
		packed := write(t, cpio.Gzip, entries)
		runtime.GOMAXPROCS(old)
		sum := sha256.Sum256(packed)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%d cores: SHA-256 %s, want %s", procs, got, want)
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("unpacked are %d other bytes than %d (%v)", len(got), len(plain), err)
		}
	}
}

type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestRefused(t *testing.T) {
	file := func(size int64, content string) disk.Entry {
		return disk.Entry{Path: "file", Mode: disk.File, Size: size, Open: disk.Content([]byte(content))}
	}
	for name, tt := range map[string]struct {
		entry disk.Entry
		epoch int64
		room  int
		want  error
	}{
		"time before 1970":   {file(0, ""), -1, 1 << 20, nil},
		"time after 32 bits": {file(0, ""), 1 << 32, 1 << 20, nil},
		"4 GiB":              {file(1<<32, ""), 0, 1 << 20, nil},
		"longer":             {file(2, "123"), 0, 1 << 20, disk.ErrTree},
		"shorter":            {file(2, "1"), 0, 1 << 20, disk.ErrTree},
		"no room":            {file(2, "12"), 0, 0, io.ErrShortWrite},
		"no room for files":  {file(2, "12"), 0, 240, io.ErrShortWrite},
		"no room for end":    {file(2, "12"), 0, 400, io.ErrShortWrite},
	} {
		err := cpio.Write(&full{tt.room}, disktest.Tree(t, []disk.Entry{tt.entry}), tt.epoch)
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}
