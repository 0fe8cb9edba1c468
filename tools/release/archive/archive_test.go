package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/archive"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// signer is a key that signs blobs as package signer's do.
type signer struct{ *keyfile.Signer }

func (s signer) SignBlob(ctx context.Context, artifact []byte) (provenance.Bundle, error) {
	return provenance.SignBlob(ctx, s, artifact)
}

func newSigner(t testing.TB) signer {
	t.Helper()
	s, err := keyfile.Generate()
	check(t, err)
	return signer{s}
}

const (
	long   = "golang.org/x/a-module-with-a-name/that-is-longer/than-what-a-header-of-ustar/has-place-for/even-if-it-is-cut-in-two-at-a-slash/which-it-is-not"
	pinned = "packages/a591a6d40bf420404a011733cfb7b190d62c65bf0bcda32b57b277d9ad9f146e"
)

// files are those of the inputs, by path in the archive.
func files() map[string]string {
	return map[string]string{
		"source/go.mod": "module m\n", "source/empty": "", "source/nix/ünïcödé": "x", "toolchain/bin/go": "go", "toolchain/src/runtime/a.go": strings.Repeat("a", 1025),
		"modules/" + long + "/@v/v1.0.0.zip": strings.Repeat("z", 512), pinned: "Hello World",
	}
}

func inputs(t testing.TB) archive.Inputs {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files() {
		file := filepath.Join(dir, filepath.FromSlash(name))
		check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		check(t, os.WriteFile(file, []byte(content), 0o640))
	}
	check(t, os.Chmod(filepath.Join(dir, "toolchain/bin/go"), 0o750))
	check(t, os.Symlink("go.mod", filepath.Join(dir, "source/link")))
	check(t, os.Symlink(strings.Repeat("../", 60)+"etc/passwd", filepath.Join(dir, "source/far")))
	in := archive.Inputs{
		Index: archive.Index{
			Name: "board", Version: "1.2.3", Release: provenance.DigestOf([]byte("release")),
			Source:    release.Source{Repository: "https://example.com/source", Revision: strings.Repeat("1", 40), Tree: strings.Repeat("2", 40)},
			Toolchain: seed.Pin{Version: "go1.26.8", NAR: "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		},
		Commit: []byte("tree 2\n"), Folders: make(map[string]string),
	}
	for _, folder := range []string{archive.SourceFolder, archive.ToolchainFolder, archive.ModulesFolder, archive.PackagesFolder} {
		in.Folders[folder] = filepath.Join(dir, folder)
	}
	return in
}

func write(t testing.TB, signers ...archive.Signer) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "inputs.tar")
	_, err := archive.Write(t.Context(), inputs(t), signers, to)
	check(t, err)
	return to
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	check(t, err)
	return data
}

func open(t testing.TB, file string) *archive.Archive {
	t.Helper()
	a, err := archive.Open(file)
	check(t, err)
	t.Cleanup(func() { check(t, a.Close()) })
	return a
}

func TestRoundTrip(t *testing.T) {
	file := write(t)
	a := open(t, file)
	dir := filepath.Join(t.TempDir(), "out")
	for range 2 {
		check(t, a.Extract(t.Context(), dir))
		for name, content := range files() {
			if got := read(t, filepath.Join(dir, filepath.FromSlash(name))); string(got) != content {
				t.Errorf("%s is %q, want %q", name, got, content)
			}
		}
		if got := read(t, filepath.Join(dir, "commit")); string(got) != "tree 2\n" {
			t.Errorf("the commit is %q", got)
		}
		for name, want := range map[string]fs.FileMode{"toolchain/bin/go": 0o755, "source/go.mod": 0o644} {
			info, err := os.Stat(filepath.Join(dir, name))
			check(t, err)
			if info.Mode() != want {
				t.Errorf("%s has mode %s, want %s", name, info.Mode(), want)
			}
		}
		for name, want := range map[string]string{"link": "go.mod", "far": strings.Repeat("../", 60) + "etc/passwd"} {
			if target, err := os.Readlink(filepath.Join(dir, "source", name)); err != nil || target != want {
				t.Errorf("%s leads to %q (%v), want %q", name, target, err, want)
			}
		}
		if err := a.Extract(t.Context(), dir); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a folder that is there was taken: %v", err)
		}
		check(t, os.RemoveAll(dir))
	}
}

// Whoever has tar can look into it, and finds the index first.
func TestIsTar(t *testing.T) {
	r := tar.NewReader(bytes.NewReader(read(t, write(t, newSigner(t)))))
	var names []string
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s is of %s and belongs to %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
		names = append(names, h.Name)
	}
	want := append(slices.Collect(maps.Keys(files())), "commit", "source/link", "source/far")
	slices.Sort(want)
	if want = append([]string{"index.json", "signatures/01.sigstore.json"}, want...); !slices.Equal(names, want) {
		t.Errorf("members are %q, want %q", names, want)
	}
}

func TestSameInputsSameBytes(t *testing.T) {
	if !bytes.Equal(read(t, write(t)), read(t, write(t))) {
		t.Error("two archives of the same inputs differ")
	}
}

func TestSignatures(t *testing.T) {
	one, two, three := newSigner(t), newSigner(t), newSigner(t)
	a := open(t, write(t, one, two))
	check(t, a.VerifyKey(one.Key()))
	check(t, a.VerifyKey(two.Key()))
	refused(t, a.VerifyKey(three.Key()), "signatures")
	refused(t, open(t, write(t)).VerifyKey(one.Key()), "got none at all")
	// The signature of another archive.
	file := write(t, one)
	data := read(t, file)
	check(t, os.WriteFile(file, bytes.Replace(data, []byte(`"version": "1.2.3"`), []byte(`"version": "1.2.4"`), 1), 0o644))
	refused(t, open(t, file).VerifyKey(one.Key()), "signatures")
	_, err := archive.Write(t.Context(), inputs(t), slices.Repeat([]archive.Signer{one}, archive.MaxSignatures+1), filepath.Join(t.TempDir(), "x"))
	if err == nil {
		t.Error("17 signers were taken")
	}
	check(t, open(t, write(t, slices.Repeat([]archive.Signer{one}, archive.MaxSignatures)...)).VerifyKey(one.Key()))
}

func refused(t testing.TB, err error, want string) {
	t.Helper()
	var r *archive.RefusedError
	if !errors.As(err, &r) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a refusal with %q", err, want)
	}
}

// A run that is killed leaves a file under another name, which the next one takes over; what was there before stays until the new is whole.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	to := filepath.Join(dir, "inputs.tar")
	check(t, os.WriteFile(to, []byte("the one before"), 0o644))
	check(t, os.WriteFile(to+".part", bytes.Repeat([]byte("half"), 1<<16), 0o600))
	in := inputs(t)
	broken := in
	broken.Folders = maps.Clone(in.Folders)
	broken.Folders["unknown"] = in.Folders[archive.SourceFolder]
	if _, err := archive.Write(t.Context(), broken, nil, to); err == nil {
		t.Fatal("an unknown folder was taken")
	}
	if got := read(t, to); string(got) != "the one before" {
		t.Errorf("after a run that failed there is %q", got)
	}
	_, err := archive.Write(t.Context(), in, nil, to)
	check(t, err)
	if !bytes.Equal(read(t, to), read(t, write(t))) {
		t.Error("what a killed run left is in the archive")
	}
	entries, err := os.ReadDir(dir)
	check(t, err)
	if len(entries) != 1 {
		t.Errorf("%d files are left, want 1", len(entries))
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := archive.Write(ctx, inputs(t), nil, filepath.Join(t.TempDir(), "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := open(t, write(t)).Extract(ctx, filepath.Join(t.TempDir(), "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestHostile(t *testing.T) {
	whole := read(t, write(t))
	at := func(text string) int {
		i := bytes.LastIndex(whole, []byte(text))
		if i < 0 {
			t.Fatalf("no %q in the archive", text)
		}
		return i
	}
	header := at("source/go.mod\x00")
	change := func(offset int, b ...byte) []byte {
		data := bytes.Clone(whole)
		copy(data[offset:], b)
		return data
	}
	insert := func(offset int, b []byte) []byte { return slices.Concat(whole[:offset], b, whole[offset:]) }
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "index.json: expected more bytes"},
		{"no tar", bytes.Repeat([]byte("x"), 4096), "index.json: expected a member of this name"},
		{"content", change(header+512, 'M'), "source/go.mod: expected sha256:"},
		{"padding", change(header+512+100, 1), "source/go.mod: expected the header, or the padding"},
		{"mode", change(header+100, []byte("0000777")...), "source/go.mod: expected the header"},
		{"type", change(header+156, '2'), "source/go.mod: expected the header"},
		{"owner", change(header+108, []byte("0000001")...), "source/go.mod: expected the header"},
		{"traversal", change(header, []byte("../../x/y.mod")...), "source/go.mod: expected the header"},
		{"size", change(header+124, []byte("00000000012")...), "source/go.mod: expected the header"},
		{"link elsewhere", change(at("go.mod\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), []byte("go.sum")...), "source/link: expected"},
		{"one more member", insert(header, whole[header:header+1024]), "source/link: expected a link"},
		{"one member less", slices.Delete(bytes.Clone(whole), header, header+1024), "source/go.mod: expected the header"},
		{"truncated", whole[:header+520], "source/go.mod: expected more bytes"},
		{"truncated between members", whole[:header], "source/go.mod: expected more bytes"},
		{"without an end", whole[:len(whole)-1024], "the end: expected more bytes"},
		{"more behind the end", append(bytes.Clone(whole), 0), "the end: expected nothing behind it"},
		{"another index", change(at(`"source/go.mod"`), []byte(`"source/go.nod"`)...), "source/go.nod: expected the header"},
		{"signature out of place", insert(at("commit\x00"), slices.Concat([]byte("signatures/01.sigstore.json"), make([]byte, 485))), "signatures/01.sigstore.json: expected a member"},
		{"index too large", change(124, []byte("77777777777")...), "index.json: expected a member of this name and of at most"},
		{"index longer than the archive", change(124, []byte("00077777777")...), "index.json: expected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.tar")
			check(t, os.WriteFile(file, tt.data, 0o644))
			dir := filepath.Join(t.TempDir(), "out")
			a, err := archive.Open(file)
			if err == nil {
				err = a.Extract(t.Context(), dir)
				check(t, a.Close())
			}
			refused(t, err, tt.want)
			if _, err := os.Lstat(dir); err == nil {
				t.Error("something was left behind")
			}
		})
	}
}

func index(t testing.TB) []byte {
	t.Helper()
	data, err := open(t, write(t)).Index.Encode()
	check(t, err)
	return data
}

func TestIndex(t *testing.T) {
	good := index(t)
	_, err := archive.ParseIndex(good)
	check(t, err)
	file := func(path, kind string, size string) func(x map[string]any) {
		return func(x map[string]any) {
			x["files"] = append([]any{map[string]any{"path": path, "kind": kind, "size": json.Number(size), "digest": provenance.DigestOf(nil).String()}}, x["files"].([]any)...)
			slices.SortStableFunc(x["files"].([]any), func(a, b any) int {
				return strings.Compare(a.(map[string]any)["path"].(string), b.(map[string]any)["path"].(string))
			})
		}
	}
	tests := []struct {
		name   string
		change func(x map[string]any)
		want   string
	}{
		{"schema", func(x map[string]any) { x["schema"] = "v2" }, "schema: expected"},
		{"unknown member", func(x map[string]any) { x["more"] = 1 }, "more"},
		{"missing name", func(x map[string]any) { x["name"] = "" }, "name: expected a value"},
		{"no files", func(x map[string]any) { x["files"] = []any{} }, "files: expected 1 to"},
		{"no commit", func(x map[string]any) { x["files"] = x["files"].([]any)[1:] }, "expected the file commit"},
		{"absolute", file("/etc/passwd", "file", "0"), "path: expected a clean relative path"},
		{"traversal", file("source/../../x", "file", "0"), "path: expected a clean relative path"},
		{"elsewhere", file("other/x", "file", "0"), "path: expected commit, or a file in"},
		{"a folder's name", file("source", "file", "0"), "path: expected commit, or a file in"},
		{"backslash", file(`source/a\b`, "file", "0"), "path: expected a clean relative path"},
		{"zero byte", file("source/a\x00b", "file", "0"), "path: expected a clean relative path"},
		{"repository", file("source/.GIT/config", "file", "0"), "names other than .git"},
		{"repository below", file("source/a/.git", "file", "0"), "names other than .git"},
		{"long name", file("source/"+strings.Repeat("x", 256), "file", "0"), "at most 255 bytes"},
		{"twice", file("source/go.mod", "file", "0"), "expected one after"},
		{"file and folder", file("source/nix", "file", "0"), "got both"},
		{"kind", file("source/x", "device", "0"), "kind: expected file"},
		{"link in the toolchain", file("toolchain/x", "link", "1"), "kind: expected links in source only"},
		{"long link", file("source/x", "link", "4097"), "kind: expected links"},
		{"negative", file("source/x", "file", "-1"), "size: expected 0 to"},
		{"large", file("source/x", "file", "1073741825"), "size: expected 0 to"},
		{"no number", file("source/x", "file", "1e3"), "index.json"},
		{"package under another name", file("packages/"+strings.Repeat("0", 64), "file", "0"), "under the name of its digest"},
		{"large together", func(x map[string]any) {
			for _, n := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
				file("source/x"+n, "file", "1073741824")(x)
			}
		}, "in all files, got more"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var x map[string]any
			d := json.NewDecoder(bytes.NewReader(good))
			d.UseNumber()
			check(t, d.Decode(&x))
			tt.change(x)
			data, err := json.Marshal(x)
			check(t, err)
			_, err = archive.ParseIndex(data)
			refused(t, err, tt.want)
		})
	}
	_, err = archive.ParseIndex(append(bytes.Clone(good), ' '))
	refused(t, err, "canonical")
	_, err = archive.ParseIndex(make([]byte, archive.MaxIndex+1))
	refused(t, err, "at most")
}

func FuzzParseIndex(f *testing.F) {
	f.Add(index(f))
	f.Add([]byte(`{"schema":"` + archive.Schema + `","files":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := archive.ParseIndex(data)
		if err != nil {
			refused(t, err, "archive: ")
			return
		}
		if again, err := x.Encode(); err != nil || !bytes.Equal(again, data) {
			t.Errorf("an index that was taken is written in another way (%v)", err)
		}
	})
}

// Whatever the bytes are, they are refused, or what is written is what the index says.
func FuzzExtract(f *testing.F) {
	// A small one, so that most changes hit something that means something.
	in := inputs(f)
	in.Folders = map[string]string{archive.SourceFolder: f.TempDir()}
	check(f, os.WriteFile(filepath.Join(in.Folders[archive.SourceFolder], "a"), []byte("b"), 0o644))
	for _, signers := range [][]archive.Signer{nil, {newSigner(f)}} {
		to := filepath.Join(f.TempDir(), "inputs.tar")
		_, err := archive.Write(f.Context(), in, signers, to)
		check(f, err)
		f.Add(read(f, to))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "a.tar")
		check(t, os.WriteFile(file, data, 0o644))
		a, err := archive.Open(file)
		if err != nil {
			return
		}
		defer a.Close()
		dir := filepath.Join(t.TempDir(), "out")
		if a.Extract(t.Context(), dir) != nil {
			return
		}
		for _, member := range a.Index.Files {
			if member.Kind == archive.Link {
				continue
			}
			if got := provenance.DigestOf(read(t, filepath.Join(dir, filepath.FromSlash(member.Path)))); got != member.Digest {
				t.Errorf("%s has %s, want %s", member.Path, got, member.Digest)
			}
		}
	})
}
