//go:build acceptance

package acceptance

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/audit"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
)

// released is a release of the tree under test and the repository that it was made of.
type released struct{ repository, dir string }

var (
	firstRelease shared[released]
	archiveFile  shared[string]
)

// ownRelease makes a release of the tree under test without guest images, whose packages a mirror does not keep forever.
func ownRelease(t testing.TB) released {
	t.Helper()
	return firstRelease.get(t, func() released {
		dir := filepath.Join(scratch, "released")
		check(t, os.Mkdir(dir, 0o755))
		r := released{clone(t, filepath.Join(dir, "repository")), filepath.Join(dir, "release")}
		makeRelease(t, r.repository, "1.0.0", r.dir)
		return r
	})
}

func makeRelease(t testing.TB, repository, version, to string) {
	t.Helper()
	p := plain(t)
	at{dir: repository}.must(t, boardroom, "release", "create", "--source", repository, "--cache", p.cache, "--to", to, "--version", version, "--repository", "registry.example/board")
}

func ownArchive(t testing.TB) string {
	t.Helper()
	return archiveFile.get(t, func() string {
		r := ownRelease(t)
		file := filepath.Join(scratch, "inputs.tar")
		at{dir: r.repository}.must(t, boardroom, "release", "archive", r.dir, "--to", file, "--cache", plain(t).cache)
		return file
	})
}

// auditOf runs an audit and reads its report.
func auditOf(t *testing.T, place at, words ...string) (outcome, *audit.Report) {
	t.Helper()
	o := place.try(t, append([]string{boardroom, "audit", "--output", "json", "--cache", plain(t).cache}, words...)...)
	report := new(audit.Report)
	if err := json.Unmarshal([]byte(o.stdout), report); err != nil {
		t.Fatalf("%s: exit code %d, no report: %v\n%s", o.command, o.code, err, o.stderr)
	}
	return o, report
}

// Whoever has the source gets the release, by both paths, and may say so.
func TestAuditReproduces(t *testing.T) {
	r := ownRelease(t)
	dir := fresh(t)
	page, key, password := filepath.Join(dir, "report.html"), filepath.Join(dir, "rebuilder.key"), filepath.Join(dir, "password")
	check(t, os.WriteFile(password, []byte("correct horse battery staple"), 0o600))
	at{dir: dir}.must(t, boardroom, "key", "generate", "--to", key, "--password-file", password)
	o, report := auditOf(t, at{dir: dir}, r.dir, "--source", r.repository, "--to", page, "--auditor", "acceptance", "--sign", "--key", key, "--password-file", password)
	o.ended(t, 0, "toolchain", "compiling the checkout's own", "comparing")
	if report.Verdict != audit.Reproduced {
		t.Errorf("the verdict is %s: %s", report.Verdict, report.Sentence())
	}
	for _, name := range agents {
		for _, path := range []audit.Path{audit.Go, audit.Nix} {
			if !slices.ContainsFunc(report.Items, func(i audit.Item) bool {
				return i.Kind == audit.Image && i.Name == name && i.Path == path && i.Result == audit.Reproduced && i.Got == i.Expected
			}) {
				t.Errorf("nothing says that %s was reproduced by %s", name, path)
			}
		}
	}
	html, err := os.ReadFile(page)
	check(t, err)
	for _, want := range []string{"<strong>Reproduced</strong>", "acceptance", report.Release.Digest.String()} {
		if !bytes.Contains(html, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
	d, err := release.Open(r.dir)
	check(t, err)
	defer d.Close()
	if len(d.Bundles) != 1 || len(d.Links) != 1 || len(report.Signed) != 2 {
		t.Errorf("%d bundles and %d links, %q signed, want 1, 1 and 2", len(d.Bundles), len(d.Links), report.Signed)
	}
	if n := len(d.Release.Images); n != len(agents) {
		t.Errorf("the release has %d images, want %d", n, len(agents))
	}
}

// A release that claims another revision than the one it was made of is found out, down to the text that was changed.
func TestAuditOfAnotherSource(t *testing.T) {
	r := ownRelease(t)
	dir := fresh(t)
	// The same repository with one byte of the agent changed in a second commit, of which a release is made that claims the first.
	other := filepath.Join(dir, "repository")
	check(t, os.CopyFS(other, os.DirFS(r.repository)))
	file := changedText(t, other)
	git := at{dir: other, env: []string{"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null"}}
	git.must(t, "git", "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "--quiet", "--all", "--message=One byte")
	made := filepath.Join(dir, "made")
	makeRelease(t, other, "1.0.0", made)
	lie := filepath.Join(dir, "lie")
	claim(t, made, r.dir, lie)
	key, password := filepath.Join(dir, "rebuilder.key"), filepath.Join(dir, "password")
	check(t, os.WriteFile(password, []byte("correct horse battery staple"), 0o600))
	at{dir: dir}.must(t, boardroom, "key", "generate", "--to", key, "--password-file", password)
	o, report := auditOf(t, at{dir: dir}, lie, "--source", other, "--path", "go", "--sign", "--key", key, "--password-file", password)
	o.ended(t, 1, "differ from what the source leads to")
	if report.Verdict != audit.Differs || len(report.Signed) > 0 {
		t.Errorf("the verdict is %s, %q were signed", report.Verdict, report.Signed)
	}
	if _, err := os.Lstat(filepath.Join(lie, "bundles")); err == nil {
		t.Error("a release that differs was signed")
	}
	var told strings.Builder
	for _, i := range report.Items {
		if i.Kind == audit.Image && i.Name == "hub" {
			for _, d := range i.Found.Differences {
				told.WriteString(d.String() + "\n")
			}
		}
	}
	for _, want := range []string{"hub, layer 2, /usr/bin/agent, section .rodata", "at offset", "hub, config, member rootfs.diff_ids[1]"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("nothing says %q of %s:\n%s", want, file, told.String())
		}
	}
}

// changedText changes one byte of a message that the agent's program has.
func changedText(t *testing.T, tree string) string {
	t.Helper()
	file := filepath.Join(tree, "tools", "agent", "attester.go")
	edit(t, file, replace("too many attestations", "too Many attestations"))
	return file
}

// claim writes a release with the artifacts of one and the source of another; everything in it fits together.
func claim(t *testing.T, made, of, to string) {
	t.Helper()
	a, err := release.Open(made)
	check(t, err)
	defer a.Close()
	b, err := release.Open(of)
	check(t, err)
	defer b.Close()
	check(t, os.CopyFS(to, os.DirFS(made)))
	text := strings.NewReplacer(a.Release.Source.Revision, b.Release.Source.Revision, a.Release.Source.Tree, b.Release.Source.Tree)
	r := *a.Release
	r.Source, r.Created = b.Release.Source, b.Release.Created
	r.Files = slices.Clone(r.Files)
	for i, f := range r.Files {
		name := filepath.Join(to, filepath.FromSlash(f.Path))
		data, err := os.ReadFile(name)
		check(t, err)
		if strings.HasPrefix(f.Path, release.StatementsFolder+"/") {
			data = []byte(text.Replace(string(data)))
			check(t, os.WriteFile(name, data, 0o644))
		}
		r.Files[i].Digest, r.Files[i].Size = provenance.DigestOf(data), int64(len(data))
	}
	manifest, err := r.Encode()
	check(t, err)
	check(t, os.WriteFile(filepath.Join(to, release.ManifestFile), manifest, 0o644))
}

// Two archives of one release are the same bytes, and from one of them everything is built where there is no network, no Go, nothing that
// was built before, and nobody's home.
func TestAuditWithoutNetwork(t *testing.T) {
	r, file := ownRelease(t), ownArchive(t)
	dir := fresh(t)
	again := filepath.Join(dir, "again.tar")
	at{dir: r.repository}.must(t, boardroom, "release", "archive", r.dir, "--to", again, "--cache", plain(t).cache)
	if sha256File(t, again) != sha256File(t, file) {
		t.Error("two archives of one release differ")
	}
	need(t, "unshare", "nix")
	empty := filepath.Join(dir, "cache")
	o := at{dir: dir}.try(t, "unshare", "--net", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME="+filepath.Join(dir, "home"), "TMPDIR="+dir,
		boardroom, "audit", "--output", "json", "--cache", empty, r.dir, "--inputs", file)
	o.ended(t, 0)
	report := new(audit.Report)
	check(t, json.Unmarshal([]byte(o.stdout), report))
	if report.Verdict != audit.Reproduced || report.Inputs == nil {
		t.Errorf("the verdict is %s: %s\n%s", report.Verdict, report.Sentence(), o.stderr)
	}
	for _, p := range report.Paths {
		if p.Reason != "" {
			t.Errorf("path %s was not done: %s", p.Path, p.Reason)
		}
	}
	if _, err := os.Lstat(empty); err == nil {
		t.Error("something was put into the user's cache")
	}
}

// What can not be done is said, and is not taken for done.
func TestAuditThatIsNotComplete(t *testing.T) {
	r := ownRelease(t)
	dir := fresh(t)
	// A PATH without Nix, and modules that nobody serves.
	bin := filepath.Join(dir, "bin")
	check(t, os.Mkdir(bin, 0o755))
	for _, name := range []string{"git", "go"} {
		need(t, name)
		check(t, os.Symlink(strings.TrimSpace(at{}.must(t, "sh", "-c", "command -v "+name)), filepath.Join(bin, name)))
	}
	o, report := auditOf(t, at{dir: dir, env: []string{"PATH=" + bin, "GOPROXY=off"}}, r.dir, "--source", r.repository)
	o.ended(t, 3, "nix is not installed")
	if report.Verdict != audit.Incomplete || report.Count(audit.Differs) > 0 {
		t.Errorf("the verdict is %s with %d differing", report.Verdict, report.Count(audit.Differs))
	}
	for _, name := range agents {
		for _, path := range []audit.Path{audit.Go, audit.Nix} {
			if !slices.ContainsFunc(report.Items, func(i audit.Item) bool {
				return i.Kind == audit.Image && i.Name == name && i.Path == path && i.Result == audit.NotDone && i.Reason != ""
			}) {
				t.Errorf("nothing says that %s was not built by %s", name, path)
			}
		}
	}
}

// The source has to be the one that the release names: the revision has to be there, with its tree.
func TestAuditFromAnotherRepository(t *testing.T) {
	r := ownRelease(t)
	empty := filepath.Join(fresh(t), "repository")
	check(t, os.MkdirAll(filepath.Join(empty, "nix"), 0o755))
	check(t, copyFile(filepath.Join(r.repository, "nix", "seed.json"), filepath.Join(empty, "nix", "seed.json")))
	commit(t, empty)
	at{}.try(t, boardroom, "audit", r.dir, "--source", empty).ended(t, 3, "revision")
	// A release that names a tree that is not the revision's.
	lie := filepath.Join(fresh(t), "lie")
	check(t, os.CopyFS(lie, os.DirFS(r.dir)))
	d, err := release.Open(r.dir)
	check(t, err)
	defer d.Close()
	tree := strings.Repeat("0", len(d.Release.Source.Tree))
	edited := *d.Release
	edited.Source.Tree = tree
	manifest, err := edited.Encode()
	check(t, err)
	check(t, os.WriteFile(filepath.Join(lie, release.ManifestFile), manifest, 0o644))
	o, report := auditOf(t, at{}, lie, "--source", r.repository)
	o.ended(t, 1)
	if !slices.ContainsFunc(report.Items, func(i audit.Item) bool {
		return i.Kind == audit.Source && i.Result == audit.Differs && i.Expected == tree && i.Got == d.Release.Source.Tree
	}) {
		t.Errorf("nothing says that the tree is another: %+v", report.Items)
	}
}
