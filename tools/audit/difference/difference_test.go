package difference_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/boardroom-tee/boardroom/tools/audit/difference"
	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/cpio"
	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
	"github.com/boardroom-tee/boardroom/tools/disk/squashfs"
	"github.com/boardroom-tee/boardroom/tools/disk/verity"
	"github.com/boardroom-tee/boardroom/tools/oci"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines are the differences as people read them.
func lines(l difference.List) string {
	var b strings.Builder
	for _, d := range l.Differences {
		fmt.Fprintln(&b, d)
	}
	return b.String()
}

func TestFile(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name, expected, got string
		want                []string
	}{
		{"equal", "same", "same", nil},
		{"bytes", "\x00\x01\x02\x03", "\x00\x01\xff\xfe", []string{"f at offset 2 (0x2): expected 0203, got fffe (2 bytes of 4 differ)"}},
		{"shorter", "\x00\x01\x02\x03", "\x00\x01", []string{"f, size: expected 4 bytes, got 2 bytes", "f at offset 2 (0x2): expected 0203, got the end"}},
		{"empty", "\x00", "", []string{"f, size: expected 1 bytes, got 0 bytes", "f at offset 0 (0x0): expected 00, got the end"}},
		{"text in bytes", "\x00abc", "\x00abd", []string{"f at offset 3 (0x3): expected 63 \"c\", got 64 \"d\""}},
		{"line", "one\ntwo\nthree\n", "one\ntvo\nthree\n", []string{"f, line 2 at offset 5 (0x5): expected \"two\", got \"tvo\""}},
		{"missing line", "one\ntwo\n", "one\n", []string{"f, size: expected 8 bytes, got 4 bytes", "f, line 2 at offset 4 (0x4): expected \"two\", got none"}},
		{"member", `{"a":{"b":[1,2]},"c":true}`, `{"a":{"b":[1,3]},"c":true}`, []string{"f, member a.b[1]: expected 2, got 3"}},
		{
			"members that one has", `{"a":1,"b":null}`, `{"b":null,"c":{"d":"<e>"}}`,
			[]string{"f, member a: expected 1, got none", `f, member c: expected none, got {"d":"<e>"}`},
		},
		{"numbers as they stand", `{"a":1.0}`, `{"a":1}`, []string{"f, member a: expected 1.0, got 1"}},
		{"big numbers", `{"a":18446744073709551615}`, `{"a":18446744073709551614}`, []string{"f, member a: expected 18446744073709551615, got 18446744073709551614"}},
		{"another kind", `{"a":[]}`, `{"a":{}}`, []string{"f, member a: expected [], got {}"}},
		{"the document", `[1]`, `{"a":1}`, []string{"f, member (the document): expected [1], got {\"a\":1}"}},
		{
			"elements by name", `[{"name":"a","v":1},{"name":"b","v":2},{"name":"d","v":4}]`, `[{"name":"b","v":2},{"name":"c","v":3},{"name":"d","v":5}]`,
			[]string{
				`f, member [a]: expected {"name":"a","v":1}, got none`, `f, member [c]: expected none, got {"name":"c","v":3}`,
				"f, member [d].v: expected 4, got 5",
			},
		},
		{"elements by position", `[{"name":"a"},{"name":"a"}]`, `[{"name":"a"}]`, []string{`f, member [1]: expected {"name":"a"}, got none`}},
		{"form only", `{"a":1}`, `{"a": 1}`, []string{"f, size: expected 7 bytes, got 8 bytes", "f, line 1 at offset 5 (0x5): expected \"{\\\"a\\\":1}\", got \"{\\\"a\\\": 1}\""}},
		{"long values", `{"a":"` + long + `1` + long + `"}`, `{"a":"` + long + `2` + long + `"}`, []string{
			"f, member a: expected …" + long[:40] + "1" + long[:159] + "… (603 bytes), got …" + long[:40] + "2" + long[:159] + "… (603 bytes)",
		}},
		{"what a terminal would obey", "{\"a\u202e\":\"\u009b31m\"}", "{\"a\u202e\":\"x\"}", []string{`f, member a\u202e: expected "\u009b31m", got "x"`}},
		{"no program", "\x7fELF\x00", "\x7fELF\x01", []string{"f at offset 4 (0x4): expected 00, got 01"}},
		{"no archive", "070701\x00", "070701\x01", []string{"f at offset 6 (0x6): expected 00, got 01"}},
		{"no gzip", "\x1f\x8b\x00", "\x1f\x8b\x01", []string{"f at offset 2 (0x2): expected 00, got 01"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := difference.File("f", []byte(tt.expected), []byte(tt.got))
			want := ""
			for _, w := range tt.want {
				want += w + "\n"
			}
			if lines(got) != want {
				t.Errorf("got\n%s\nwant\n%s", lines(got), want)
			}
			if got.Equal() != (tt.expected == tt.got) {
				t.Errorf("equal is %v", got.Equal())
			}
		})
	}
}

func TestMoreThanAreTold(t *testing.T) {
	var e, g bytes.Buffer
	for i := range difference.Max + 7 {
		fmt.Fprintf(&e, ",%d", i)
		fmt.Fprintf(&g, ",%d", i+1000)
	}
	l := difference.File("f", []byte("["+e.String()[1:]+"]"), []byte("["+g.String()[1:]+"]"))
	if len(l.Differences) != difference.Max || l.More != 7 {
		t.Errorf("%d are told and %d more, want %d and 7", len(l.Differences), l.More, difference.Max)
	}
}

func zipped(t *testing.T, content string, at time.Time) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.ModTime = at
	_, err := io.WriteString(w, content)
	check(t, err)
	check(t, w.Close())
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	then := time.Unix(1700000000, 0)
	if got := lines(difference.File("f.gz", zipped(t, "a\nb", then), zipped(t, "a\nc", then))); got != "f.gz, line 2 at offset 2 (0x2): expected \"b\", got \"c\"\n" {
		t.Errorf("got %s", got)
	}
	got := lines(difference.File("f.gz", zipped(t, "a", then), zipped(t, "a", time.Time{})))
	if !strings.HasPrefix(got, "f.gz, gzip, the content being equal, header, time: expected \"2023-11-14T22:13:20Z\", got none\n") {
		t.Errorf("got %s", got)
	}
}

// build compiles a Go program.
func build(t *testing.T, source string) []byte {
	t.Helper()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n"+source), 0o644))
	check(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/program\n\ngo 1.26\n"), 0o644))
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", "program")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOTOOLCHAIN=local")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "program"))
	check(t, err)
	return data
}

const (
	program = `
//go:noinline
func secret(n int) int { return n * 3 }
func main() { println("hello", secret(len("abc"))) }
`
	moreCode = `
//go:noinline
func secret(n int) int { if n > 7 { println("much"); n /= 2 }; return n * 3 }
func main() { println("hello", secret(len("abc"))) }
`
)

func TestProgram(t *testing.T) {
	one := build(t, program)
	if again := build(t, program); !difference.File("p", one, again).Equal() {
		t.Fatal("two builds of one program differ, so that nothing here shows anything")
	}
	has := func(t *testing.T, l difference.List, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(lines(l), w) {
				t.Errorf("nothing says %q:\n%s", w, lines(l))
			}
		}
	}
	t.Run("a text", func(t *testing.T) {
		l := difference.File("p", one, build(t, strings.Replace(program, `"hello"`, `"Hello"`, 1)))
		has(t, l, "p, section .rodata, which begins at 0x", `"hello`, `"Hello`)
	})
	t.Run("code of the same size", func(t *testing.T) {
		l := difference.File("p", one, build(t, strings.Replace(program, "n * 3", "n * 5", 1)))
		has(t, l, "p, section .text, which begins at 0x", "p, function main.secret: expected its code, got other code of the same size")
		if strings.Contains(lines(l), "function main.main") {
			t.Errorf("main.main did not change:\n%s", lines(l))
		}
	})
	t.Run("more code", func(t *testing.T) {
		has(t, difference.File("p", one, build(t, moreCode)), "p, section .text", "p, function main.secret: expected ")
	})
	t.Run("a function", func(t *testing.T) {
		l := difference.File("p", one, build(t, program+"//go:noinline\nfunc other() { println(1) }\nfunc init() { other() }\n"))
		has(t, l, "p, function main.other: expected none, got ")
	})
	t.Run("build information", func(t *testing.T) {
		other := bytes.ReplaceAll(one, []byte("\tGOAMD64=v1\n"), []byte("\tGOAMD64=v3\n"))
		has(t, difference.File("p", one, other), `p, Go build information, setting GOAMD64: expected "v1", got "v3"`)
		other = bytes.ReplaceAll(one, []byte("example.com/program"), []byte("example.com/pr0gram"))
		has(t, difference.File("p", one, other), `p, Go build information, module example.com/program: expected "(devel)", got none`, "p, section .go.buildinfo")
	})
	t.Run("behind the sections", func(t *testing.T) {
		has(t, difference.File("p", one, append(bytes.Clone(one), 7)), "p, size: expected ", "got 07")
	})
	t.Run("header", func(t *testing.T) {
		other := bytes.Clone(one)
		other[7] = byte(elf.ELFOSABI_FREEBSD)
		has(t, difference.File("p", one, other), "p, ELF header: expected ")
	})
	t.Run("cut", func(t *testing.T) {
		has(t, difference.File("p", one, one[:len(one)/2]), "p, size")
	})
}

func archive(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.Uname
		h.Uname, h.Size = "", int64(len(content))
		check(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, content)
		check(t, err)
	}
	check(t, w.Close())
	return b.Bytes()
}

// layout writes the layout of an image and returns it.
func layout(t *testing.T, author string, files ...oci.File) fs.FS {
	t.Helper()
	base, err := oci.Layer([]oci.File{{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root")}}, time.Unix(0, 0))
	check(t, err)
	layer, err := oci.Layer(files, time.Unix(0, 0))
	check(t, err)
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{Author: author, OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers"}})
	check(t, err)
	img, err = mutate.AppendLayers(img, base, layer)
	check(t, err)
	dir := filepath.Join(t.TempDir(), "layout")
	check(t, oci.WriteLayout(dir, img, "image"))
	return os.DirFS(dir)
}

func TestLayouts(t *testing.T) {
	agent := oci.File{Path: "/usr/bin/agent", Mode: 0o755, Content: []byte("one\ntwo\n")}
	expected := layout(t, "me", agent)
	other := agent
	other.Content = []byte("one\ntow\n")
	mode := agent
	mode.Mode = 0o700
	more := oci.File{Path: "/etc/more", Mode: 0o644, Content: []byte("more")}
	tests := []struct {
		name string
		got  fs.FS
		want []string
	}{
		{"content", layout(t, "me", other), []string{
			`hub, layer 2, /usr/bin/agent, line 2 at offset 5 (0x5): expected "two", got "tow"`, "hub, config, member rootfs.diff_ids[1]", "hub, manifest, member layers[1].digest",
			"hub, index, member manifests[0].digest",
		}},
		{"mode", layout(t, "me", mode), []string{`hub, layer 2, /usr/bin/agent, header, mode: expected "0755", got "0700"`}},
		{"one more file", layout(t, "me", agent, more), []string{"hub, layer 2, /etc/more: expected none, got a file of 4 bytes"}},
		{"config", layout(t, "you", agent), []string{`hub, config, member author: expected "me", got "you"`}},
		{"no layout", fstest.MapFS{"index.json": {Data: []byte("{}")}}, []string{"hub, oci-layout: expected a file, got none", "hub, index.json, member schemaVersion: expected 2, got none"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := difference.Layouts("hub", expected, tt.got)
			check(t, err)
			for _, w := range tt.want {
				if !strings.Contains(lines(l), w) {
					t.Errorf("nothing says %q:\n%s", w, lines(l))
				}
			}
		})
	}
	same, err := difference.Layouts("hub", expected, layout(t, "me", agent))
	check(t, err)
	if !same.Equal() {
		t.Errorf("two layouts of one image differ:\n%s", lines(same))
	}
}

func TestLayoutIndexAlone(t *testing.T) {
	expected := layout(t, "me", oci.File{Path: "/a", Mode: 0o644})
	got := fstest.MapFS{}
	check(t, fs.WalkDir(expected, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(expected, name)
		got[name] = &fstest.MapFile{Data: data}
		return err
	}))
	got["index.json"].Data = bytes.Replace(got["index.json"].Data, []byte(`"image"`), []byte(`"emage"`), 1)
	l, err := difference.Layouts("hub", expected, got)
	check(t, err)
	if want := "hub, index, member manifests[0].annotations.org.opencontainers.image.ref.name: expected \"image\", got \"emage\"\n"; lines(l) != want {
		t.Errorf("got\n%s\nwant\n%s", lines(l), want)
	}
}

func TestTarHeaders(t *testing.T) {
	gz := func(b []byte) []byte { return zipped(t, string(b), time.Time{}) }
	file := tar.Header{Name: "a", Mode: 0o644, Uname: "content", ModTime: time.Unix(0, 0)}
	folder := func(layer []byte) fs.FS { return fstest.MapFS{"layer.tar.gz": {Data: layer}} }
	later, owner := file, file
	later.ModTime, owner.Uid = time.Unix(60, 0), 7
	link := tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "b", ModTime: time.Unix(0, 0)}
	for name, tt := range map[string]struct{ got, want tar.Header }{"time": {later, file}, "owner": {owner, file}, "type": {link, file}} {
		l, err := difference.Folders("f", folder(gz(archive(t, tt.want))), folder(gz(archive(t, tt.got))))
		check(t, err)
		if l.Equal() {
			t.Errorf("%s: nothing differs", name)
		}
	}
}

func TestFolders(t *testing.T) {
	l, err := difference.Folders("guest", fstest.MapFS{"a": {Data: []byte("1")}, "b": {Data: []byte("2")}}, fstest.MapFS{"b": {Data: []byte("3")}, "c/d": {Data: []byte("4")}})
	check(t, err)
	want := "guest, a: expected a file, got none\nguest, b, line 1 at offset 0 (0x0): expected \"2\", got \"3\"\nguest, c/d: expected none, got a file\n"
	if lines(l) != want {
		t.Errorf("got\n%s\nwant\n%s", lines(l), want)
	}
	if _, err := difference.Folders("guest", fstest.MapFS{}, fstest.MapFS{"a": {Mode: fs.ModeSymlink}}); err == nil {
		t.Error("a link was followed")
	}
}

func initramfs(t *testing.T, content string, mode uint32) []byte {
	t.Helper()
	tree, err := disk.NewTree([]disk.Entry{{Path: "init", Mode: disk.File | mode, Size: int64(len(content)), Open: disk.Content([]byte(content))}})
	check(t, err)
	var b bytes.Buffer
	check(t, cpio.Gzip(&b, tree, 0))
	return b.Bytes()
}

func TestInitramfs(t *testing.T) {
	expected := initramfs(t, "one\ntwo", 0o755)
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{initramfs(t, "one\ntoo", 0o755), `i, /init, line 2 at offset 5 (0x5): expected "two", got "too"`},
		{initramfs(t, "one\ntwo", 0o700), `i, /init, header, mode: expected "000081ED", got "000081C0"`},
	} {
		if got := lines(difference.File("i", expected, tt.got)); got != tt.want+"\n" {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// guestDisk is a disk as a guest image has it.
func guestDisk(t *testing.T, content string) []byte {
	t.Helper()
	// More than a block, or there would be no tree over it.
	noise := make([]byte, 1<<16)
	rand.NewChaCha8([32]byte(fmt.Appendf(nil, "%032s", content))).Read(noise)
	tree, err := disk.NewTree([]disk.Entry{{Path: "file", Mode: disk.File | 0o644, Size: int64(len(noise)), Open: disk.Content(noise)}})
	check(t, err)
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	check(t, err)
	defer f.Close()
	part := &partition{f}
	size, err := squashfs.Write(part, tree, squashfs.Options{BlockSize: 4096})
	check(t, err)
	_, end, err := verity.Format(part, size, verity.Default())
	check(t, err)
	table := gpt.Layout(gpt.GUID{1}, gpt.Partition{Type: gpt.LinuxFilesystem, GUID: gpt.GUID{2}, Name: "root", Size: end})
	check(t, f.Truncate(table.Size))
	check(t, table.Write(f))
	data, err := os.ReadFile(f.Name())
	check(t, err)
	return data
}

type partition struct{ f *os.File }

func (p *partition) ReadAt(b []byte, at int64) (int, error)  { return p.f.ReadAt(b, gpt.Alignment+at) }
func (p *partition) WriteAt(b []byte, at int64) (int, error) { return p.f.WriteAt(b, gpt.Alignment+at) }

func TestDisks(t *testing.T) {
	expected := guestDisk(t, "one")
	disks := func(got []byte) string {
		l, err := difference.Disks("disk", bytes.NewReader(expected), bytes.NewReader(got), int64(len(expected)), int64(len(got)))
		check(t, err)
		return lines(l)
	}
	if got := disks(expected); got != "" {
		t.Errorf("got %s", got)
	}
	both := disks(guestDisk(t, "two"))
	for _, w := range []string{`disk, partition "root", file system at offset 1048`, `disk, partition "root", hash tree at offset `} {
		if !strings.Contains(both, w) {
			t.Errorf("nothing says %q:\n%s", w, both)
		}
	}
	table := bytes.Clone(expected)
	table[600] ^= 1
	if got := disks(table); !strings.HasPrefix(got, "disk, partition table at offset 600 (0x258): expected ") || strings.Count(got, "\n") != 1 {
		t.Errorf("got %s", got)
	}
	if got := disks(expected[:len(expected)-512]); got != fmt.Sprintf("disk, size: expected %d bytes, got %d bytes\n", len(expected), len(expected)-512) {
		t.Errorf("got %s", got)
	}
}

// Whatever the two sides are, nothing panics, and files that differ are never called equal.
func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"a":[{"name":"b"}]}`), []byte(`{"a":[]}`))
	f.Add([]byte("\x1f\x8b\x08"), []byte("\x1f\x8b\x08\x00"))
	f.Add([]byte("070701"+strings.Repeat("0", 104)), []byte("070701"+strings.Repeat("f", 104)))
	f.Add([]byte("\x7fELF\x02\x01\x01"), []byte("\x7fELF\x02\x01\x02"))
	f.Add([]byte("MZ"), []byte("MZ\x00"))
	f.Fuzz(func(t *testing.T, expected, got []byte) {
		if l := difference.File("f", expected, got); l.Equal() != bytes.Equal(expected, got) {
			t.Errorf("equal is %v", l.Equal())
		}
	})
}
