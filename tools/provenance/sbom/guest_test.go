package sbom_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/sbom"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
)

func guest() sbom.Guest {
	program := releasetest.Program("go1.26.8", "guest")
	hexadecimal := func(data []byte) string { return strings.TrimPrefix(provenance.DigestOf(data).String(), "sha256:") }
	return sbom.Guest{
		Digest: provenance.DigestOf([]byte("image")), Program: program,
		Files: []sbom.File{
			{Path: "ovmf.fd", SHA256: hexadecimal([]byte("firmware"))}, {Path: "/usr/sbin/init", SHA256: hexadecimal(program)}, {Path: "/usr/bin/runc", SHA256: hexadecimal([]byte("runc"))},
		},
		Packages: []sbom.Package{
			{Name: "runc", Version: "1.1.15+ds1-2", Architecture: "amd64", Suite: "trixie", SHA256: provenance.DigestOf([]byte("package"))},
			{Name: "base-files", Version: "13.8", Architecture: "all", Suite: "trixie", SHA256: provenance.DigestOf([]byte("other package"))},
		},
	}
}

func TestOfGuest(t *testing.T) {
	g := guest()
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	data, err := sbom.OfGuest(g, sbom.Subject{Name: "board", Version: "0.6.0"}, at)
	if err != nil {
		t.Fatal(err)
	}
	var bom cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(data), cyclonedx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	about := bom.Metadata.Component
	if bom.Metadata.Timestamp != "2026-11-20T12:00:00Z" || about.Name != "board" || about.Version != "0.6.0" || "sha256:"+(*about.Hashes)[0].Value != g.Digest.String() {
		t.Errorf("about %+v at %s", about, bom.Metadata.Timestamp)
	}
	var refs []string
	for _, c := range *bom.Components {
		refs = append(refs, c.BOMRef)
		if c.Name == "runc" && ((*c.Hashes)[0].Value != strings.TrimPrefix(g.Packages[0].SHA256.String(), "sha256:") || c.Version != "1.1.15+ds1-2") {
			t.Errorf("package %+v", c)
		}
	}
	const runc, base = "pkg:deb/debian/runc@1.1.15%2Bds1-2?arch=amd64&distro=trixie", "pkg:deb/debian/base-files@13.8?arch=all&distro=trixie"
	stdlib, module := "pkg:golang/stdlib@1.26.8", "pkg:golang/golang.org/x/mod@v0.30.0"
	program := "pkg:golang/example.org/guest@%28devel%29"
	want := []string{"file:/usr/bin/runc", "file:/usr/sbin/init", "file:ovmf.fd", base, runc, program, module, stdlib}
	slices.Sort(want)
	if !slices.Equal(refs, want) {
		t.Errorf("components: got %q, want %q", refs, want)
	}
	depends := make(map[string][]string)
	for _, d := range *bom.Dependencies {
		depends[d.Ref] = *d.Dependencies
	}
	if got := depends["file:/usr/sbin/init"]; !slices.Equal(got, []string{program, module, stdlib}) {
		t.Errorf("the program depends on %q", got)
	}
	if got := depends["guest:"+g.Digest.String()]; !slices.Equal(got, []string{"file:/usr/bin/runc", "file:/usr/sbin/init", "file:ovmf.fd", base, runc}) {
		t.Errorf("the image depends on %q", got)
	}

	slices.Reverse(g.Files)
	slices.Reverse(g.Packages)
	again, err := sbom.OfGuest(g, sbom.Subject{Name: "board", Version: "0.6.0"}, at)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, again) {
		t.Error("the order of files and packages shows")
	}
}

func TestOfGuestRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(g *sbom.Guest)
		want   string
	}{
		"program of no Go":  {func(g *sbom.Guest) { g.Program = []byte("#!/bin/sh\n") }, "sbom: the guest's program: "},
		"program elsewhere": {func(g *sbom.Guest) { g.Program = releasetest.Program("go1.26.8", "another") }, "expected the guest's program among the files of the image"},
	} {
		t.Run(name, func(t *testing.T) {
			g := guest()
			tt.change(&g)
			if _, err := sbom.OfGuest(g, sbom.Subject{Name: "board", Version: "0.6.0"}, time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}
