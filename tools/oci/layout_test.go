package oci_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/boardroom-tee/boardroom/tools/nar"
	"github.com/boardroom-tee/boardroom/tools/oci"
)

func image(t *testing.T, content string) v1.Image {
	t.Helper()
	l, err := oci.Layer([]oci.File{{Path: "/a", Mode: 0o644, Content: []byte(content)}}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{Layer: l, History: v1.History{Comment: "the file"}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func write(t *testing.T, dir, content string) {
	t.Helper()
	if err := oci.WriteLayout(dir, image(t, content), "name"); err != nil {
		t.Fatal(err)
	}
}

func TestLayoutRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "layout")
	want := image(t, "x")
	if err := oci.WriteLayout(dir, want, "name"); err != nil {
		t.Fatal(err)
	}
	got, err := oci.ReadLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Errorf("go-containerregistry finds the layout unsound: %v", err)
	}
	a, errA := want.Digest()
	b, errB := got.Digest()
	if a != b || errA != nil || errB != nil {
		t.Errorf("digest read %v (%v), written %v (%v)", b, errB, a, errA)
	}
}

func TestLayoutIgnoresUmask(t *testing.T) {
	var sums []string
	for _, umask := range []int{0o022, 0o077, 0} {
		dir := filepath.Join(t.TempDir(), "layout")
		old := setUmask(umask)
		err := oci.WriteLayout(dir, image(t, "x"), "name")
		setUmask(old)
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			if want := map[bool]fs.FileMode{true: 0o755, false: 0o644}[entry.IsDir()]; info.Mode().Perm() != want {
				t.Errorf("umask %#o: %s has mode %v, want %v", umask, path, info.Mode().Perm(), want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		sum, err := nar.Dir(dir).Sum()
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum.String())
	}
	if sums[0] != sums[1] || sums[0] != sums[2] {
		t.Errorf("trees differ by umask: %v", sums)
	}
}

func TestWriteLayoutReplaces(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "layout")
	write(t, dir, "first")
	write(t, dir, "second")
	img, err := oci.ReadLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := image(t, "second").Digest(); err != nil || got != want {
		t.Errorf("digest is %v, want that of the second image %v (%v)", got, want, err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the layout stand %v (%v)", entries, err)
	}

	link := filepath.Join(parent, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	write(t, link, "third")
	if info, err := os.Lstat(link); err != nil || !info.IsDir() {
		t.Errorf("the link to a layout was not replaced: %v, %v", info, err)
	}
	if again, err := oci.ReadLayout(dir); err != nil {
		t.Errorf("what the link pointed at is unsound: %v", err)
	} else if h, _ := again.Digest(); h != got {
		t.Errorf("what the link pointed at was changed to %v", h)
	}
}

func TestWriteLayoutLeavesOtherThingsAlone(t *testing.T) {
	parent := t.TempDir()
	folder, file := filepath.Join(parent, "folder"), filepath.Join(parent, "file")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "precious"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{folder, file} {
		if err := oci.WriteLayout(dir, image(t, "x"), "name"); !errors.Is(err, oci.ErrOccupied) {
			t.Errorf("write to %s: error is %v, want ErrOccupied", dir, err)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "precious")); err != nil {
		t.Error(err)
	}
}

// blobs names the files of a layout with one image and one layer.
func blobs(t *testing.T, dir string) map[string]string {
	t.Helper()
	img, err := oci.ReadLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	blob := func(h v1.Hash) string { return filepath.Join(dir, "blobs", "sha256", h.Hex) }
	return map[string]string{
		"index":    filepath.Join(dir, "index.json"),
		"manifest": blob(digest),
		"config":   blob(manifest.Config.Digest),
		"layer":    blob(manifest.Layers[0].Digest),
	}
}

func TestReadLayoutRefusesEveryChangedByte(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	write(t, dir, "x")
	for name, file := range blobs(t, dir) {
		if name == "index" {
			continue // names the image but is not hashed by anything
		}
		t.Run(name, func(t *testing.T) {
			original, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			altered := [][]byte{original[:len(original)-1], append(bytes.Clone(original), 0), nil}
			for i := range original {
				flipped := bytes.Clone(original)
				flipped[i] ^= 1
				altered = append(altered, flipped)
			}
			for i, content := range altered {
				if err := os.WriteFile(file, content, 0o644); err != nil {
					t.Fatal(err)
				}
				var invalid *oci.InvalidError
				if _, err := oci.ReadLayout(dir); !errors.As(err, &invalid) {
					t.Fatalf("alteration %d: error is %v, want an *InvalidError", i, err)
				}
			}
			if err := os.WriteFile(file, original, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := oci.ReadLayout(dir); err != nil {
				t.Fatalf("restored: %v", err)
			}
		})
	}
}

func TestReadLayoutRefuses(t *testing.T) {
	tests := []struct {
		name  string
		alter func(t *testing.T, dir string)
		want  string
		fault bool
	}{
		{"absent", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, "no such file", true},
		{"missing blob", func(t *testing.T, dir string) { must(t, os.Remove(blobs(t, dir)["layer"])) }, "no such file", true},
		{"other layout version", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o644))
		}, `expected imageLayoutVersion 1.0.0, got "2.0.0"`, false},
		{"no image", func(t *testing.T, dir string) { index(t, dir, `{"schemaVersion":2,"manifests":[]}`) }, "expected a layout with 1 image, got 0", false},
		{"malformed index", func(t *testing.T, dir string) { index(t, dir, `{`) }, "index.json", false},
		{"index of an index", func(t *testing.T, dir string) {
			index(t, dir, `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","size":1,"digest":"sha256:`+strings.Repeat("0", 64)+`"}]}`)
		}, "expected an image manifest", false},
		{"huge index", func(t *testing.T, dir string) { index(t, dir, strings.Repeat(" ", 5<<20)) }, "larger than", false},
		{"digest that leaves the folder", func(t *testing.T, dir string) {
			index(t, dir, `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"sha256:../../index.json"}]}`)
		}, "index.json", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "layout")
			write(t, dir, "x")
			tt.alter(t, dir)
			_, err := oci.ReadLayout(dir)
			var invalid *oci.InvalidError
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error is %v, want one with %q", err, tt.want)
			}
			if errors.As(err, &invalid) == tt.fault {
				t.Errorf("error %v: is a verdict: %v, want %v", err, !tt.fault, tt.fault)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func index(t *testing.T, dir, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(text), 0o644))
}

func TestDescribe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	write(t, dir, "x")
	d, err := oci.DescribeLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for name, file := range blobs(t, dir) {
		if name == "index" {
			continue
		}
		info, err := os.Stat(file)
		must(t, err)
		size += info.Size()
	}
	if d.Image != "name" || d.Size != size || len(d.Layers) != 1 || d.Layers[0].Comment != "the file" || d.Path != dir {
		t.Errorf("description is %+v; the blobs have %d bytes", d, size)
	}
	var out bytes.Buffer
	must(t, oci.Describe(&out, dir))
	for _, want := range []string{"image   name\n", "digest  " + d.Digest.String() + "\n", "layers  1\n", "the file\n", "at      " + dir + "\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, out.String())
		}
	}
}
