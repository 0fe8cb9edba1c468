package release

import (
	"bufio"
	"bytes"
	"crypto/sha1" // the name of an object, which git chose
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// answer is what git cat-file says about one object of a kind, under its right name.
func answer(kind string, data []byte) (name string, out []byte) {
	sum := sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", kind, len(data)), data...))
	name = hex.EncodeToString(sum[:])
	return name, append(append(fmt.Appendf(nil, "%s %s %d\n", name, kind, len(data)), data...), '\n')
}

// FuzzTree: a tree of any bytes writes nothing outside of its folder, and no link.
func FuzzTree(f *testing.F) {
	blob, content := answer("blob", []byte("content"))
	object, err := hex.DecodeString(blob)
	if err != nil {
		f.Fatal(err)
	}
	for _, entry := range []string{"100644 file", "100755 run", "120000 link", "160000 module", "40000 folder", "100644 ..", "100644 ../x", "100644 .git", "100644 ", "file", "777 x"} {
		f.Add(append(append([]byte(entry), 0), object...))
	}
	f.Add([]byte("100644 file\x00short"))
	f.Fuzz(func(t *testing.T, tree []byte) {
		name, out := answer("tree", tree)
		for range 4 {
			out = append(out, content...)
		}
		work := t.TempDir()
		to := filepath.Join(work, "tree")
		if err := os.Mkdir(to, 0o755); err != nil {
			t.Fatal(err)
		}
		e := &exporter{dir: "repository", in: io.Discard, out: bufio.NewReader(bytes.NewReader(out))}
		err := e.tree(name, to, 0)
		entries, readErr := os.ReadDir(work)
		if readErr != nil || len(entries) != 1 {
			t.Fatalf("got %v beside the tree, %v", entries, readErr)
		}
		written, readErr := os.ReadDir(to)
		if readErr != nil {
			t.Fatal(readErr)
		}
		for _, w := range written {
			if !w.IsDir() && !w.Type().IsRegular() {
				t.Fatalf("%s is %s", w.Name(), w.Type())
			}
		}
		if err == nil && len(tree) > 0 && len(written) == 0 {
			t.Fatal("nothing was written, and nothing said")
		}
	})
}

// FuzzRevision: what is read of a commit is complete.
func FuzzRevision(f *testing.F) {
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <b> 1 +0000\ncommitter a <b> 1763640000 +0100\n\nmessage\n"))
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ncommitter > 1 > 99999999999999 +0000\n\n"))
	f.Add([]byte("\n\ntree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ncommitter a <b> 1 +0000\n"))
	f.Fuzz(func(t *testing.T, commit []byte) {
		name, out := answer("commit", commit)
		e := &exporter{dir: "repository", in: io.Discard, out: bufio.NewReader(bytes.NewReader(out))}
		r, err := e.revision(name)
		if err == nil && (r.Commit != name || len(r.Tree) != len(name) || r.Time.IsZero() || r.Time.Year() > 9999) {
			t.Fatalf("got %+v", r)
		}
	})
}

// FuzzParseMachines: what is taken makes machines of every size.
func FuzzParseMachines(f *testing.F) {
	f.Add([]byte(`{"hosts":[{"name":"a","qemu_version":"9.2.1"}],"sizes":[{"vcpus":2,"memory_mb":4096}]}`))
	f.Add([]byte(`{"hosts":[{"name":"a","qemu_version":"8.2.2","num_gpus":2,"hugepages":true,"processor":{"signature":1,"features":2}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMachines(data)
		if err != nil {
			return
		}
		shapes, err := m.shapes()
		if err != nil || len(shapes) != len(m.Hosts)*len(m.Sizes) && len(m.Sizes) < 2 {
			t.Fatalf("got %d machines of %d hosts and %d sizes, %v", len(shapes), len(m.Hosts), len(m.Sizes), err)
		}
	})
}
