package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/boardroom-tee/boardroom/tools/audit/checkout"
	"github.com/boardroom-tee/boardroom/tools/audit/difference"
	"github.com/boardroom-tee/boardroom/tools/gobuild"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/archive"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

// Options say what to audit, and from what.
type Options struct {
	// Release is the folder of the release.
	Release string
	// Source is a Git repository on this machine that has the release's revision. Not needed with Inputs.
	Source string
	// Inputs is an archive of everything that the release is built from; nil takes what the machine is set up to fetch.
	Inputs *archive.Archive
	// Paths are the ways to build. At least one.
	Paths []Path
	// Work is an existing and empty folder for everything that the audit builds, which stays there. Empty stands for one that is removed.
	Work string
	// Cache is a folder with toolchain and Debian packages, whose content is verified before use. Nothing that was compiled is taken.
	Cache string
	// Mirror is that of Debian packages, as for package mirror.
	Mirror string
	// Auditor is who makes the audit, for the report; Program is the version of their program.
	Auditor, Program string
	// Signer signs what was reproduced as a rebuilder; nil signs nothing. It is called when there is something to sign.
	Signer func(ctx context.Context) (release.StatementSigner, error)
	// Vouchers is an existing folder for the signatures; empty stands for the release's own.
	Vouchers string
	// Progress takes lines for people; nil drops them.
	Progress io.Writer
}

// auditor is one run.
type auditor struct {
	Options
	*progress
	// mu guards report while several paths are gone.
	mu     sync.Mutex
	report *Report
	// release is a copy of the audited one, so that nobody changes it between a comparison and a signature; folder is where it is.
	release *release.Directory
	folder  string
	source  *checkout.Checkout
	// export has the files of source alone, inputs those of the archive.
	export, inputs string
	// builder compiles the programs of source.
	builder *gobuild.Builder
	// disks are root file systems of guest images, by name of the image and path. A release does not have them.
	disks map[string]map[Path]string
}

// roots notes where a root file system is.
func (a *auditor) roots(guest string, p Path, file string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.disks[guest] == nil {
		a.disks[guest] = make(map[Path]string)
	}
	a.disks[guest][p] = file
}

// Run makes an audit. What the release is not is in the report; the error is one of reading the release, which may be a verdict of package
// release, or of preparing the audit.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	if len(o.Paths) == 0 {
		return nil, errors.New("expected at least one path to build by, got none")
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	a := &auditor{Options: o, progress: &progress{to: o.Progress, start: time.Now()}, disks: make(map[string]map[Path]string)}
	if a.Work == "" {
		if a.Work, err = os.MkdirTemp("", "boardroom-audit-"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, removeAll(a.Work)) }()
	}
	if a.Work, err = filepath.Abs(a.Work); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(a.Work, "home"), 0o755); err != nil {
		return nil, err
	}
	if err := a.take(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.release.Close()) }()
	r := a.release.Release
	a.report = &Report{
		Schema: Schema, Auditor: o.Auditor, Program: o.Program, Began: a.start.UTC().Truncate(time.Second),
		Machine: fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()),
		Release: Subject{r.Name, r.Version, r.Created, a.release.Digest, r.Source},
	}
	for _, p := range []Path{Go, Nix} {
		a.report.Paths = append(a.report.Paths, PathReport{Path: p, Asked: slices.Contains(o.Paths, p)})
	}
	if a.Inputs != nil {
		digest := a.Inputs.Digest()
		a.report.Inputs = &digest
	}
	a.add(Item{Kind: Files, Name: "all files", Result: Reproduced, Expected: fmt.Sprintf("%d files with the digests of %s", len(r.Files), release.ManifestFile)})
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	if a.source != nil {
		a.build(ctx)
	} else {
		for i := range a.report.Paths {
			a.report.Paths[i].Reason = "the source is not the one that the release names"
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.report.judge()
	if o.Signer != nil && a.report.Verdict == Reproduced {
		if err := a.sign(ctx); err != nil {
			return nil, err
		}
	}
	a.report.Seconds = time.Since(a.start).Seconds()
	return a.report, nil
}

func (a *auditor) add(items ...Item) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.report.Items = append(a.report.Items, items...)
}

// take copies the release, and checks every file of the copy.
func (a *auditor) take() error {
	given, err := release.Open(a.Release)
	if err != nil {
		return err
	}
	if err := given.Close(); err != nil {
		return err
	}
	a.folder = filepath.Join(a.Work, "release")
	if err := os.CopyFS(a.folder, os.DirFS(a.Release)); err != nil {
		return err
	}
	if a.release, err = openWhole(a.folder); err != nil {
		return err
	}
	a.say("", "release %s %s: all %d files are what %s says", a.release.Release.Name, a.release.Release.Version, len(a.release.Release.Files), release.ManifestFile)
	return nil
}

// openWhole opens a release and checks every file.
func openWhole(dir string) (*release.Directory, error) {
	d, err := release.Open(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range d.Release.Files {
		if err := d.CheckFile(f.Path); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// prepare makes the clean checkout. One that is not what the release names is in the report, and leaves source nil.
func (a *auditor) prepare(ctx context.Context) error {
	s := a.release.Release.Source
	expected := []Item{
		{Kind: Source, Name: "revision", Result: Reproduced, Expected: s.Revision, Got: s.Revision},
		{Kind: Source, Name: "tree", Result: Reproduced, Expected: s.Tree, Got: s.Tree},
	}
	dir := filepath.Join(a.Work, "checkout")
	var c *checkout.Checkout
	var err error
	if a.Inputs != nil {
		a.say("", "unpacking the archive of inputs")
		a.inputs = filepath.Join(a.Work, "inputs")
		if err := a.Inputs.Extract(ctx, a.inputs); err != nil {
			return err
		}
		commit, readErr := os.ReadFile(filepath.Join(a.inputs, archive.CommitFile))
		if readErr != nil {
			return readErr
		}
		c, err = checkout.FromFiles(ctx, filepath.Join(a.inputs, archive.SourceFolder), commit, s.Revision, s.Tree, dir)
	} else {
		c, err = checkout.FromRepository(ctx, a.Source, s.Revision, s.Tree, dir)
	}
	var mismatch *checkout.MismatchError
	var submodule *checkout.SubmoduleError
	switch {
	case errors.As(err, &mismatch):
		at := 1
		if mismatch.What == "revision" {
			at = 0
		}
		expected[at].Result, expected[at].Expected, expected[at].Got, expected[at].Reason = Differs, mismatch.Expected, mismatch.Got, mismatch.What+" differs"
		a.add(expected[at:]...)
		return nil
	case errors.As(err, &submodule):
		a.add(Item{Kind: Source, Name: submodule.Path, Result: Differs, Expected: "files", Got: "a submodule", Reason: submodule.Error()})
		return nil
	case err != nil:
		return err
	}
	a.add(expected...)
	a.say("", "clean checkout of %s; its tree is %s, computed from the files", s.Revision, s.Tree)
	a.source, a.export = c, filepath.Join(a.Work, "export")
	return c.Export(a.export)
}

// build goes all paths at once. What can not be done is in the report.
func (a *auditor) build(ctx context.Context) {
	steps := map[Path]func(context.Context) error{Go: a.buildGo, Nix: a.buildNix}
	// Both compile with the same toolchain.
	cache := filepath.Join(a.Work, "cache")
	err := a.toolchain(ctx, cache)
	if err == nil {
		if a.builder, err = gobuild.New(ctx, a.source.Dir, cache, &lines{p: a.progress, who: string(Go)}); err == nil && a.inputs != "" {
			a.builder.FetchFrom("file://" + filepath.ToSlash(filepath.Join(a.inputs, archive.ModulesFolder)))
		}
	}
	var wait sync.WaitGroup
	for i := range a.report.Paths {
		p := &a.report.Paths[i]
		if !p.Asked {
			continue
		}
		if err != nil {
			p.Reason = oneLine(err)
			continue
		}
		wait.Go(func() {
			start := time.Now()
			if err := steps[p.Path](ctx); err != nil {
				p.Reason = oneLine(err)
				a.say(string(p.Path), "NOT DONE: %s", p.Reason)
			} else {
				a.say(string(p.Path), "done in %.0f s", time.Since(start).Seconds())
			}
			p.Seconds = time.Since(start).Seconds()
		})
	}
	wait.Wait()
	if err := a.compareRoots(); err != nil {
		a.say("", "root file systems could not be compared: %s", oneLine(err))
	}
	for _, p := range a.report.Paths {
		if p.Asked && p.Reason != "" {
			a.missing(p.Path, p.Reason)
		}
	}
	a.uncovered()
}

// uncovered adds an item for everything of the release that no path that was asked for leads to: an audit by Nix alone is not complete.
func (a *auditor) uncovered() {
	for _, t := range targets(a.release) {
		if !slices.ContainsFunc(a.report.Items, func(i Item) bool { return i.Kind == t.kind && i.Name == t.name }) {
			a.add(Item{Kind: t.kind, Name: t.name, Result: NotDone, Expected: t.digest, Reason: "only plain Go makes it, which was not asked for"})
		}
	}
}

// toolchain makes sure of the verified toolchain in the audit's own cache.
func (a *auditor) toolchain(ctx context.Context, cache string) (err error) {
	pin, err := seed.ReadPin(filepath.Join(a.source.Dir, filepath.FromSlash(seed.PinFile)))
	if err != nil {
		return err
	}
	item := Item{Kind: Toolchain, Name: pin.Version, Expected: pin.NAR}
	defer func() {
		var other *seed.MismatchError
		switch {
		case err == nil:
			item.Result, item.Got = Reproduced, pin.NAR
		case errors.As(err, &other):
			// A toolchain that somebody changed on the auditor's machine, or in the archive, says nothing about the release.
			item.Result, item.Got, item.Reason = NotDone, other.Actual.String(), oneLine(err)
		default:
			item.Result, item.Reason = NotDone, oneLine(err)
		}
		a.add(item)
	}()
	tree := filepath.Join(cache, "seed", pin.Version)
	if err := os.MkdirAll(filepath.Dir(tree), 0o755); err != nil {
		return err
	}
	if a.inputs != "" {
		if err := os.Rename(filepath.Join(a.inputs, archive.ToolchainFolder), tree); err != nil {
			return err
		}
		return seed.Verify(tree, pin)
	}
	a.say("", "toolchain %s", pin.Version)
	found, err := seed.Obtain(ctx, pin, a.Cache, &lines{p: a.progress})
	if err != nil {
		return err
	}
	if err := seed.Copy(found, tree); err != nil {
		return err
	}
	return seed.Verify(tree, pin)
}

// missing adds an item for everything of the release that a path did not get to.
func (a *auditor) missing(p Path, reason string) {
	has := func(kind Kind, name string) bool {
		return slices.ContainsFunc(a.report.Items, func(i Item) bool { return i.Kind == kind && i.Name == name && i.Path == p })
	}
	for _, t := range targets(a.release) {
		if p == Nix && t.kind != Image && t.kind != Guest {
			continue
		}
		if !has(t.kind, t.name) {
			a.add(Item{Kind: t.kind, Name: t.name, Path: p, Result: NotDone, Expected: t.digest, Reason: "not built: " + reason})
		}
	}
}

// sign signs the audited copy, and adds what was written to the folder for signatures.
func (a *auditor) sign(ctx context.Context) error {
	signer, err := a.Signer(ctx)
	if err != nil {
		return err
	}
	step := release.RebuildStep
	if signer.Certificate() != nil {
		step = release.NoStep
	}
	signed, err := release.Sign(ctx, a.folder, release.SignOptions{Signer: signer, Step: step})
	if err != nil {
		return err
	}
	to := a.Vouchers
	if to == "" {
		to = a.Options.Release
	}
	if to, err = filepath.Abs(to); err != nil {
		return err
	}
	for _, file := range signed.Written {
		if err := place(filepath.Join(a.folder, filepath.FromSlash(file)), filepath.Join(to, filepath.FromSlash(file))); err != nil {
			return err
		}
	}
	a.report.Signed = slices.Concat(signed.Written, signed.Kept)
	return nil
}

// place copies a file whole or not at all.
func place(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	// Not beside it: a release has no files that nobody knows.
	f, err := os.CreateTemp(filepath.Dir(filepath.Dir(filepath.Dir(to))), ".audit-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// oneLine is an error as a reason.
func oneLine(err error) string {
	text := difference.Plain(strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; "))
	const most = 2000
	if len(text) > most {
		return text[:most/2] + " … " + text[len(text)-most/2:]
	}
	return text
}

// removeAll removes a tree with folders that nobody may write to, as a Nix store has them.
func removeAll(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode()&0o700 == 0o700 {
			return nil
		}
		return os.Chmod(path, 0o700)
	})
	return errors.Join(err, os.RemoveAll(dir))
}
