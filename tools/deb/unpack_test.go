package deb_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
)

// unpack reads package files as one tree; the files are locked as what they are.
func unpack(t testing.TB, filter deb.Filter, limits deb.Limits, files map[string][]byte) (*deb.Tree, error) {
	t.Helper()
	dir := t.TempDir()
	lock := &deb.Lock{Architecture: "amd64", Files: filter}
	for _, name := range slices.Sorted(mapKeys(files)) {
		data := files[name]
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		lock.Packages = append(lock.Packages, deb.LockedPackage{Name: name, Version: "1", Architecture: "amd64", Size: int64(len(data)), SHA256: sha256.Sum256(data)})
	}
	tree, err := deb.Unpack(context.Background(), lock, func(p deb.LockedPackage) string { return filepath.Join(dir, p.Name) }, deb.Options{Limits: limits, Spool: t.TempDir()})
	if err == nil {
		t.Cleanup(func() { _ = tree.Close() })
	}
	return tree, err
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func pkg(name string, entries ...debtest.Entry) []byte {
	return debtest.Package{Name: name, Version: "1", Entries: entries}.Bytes()
}

// listing is a tree in words, with the content of files.
func listing(t testing.TB, tree *deb.Tree) string {
	t.Helper()
	var b strings.Builder
	for _, e := range tree.Entries() {
		fmt.Fprintf(&b, "%s %c %04o %d:%d", e.Path, e.Type, e.Mode, e.UID, e.GID)
		switch e.Type {
		case deb.File:
			content, err := io.ReadAll(tree.Open(e))
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha256.Sum256(content); e.SHA256 != sum || e.Size != int64(len(content)) {
				t.Errorf("%s: content is not that of its digest", e.Path)
			}
			fmt.Fprintf(&b, " %q", content)
		case deb.Symlink:
			fmt.Fprintf(&b, " -> %s", e.Target)
		}
		fmt.Fprintf(&b, " %s\n", e.Package)
	}
	return b.String()
}

func owned(e debtest.Entry, uid, gid int, mode int64) debtest.Entry {
	e.Uid, e.Gid, e.Mode = uid, gid, mode
	return e
}

func TestUnpack(t *testing.T) {
	tree, err := unpack(t, deb.Filter{}, deb.Limits{}, map[string][]byte{
		"aa": pkg("aa", debtest.Folder("./"), debtest.Folder("./usr/"), debtest.Folder("./usr/bin/"), owned(debtest.File("./usr/bin/su", "su"), 0, 42, 0o4755),
			debtest.Link("./usr/bin/sh", "su"), debtest.Hard("./usr/bin/sudo", "./usr/bin/su"), debtest.Link("./usr/bin/null", "/dev/null"),
			debtest.File("./usr/bin/empty", "")),
		"bb": pkg("bb", debtest.Folder("./"), debtest.Folder("./bin/"), debtest.File("./bin/ls", "ls"), debtest.Folder("./lib/"), debtest.Folder("./lib/x/"),
			debtest.File("./lib/x/"+strings.Repeat("n", 200), "long name"), debtest.Folder("./usr/"), debtest.Folder("./usr/bin/"), owned(debtest.Folder("./tmp/"), 0, 0, 0o1777),
			debtest.Link("./sbin", "usr/sbin"), debtest.Folder("./usr/sbin/"), debtest.File("etc/no-dot", "x")),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `. d 0755 0:0 aa
bin l 0777 0:0 -> usr/bin ` + `
etc d 0755 0:0 ` + `
etc/no-dot f 0644 0:0 "x" bb
lib l 0777 0:0 -> usr/lib ` + `
sbin l 0777 0:0 -> usr/sbin bb
tmp d 1777 0:0 bb
usr d 0755 0:0 aa
usr/bin d 0755 0:0 aa
usr/bin/empty f 0644 0:0 "" aa
usr/bin/ls f 0644 0:0 "ls" bb
usr/bin/null l 0777 0:0 -> /dev/null aa
usr/bin/sh l 0777 0:0 -> su aa
usr/bin/su f 4755 0:42 "su" aa
usr/bin/sudo f 4755 0:42 "su" aa
usr/lib d 0755 0:0 bb
usr/lib/x d 0755 0:0 bb
usr/lib/x/` + strings.Repeat("n", 200) + ` f 0644 0:0 "long name" bb
usr/sbin d 0755 0:0 bb
`
	if got := listing(t, tree); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if e, found := tree.Find("usr/bin/su"); !found || e.Mode != 0o4755 {
		t.Errorf("got %+v, %t", e, found)
	}
	if e, found := tree.Find("."); !found || e.Type != deb.Folder {
		t.Errorf("got %+v, %t", e, found)
	}
	if _, found := tree.Find("usr/bin/s"); found {
		t.Error("found what is not there")
	}
	if got := tree.Size(); got != 16 {
		t.Errorf("size is %d, want 16", got)
	}

	dir := filepath.Join(t.TempDir(), "out")
	if err := tree.Write(dir); err != nil {
		t.Fatal(err)
	}
	written := map[string]string{}
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(dir, name)
		written[rel] = info.Mode().String()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(written) != len(tree.Entries()) {
		t.Errorf("wrote %d entries, want %d", len(written), len(tree.Entries()))
	}
	// No setuid bit for who is not the owner.
	for name, mode := range map[string]string{"usr/bin/su": "-rwxr-xr-x", "tmp": "dtrwxrwxrwx", "usr/bin/sh": "Lrwxrwxrwx", "usr/bin/empty": "-rw-r--r--"} {
		if written[name] != mode {
			t.Errorf("%s: mode is %s, want %s", name, written[name], mode)
		}
	}
	if content, err := os.ReadFile(filepath.Join(dir, "bin", "sudo")); err != nil || string(content) != "su" {
		t.Errorf("got %q, %v", content, err)
	}
	if err := tree.Write(dir); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("written twice: got %v", err)
	}
}

// The digest covers everything that an image could differ in, and nothing else.
func TestTreeDigest(t *testing.T) {
	base := []debtest.Entry{debtest.Folder("./"), debtest.File("./a", "x"), debtest.Link("./b", "a")}
	digest := func(name string, entries ...debtest.Entry) deb.Digest {
		tree, err := unpack(t, deb.Filter{}, deb.Limits{}, map[string][]byte{name: pkg(name, entries...)})
		if err != nil {
			t.Fatal(err)
		}
		return tree.Digest()
	}
	first := digest("aa", base...)
	if first != digest("bb", debtest.Folder("./"), debtest.Link("./b", "a"), debtest.File("./a", "x")) {
		t.Error("order and package name change the digest")
	}
	for name, entries := range map[string][]debtest.Entry{
		"content": {base[0], debtest.File("./a", "y"), base[2]},
		"name":    {base[0], debtest.File("./c", "x"), base[2]},
		"mode":    {base[0], owned(base[1], 0, 0, 0o600), base[2]},
		"owner":   {base[0], owned(base[1], 1, 0, 0o644), base[2]},
		"group":   {base[0], owned(base[1], 0, 1, 0o644), base[2]},
		"target":  {base[0], base[1], debtest.Link("./b", "c")},
		"type":    {base[0], base[1], debtest.File("./b", "a")},
		"more":    append(slices.Clone(base), debtest.Folder("./c/")),
		"root":    {owned(base[0], 0, 0, 0o700), base[1], base[2]},
	} {
		if digest("aa", entries...) == first {
			t.Errorf("another %s has the same digest", name)
		}
	}
}

func TestFilter(t *testing.T) {
	entries := []debtest.Entry{
		debtest.Folder("./"), debtest.Folder("./usr/"), debtest.Folder("./usr/share/"), owned(debtest.Folder("./usr/share/doc/"), 0, 0, 0o700),
		debtest.Folder("./usr/share/doc/aa/"), debtest.File("./usr/share/doc/aa/copyright", "c"), debtest.File("./usr/share/doc/aa/changelog", "l"),
		debtest.Folder("./usr/share/doc/bb/"), debtest.File("./usr/share/doc/bb/changelog", "l"),
		debtest.Folder("./usr/lib/"), debtest.Folder("./usr/lib/modules/"), debtest.File("./usr/lib/modules/x.ko", "x"), debtest.File("./usr/lib/modules/x.ko.sig", "x"),
		debtest.Folder("./lib/"), debtest.Folder("./lib/y/"), debtest.File("./lib/y/y.ko", "y"),
	}
	tree, err := unpack(t, deb.Filter{Exclude: []string{"usr/share/doc", "usr/**/*.ko"}, Keep: []string{"usr/share/doc/*/copyright"}}, deb.Limits{}, map[string][]byte{"aa": pkg("aa", entries...)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range tree.Entries() {
		got = append(got, e.Path)
	}
	want := ". lib usr usr/lib usr/lib/modules usr/lib/modules/x.ko.sig usr/lib/y usr/share usr/share/doc usr/share/doc/aa usr/share/doc/aa/copyright"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	// A folder that is kept for what is in it is as its package has it.
	if e, _ := tree.Find("usr/share/doc"); e.Mode != 0o700 || e.Package != "aa" {
		t.Errorf("got %+v", e)
	}
	if _, err := unpack(t, deb.Filter{Exclude: []string{"a"}}, deb.Limits{}, map[string][]byte{"aa": pkg("aa", debtest.File("./a", "x"), debtest.Hard("./b", "./a"))}); !errors.Is(err, deb.ErrArchive) {
		t.Errorf("hard link to a file that is left out: got %v", err)
	}
}

func TestPackagesConflict(t *testing.T) {
	for _, tt := range []struct {
		name   string
		aa, bb []debtest.Entry
		want   string // "" where both can stand together
	}{
		{"equal files", []debtest.Entry{debtest.File("./x", "1")}, []debtest.Entry{debtest.File("./x", "1")}, ""},
		{"other content", []debtest.Entry{debtest.File("./x", "1")}, []debtest.Entry{debtest.File("./x", "2")}, "x is a file with mode 0644 of 0:0, sha256 6b86"},
		{"other mode", []debtest.Entry{debtest.File("./x", "1")}, []debtest.Entry{owned(debtest.File("./x", "1"), 0, 0, 0o600)}, "mode 0600"},
		{"other owner", []debtest.Entry{debtest.File("./x", "1")}, []debtest.Entry{owned(debtest.File("./x", "1"), 0, 7, 0o644)}, "0:7"},
		{"equal links", []debtest.Entry{debtest.Link("./x", "y")}, []debtest.Entry{debtest.Link("./x", "y")}, ""},
		{"other links", []debtest.Entry{debtest.Link("./x", "y")}, []debtest.Entry{debtest.Link("./x", "z")}, "link to z in package bb"},
		{"file and folder", []debtest.Entry{debtest.File("./x", "1")}, []debtest.Entry{debtest.Folder("./x/")}, "in package bb"},
		{"folders of other modes", []debtest.Entry{debtest.Folder("./x/")}, []debtest.Entry{owned(debtest.Folder("./x/"), 0, 0, 0o700)}, "mode 0700"},
		{"below a link", []debtest.Entry{debtest.Link("./x", "/etc")}, []debtest.Entry{debtest.File("./x/passwd", "1")}, "x/passwd of package bb lies below a link to /etc of package aa"},
		{"link over a folder", []debtest.Entry{debtest.File("./x/passwd", "1")}, []debtest.Entry{debtest.Link("./x", "/etc")}, "link to /etc in package bb"},
		{"below a file", []debtest.Entry{debtest.File("./x", "1")}, []debtest.Entry{debtest.File("./x/y", "1")}, "lies below a file"},
		{"one file by two names", []debtest.Entry{debtest.File("./bin/x", "1")}, []debtest.Entry{debtest.File("./usr/bin/x", "2")}, "usr/bin/x is a file"},
		{"link that is not merged", []debtest.Entry{debtest.Link("./bin", "/tmp")}, []debtest.Entry{debtest.File("./usr/bin/x", "2")}, "expected a link to usr/bin"},
		{"owner comes later", []debtest.Entry{debtest.File("./x/y", "1")}, []debtest.Entry{owned(debtest.Folder("./x/"), 0, 0, 0o700)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree, err := unpack(t, deb.Filter{}, deb.Limits{}, map[string][]byte{"aa": pkg("aa", tt.aa...), "bb": pkg("bb", tt.bb...)})
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if e, _ := tree.Find("x"); tt.name == "owner comes later" && e.Mode != 0o700 {
					t.Errorf("got %+v", e)
				}
				return
			}
			if !errors.Is(err, deb.ErrConflict) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// special is an entry of a type that packages do not have.
func special(name string, kind byte) debtest.Entry {
	return debtest.Entry{Header: tar.Header{Typeflag: kind, Name: name, Mode: 0o644}}
}

func format(e debtest.Entry, f tar.Format) debtest.Entry {
	e.Format = f
	return e
}

// TestHostile reads packages whose file is the locked one, and which hold what no package may.
func TestHostile(t *testing.T) {
	const binary20 = "2.0\n"
	control := debtest.Member{Name: "control.tar", Data: debtest.Control("aa", "1", "amd64")}
	version := debtest.Member{Name: "debian-binary", Data: []byte(binary20)}
	with := func(data []byte) []byte {
		return debtest.Ar(version, control, debtest.Member{Name: "data.tar", Data: data})
	}
	entries := func(all ...debtest.Entry) []byte { return with(debtest.Tar(all...)) }
	named := func(name string, data []byte) []byte {
		return debtest.Ar(version, control, debtest.Member{Name: name, Data: data})
	}
	file := debtest.File("./x", "1")
	small := deb.Limits{File: 600, Total: 1 << 20, Entries: 10}
	whole := debtest.Ar(version, control, debtest.Member{Name: "data.tar", Data: debtest.Tar(file)})
	var many []debtest.Entry
	for i := range 20 {
		many = append(many, debtest.File(fmt.Sprintf("./f%d", i), ""))
	}
	for _, tt := range []struct {
		name, want string
		data       []byte
	}{
		{"absolute path", "is absolute", entries(debtest.File("/etc/passwd", "x"))},
		{"path up", "leads up by ..", entries(debtest.File("./../etc/passwd", "x"))},
		{"path up and down", "leads up by ..", entries(debtest.File("./usr/../../etc/passwd", "x"))},
		{"path up inside", "leads up by ..", entries(debtest.File("./usr/../etc", "x"))},
		{"path up at the end", "leads up by ..", entries(debtest.Folder("./usr/.."))},
		{"empty part", "empty part", entries(debtest.File(".//etc", "x"))},
		{"dot part", "empty part", entries(debtest.File("./a/./b", "x"))},
		{"control character", "control character", entries(debtest.File("./a\nb", "x"))},
		{"escape sequence", "control character", entries(debtest.File("./a\x1b[2J", "x"))},
		{"not UTF-8", "UTF-8", entries(debtest.File("./a\xff", "x"))},
		{"long part", "longer than 255", entries(debtest.File("./"+strings.Repeat("a", 256), "x"))},
		{"long path", "longer than 4095", entries(debtest.File("./"+strings.Repeat("a/", 2100)+"b", "x"))},
		{"the root is a link", "root to be a folder", entries(debtest.Link(".", "/etc"))},
		{"character device", "is a device", entries(special("./dev/mem", tar.TypeChar))},
		{"block device", "is a device", entries(special("./dev/sda", tar.TypeBlock))},
		{"named pipe", "named pipe", entries(special("./pipe", tar.TypeFifo))},
		{"contiguous file", "unknown type", entries(special("./x", tar.TypeCont))},
		{"unknown type", "unknown type", entries(special("./x", 'Z'))},
		{"global PAX header", "", entries(debtest.Entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "x", PAXRecords: map[string]string{"path": "/etc/x"}, Format: tar.FormatPAX}})},
		{"PAX header", "PAX", entries(format(debtest.File("./"+strings.Repeat("a", 150), "x"), tar.FormatPAX))},
		{"PAX path", "PAX", with(paxTar(map[string]string{"path": "../../etc/passwd"}))},
		{"PAX size", "", with(paxTar(map[string]string{"size": "99999999999999"}))},
		{"GNU sparse in PAX", "", with(paxTar(map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x", "GNU.sparse.realsize": "1000000000000"}))},
		{"old GNU sparse", "sparse", with(sparseTar())},
		{"link up", "leads out of the tree", entries(debtest.Link("./usr/x", "../../etc/passwd"))},
		{"link up through names", "leads out of the tree", entries(debtest.Link("./usr/x", "a/../../../etc"))},
		{"absolute link up", "leads out of the tree", entries(debtest.Link("./usr/x", "/../etc"))},
		{"empty link", "expected a path", entries(debtest.Link("./x", ""))},
		{"long link", "expected a path", entries(debtest.Link("./x", strings.Repeat("a", 5000)))},
		{"link with a control character", "expected a path", entries(debtest.Link("./x", "a\x07"))},
		{"through a link", "lies below a link", entries(debtest.Link("./x", "/etc"), debtest.File("./x/passwd", "x"))},
		{"through a link of its own tree", "lies below a link", entries(debtest.Folder("./y/"), debtest.Link("./x", "y"), debtest.File("./x/passwd", "x"))},
		{"hard link up", "leads up by ..", entries(debtest.Hard("./x", "../../etc/passwd"))},
		{"absolute hard link", "is absolute", entries(debtest.Hard("./x", "/etc/passwd"))},
		{"hard link to nothing", "expected a file that the package had before", entries(debtest.Hard("./x", "./y"))},
		{"hard link to a later file", "expected a file that the package had before", entries(debtest.Hard("./x", "./y"), debtest.File("./y", "1"))},
		{"hard link to a link", "expected a file that the package had before", entries(debtest.Link("./y", "/etc/passwd"), debtest.Hard("./x", "./y"))},
		{"hard link to a folder", "expected a file that the package had before", entries(debtest.Folder("./y/"), debtest.Hard("./x", "./y"))},
		{"file twice", "stands twice", entries(file, debtest.File("./x", "2"))},
		{"file and folder", "stands twice", entries(file, debtest.Folder("./x/"))},
		{"link, then a file over it", "stands twice", entries(debtest.Link("./x", "/etc/passwd"), file)},
		{"folder twice with other modes", "stands twice", entries(debtest.Folder("./x/"), owned(debtest.Folder("./x/"), 0, 0, 0o777))},
		{"one file by two names", "stands twice", entries(debtest.File("./bin/x", "1"), debtest.File("./usr/bin/x", "2"))},
		{"owner without a number", "expected an owner", entries(owned(file, 70000, 0, 0o644))},
		{"huge owner", "expected an owner", entries(owned(file, 0, 1<<40, 0o644))},
		{"large file", "expected at most 600 bytes", entries(debtest.File("./x", strings.Repeat("x", 601)))},
		{"many files", "more than 10 entries", entries(many...)},
		{"size that lies", "", with(lyingTar())},
		{"cut tar", "no end mark", with(debtest.Tar(file)[:600])},
		{"tar cut between entries", "no end mark", with(debtest.Tar(file, debtest.File("./y", "2"))[:1024])},
		{"half an end mark", "no end mark", with(debtest.Tar(debtest.File("./x", strings.Repeat("1", 512)))[:1024+512])},
		{"data after the end", "data after the end", with(append(debtest.Tar(file), "x"...))},
		{"second archive behind the end", "data after the end", with(append(debtest.Tar(file), debtest.Tar(debtest.File("./y", "2"))...))},
		{"tar of nothing", "", with([]byte("hello"))},
		{"gzip bomb", "more than is allowed", named("data.tar.gz", debtest.Gzip(make([]byte, 2<<20)))},
		{"xz bomb", "more than is allowed", named("data.tar.xz", xzOf(make([]byte, 2<<20)))},
		{"zstd bomb", "more than is allowed", named("data.tar.zst", zstdOf(make([]byte, 2<<20)))},
		{"xz with a huge dictionary", "dictionary", named("data.tar.xz", hugeDictionary(debtest.Tar(file)))},
		{"zstd with a huge window", "", named("data.tar.zst", []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00})},
		{"gzip cut", "", named("data.tar.gz", cut(debtest.Gzip(debtest.Tar(file))))},
		{"xz cut", "malformed xz", named("data.tar.xz", cut(xzOf(debtest.Tar(file))))},
		{"zstd cut", "", named("data.tar.zst", cut(zstdOf(debtest.Tar(file))))},
		{"gzip and more", "", named("data.tar.gz", append(debtest.Gzip(debtest.Tar(file)), "more"...))},
		{"two xz streams", "malformed xz", named("data.tar.xz", slices.Concat(xzOf(debtest.Tar(file)), xzOf(debtest.Tar(file))))},
		{"unknown compression", "expected compression", named("data.tar.bz2", []byte("BZh9"))},
		{"compression that it is not", "", named("data.tar.xz", debtest.Tar(file))},
		{"no ar", "expected an ar archive", []byte("hello")},
		{"nothing", "expected an ar archive", nil},
		{"empty ar", "empty", debtest.Ar()},
		{"cut ar", "says that it has", whole[:len(whole)-10]},
		{"cut ar header", "member header", append(bytes.Clone(whole), "x"...)},
		{"no end mark", "no end mark", bytes.Replace(whole, []byte("`\n"), []byte("xx"), 1)},
		{"negative member size", "decimal size", bytes.Replace(whole, []byte("100644  4         "), []byte("100644  -4        "), 1)},
		{"huge member size", "says that it has", bytes.Replace(whole, []byte("100644  4         "), []byte("100644  9999999999"), 1)},
		{"two data members", "expected members", debtest.Ar(version, control, debtest.Member{Name: "data.tar", Data: debtest.Tar()}, debtest.Member{Name: "data.tar.gz", Data: debtest.Gzip(debtest.Tar())})},
		{"two control members", "expected members", debtest.Ar(version, control, control)},
		{"data before control", "expected members", debtest.Ar(version, debtest.Member{Name: "data.tar", Data: debtest.Tar()}, control)},
		{"unknown member", "expected members", debtest.Ar(version, debtest.Member{Name: "_extra", Data: nil}, control)},
		{"many members", "more than 16 members", debtest.Ar(slices.Repeat([]debtest.Member{version}, 20)...)},
		{"long ar name", "short name", debtest.Ar(version, control, debtest.Member{Name: "#1/20", Data: []byte("data.tar")})},
		{"ar name with a slash", "short name", debtest.Ar(version, control, debtest.Member{Name: "../data.tar", Data: nil})},
		{"format 3", "expected format 2.0", debtest.Ar(debtest.Member{Name: "debian-binary", Data: []byte("3.0\n")}, control, debtest.Member{Name: "data.tar", Data: nil})},
		{"control of another package", "Package: expected aa", debtest.Ar(version, debtest.Member{Name: "control.tar", Data: debtest.Control("bb", "1", "amd64")}, debtest.Member{Name: "data.tar"})},
		{"control of another version", "Version: expected 1", debtest.Ar(version, debtest.Member{Name: "control.tar", Data: debtest.Control("aa", "2", "amd64")}, debtest.Member{Name: "data.tar"})},
		{"control of another architecture", "Architecture: expected amd64", debtest.Ar(version, debtest.Member{Name: "control.tar", Data: debtest.Control("aa", "1", "arm64")}, debtest.Member{Name: "data.tar"})},
		{"no control file", "expected a file control", debtest.Ar(version, debtest.Member{Name: "control.tar", Data: debtest.Tar()}, debtest.Member{Name: "data.tar"})},
		{"control bomb", "more than is allowed", debtest.Ar(version, debtest.Member{Name: "control.tar.gz", Data: debtest.Gzip(debtest.Tar(debtest.File("x", strings.Repeat("\x00", 65<<20))))}, debtest.Member{Name: "data.tar"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree, err := unpack(t, deb.Filter{}, small, map[string][]byte{"aa": tt.data})
			if err == nil {
				t.Fatalf("accepted as\n%s", listing(t, tree))
			}
			if !errors.Is(err, deb.ErrArchive) && !errors.Is(err, deb.ErrConflict) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if !strings.Contains(err.Error(), "aa") {
				t.Errorf("%v: does not name the package", err)
			}
		})
	}
	if _, err := unpack(t, deb.Filter{}, small, map[string][]byte{"aa": whole}); err != nil {
		t.Errorf("the package that the others are made from: %v", err)
	}
}

// Bytes that are not the locked ones are refused before anything in them is read.
func TestUnpackChecksContent(t *testing.T) {
	data := pkg("aa", debtest.File("./x", "1"))
	name := filepath.Join(t.TempDir(), "aa.deb")
	lock := &deb.Lock{Packages: []deb.LockedPackage{{Name: "aa", Version: "1", Architecture: "amd64", Size: int64(len(data)), SHA256: sha256.Sum256(data)}}}
	file := func(deb.LockedPackage) string { return name }
	for what, bad := range map[string][]byte{
		"one bit": append([]byte{data[0] ^ 1}, data[1:]...), "shorter": data[:len(data)-1], "longer": append(bytes.Clone(data), 0), "nothing": nil,
	} {
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := deb.Unpack(t.Context(), lock, file, deb.Options{}); !errors.Is(err, deb.ErrContent) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := deb.Unpack(t.Context(), lock, file, deb.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := deb.Unpack(ctx, lock, file, deb.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// Every compression leads to the same tree.
func TestCompressions(t *testing.T) {
	// Text that does not fit into one block of the multi-block file.
	content := debtest.Tar(debtest.Folder("./"), debtest.File("./x", strings.Repeat("some text, ", 30000)))
	var digests []deb.Digest
	for name, data := range map[string][]byte{"data.tar": content, "data.tar.gz": debtest.Gzip(content), "data.tar.xz": xzOf(content), "data.tar.zst": zstdOf(content)} {
		file := debtest.Ar(debtest.Member{Name: "debian-binary", Data: []byte("2.0\n")},
			debtest.Member{Name: "control.tar.xz", Data: xzOf(debtest.Control("aa", "1", "amd64"))}, debtest.Member{Name: name, Data: data})
		tree, err := unpack(t, deb.Filter{}, deb.Limits{}, map[string][]byte{"aa": file})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		digests = append(digests, tree.Digest())
	}
	if len(slices.Compact(digests)) != 1 {
		t.Errorf("got trees %v", digests)
	}
}

func cut(data []byte) []byte { return data[:len(data)-len(data)/4-1] }

func xzOf(data []byte) []byte {
	var b bytes.Buffer
	w, err := xz.WriterConfig{BlockSize: 100_000}.NewWriter(&b)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// hugeDictionary is an xz file whose first block asks for a dictionary of 4 GiB.
func hugeDictionary(data []byte) []byte {
	b := xzOf(data)
	header := b[12 : 12+(int(b[12])+1)*4]
	at := bytes.Index(header, []byte{0x21, 1})
	header[at+2] = 40
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
	return b
}

func zstdOf(data []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(data, nil)
}

// paxTar is a file x with a PAX header that Go's writer would not make.
func paxTar(records map[string]string) []byte {
	var text strings.Builder
	for k, v := range records {
		n := len(k) + len(v) + 3
		n += len(fmt.Sprint(n + len(fmt.Sprint(n))))
		fmt.Fprintf(&text, "%d %s=%s\n", n, k, v)
	}
	head := rawHeader("PaxHeaders/x", 'x', int64(text.Len()))
	body := append([]byte(text.String()), make([]byte, 512-text.Len()%512)...)
	return slices.Concat(head, body, rawHeader("x", '0', 0), make([]byte, 1024))
}

// sparseTar is a file that says that it is mostly a hole (GNU type S).
func sparseTar() []byte {
	h := rawHeader("x", 'S', 0)
	copy(h[257:], "ustar  \x00")
	copy(h[483:], "77777777777\x00")
	sum(h)
	return append(h, make([]byte, 1024)...)
}

// lyingTar is a file that says that it has more than the archive.
func lyingTar() []byte { return append(rawHeader("x", '0', 90), "only this"...) }

func rawHeader(name string, kind byte, size int64) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", size, 0))
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	sum(h)
	return h
}

func sum(h []byte) {
	copy(h[148:], "        ")
	n := 0
	for _, c := range h {
		n += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", n))
}

// FuzzPackageFile reads package files with data.tar in the compression that the first byte chooses, or ar archives as they are.
func FuzzPackageFile(f *testing.F) {
	f.Add(byte(0), debtest.Tar(debtest.Folder("./"), debtest.File("./x", "1"), debtest.Link("./y", "x"), debtest.Hard("./z", "./x")))
	f.Add(byte(1), xzOf(debtest.Tar(debtest.File("./x", "1"))))
	f.Add(byte(2), zstdOf(debtest.Tar(debtest.File("./x", "1"))))
	f.Add(byte(3), debtest.Gzip(debtest.Tar(debtest.File("./x", "1"))))
	f.Add(byte(4), pkg("aa", debtest.File("./x", "1")))
	f.Add(byte(5), debtest.Control("aa", "1", "amd64"))
	f.Add(byte(0), sparseTar())
	f.Add(byte(0), paxTar(map[string]string{"path": "x"}))
	f.Add(byte(1), hugeDictionary(debtest.Tar()))
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		version := debtest.Member{Name: "debian-binary", Data: []byte("2.0\n")}
		control := debtest.Member{Name: "control.tar", Data: debtest.Control("aa", "1", "amd64")}
		switch kind % 6 {
		case 4:
		case 5:
			data = debtest.Ar(version, debtest.Member{Name: "control.tar", Data: data}, debtest.Member{Name: "data.tar", Data: debtest.Tar()})
		default:
			data = debtest.Ar(version, control, debtest.Member{Name: "data.tar" + []string{"", ".xz", ".zst", ".gz"}[kind%6], Data: data})
		}
		tree, err := unpack(t, deb.Filter{}, deb.Limits{File: 1 << 20, Total: 4 << 20, Entries: 1000}, map[string][]byte{"aa": data})
		if err != nil {
			if !errors.Is(err, deb.ErrArchive) && !errors.Is(err, deb.ErrConflict) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		for _, e := range tree.Entries() {
			if !filepath.IsLocal(e.Path) {
				t.Errorf("path %q leads out of the tree", e.Path)
			}
		}
		dir := t.TempDir()
		if err := tree.Write(filepath.Join(dir, "out")); err != nil {
			t.Errorf("a tree that was accepted can not be written: %v", err)
		}
		if beside, err := os.ReadDir(dir); err != nil || len(beside) != 1 {
			t.Errorf("written beside the tree: %v, %v", beside, err)
		}
	})
}
