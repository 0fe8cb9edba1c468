package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/audit/difference"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
)

// target is something in a release that can be built again.
type target struct {
	kind         Kind
	name, digest string
	// files is the file of the release that it is, or with a slash at its end the folder; empty for what is not in the folder of a release.
	files string
}

// targets are all of a release. Together their files are all files, as release.json has the digest of each.
func targets(d *release.Directory) []target {
	r := d.Release
	digests := make(map[string]string, len(r.Files))
	for _, f := range r.Files {
		digests[f.Path] = f.Digest.String()
	}
	all := []target{{Manifest, release.ManifestFile, d.Digest.String(), release.ManifestFile}}
	file := func(kind Kind, name, file string) { all = append(all, target{kind, name, digests[file], file}) }
	for _, m := range r.Images {
		all = append(all, target{Image, m.Name, m.Digest.String(), m.Layout + "/"})
		file(SBOM, m.Name, m.SBOM)
		file(Provenance, m.Name, m.Provenance)
	}
	for _, g := range r.Guests {
		all = append(all, target{Guest, g.Name, g.OSImageHash.String(), g.Folder + "/"}, target{GuestArchive, g.Name, g.Archive.Digest.String(), ""})
		file(SBOM, g.Name, g.SBOM)
		file(Provenance, g.Name, g.Provenance)
	}
	for _, app := range r.Applications {
		file(Application, app.Name, app.AppCompose)
	}
	if r.ReferenceValues != "" {
		file(ReferenceValues, path.Base(r.ReferenceValues), r.ReferenceValues)
	}
	return all
}

// ofGuests holds for what is there only if guests are.
func (t target) ofGuests(r *release.Release) bool {
	if t.kind == ReferenceValues || t.kind == Manifest {
		return len(r.Guests) > 0
	}
	for _, g := range r.Guests {
		if g.Name == t.name && t.kind != Application {
			return true
		}
	}
	return false
}

// compare holds the release against one that was built, with all that it has or, if guests could not be built, without them.
func (a *auditor) compare(built *release.Directory, folder string, without string) error {
	type key struct {
		kind Kind
		name string
	}
	got := make(map[key]target)
	for _, t := range targets(built) {
		got[key{t.kind, t.name}] = t
	}
	for _, want := range targets(a.release) {
		item := Item{Kind: want.kind, Name: want.name, Path: Go, Result: Reproduced, Expected: want.digest}
		t, found := got[key{want.kind, want.name}]
		delete(got, key{want.kind, want.name})
		switch {
		case without != "" && want.ofGuests(a.release.Release):
			item.Result, item.Reason = NotDone, without
		case !found:
			item.Result, item.Got, item.Reason = Differs, "none", "the source leads to no such thing"
		default:
			item.Got = t.digest
			same := want.digest == t.digest && sameFiles(a.release.Release, built.Release, want.files, t.files)
			if same {
				break
			}
			item.Result = Differs
			var err error
			if item.Found, err = a.differences(want, t, folder); err != nil {
				return err
			}
			if want.kind == GuestArchive {
				item.Reason = "the archive is not in the folder of a release; the guest image shows what differs"
			}
		}
		a.add(item)
	}
	for k, t := range got {
		// Without guests, release.json is another one, and is not compared.
		if k.kind != Manifest {
			a.add(Item{Kind: t.kind, Name: t.name, Path: Go, Result: Differs, Expected: "none", Got: t.digest, Reason: "the release has no such thing"})
		}
	}
	return nil
}

// sameFiles compares the digests of files in a place of two releases.
func sameFiles(a, b *release.Release, inA, inB string) bool {
	files := func(r *release.Release, in string) map[string]provenance.Digest {
		found := make(map[string]provenance.Digest)
		for _, f := range r.Files {
			if rest, below := strings.CutPrefix(f.Path, in); below && in != "" && (rest == "" || strings.HasSuffix(in, "/")) {
				found[rest] = f.Digest
			}
		}
		return found
	}
	x, y := files(a, inA), files(b, inB)
	if len(x) != len(y) {
		return false
	}
	for name, digest := range x {
		if other, found := y[name]; !found || other != digest {
			return false
		}
	}
	return true
}

// differences looks into what differs.
func (a *auditor) differences(want, got target, folder string) (difference.List, error) {
	e, g := filepath.Join(a.folder, filepath.FromSlash(want.files)), filepath.Join(folder, filepath.FromSlash(got.files))
	switch {
	case want.files == "":
		return difference.List{}, nil
	case want.kind == Image:
		return difference.Layouts(want.name, os.DirFS(e), os.DirFS(g))
	case want.kind == Guest:
		return difference.Folders(want.name, os.DirFS(e), os.DirFS(g))
	}
	expected, err := os.ReadFile(e)
	if err != nil {
		return difference.List{}, err
	}
	built, err := os.ReadFile(g)
	if err != nil {
		return difference.List{}, err
	}
	return difference.File(want.files, expected, built), nil
}

// measure measures guest images that were built with the auditor's own program, and holds what the release says about them against it.
func (a *auditor) measure(built *release.Directory, folder string) error {
	said, err := a.release.ReferenceValues()
	if err != nil || said == nil {
		return err
	}
	for _, g := range built.Release.Guests {
		item := Item{Kind: Measurement, Name: g.Name, Path: Go, Result: Reproduced, Expected: fmt.Sprintf("MRTD and RTMR0-2 on %d machines", len(said.Machines)), Reason: "measured by the auditor's own program"}
		item.Got = item.Expected
		values, err := release.Measure(filepath.Join(folder, filepath.FromSlash(g.Folder)), said.Machines)
		if err != nil {
			item.Result, item.Reason = NotDone, oneLine(err)
			a.add(item)
			continue
		}
		values.Name, values.OSImageHash = g.Name, g.OSImageHash
		expected := release.GuestValues{}
		for _, s := range said.Guests {
			if s.Name == g.Name {
				expected = s
			}
		}
		e, err := json.Marshal(expected)
		if err != nil {
			return err
		}
		m, err := json.Marshal(values)
		if err != nil {
			return err
		}
		if item.Found = difference.File(g.Name, e, m); !item.Found.Equal() {
			item.Result, item.Got = Differs, "other values"
		}
		a.add(item)
	}
	return nil
}

// compareRoots says where two root file systems of one guest differ that were built by both paths. What a release has of them is a hash.
func (a *auditor) compareRoots() error {
	for guest, by := range a.disks {
		if by[Go] == "" || by[Nix] == "" {
			continue
		}
		found, err := disks(guest+", root file system, by plain Go and by Nix", by[Go], by[Nix])
		if err != nil {
			return err
		}
		for i := range a.report.Items {
			if item := &a.report.Items[i]; item.Kind == Guest && item.Name == guest && item.Path == Nix && !found.Equal() {
				item.Result = Differs
				item.Found.Differences = append(item.Found.Differences, found.Differences...)
				item.Found.More += found.More
			}
		}
	}
	return nil
}

func disks(name, expected, got string) (_ difference.List, err error) {
	e, err := os.Open(expected)
	if err != nil {
		return difference.List{}, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	g, err := os.Open(got)
	if err != nil {
		return difference.List{}, err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	a, err := e.Stat()
	if err != nil {
		return difference.List{}, err
	}
	b, err := g.Stat()
	if err != nil {
		return difference.List{}, err
	}
	return difference.Disks(name, e, g, a.Size(), b.Size())
}
