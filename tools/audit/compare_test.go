package audit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func auditorOf(t *testing.T, f *releasetest.Fixture) *auditor {
	t.Helper()
	return &auditor{
		progress: &progress{to: io.Discard, start: time.Now()}, report: &Report{}, release: f.Open(t), folder: f.Dir, disks: make(map[string]map[Path]string),
	}
}

// results are the items that do not have a result, by kind and name.
func (a *auditor) other(than Verdict) []string {
	var all []string
	for _, i := range a.report.Items {
		if i.Result != than {
			all = append(all, string(i.Kind)+" "+i.Name)
		}
	}
	slices.Sort(all)
	return all
}

func TestTargetsAreTheWholeRelease(t *testing.T) {
	d := releasetest.New(t).Open(t)
	for _, f := range d.Release.Files {
		if !slices.ContainsFunc(targets(d), func(target target) bool {
			return target.files == f.Path || strings.HasSuffix(target.files, "/") && strings.HasPrefix(f.Path, target.files)
		}) {
			t.Errorf("no item is about %s", f.Path)
		}
	}
}

func TestCompare(t *testing.T) {
	image, err := releasetest.Image("another")
	check(t, err)
	guest := "test-guest"
	tests := []struct {
		name   string
		change func(*release.Parts)
		want   []string
		// place is one that has to be named.
		place string
	}{
		{"nothing", nil, nil, ""},
		{
			"an image", func(p *release.Parts) { p.Images[0].Image = image },
			[]string{"bill of materials finance-agent", "image finance-agent", "provenance finance-agent", "release release.json"}, "layer 1, /usr/bin/agent, Go build information",
		},
		{
			"an app-compose", func(p *release.Parts) {
				p.Applications[1].AppCompose = bytes.Replace(p.Applications[1].AppCompose, []byte(`"public_logs":true`), []byte(`"public_logs":false`), 1)
			}, []string{"application hub", "reference values reference-values.json", "release release.json"}, "compose/hub.json, member public_logs: expected true, got false",
		},
		{
			"a dependency", func(p *release.Parts) {
				more, err := provenance.ModuleResource("example.com/more", "v1.0.0", "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
				check(t, err)
				p.Images[1].Dependencies = append(p.Images[1].Dependencies, more)
			}, []string{"provenance hub-agent", "release release.json"},
			"resolvedDependencies[pkg:golang/example.com/more@v1.0.0]",
		},
		{
			"one application less", func(p *release.Parts) { p.Applications = p.Applications[:1] },
			[]string{"application hub", "reference values reference-values.json", "release release.json"}, "",
		},
		{"an archive", func(p *release.Parts) { p.Guests[0].Archive.Digest[0] ^= 1 }, []string{"guest archive " + guest, "release release.json"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := auditorOf(t, releasetest.New(t))
			built := releasetest.New(t, releasetest.Options{Change: tt.change})
			check(t, a.compare(built.Open(t), built.Dir, ""))
			if got := a.other(Reproduced); !slices.Equal(got, tt.want) {
				t.Errorf("these differ: %q, want %q", got, tt.want)
			}
			var told strings.Builder
			for _, i := range a.report.Items {
				if i.Path != Go || i.Expected == "" {
					t.Errorf("item %+v says not enough", i)
				}
				if i.Result == Differs && i.Found.Equal() && i.Reason == "" {
					t.Errorf("%s %s differs, and nothing says where", i.Kind, i.Name)
				}
				for _, d := range i.Found.Differences {
					told.WriteString(d.String() + "\n")
				}
			}
			if !strings.Contains(told.String(), tt.place) {
				t.Errorf("nothing says %q:\n%s", tt.place, told.String())
			}
			// The other way round: what the release lacks.
			b := auditorOf(t, built)
			original := releasetest.New(t)
			check(t, b.compare(original.Open(t), original.Dir, ""))
			if got := b.other(Reproduced); !slices.Equal(got, tt.want) {
				t.Errorf("the other way round these differ: %q, want %q", got, tt.want)
			}
		})
	}
}

// Without guest images everything else is compared all the same, and nobody takes that for all of it.
func TestCompareWithoutGuests(t *testing.T) {
	a := auditorOf(t, releasetest.New(t))
	built := releasetest.New(t, releasetest.Options{NoGuests: true})
	check(t, a.compare(built.Open(t), built.Dir, "no packages"))
	want := []string{
		"bill of materials test-guest", "guest archive test-guest", "guest image test-guest", "provenance test-guest", "reference values reference-values.json", "release release.json",
	}
	if got := a.other(Reproduced); !slices.Equal(got, want) {
		t.Errorf("these are not reproduced: %q, want %q", got, want)
	}
	if n := a.report.Count(Differs); n > 0 {
		t.Errorf("%d differ, want none", n)
	}
	if a.report.judge(); a.report.Verdict != Incomplete {
		t.Errorf("the verdict is %s", a.report.Verdict)
	}
}

// An audit by Nix alone leaves out what Nix does not make, and so is not complete: nothing may be signed after it.
func TestNixAloneIsNotAll(t *testing.T) {
	a := auditorOf(t, releasetest.New(t))
	a.report.Paths = []PathReport{{Path: Nix, Asked: true}}
	for _, target := range targets(a.release) {
		if target.kind == Image || target.kind == Guest {
			a.add(Item{Kind: target.kind, Name: target.name, Path: Nix, Result: Reproduced})
		}
	}
	a.uncovered()
	if a.report.judge(); a.report.Verdict != Incomplete || a.report.Count(NotDone) == 0 {
		t.Errorf("the verdict is %s with %d not done", a.report.Verdict, a.report.Count(NotDone))
	}
}

func TestMeasure(t *testing.T) {
	f := releasetest.New(t)
	a := auditorOf(t, f)
	built := releasetest.New(t)
	check(t, a.measure(built.Open(t), built.Dir))
	if got := a.other(Reproduced); len(got) > 0 || len(a.report.Items) != 1 {
		t.Errorf("got %+v", a.report.Items)
	}
	// A guest that is measured to be another one.
	file := filepath.Join(built.Dir, "guests", "test-guest", "metadata.json")
	data, err := os.ReadFile(file)
	check(t, err)
	check(t, os.WriteFile(file, bytes.Replace(data, []byte("console=ttyS0"), []byte("console=ttyS1"), 1), 0o644))
	a.report.Items = nil
	check(t, a.measure(built.Open(t), built.Dir))
	if i := a.report.Items[0]; i.Result != Differs || !strings.Contains(i.Found.Differences[0].String(), "cmdline") {
		t.Errorf("got %+v", i)
	}
	check(t, os.Remove(file))
	a.report.Items = nil
	check(t, a.measure(&release.Directory{Release: a.release.Release}, built.Dir))
	if i := a.report.Items[0]; i.Result != NotDone || i.Reason == "" {
		t.Errorf("got %+v", i)
	}
}

func TestJudge(t *testing.T) {
	item := func(results ...Verdict) []Item {
		items := []Item{{Kind: Files, Result: Reproduced}}
		for _, r := range results {
			items = append(items, Item{Kind: Image, Path: Go, Result: r})
		}
		return items
	}
	done, failed, left := PathReport{Path: Go, Asked: true}, PathReport{Path: Nix, Asked: true, Reason: "no nix"}, PathReport{Path: Nix}
	for _, tt := range []struct {
		name  string
		items []Item
		paths []PathReport
		want  Verdict
	}{
		{"all the same", item(Reproduced, Reproduced), []PathReport{done, left}, Reproduced},
		{"nothing built", item(), []PathReport{done, left}, Incomplete},
		{"nothing at all", nil, nil, Incomplete},
		{"one not done", item(Reproduced, NotDone), []PathReport{done, left}, Incomplete},
		{"a path not done", item(Reproduced), []PathReport{done, failed}, Incomplete},
		{"one differs", item(Reproduced, Differs), []PathReport{done, left}, Differs},
		{"one differs and one is not done", item(NotDone, Differs), []PathReport{done, failed}, Differs},
		{"a result that nobody knows", item(Reproduced, ""), []PathReport{done, left}, Incomplete},
	} {
		r := &Report{Items: tt.items, Paths: tt.paths}
		if r.judge(); r.Verdict != tt.want {
			t.Errorf("%s: the verdict is %s, want %s", tt.name, r.Verdict, tt.want)
		}
		if r.Sentence() == "" {
			t.Errorf("%s: no sentence", tt.name)
		}
	}
}

func TestItemsAreInOrder(t *testing.T) {
	r := &Report{Items: []Item{{Kind: Manifest}, {Kind: Image, Name: "b", Path: Go}, {Kind: Image, Name: "a", Path: Nix}, {Kind: Image, Name: "a", Path: Go}, {Kind: Files}}}
	r.judge()
	var got []string
	for _, i := range r.Items {
		got = append(got, string(i.Kind)+i.Name+string(i.Path))
	}
	if want := []string{"files", "imageago", "imageanix", "imagebgo", "release"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A damaged release is not audited.
func TestDamagedRelease(t *testing.T) {
	f := releasetest.New(t)
	check(t, os.WriteFile(filepath.Join(f.Dir, "compose", "hub.json"), []byte("{}"), 0o644))
	_, err := Run(t.Context(), Options{Release: f.Dir, Source: t.TempDir(), Paths: []Path{Go}, Work: t.TempDir()})
	var changed *release.ChangedError
	if !errors.As(err, &changed) {
		t.Errorf("got %v", err)
	}
	if _, err := Run(t.Context(), Options{Release: releasetest.New(t).Dir}); err == nil {
		t.Error("an audit by no path was made")
	}
}

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	l := &lines{p: &progress{to: &b, start: time.Now()}, who: "go"}
	for _, part := range []string{"one\ntw", "o\r\n\n\x1b[31mred\n", strings.Repeat("x", 3*maxLine)} {
		if n, err := io.WriteString(l, part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if want := "[   0 s] go   one\n[   0 s] go   two\n[   0 s] go   \\u001b[31mred\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	if len(l.rest) > maxLine {
		t.Errorf("%d bytes of a line without an end are kept", len(l.rest))
	}
}

func TestRemoveAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	check(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "a", "b", "c"), nil, 0o444))
	check(t, os.Chmod(filepath.Join(dir, "a", "b"), 0o555))
	check(t, os.Chmod(filepath.Join(dir, "a"), 0o555))
	check(t, removeAll(dir))
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// What was reproduced is signed as it was audited; the release's own folder gets the signatures and nothing else.
func TestSign(t *testing.T) {
	f := releasetest.New(t)
	a := auditorOf(t, f)
	a.folder = filepath.Join(t.TempDir(), "release")
	check(t, os.CopyFS(a.folder, os.DirFS(f.Dir)))
	a.Options.Release = f.Dir
	a.Signer = func(context.Context) (release.StatementSigner, error) { return f.Rebuilder, nil }
	check(t, a.sign(t.Context()))
	d := f.Open(t)
	if len(d.Bundles) != 1 || len(d.Links) != 1 || len(a.report.Signed) != 2 {
		t.Errorf("%d bundles and %d links, %q signed, want 1, 1 and 2", len(d.Bundles), len(d.Links), a.report.Signed)
	}
	a.Vouchers = filepath.Join(t.TempDir(), "vouchers")
	check(t, os.Mkdir(a.Vouchers, 0o755))
	check(t, os.RemoveAll(filepath.Join(a.folder, "bundles")))
	check(t, os.RemoveAll(filepath.Join(a.folder, "links")))
	check(t, a.sign(t.Context()))
	for _, file := range a.report.Signed {
		if _, err := os.Stat(filepath.Join(a.Vouchers, filepath.FromSlash(file))); err != nil {
			t.Error(err)
		}
	}
}
