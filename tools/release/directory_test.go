package release_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
)

// Files are read within bounds, and only if they are what release.json says.
func TestDirectory(t *testing.T) {
	w := newWorld(t)
	d := w.fixture.Open(t)
	data, err := d.ReadFile(appCompose, 1<<20)
	if err != nil || string(data) != string(w.read(appCompose)) {
		t.Fatalf("got %q, %v", data, err)
	}
	w.check(d.CheckFile(appCompose))
	var unaccounted *release.UnaccountedError
	if _, err := d.ReadFile(release.ManifestFile, 1<<20); !errors.As(err, &unaccounted) {
		t.Errorf("a file that is not listed: got %v", err)
	}
	if err := d.CheckFile("compose/none.json"); !errors.As(err, &unaccounted) {
		t.Errorf("a file that is not listed: got %v", err)
	}
	var changed *release.ChangedError
	if _, err := d.ReadFile(appCompose, int64(len(data))-1); !errors.As(err, &changed) {
		t.Errorf("a file beyond the bound: got %v", err)
	}
	for name, change := range map[string]func(){
		"altered":     func() { w.flip(appCompose) },
		"grown":       func() { w.write(appCompose, append(data[:len(data):len(data)], ' ')) },
		"shrunk":      func() { w.write(appCompose, data[:len(data)-1]) },
		"another one": func() { w.write(appCompose, []byte("x")) },
	} {
		w.write(appCompose, data)
		change()
		if _, err := d.ReadFile(appCompose, 1<<20); !errors.As(err, &changed) {
			t.Errorf("%s: read: got %v", name, err)
		}
		if err := d.CheckFile(appCompose); !errors.As(err, &changed) {
			t.Errorf("%s: check: got %v", name, err)
		}
	}
	w.remove(appCompose)
	w.check(os.Symlink("hub.json", w.path(appCompose)))
	if err := d.CheckFile(appCompose); !errors.As(err, &unaccounted) {
		t.Errorf("a link: got %v", err)
	}
	if _, err := release.Open(w.dir); !errors.As(err, &unaccounted) {
		t.Errorf("open: got %v", err)
	}
}

// A name that a terminal could take for a command is not printed as it is.
func TestDirectoryPrintsNoControls(t *testing.T) {
	w := newWorld(t)
	w.write("compose/\x1b[2Jx", []byte("x"))
	r := w.verify()
	if r.Accepted || strings.ContainsRune(r.Refusal.Reason, '\x1b') || !strings.Contains(r.Refusal.Reason, `\x1b`) {
		t.Errorf("got %q", r.Refusal.Reason)
	}
}

// Every member of release.json is asked for what it has to be.
func TestReleaseValidate(t *testing.T) {
	w := newUnsigned(t)
	tests := map[string]struct {
		want   string
		change func(r *release.Release)
	}{
		"schema":                     {"schema: ", func(r *release.Release) { r.Schema = "x" }},
		"name":                       {"name: ", func(r *release.Release) { r.Name = "Board" }},
		"version":                    {"version: ", func(r *release.Release) { r.Version = "v1.0.0" }},
		"version with build":         {"version: ", func(r *release.Release) { r.Version = "1.0.0+1" }},
		"no time":                    {"created: ", func(r *release.Release) { r.Created = r.Created.AddDate(-3000, 0, 0).Truncate(0).Add(1) }},
		"no repository":              {"source.repository: ", func(r *release.Release) { r.Source.Repository = "" }},
		"control characters":         {"source.repository: ", func(r *release.Release) { r.Source.Repository = "https://a\x1b[2J" }},
		"no URI":                     {"source: ", func(r *release.Release) { r.Source.Repository = "https://%zz/" }},
		"short revision":             {"source.revision: ", func(r *release.Release) { r.Source.Revision = "1a1a" }},
		"tree in upper case":         {"source.tree: ", func(r *release.Release) { r.Source.Tree = strings.Repeat("AB", 20) }},
		"no files":                   {"files: ", func(r *release.Release) { r.Files = nil }},
		"absolute path":              {"files[0].path: ", func(r *release.Release) { r.Files[0].Path = "/compose/finance.json" }},
		"another folder":             {"files[0].path: ", func(r *release.Release) { r.Files[0].Path = "bin/sh" }},
		"a folder of vouchers":       {"files[0].path: ", func(r *release.Release) { r.Files[0].Path = "bundles/a.sigstore.json" }},
		"hidden file":                {"files[0].path: ", func(r *release.Release) { r.Files[0].Path = "compose/.finance.json" }},
		"file twice":                 {"files[1].path: ", func(r *release.Release) { r.Files[1] = r.Files[0] }},
		"files not sorted":           {"files[1].path: ", func(r *release.Release) { r.Files[0], r.Files[1] = r.Files[1], r.Files[0] }},
		"negative size":              {"files[0].size: ", func(r *release.Release) { r.Files[0].Size = -1 }},
		"size beyond bounds":         {"files[0].size: ", func(r *release.Release) { r.Files[0].Size = release.MaxFile + 1 }},
		"no images or guests":        {"images: ", func(r *release.Release) { r.Images, r.Guests = []release.Image{}, []release.Guest{} }},
		"images null":                {"images: ", func(r *release.Release) { r.Images = nil }},
		"image without name":         {"images[0].name: ", func(r *release.Release) { r.Images[0].Name = "" }},
		"image release.json":         {"images[1].name: ", func(r *release.Release) { r.Images[1].Name = release.ManifestFile }},
		"image twice":                {"images[1].name: ", func(r *release.Release) { r.Images[1].Name = r.Images[0].Name }},
		"image without digest":       {"images[0].digest: ", func(r *release.Release) { r.Images[0].Digest = provenance.Digest{} }},
		"image by tag":               {"images[0].repository: ", func(r *release.Release) { r.Images[0].Repository += ":latest" }},
		"image elsewhere":            {"images[0].layout: ", func(r *release.Release) { r.Images[0].Layout = "images/other" }},
		"no provenance":              {"images[0].provenance: ", func(r *release.Release) { r.Images[0].Provenance = "" }},
		"SBOM elsewhere":             {"images[0].sbom: ", func(r *release.Release) { r.Images[0].SBOM = appCompose }},
		"guest called as image":      {"guests[0].name: ", func(r *release.Release) { r.Guests[0].Name = r.Images[0].Name }},
		"guest elsewhere":            {"guests[0].folder: ", func(r *release.Release) { r.Guests[0].Folder = "guests/other" }},
		"guest without hash":         {"guests[0].os_image_hash: ", func(r *release.Release) { r.Guests[0].OSImageHash = [32]byte{} }},
		"archive with folder":        {"guests[0].archive: ", func(r *release.Release) { r.Guests[0].Archive.Name = "../a.tar.gz" }},
		"guest's provenance":         {"guests[0].provenance: ", func(r *release.Release) { r.Guests[0].Provenance = "x" }},
		"guest's SBOM":               {"guests[0].sbom: ", func(r *release.Release) { r.Guests[0].SBOM = "x" }},
		"application unnamed":        {"applications[0].name: ", func(r *release.Release) { r.Applications[0].Name = "" }},
		"application of no image":    {"applications[0].image: ", func(r *release.Release) { r.Applications[0].Image = "none" }},
		"app-compose elsewhere":      {"applications[0].app_compose: ", func(r *release.Release) { r.Applications[0].AppCompose = sbomFile }},
		"compose hash":               {"applications[0].compose_hash: ", func(r *release.Release) { r.Applications[0].ComposeHash[0] ^= 1 }},
		"no reference values":        {"reference_values: ", func(r *release.Release) { r.ReferenceValues = "" }},
		"reference values elsewhere": {"reference_values: ", func(r *release.Release) { r.ReferenceValues = appCompose }},
		"one statement for two":      {"images[1].provenance: ", func(r *release.Release) { r.Images[1].Provenance = r.Images[0].Provenance }},
		"file of nobody": {"files[", func(r *release.Release) {
			r.Files = append(r.Files, release.File{Path: "statements/z.json"})
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := w.release()
			tt.change(r)
			var form *release.FieldError
			if err := r.Validate(); !errors.As(err, &form) || !strings.HasPrefix(err.Error(), release.ManifestFile+": "+tt.want) {
				t.Errorf("got %v, want an error about %s", err, tt.want)
			}
			if _, err := r.Encode(); !errors.As(err, &form) {
				t.Errorf("encoded: got %v", err)
			}
		})
	}
}
