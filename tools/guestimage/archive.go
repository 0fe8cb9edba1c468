package guestimage

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/deflate"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

// releaseOrder is that of dstack's release archives (os/image, its packing script); what it does not name comes behind, sorted.
var releaseOrder = []string{
	rootFile, kernelFile, firmwareFile, dstack.DigestFile, dstack.ChecksumFile, initramfsFile, image.MetadataFile, dstack.TDXMeasurementFile,
}

// Archives are what Pack wrote.
type Archives struct {
	// Release is the archive of the image, Measurement that of what a verifier needs of it.
	Release     string `json:"release"`
	Measurement string `json:"measurement"`
}

// Pack verifies an image and writes its archives into a folder: the release, NAME-VERSION.tar.gz, with everything in one folder, and for
// dstack's verifier mr_DIGEST.tar.gz, flat and without the root file system. Archives are a function of the image and the name. An empty
// name stands for that of the image's own list of contents.
func Pack(dir, name, to string) (*Archives, error) {
	im, known, err := inspect(dir, Options{})
	if err != nil {
		return nil, err
	}
	if err := noOthers(dir, known); err != nil {
		return nil, err
	}
	if name == "" && im.Contents != nil {
		name = im.Contents.Image
	}
	if !namePattern.MatchString(name) || !versionPattern.MatchString(im.Version) {
		return nil, fmt.Errorf("expected a name in lower case and a version MAJOR.MINOR.PATCH for the release, got %q and %q", name, im.Version)
	}
	slices.SortFunc(known, func(a, b string) int {
		if n := place(a) - place(b); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	full := name + "-" + im.Version
	out := &Archives{Release: filepath.Join(to, full+".tar.gz"), Measurement: filepath.Join(to, "mr_"+im.Digest.String()+".tar.gz")}
	if err := writeArchive(out.Release, dir, full+"/", known); err != nil {
		return nil, err
	}
	small := slices.DeleteFunc(slices.Clone(known), func(n string) bool { return n == im.Root.File })
	slices.Sort(small)
	return out, writeArchive(out.Measurement, dir, "", small)
}

func place(name string) int {
	if i := slices.Index(releaseOrder, name); i >= 0 {
		return i
	}
	return len(releaseOrder)
}

// writeArchive writes files as one archive; it appears when it is whole.
func writeArchive(to, dir, prefix string, names []string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	packed := deflate.NewWriter(f)
	archive := tar.NewWriter(packed)
	for _, name := range names {
		if err := addFile(archive, dir, prefix, name); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := errors.Join(archive.Close(), packed.Close(), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), to)
}

func addFile(archive *tar.Writer, dir, prefix, name string) error {
	f, size, err := openRegular(dir, name, MaxDisk)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: prefix + name, Mode: 0o644, Size: size, Format: tar.FormatUSTAR}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := io.Copy(archive, f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// maxMembers bounds the files of an image. The largest official ones have 15.
const maxMembers = 64

// Import takes the image from, an archive or a folder, into the folder to, which must not exist, if it has the digest that the options
// name; that is required. Files that nothing in the image vouches for are left out, as dstack's verifier does. What is malformed, or
// not the image, gives a *RefusedError, and leaves nothing behind.
func Import(from string, o Options, to string) (im *Image, err error) {
	if o.Digest == nil {
		return nil, errors.New("expected the digest of the image to import, got none")
	}
	info, err := os.Stat(from)
	if err != nil {
		return nil, err
	}
	err = atomically(to, func(dir string) error {
		if info.IsDir() {
			err = copyFolder(from, dir)
		} else {
			err = extract(from, dir)
		}
		if err != nil {
			return err
		}
		var known []string
		if im, known, err = inspect(dir, o); err != nil {
			return err
		}
		return prune(dir, known)
	})
	return im, err
}

func prune(dir string, known []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(known, e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyFolder copies the regular files of a folder. The copy is what is verified, so that nothing changes afterwards.
func copyFolder(from, dir string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if len(entries) > maxMembers {
		return refuse(from, "expected at most %d files, got %d", maxMembers, len(entries))
	}
	left := int64(MaxDisk)
	for _, e := range entries {
		f, size, err := openRegular(from, e.Name(), left)
		if err != nil {
			return err
		}
		err = writeMember(dir, e.Name(), f, size)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		left -= size
	}
	return nil
}

// extract unpacks a release: regular files, all in one folder or in none. Anything else is refused before it is looked at.
func extract(from, dir string) (err error) {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	refused := func(err error) error { return &RefusedError{from, err} }
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		return refused(err)
	}
	archive := tar.NewReader(io.LimitReader(unpacked, MaxDisk))
	var prefix string
	seen := make(map[string]bool)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return refused(err)
		}
		folder, name, err := member(header)
		if err != nil {
			return refused(err)
		}
		if name == "" {
			continue
		}
		if len(seen) > 0 && folder != prefix {
			return refused(fmt.Errorf("expected all files in one folder, got %q and %q", prefix, folder))
		}
		prefix = folder
		if seen[name] {
			return refused(fmt.Errorf("%s stands twice", name))
		}
		seen[name] = true
		if len(seen) > maxMembers {
			return refused(fmt.Errorf("expected at most %d files, got more", maxMembers))
		}
		if err := writeMember(dir, name, archive, header.Size); err != nil {
			return refused(err)
		}
	}
	// The rest, which has the checksum of the compression.
	if _, err := io.Copy(io.Discard, io.LimitReader(unpacked, 1<<20)); err != nil {
		return refused(err)
	}
	return nil
}

// member takes the folder and name of a file; folders have no name.
func member(header *tar.Header) (folder, name string, err error) {
	clean := strings.TrimPrefix(header.Name, "./")
	if header.Typeflag == tar.TypeDir && (clean == "" || strings.Count(strings.TrimSuffix(clean, "/"), "/") == 0) {
		return "", "", nil
	}
	if header.Typeflag != tar.TypeReg {
		return "", "", fmt.Errorf("%.200q: expected a regular file, got an entry of type %q", header.Name, header.Typeflag)
	}
	folder, name, inside := strings.Cut(clean, "/")
	if !inside {
		folder, name = "", clean
	}
	for _, part := range []string{folder, name} {
		if part == "" && !inside {
			continue
		}
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\\\x00") || len(part) > 255 {
			return "", "", fmt.Errorf("%.200q: expected a file in at most one folder", header.Name)
		}
	}
	if header.Size < 0 || header.Size > MaxDisk {
		return "", "", fmt.Errorf("%.200q: expected at most %d bytes, got %d", header.Name, int64(MaxDisk), header.Size)
	}
	return folder, name, nil
}

func writeMember(dir, name string, from io.Reader, size int64) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(from, size))
	if err == nil && n != size {
		err = fmt.Errorf("%s: expected %d bytes, got %d", name, size, n)
	}
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

// OfficialFolder is where the definitions of other people's images are, in the folder of the definition.
const OfficialFolder = "official"

// Official names an image of dstack's that somebody else built.
type Official struct {
	// Name is that of the release, such as dstack-0.5.11.
	Name    string `json:"name"`
	Version string `json:"version"`
	// Digest is its os_image_hash.
	Digest dstack.ImageHash `json:"os_image_hash"`
	// Source says where the digest is from.
	Source string `json:"source"`
}

// LoadOfficial reads the definition of an image from a folder. One that is not there or not sound gives a *DefinitionError.
func LoadOfficial(dir, name string) (*Official, error) {
	if !officialPattern.MatchString(name) {
		return nil, &DefinitionError{OfficialFolder, fmt.Errorf("expected a name such as dstack-0.5.11, got %q", name)}
	}
	file := filepath.Join(dir, name+".json")
	data, err := image.ReadFile(file, maxDefinition)
	if errors.Is(err, os.ErrNotExist) {
		files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		for i, f := range files {
			files[i] = strings.TrimSuffix(filepath.Base(f), ".json")
		}
		return nil, &DefinitionError{dir, fmt.Errorf("expected the name of a definition there, one of %q, got %q", files, name)}
	}
	if err != nil {
		return nil, err
	}
	o := &Official{}
	if err := strictjson.Unmarshal(data, o); err != nil {
		return nil, &DefinitionError{file, err}
	}
	if o.Name != name || o.Version == "" || o.Source == "" || o.Digest == (dstack.ImageHash{}) {
		return nil, &DefinitionError{file, fmt.Errorf("expected name %q, a version, an os_image_hash and its source, got %+v", name, *o)}
	}
	return o, nil
}

var officialPattern = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9.]+)*$`)
