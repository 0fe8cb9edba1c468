package mirror

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/boardroom-tee/boardroom/tools/deb"
)

// LockOptions of [Client.Lock].
type LockOptions struct {
	// Keyring holds the archive's keys.
	Keyring openpgp.EntityList
	// Now is the time at which signatures and suites have to be valid; the snapshot archive is asked for that time.
	Now time.Time
	// AcceptExpired accepts suites whose Valid-Until has passed. The lock says so.
	AcceptExpired bool
}

// Lock resolves a set against its suites as the place has them.
func (c *Client) Lock(ctx context.Context, set *deb.Set, options LockOptions) (*deb.Lock, error) {
	var (
		releases []*deb.Release
		packages []deb.Package
	)
	for _, suite := range set.Suites {
		release, found, err := c.suite(ctx, set, suite, options)
		if err != nil {
			return nil, err
		}
		releases = append(releases, release)
		packages = append(packages, found...)
	}
	chosen, unmet, err := deb.Resolve(set, packages)
	if err != nil {
		return nil, err
	}
	return deb.NewLock(set, releases, chosen, unmet, options.Now), nil
}

// suite downloads what a suite says about itself and then its packages.
func (c *Client) suite(ctx context.Context, set *deb.Set, suite deb.Suite, options LockOptions) (*deb.Release, []deb.Package, error) {
	archive, err := c.locate(suite.Archive, options.Now)
	if err != nil {
		return nil, nil, err
	}
	folder := join(archive, "dists", suite.Name)
	from := join(folder, "InRelease")
	signed, err := c.small(ctx, from, deb.MaxRelease)
	if missing(err) {
		return nil, nil, &GoneError{What: []string{"suite " + suite.Name}, URL: from, Snapshot: c.Mirror == ""}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("suite %s: %w", suite.Name, err)
	}
	release, err := deb.OpenRelease(signed, options.Keyring, options.Now)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", from, err)
	}
	if err := release.Check(suite.Name, options.Now, options.AcceptExpired); err != nil {
		return nil, nil, err
	}
	var packages []deb.Package
	for _, component := range set.Components {
		index, err := release.Packages(component, set.Architecture)
		if err != nil {
			return nil, nil, err
		}
		text, err := c.index(ctx, folder, release, index)
		if err != nil {
			return nil, nil, err
		}
		found, err := deb.ParsePackages(text, suite.Name, set.Architecture)
		if err != nil {
			return nil, nil, err
		}
		packages = append(packages, found...)
	}
	return release, packages, nil
}

// index downloads an index file. By its digest it can be had even where the suite just moved on.
func (c *Client) index(ctx context.Context, folder string, release *deb.Release, index deb.Index) (string, error) {
	wanted := file{what: release.Codename + " " + index.Path, size: index.Size, sha256: index.SHA256}
	if release.ByHash {
		wanted.urls = append(wanted.urls, join(folder, filepath.Dir(index.Path), "by-hash", "SHA256", index.SHA256.String()))
	}
	wanted.urls = append(wanted.urls, join(folder, index.Path))
	name, err := c.download(ctx, wanted)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	return index.Open(data)
}
