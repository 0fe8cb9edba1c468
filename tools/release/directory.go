package release

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

// MaxVoucher bounds a file of bundles/, links/ and log/, in bytes; MaxVouchers is how many there are in each at most, and MaxVouched bounds
// all of them together.
const (
	MaxVoucher  = provenance.MaxBundle
	MaxVouchers = 1024
	MaxVouched  = 256 << 20
)

// Directory is a release directory that was opened: release.json was read, and it is known which files there are. What the files hold is
// checked when they are read.
type Directory struct {
	Release *Release
	// Digest is that of release.json.
	Digest provenance.Digest
	// Bundles, Links and Proofs vouch for the release, by name of file in [BundlesFolder], [LinksFolder] and [LogFolder]. Nothing about
	// them was checked.
	Bundles, Links, Proofs map[string][]byte

	root  *os.Root
	files map[string]File
	// faults say where the folder and release.json do not agree, in the order in which they were found. Only [Verify] goes on with any.
	faults  []error
	vouched int64
}

// UnaccountedError says that a release directory and its release.json do not agree on which files there are.
type UnaccountedError struct {
	Path   string
	Reason string
	code   Code
}

func (e *UnaccountedError) Error() string { return printable(e.Path) + ": " + e.Reason }

// printable is the name of a file as a person may see it: nobody knows what somebody's terminal makes of others.
func printable(name string) string {
	if strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' }) {
		return strconv.QuoteToASCII(name)
	}
	return name
}

// ChangedError says that a file is not what release.json says.
type ChangedError struct {
	Path      string
	Want, Got string
	code      Code
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s: expected %s, got %s", e.Path, e.Want, e.Got)
}

// Open opens a release directory in which there is no file that release.json does not account for. Errors about what is in it are a
// *FieldError, an *UnaccountedError or a *ChangedError.
func Open(dir string) (*Directory, error) {
	d, err := openAsFound(dir)
	if err != nil {
		return nil, err
	}
	if len(d.faults) > 0 {
		return nil, errors.Join(d.faults[0], d.Close())
	}
	return d, nil
}

// openAsFound opens a directory whatever is in it beside a sound release.json.
func openAsFound(dir string) (*Directory, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d, err := open(root)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

func open(root *os.Root) (*Directory, error) {
	manifest, err := readBounded(root, ManifestFile, MaxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: expected the folder of a release: %w", root.Name(), &fs.PathError{Op: "open", Path: ManifestFile, Err: fs.ErrNotExist})
	}
	if err != nil {
		return nil, err
	}
	r, err := ParseRelease(manifest)
	if err != nil {
		return nil, err
	}
	d := &Directory{
		Release: r, Digest: provenance.DigestOf(manifest), root: root, files: make(map[string]File, len(r.Files)),
		Bundles: make(map[string][]byte), Links: make(map[string][]byte), Proofs: make(map[string][]byte),
	}
	folders := map[string]bool{
		".": true, ComposeFolder: true, ImagesFolder: true, GuestsFolder: true, StatementsFolder: true, BundlesFolder: true, LinksFolder: true, LogFolder: true,
	}
	for _, f := range r.Files {
		d.files[f.Path] = f
		for folder := path.Dir(f.Path); !folders[folder]; folder = path.Dir(folder) {
			folders[folder] = true
		}
	}
	found := make(map[string]bool, len(r.Files))
	if err := fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name == ManifestFile {
			return nil
		}
		if len(d.faults) == maxFaults {
			return fs.SkipAll
		}
		if entry.IsDir() {
			if folders[name] {
				return nil
			}
			d.faults = append(d.faults, &UnaccountedError{name, "expected a folder with files that " + ManifestFile + " lists, got another", CodeFilesUnlisted})
			return fs.SkipDir
		}
		found[name] = true
		return d.find(name, entry)
	}); err != nil {
		return nil, err
	}
	for _, f := range r.Files {
		if !found[f.Path] && len(d.faults) < maxFaults {
			d.faults = append(d.faults, &UnaccountedError{f.Path, ManifestFile + " lists it, and it is not there", CodeFilesMissing})
		}
	}
	return d, nil
}

// maxFaults is how many faults of a folder are told.
const maxFaults = 32

// find looks at what is no folder. The error is a fault of reading.
func (d *Directory) find(name string, entry fs.DirEntry) error {
	err := func() error {
		if !entry.Type().IsRegular() {
			return &UnaccountedError{name, "expected a file or a folder, got " + entry.Type().String(), CodeFilesKind}
		}
		f, listed := d.files[name]
		if !listed {
			return d.voucher(name)
		}
		info, err := entry.Info()
		if err == nil && info.Size() != f.Size {
			return &ChangedError{name, fmt.Sprintf("%d bytes", f.Size), strconv.FormatInt(info.Size(), 10), CodeFilesSize}
		}
		return err
	}()
	if fault(err) {
		d.faults = append(d.faults, err)
		return nil
	}
	return err
}

// fault holds for an error about what is in a release, and not about reading it.
func fault(err error) bool {
	var unaccounted *UnaccountedError
	var changed *ChangedError
	return errors.As(err, &unaccounted) || errors.As(err, &changed)
}

func (d *Directory) voucher(name string) error {
	kinds := map[string]struct {
		into   map[string][]byte
		suffix string
	}{BundlesFolder: {d.Bundles, ".sigstore.json"}, LinksFolder: {d.Links, ".link"}, LogFolder: {d.Proofs, ""}}
	kind, known := kinds[path.Dir(name)]
	if !known || !fileName(path.Base(name)) || !strings.HasSuffix(name, kind.suffix) {
		return &UnaccountedError{name, ManifestFile + " does not list it, and it is not a signature, a link or a proof", CodeFilesUnlisted}
	}
	if len(kind.into) == MaxVouchers {
		return &UnaccountedError{path.Dir(name), fmt.Sprintf("expected at most %d files, got more", MaxVouchers), CodeFilesSize}
	}
	data, err := readBounded(d.root, name, min(MaxVoucher, MaxVouched-d.vouched))
	if err != nil {
		return err
	}
	d.vouched += int64(len(data))
	kind.into[path.Base(name)] = data
	return nil
}

// Close closes the directory.
func (d *Directory) Close() error { return d.root.Close() }

// ReadFile reads a listed file of at most limit bytes and checks it against release.json. Errors about the file are a *ChangedError, or
// an *UnaccountedError for one that is not listed.
func (d *Directory) ReadFile(name string, limit int64) ([]byte, error) {
	f, listed := d.files[name]
	if !listed {
		return nil, &UnaccountedError{name, ManifestFile + " does not list it", CodeFilesUnlisted}
	}
	if f.Size > limit {
		return nil, &ChangedError{name, fmt.Sprintf("at most %d bytes", limit), strconv.FormatInt(f.Size, 10), CodeFilesSize}
	}
	data, err := readBounded(d.root, name, f.Size)
	if err != nil {
		return nil, err
	}
	if got := provenance.DigestOf(data); got != f.Digest || int64(len(data)) != f.Size {
		return nil, &ChangedError{name, f.Digest.String(), got.String(), CodeFilesDigest}
	}
	return data, nil
}

// CheckFile checks a listed file against release.json without keeping it.
func (d *Directory) CheckFile(name string) error {
	f, listed := d.files[name]
	if !listed {
		return &UnaccountedError{name, ManifestFile + " does not list it", CodeFilesUnlisted}
	}
	info, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &UnaccountedError{name, "expected a file, got " + info.Mode().Type().String(), CodeFilesKind}
	}
	r, err := d.root.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(r, f.Size+1))
	if err != nil {
		return err
	}
	if n != f.Size {
		return &ChangedError{name, fmt.Sprintf("%d bytes", f.Size), strconv.FormatInt(n, 10), CodeFilesSize}
	}
	if got := provenance.Digest(sum.Sum(nil)); got != f.Digest {
		return &ChangedError{name, f.Digest.String(), got.String(), CodeFilesDigest}
	}
	return nil
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(root *os.Root, name string, limit int64) ([]byte, error) {
	// Before it is opened: a pipe would keep whoever opens it waiting, and a link is not followed.
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &UnaccountedError{name, "expected a file, got " + info.Mode().Type().String(), CodeFilesKind}
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &ChangedError{name, fmt.Sprintf("at most %d bytes", limit), "more", CodeFilesSize}
	}
	return data, nil
}
