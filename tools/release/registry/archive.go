package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
)

// checkArchive compares a file with what the release says about it. The error is a *release.ChangedError if it is another.
func checkArchive(ctx context.Context, file string, a release.Archive) (err error) {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	sum := sha256.New()
	n, err := io.Copy(sum, io.LimitReader(reader{ctx, r}, a.Size+1))
	if err != nil {
		return err
	}
	if n != a.Size {
		return &release.ChangedError{Path: file, Want: fmt.Sprintf("%d bytes", a.Size), Got: strconv.FormatInt(n, 10)}
	}
	if got := provenance.Digest(sum.Sum(nil)); got != a.Digest {
		return &release.ChangedError{Path: file, Want: a.Digest.String(), Got: got.String()}
	}
	return nil
}

// reader ends with a context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// fetchArchives gets the archives of the guest images; one that is there is not fetched again, and one that is another is left alone.
func (f *fetching) fetchArchives(ctx context.Context) ([]string, error) {
	paths := []string{}
	if err := os.MkdirAll(f.Archives, 0o755); err != nil {
		return paths, err
	}
	for _, g := range f.release.Guests {
		file := filepath.Join(f.Archives, g.Archive.Name)
		if err := f.fetchArchive(ctx, file, g.Archive); err != nil {
			return paths, explain("archive "+g.Archive.Name, err)
		}
		paths = append(paths, file)
	}
	return paths, nil
}

func (f *fetching) fetchArchive(ctx context.Context, file string, a release.Archive) (err error) {
	if a.Size > maxArchive {
		return &ContentError{f.reference(a.Digest.String()), fmt.Errorf("expected at most %d bytes, got %d", int64(maxArchive), a.Size)}
	}
	if err := checkArchive(ctx, file, a); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// One name, so that the next run takes what a killed one left.
	part := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".partial")
	w, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	f.say("fetching archive %s, %d bytes", a.Name, a.Size)
	if err := errors.Join(f.blob(ctx, a.Digest, a.Size, w), w.Sync(), w.Close()); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return os.Rename(part, file)
}
