package disktest

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest/listing"
)

// Entries are a synthetic tree: sizes around those of blocks, holes, what does not compress, equal files, a folder with more entries
// than one header and one block of metadata hold, owners, setuid and sticky bits, devices, links, long names. It is the same in every
// run.
func Entries() []disk.Entry {
	const block = 128 << 10
	// Numbers of Knuth's MMIX generator: those of math/rand are another release's business.
	state := uint64(1)
	random := func() uint64 {
		state = state*6364136223846793005 + 1442695040888963407
		return state >> 33
	}
	noise := make([]byte, 3*block)
	for i := range noise {
		noise[i] = byte(random())
	}
	text := make([]byte, 0, 4*block)
	for i := 0; len(text) < 3*block+block/2; i++ {
		text = fmt.Appendf(text, "line %d of %d\n", i, random()%1000)
	}
	sparse := make([]byte, 5*block+77)
	copy(sparse[2*block:], "in the middle")
	var entries []disk.Entry
	add := func(e disk.Entry) { entries = append(entries, e) }
	file := func(path string, mode uint32, content []byte) {
		add(disk.Entry{Path: path, Mode: disk.File | mode, Size: int64(len(content)), Open: disk.Content(content)})
	}
	add(disk.Entry{Path: ".", Mode: disk.Folder | 0o755})
	add(disk.Entry{Path: "tmp", Mode: disk.Folder | 0o1777})
	add(disk.Entry{Path: "empty", Mode: disk.Folder | 0o700, UID: 1000, GID: 100})
	file("bin/su", 0o4755, text[:40000])
	file("bin/wall", 0o2755, text[:40001])
	for _, n := range []int{0, 1, block - 1, block, block + 1, 2 * block, 2*block + 5} {
		file(fmt.Sprintf("sizes/text-%07d", n), 0o644, text[:n])
		file(fmt.Sprintf("sizes/noise-%07d", n), 0o400, noise[len(noise)-n:])
	}
	file("sparse/all", 0o600, make([]byte, 3*block))
	file("sparse/short", 0o600, make([]byte, 100))
	file("sparse/middle", 0o644, sparse)
	file("sparse/end", 0o644, append(slices.Clone(text[:block]), make([]byte, block+1)...))
	file("equal/long", 0o644, text)
	file("equal/long-again", 0o755, text)
	file("equal/short", 0o644, text[:999])
	file("equal/short-again", 0o600, text[:999])
	file("equal/short-other", 0o600, text[1:1000])
	add(disk.Entry{Path: "owner/nobody", Mode: disk.File | 0o640, UID: 65534, GID: 4, Size: 3, Open: disk.Content([]byte("who"))})
	add(disk.Entry{Path: "owner", Mode: disk.Folder | 0o750, UID: 70000, GID: disk.MaxID})
	for i := range 4000 {
		file(fmt.Sprintf("large/%0*d-with-a-name-that-fills-it", 4+i%3, i), 0o644, text[i:i+i%64])
	}
	for i := range 300 {
		add(disk.Entry{Path: fmt.Sprintf("many/%03d/file", i), Mode: disk.File | 0o644, Size: 4, Open: disk.Content(fmt.Appendf(nil, "%04d", i))})
	}
	add(disk.Entry{Path: "links/relative", Mode: disk.Symlink | 0o777, Target: "../bin/su"})
	add(disk.Entry{Path: "links/absolute", Mode: disk.Symlink | 0o777, Target: "/bin/su"})
	add(disk.Entry{Path: "links/long", Mode: disk.Symlink | 0o777, Target: string(slices.Repeat([]byte("x/"), 2000))})
	name := string(slices.Repeat([]byte("n"), 255))
	file(name+"/"+name, 0o644, text[:10])
	file("a", 0o644, text[:5])
	file("a.b/c", 0o644, text[:6])
	file("a-b", 0o644, text[:7])
	file("sp ace/ü\n", 0o644, text[:8])
	add(disk.Entry{Path: "dev/fifo", Mode: disk.FIFO | 0o622})
	add(disk.Entry{Path: "dev/null", Mode: disk.Char | 0o666, Major: 1, Minor: 3})
	add(disk.Entry{Path: "dev/vda", Mode: disk.Block | 0o660, GID: 6, Major: 253, Minor: 0})
	add(disk.Entry{Path: "dev/high", Mode: disk.Block | 0o660, Major: 4095, Minor: 1<<20 - 1})
	return entries
}

// Tree makes a tree of entries.
func Tree(t testing.TB, entries []disk.Entry) *disk.Tree {
	t.Helper()
	tree, err := disk.NewTree(entries)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// Folder lists what is in a folder, as it is there.
func Folder(t testing.TB, root string) []disk.Entry {
	t.Helper()
	var entries []disk.Entry
	err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		e, err := listing.Entry(root, file)
		if err != nil {
			return err
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
