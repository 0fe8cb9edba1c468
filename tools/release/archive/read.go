package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

// Archive is an archive whose index was read. Nothing about its files was checked.
type Archive struct {
	Index *Index
	// Signatures are bundles over index.json, in their order. Nothing about them was checked.
	Signatures [][]byte

	file  *os.File
	index []byte
	// files is where the header of the first file begins.
	files int64
}

// Open reads the index of an archive. What is wrong with it is a *RefusedError.
func Open(name string) (*Archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a := &Archive{file: f}
	if err := a.open(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

// Close closes the file.
func (a *Archive) Close() error { return a.file.Close() }

func (a *Archive) open() (err error) {
	r := &reader{r: bufio.NewReaderSize(a.file, 1<<20)}
	if a.index, err = r.small(indexFile, MaxIndex); err != nil {
		return err
	}
	if a.Index, err = ParseIndex(a.index); err != nil {
		return err
	}
	for i := range MaxSignatures + 1 {
		next, err := r.r.Peek(block)
		if err != nil {
			return cut(signatureName(i), err)
		}
		if !bytes.HasPrefix(next, []byte(signatureName(i)+"\x00")) {
			break
		}
		if i == MaxSignatures {
			return refuse(signatureName(i), "expected at most %d signatures, got more", MaxSignatures)
		}
		signature, err := r.small(signatureName(i), provenance.MaxBundle)
		if err != nil {
			return err
		}
		a.Signatures = append(a.Signatures, signature)
	}
	a.files = r.at
	return nil
}

// VerifyKey checks that one of the signatures over the index is a key's.
func (a *Archive) VerifyKey(key provenance.Key) error {
	if len(a.Signatures) == 0 {
		return refuse(signatureFolder, "expected a signature by key %s, got none at all", key.Fingerprint())
	}
	policy := provenance.Policy{
		Identities: []provenance.Identity{{Name: "the key", Keys: []provenance.ValidKey{{Key: key}}}}, Threshold: 1, At: time.Unix(0, 0),
	}
	if _, err := provenance.VerifyBlob(a.Signatures, provenance.DigestOf(a.index), policy, provenance.TrustRoot{}); err != nil {
		return &RefusedError{signatureFolder, err.Error()}
	}
	return nil
}

// Digest is that of the index, which says what everything else is.
func (a *Archive) Digest() provenance.Digest { return provenance.DigestOf(a.index) }

// Extract writes all files below dir, which must not exist. It is there when every byte was compared with the index. An archive that is
// something else is a *RefusedError, and leaves nothing behind.
func (a *Archive) Extract(ctx context.Context, dir string) (err error) {
	if _, err := a.file.Seek(a.files, io.SeekStart); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	r := &reader{r: bufio.NewReaderSize(a.file, 1<<20)}
	for _, f := range a.Index.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.extract(f, root); err != nil {
			return err
		}
	}
	if err := r.expect("the end", end); err != nil {
		return err
	}
	if _, err := r.r.ReadByte(); !errors.Is(err, io.EOF) {
		return refuse("the end", "expected nothing behind it, got more")
	}
	return nil
}

// reader reads members whose headers are known beforehand.
type reader struct {
	r *bufio.Reader
	// at is how many bytes were read.
	at int64
}

// cut turns the end of a file into a verdict.
func cut(where string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse(where, "expected more bytes, got the end of the archive")
	}
	return err
}

// expect reads bytes that are known.
func (r *reader) expect(where string, want []byte) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(r.r, got)
	r.at += int64(n)
	if err != nil {
		return cut(where, err)
	}
	if !bytes.Equal(got, want) {
		return refuse(where, "expected the header, or the padding, that the index leads to, got another at offset %d of the archive", r.at-int64(n))
	}
	return nil
}

// small reads a member whose size only its header knows.
func (r *reader) small(name string, most int64) ([]byte, error) {
	first, err := r.r.Peek(block)
	if err != nil {
		return nil, cut(name, err)
	}
	h, err := tar.NewReader(bytes.NewReader(first)).Next()
	if err != nil || h.Name != name || h.Size < 0 || h.Size > most {
		return nil, refuse(name, "expected a member of this name and of at most %d bytes, got another", most)
	}
	want, err := header(name, Regular, h.Size, "")
	if err != nil {
		return nil, err
	}
	if err := r.expect(name, want); err != nil {
		return nil, err
	}
	data := make([]byte, h.Size)
	n, err := io.ReadFull(r.r, data)
	r.at += int64(n)
	if err != nil {
		return nil, cut(name, err)
	}
	return data, r.expect(name, padding(h.Size))
}

func (r *reader) extract(f File, root *os.Root) error {
	name := f.Path
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if f.Kind == Link {
		return r.link(f, root)
	}
	h, err := header(name, f.Kind, f.Size, "")
	if err != nil {
		return err
	}
	if err := r.expect(name, h); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if f.Kind == Executable {
		mode = 0o755
	}
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.CopyN(io.MultiWriter(out, sum), r.r, f.Size)
	r.at += n
	// The umask is not to decide what is executable.
	if err := errors.Join(err, out.Chmod(mode), out.Close()); err != nil {
		return cut(name, err)
	}
	if got := provenance.Digest(sum.Sum(nil)); got != f.Digest {
		return refuse(name, "expected %s, got %s", f.Digest, got)
	}
	return r.expect(name, padding(f.Size))
}

// link makes a symbolic link. The header has the target, which the index knows by its digest only.
func (r *reader) link(f File, root *os.Root) error {
	target, err := r.target(f)
	if err != nil {
		return err
	}
	if got := provenance.DigestOf([]byte(target)); got != f.Digest || int64(len(target)) != f.Size {
		return refuse(f.Path, "expected a link to a text of %d bytes with %s, got %.200q with %s", f.Size, f.Digest, target, got)
	}
	return root.Symlink(target, f.Path)
}

// target reads the header of a link: with a guess for the target from the bytes themselves, which then have to be the header of it.
func (r *reader) target(f File) (string, error) {
	// A long target is in a record before the header, which takes three blocks and what is in it.
	most := 4*block + int(f.Size+int64(len(f.Path)))/block*block + 2*block
	ahead, err := r.r.Peek(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	h, err := tar.NewReader(bytes.NewReader(ahead)).Next()
	if err != nil || h.Typeflag != tar.TypeSymlink {
		return "", refuse(f.Path, "expected a link, got something else")
	}
	want, err := header(f.Path, Link, 0, h.Linkname)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.Path, err)
	}
	return h.Linkname, r.expect(f.Path, want)
}
