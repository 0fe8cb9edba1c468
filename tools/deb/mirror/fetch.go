package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
)

// parallel is how many files are downloaded at a time.
const parallel = 4

// File is where the file of a package is in the cache, after [Client.Fetch].
func (c *Client) File(p deb.LockedPackage) string { return c.place(p.SHA256) }

func (c *Client) place(sum deb.Digest) string {
	return filepath.Join(c.Cache, "sha256", sum.String())
}

// Fetched says what [Client.Fetch] did.
type Fetched struct {
	// Downloaded and Present are numbers of packages.
	Downloaded, Present int
	// Bytes is the size of what was downloaded.
	Bytes int64
}

// Fetch downloads the packages of a lock into the cache, those that are not there. What broke off is resumed. When Fetch succeeds
// all files are there and are the locked ones. A [*GoneError] names all packages
// that a place does not have.
func (c *Client) Fetch(ctx context.Context, lock *deb.Lock) (Fetched, error) {
	places := make(map[string]string)
	for _, s := range lock.Suites {
		at := s.Date.Add(snapshotDelay)
		if now := time.Now(); at.After(now) {
			at = now
		}
		place, err := c.locate(s.Archive, at)
		if err != nil {
			return Fetched{}, err
		}
		places[s.Name] = place
	}
	var (
		next, downloaded, size atomic.Int64
		wg                     sync.WaitGroup
		progress               sync.Mutex
	)
	failures := make([]error, len(lock.Packages))
	for range parallel {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(lock.Packages); i = int(next.Add(1)) - 1 {
				p := lock.Packages[i]
				if present(c.place(p.SHA256), p.SHA256, p.Size) {
					continue
				}
				_, failures[i] = c.download(ctx, file{what: p.String(), urls: []string{join(places[p.Suite], p.Path)}, size: p.Size, sha256: p.SHA256})
				if failures[i] != nil {
					continue
				}
				downloaded.Add(1)
				size.Add(p.Size)
				if c.Progress != nil {
					progress.Lock()
					fmt.Fprintf(c.Progress, "fetched %s (%d bytes)\n", p, p.Size)
					progress.Unlock()
				}
			}
		})
	}
	wg.Wait()
	done := Fetched{Downloaded: int(downloaded.Load()), Bytes: size.Load()}
	done.Present = len(lock.Packages) - done.Downloaded
	return done, together(failures)
}

// together joins errors; files that are gone become one error.
func together(failures []error) error {
	var all *GoneError
	var others []error
	for _, err := range failures {
		var gone *GoneError
		switch {
		case !errors.As(err, &gone):
			others = append(others, err)
		case all == nil:
			all = gone
		default:
			all.What = append(all.What, gone.What...)
		}
	}
	if all != nil {
		others = append(others, all)
	}
	return errors.Join(others...)
}

// file is a file to be downloaded from the first of several places that has it.
type file struct {
	what   string
	urls   []string
	size   int64
	sha256 deb.Digest
}

// download brings a file into the cache and returns its name there.
func (c *Client) download(ctx context.Context, f file) (name string, err error) {
	name = c.place(f.sha256)
	if present(name, f.sha256, f.size) {
		return name, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", err
	}
	part, resumable, err := partial(name)
	if err != nil {
		return "", err
	}
	defer func() {
		part.Close()
		if err != nil && !resumable {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	for i, from := range f.urls {
		err = c.persist(ctx, func() error { return c.resume(ctx, from, f, part) })
		if !missing(err) || i == len(f.urls)-1 {
			break
		}
	}
	switch {
	case missing(err):
		return "", &GoneError{What: []string{f.what}, URL: f.urls[len(f.urls)-1], Snapshot: c.Mirror == ""}
	case err != nil:
		return "", fmt.Errorf("%s: %w", f.what, err)
	}
	if err := part.Chmod(0o644); err != nil {
		return "", err
	}
	return name, os.Rename(part.Name(), name)
}

// present tells whether a file is in the cache, and is what its name says.
func present(name string, sum deb.Digest, size int64) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, size+1))
	return err == nil && n == size && deb.Digest(h.Sum(nil)) == sum
}

// partial opens the file that a download is collected in. If another process is at it, this one collects in a file of its own.
func partial(name string) (f *os.File, resumable bool, err error) {
	f, err = os.OpenFile(name+".part", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		// The file may have been renamed between the two calls.
		mine, err := f.Stat()
		present, other := os.Stat(f.Name())
		if err == nil && other == nil && os.SameFile(mine, present) {
			return f, true, nil
		}
	}
	f.Close()
	f, err = os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-")
	return f, false, err
}

// resume downloads what of a file is not in part yet, and checks the whole. Part is emptied when what is in it is of no use.
func (c *Client) resume(ctx context.Context, from string, f file, part *os.File) error {
	h := sha256.New()
	begun, err := rehash(part, h, f.size)
	if err != nil {
		return err
	}
	if begun < f.size {
		if err := c.receive(ctx, from, f, part, h, begun); err != nil {
			return err
		}
	}
	if got := deb.Digest(h.Sum(nil)); got != f.sha256 {
		if err := part.Truncate(0); err != nil {
			return err
		}
		wrong := &deb.RefusedError{Reason: deb.ErrContent, Detail: fmt.Sprintf("%s: expected %d bytes with sha256 %s, got %s", from, f.size, f.sha256, got)}
		if begun > 0 {
			// What was there before may be to blame, so this is no verdict yet.
			return errors.New(wrong.Error())
		}
		return wrong
	}
	return nil
}

// rehash reads what a download that broke off left, and leaves part at its end.
func rehash(part *os.File, h hash.Hash, size int64) (int64, error) {
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	info, err := part.Stat()
	if err != nil {
		return 0, err
	}
	if info.Size() > size {
		return 0, part.Truncate(0)
	}
	return io.Copy(h, part)
}

func (c *Client) receive(ctx context.Context, from string, f file, part *os.File, h hash.Hash, begun int64) error {
	response, err := c.get(ctx, from, begun)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusRequestedRangeNotSatisfiable {
		return errors.Join(err, part.Truncate(0))
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if begun > 0 && response.StatusCode == http.StatusOK {
		// The place does not know ranges, and sends all of it.
		if _, err := part.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := part.Truncate(0); err != nil {
			return err
		}
		h.Reset()
		begun = 0
	} else if want := fmt.Sprintf("bytes %d-%d/%d", begun, f.size-1, f.size); begun > 0 && response.Header.Get("Content-Range") != want {
		return errors.Join(fmt.Errorf("%s: expected %q, got %q", from, want, response.Header.Get("Content-Range")), part.Truncate(0))
	}
	left := f.size - begun
	n, err := io.Copy(io.MultiWriter(part, h), io.LimitReader(response.Body, left))
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if n < left {
		return fmt.Errorf("%s: broke off after %d of %d bytes: %w", from, begun+n, f.size, io.ErrUnexpectedEOF)
	}
	if more, _ := response.Body.Read(make([]byte, 1)); more > 0 {
		return &deb.RefusedError{Reason: deb.ErrContent, Detail: fmt.Sprintf("%s: expected %d bytes, got more", from, f.size)}
	}
	return nil
}
