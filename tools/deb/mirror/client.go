package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
)

const (
	// snapshotArchive is Debian's archive of archives: below it are ARCHIVE/TIME/, with what the archive held at a time.
	snapshotArchive = "https://snapshot.debian.org/archive"
	// snapshotTime is the form of TIME.
	snapshotTime = "20060102T150405Z"
	// snapshotDelay lies between the date of a suite and the time that is asked for. The snapshot archive answers with the last state
	// that it took before that time. It takes one at least every 12 hours, and packages stay in the pool for longer than that after
	// they left a suite.
	snapshotDelay = 12 * time.Hour

	attempts = 4
)

// Client downloads from Debian's archives.
type Client struct {
	// Mirror is the URL of the folder that holds the archives "debian" and "debian-security", or of the first of them. Schemes are
	// http, https and file. Empty stands for the snapshot archive.
	Mirror string
	// Cache is a folder for downloads; each file in it is named by its digest. Required.
	Cache string
	// Progress takes a line for each package that is downloaded; nil drops them.
	Progress io.Writer

	// snapshot stands for snapshotArchive, and pause for the time before the second attempt, in tests.
	snapshot string
	pause    time.Duration
}

// MirrorError says that the URL of a mirror is none.
type MirrorError struct{ URL string }

func (e *MirrorError) Error() string {
	return fmt.Sprintf("mirror: expected the http, https or file URL of the folder that holds debian/, got %q", e.URL)
}

// GoneError says that a place does not have files.
type GoneError struct {
	// What names the files, such as "runc 1.1.15+ds1-2+b4".
	What []string
	// URL is where the first of them was asked for.
	URL string
	// Snapshot says that the place is the snapshot archive.
	Snapshot bool
}

func (e *GoneError) Error() string {
	advice := "a mirror has the newest versions only: unset DEBIAN_MIRROR to take it from the snapshot archive, or write the lock anew with \"boardroom deb lock\""
	if e.Snapshot {
		advice = "the snapshot archive may be behind for some hours: try again later, name a mirror with DEBIAN_MIRROR, or write the lock anew with \"boardroom deb lock\""
	}
	return fmt.Sprintf("not to be had: %s (asked for at %s); %s", strings.Join(e.What, ", "), e.URL, advice)
}

// locate returns the URL of an archive, without a slash at the end. In the snapshot archive it is that of a time.
func (c *Client) locate(archive string, at time.Time) (string, error) {
	if c.Mirror == "" {
		base := c.snapshot
		if base == "" {
			base = snapshotArchive
		}
		return base + "/" + archive + "/" + at.UTC().Format(snapshotTime), nil
	}
	u, err := url.Parse(c.Mirror)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "file" && u.Host == "" {
		return "", &MirrorError{URL: c.Mirror}
	}
	folder := strings.TrimSuffix(strings.TrimRight(u.String(), "/"), "/debian")
	return folder + "/" + archive, nil
}

// transport is shared, so that connections are used again.
var transport = func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = time.Minute
	t.MaxConnsPerHost = parallel
	// Nothing is served: a file URL names any file, as a path would.
	t.RegisterProtocol("file", http.NewFileTransport(http.Dir("/"))) //nolint:gosec // see above
	return t
}()

// statusError is an answer that is not the file.
type statusError struct {
	url, status string
	code        int
}

func (e *statusError) Error() string { return e.url + ": " + e.status }

// get asks for a file from byte offset on. The answer may begin at byte 0 all the same.
func (c *Client) get(ctx context.Context, from string, offset int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	// Archives hold compressed files; a length and ranges are of the file as it is.
	request.Header.Set("Accept-Encoding", "identity")
	if offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK && (offset == 0 || response.StatusCode != http.StatusPartialContent) {
		response.Body.Close()
		return nil, &statusError{url: from, status: response.Status, code: response.StatusCode}
	}
	return response, nil
}

// missing tells whether a place says that it does not have a file.
func missing(err error) bool {
	var status *statusError
	return errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusGone)
}

// final tells whether asking again is of no use.
func final(err error) bool {
	var (
		status  *statusError
		verdict *deb.RefusedError
	)
	return errors.As(err, &verdict) || errors.As(err, &status) && status.code < 500 && status.code != http.StatusTooManyRequests && status.code != http.StatusRequestedRangeNotSatisfiable
}

// persist calls f until it succeeds, with a pause that doubles, a few times.
func (c *Client) persist(ctx context.Context, f func() error) error {
	pause := c.pause
	if pause == 0 {
		pause = time.Second
	}
	for n := 1; ; n++ {
		err := f()
		if err == nil || n == attempts || final(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// small downloads a file of at most limit bytes.
func (c *Client) small(ctx context.Context, from string, limit int64) (data []byte, err error) {
	err = c.persist(ctx, func() error {
		response, err := c.get(ctx, from, 0)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		data, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
		if err == nil && int64(len(data)) > limit {
			err = fmt.Errorf("%s: larger than %d bytes", from, limit)
		}
		return err
	})
	return data, err
}

func join(base string, parts ...string) string {
	return base + "/" + (&url.URL{Path: path.Join(parts...)}).EscapedPath()
}
