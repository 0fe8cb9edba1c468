package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

// Signer signs index.json into a finished bundle (package signer).
type Signer interface {
	Key() provenance.Key
	SignBlob(ctx context.Context, artifact []byte) (provenance.Bundle, error)
}

// Inputs are the folders on disk whose files become those of the archive; see [Collect].
type Inputs struct {
	// Index has everything but Files.
	Index Index
	// Commit is the text of the commit.
	Commit []byte
	// Folders are by the name that they have in the archive.
	Folders map[string]string
}

// Write writes an archive to a file, which appears when it is whole, in place of what is there. A run that was killed leaves FILE.part, which
// the next one takes over. Signers sign index.json in their order.
func Write(ctx context.Context, in Inputs, signers []Signer, to string) (_ *Index, err error) {
	if len(signers) > MaxSignatures {
		return nil, fmt.Errorf("expected at most %d signers, got %d", MaxSignatures, len(signers))
	}
	w := &writer{in: in, index: in.Index}
	if err := w.list(ctx); err != nil {
		return nil, err
	}
	index, err := w.index.Encode()
	if err != nil {
		return nil, err
	}
	f, err := part(to)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()), f.Close())
		}
	}()
	w.out = bufio.NewWriterSize(f, 1<<20)
	if err := w.bytes(indexFile, index); err != nil {
		return nil, err
	}
	for i, signer := range signers {
		bundle, err := signer.SignBlob(ctx, index)
		if err != nil {
			return nil, err
		}
		text, err := bundle.Encode()
		if err != nil {
			return nil, err
		}
		if err := w.bytes(signatureName(i), text); err != nil {
			return nil, err
		}
	}
	for _, file := range w.index.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := w.file(file); err != nil {
			return nil, err
		}
	}
	if _, err := w.out.Write(end); err != nil {
		return nil, err
	}
	if err := errors.Join(w.out.Flush(), f.Chmod(0o644), f.Sync()); err != nil {
		return nil, err
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return nil, err
	}
	return &w.index, f.Close()
}

func signatureName(i int) string { return fmt.Sprintf("%s/%02d.sigstore.json", signatureFolder, i+1) }

// part opens the file that the archive is made in, alone.
func part(to string) (*os.File, error) {
	f, err := os.OpenFile(to+".part", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s: another run is writing it", f.Name())
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

type writer struct {
	in    Inputs
	index Index
	out   *bufio.Writer
}

// list fills in the files of the index.
func (w *writer) list(ctx context.Context) error {
	w.index.Schema = Schema
	w.index.Files = []File{{CommitFile, Regular, int64(len(w.in.Commit)), provenance.DigestOf(w.in.Commit)}}
	for folder, dir := range w.in.Folders {
		err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			rel, err := filepath.Rel(dir, name)
			if err != nil {
				return err
			}
			f := File{Path: path.Join(folder, filepath.ToSlash(rel))}
			if err := f.describe(name, entry); err != nil {
				return err
			}
			w.index.Files = append(w.index.Files, f)
			return nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(w.index.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

func (f *File) describe(name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		target, err := os.Readlink(name)
		f.Kind, f.Size, f.Digest = Link, int64(len(target)), provenance.DigestOf([]byte(target))
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s: expected a file, a link or a folder, got %s", name, info.Mode().Type())
	}
	if f.Kind = Regular; info.Mode()&0o100 != 0 {
		f.Kind = Executable
	}
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	sum := sha256.New()
	f.Size, err = io.Copy(sum, in)
	f.Digest = provenance.Digest(sum.Sum(nil))
	return errors.Join(err, in.Close())
}

func (w *writer) bytes(name string, data []byte) error {
	h, err := header(name, Regular, int64(len(data)), "")
	if err != nil {
		return err
	}
	_, err = w.out.Write(slices.Concat(h, data, padding(int64(len(data)))))
	return err
}

// file writes a file, if it is still what the index says.
func (w *writer) file(f File) (err error) {
	if f.Path == CommitFile {
		return w.bytes(f.Path, w.in.Commit)
	}
	top, rest, _ := strings.Cut(f.Path, "/")
	name := filepath.Join(w.in.Folders[top], filepath.FromSlash(rest))
	target := ""
	if f.Kind == Link {
		if target, err = os.Readlink(name); err != nil {
			return err
		}
	}
	h, err := header(f.Path, f.Kind, f.Size, target)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if _, err := w.out.Write(h); err != nil {
		return err
	}
	if f.Kind == Link {
		if provenance.DigestOf([]byte(target)) != f.Digest {
			return fmt.Errorf("%s: changed while it was read", name)
		}
		return nil
	}
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w.out, sum), io.LimitReader(in, f.Size+1))
	if err != nil {
		return err
	}
	if n != f.Size || provenance.Digest(sum.Sum(nil)) != f.Digest {
		return fmt.Errorf("%s: changed while it was read", name)
	}
	_, err = w.out.Write(padding(f.Size))
	return err
}
