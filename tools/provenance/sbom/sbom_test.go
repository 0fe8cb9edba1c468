package sbom_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/sbom"
)

var update = flag.Bool("update", false, "write the golden files anew")

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	epoch   = time.Date(2025, 11, 1, 0, 0, 0, 0, time.FixedZone("", 3600))
	subject = sbom.Subject{Name: "finance-agent", Version: "0.1.0"}
)

type entry struct {
	name, content, link string
	kind                byte
}

func image(t testing.TB, layers ...[]entry) v1.Image {
	t.Helper()
	img := empty.Image
	for _, entries := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, e := range entries {
			if e.kind == 0 {
				e.kind = tar.TypeReg
			}
			check(t, w.WriteHeader(&tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Size: int64(len(e.content)), Mode: 0o644}))
			_, err := io.WriteString(w, e.content)
			check(t, err)
		}
		check(t, w.Close())
		var err error
		img, err = mutate.AppendLayers(img, static.NewLayer(b.Bytes(), types.OCIUncompressedLayer))
		check(t, err)
	}
	return img
}

func decode(t testing.TB, data []byte) (bom cyclonedx.BOM) {
	t.Helper()
	check(t, json.Unmarshal(data, &bom))
	return bom
}

func TestOfImage(t *testing.T) {
	img := image(t,
		[]entry{{name: "etc", kind: tar.TypeDir}, {name: "./etc/hosts", content: "old"}, {name: "etc/motd", content: "<&>"}, {name: "gone", content: "x"}},
		[]entry{{name: "etc/hosts", content: "new"}, {name: "gone", kind: tar.TypeSymlink, link: "etc"}, {name: "etc/same", kind: tar.TypeLink, link: "etc/hosts"}, {name: "bin/tool", content: "\x7fELF no Go"}})
	data, err := sbom.OfImage(img, subject, epoch)
	check(t, err)
	if *update {
		check(t, os.WriteFile("testdata/image.cdx.json", data, 0o644))
	}
	want, err := os.ReadFile("testdata/image.cdx.json")
	check(t, err)
	if !bytes.Equal(data, want) {
		t.Errorf("got\n%s\nwant\n%s", data, want)
	}
	hashes := map[string]string{}
	for _, c := range *decode(t, data).Components {
		hashes[c.Name] = (*c.Hashes)[0].Value
	}
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return hex.EncodeToString(s[:])
	}
	for name, content := range map[string]string{"/etc/hosts": "new", "/etc/same": "new", "/etc/motd": "<&>", "/bin/tool": "\x7fELF no Go"} {
		if hashes[name] != sum(content) {
			t.Errorf("%s has %s, want %s", name, hashes[name], sum(content))
		}
	}
	if len(hashes) != 4 {
		t.Errorf("expected 4 files, got %v", hashes)
	}
	later, err := sbom.OfImage(img, subject, epoch.Add(time.Second))
	check(t, err)
	if one, two := decode(t, data).SerialNumber, decode(t, later).SerialNumber; one == two || !strings.HasPrefix(one, "urn:uuid:") || one[23] != '8' {
		t.Errorf("serial numbers are %s and %s", one, two)
	}
	// It is a predicate as it is.
	digest, err := img.Digest()
	check(t, err)
	parsed, err := provenance.ParseDigest(digest.String())
	check(t, err)
	if _, err := provenance.NewStatement([]provenance.Subject{{Name: subject.Name, Digest: parsed.Set()}}, sbom.PredicateType, json.RawMessage(data)); err != nil {
		t.Error(err)
	}
}

// This test is a Go program. The linker writes no modules but the main one into a test.
func TestProgram(t *testing.T) {
	self, err := os.Executable()
	check(t, err)
	program, err := os.ReadFile(self)
	check(t, err)
	files := []entry{{name: "usr/bin/agent", content: string(program)}, {name: "usr/bin/copy", content: string(program)}}
	data, err := sbom.OfImage(image(t, files), subject, epoch)
	check(t, err)
	bom := decode(t, data)
	stdlib := "pkg:golang/stdlib@" + strings.TrimPrefix(runtime.Version(), "go")
	want := []string{"file:/usr/bin/agent", "file:/usr/bin/copy", "pkg:golang/github.com/boardroom-tee/boardroom@%28devel%29", stdlib}
	var refs []string
	for _, c := range *bom.Components {
		refs = append(refs, c.BOMRef)
	}
	if !slices.Equal(refs, want) {
		t.Errorf("components are %v, want %v", refs, want)
	}
	for _, d := range *bom.Dependencies {
		if strings.HasPrefix(d.Ref, "file:") && !slices.Equal(*d.Dependencies, want[2:]) {
			t.Errorf("%s depends on %v, want %v", d.Ref, *d.Dependencies, want[2:])
		}
	}
	if n := len(*bom.Dependencies); n != 3 {
		t.Errorf("%d have dependencies, want 3", n)
	}
}

func TestModules(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26.8", Main: debug.Module{Path: "example.com/main", Version: "v1.0.0"},
		Deps: []*debug.Module{
			{Path: "example.com/a", Version: "v1.2.3+incompatible", Sum: "h1:AAAA"},
			{Path: "example.com/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork/b", Version: "v1.0.1", Sum: "h1:BBBB"}},
		},
	}
	var got []string
	for _, c := range sbom.Modules(info) {
		sum := ""
		if c.Properties != nil {
			sum = (*c.Properties)[0].Name + "=" + (*c.Properties)[0].Value
		}
		got = append(got, strings.Join([]string{string(c.Type), c.PackageURL, c.Name, c.Version, sum}, " "))
	}
	want := []string{
		"library pkg:golang/stdlib@1.26.8 stdlib 1.26.8 ",
		"library pkg:golang/example.com/main@v1.0.0 example.com/main v1.0.0 ",
		"library pkg:golang/example.com/a@v1.2.3%2Bincompatible example.com/a v1.2.3+incompatible boardroom:go.sum=h1:AAAA",
		"library pkg:golang/example.com/fork/b@v1.0.1 example.com/fork/b v1.0.1 boardroom:go.sum=h1:BBBB",
	}
	if !slices.Equal(got, want) {
		t.Errorf("modules are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOfImageRefuses(t *testing.T) {
	for want, entries := range map[string][]entry{
		"layer 0: /etc/.wh.hosts: expected no file that deletes another": {{name: "etc/.wh.hosts"}},
		"layer 0: /a: expected a link to a file before it":               {{name: "a", kind: tar.TypeLink, link: "b"}},
	} {
		if _, err := sbom.OfImage(image(t, entries), subject, epoch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte("no tar"), types.OCIUncompressedLayer))
	check(t, err)
	if _, err := sbom.OfImage(img, subject, epoch); err == nil || !strings.Contains(err.Error(), "layer 0") {
		t.Errorf("no tar: %v", err)
	}
}
