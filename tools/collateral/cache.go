package collateral

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

const (
	maxEntries  = 64 // bundles in a cache: two CAs, two channels and some ten kinds of platform fit
	entryPrefix = "bundle-"
	statePrefix = "seen-"
	suffix      = ".json"
	lockName    = "lock"
	tempPrefix  = ".new-"
)

// Cache is a directory in which collateral is kept and what was seen is remembered. Processes and goroutines may share it: files are
// replaced whole, and what reads and replaces one holds a lock.
type Cache struct{ dir string }

// OpenCache makes the directory if it is not there, and finds out whether it can be written.
func OpenCache(dir string) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cache of collateral: %w", err)
	}
	c := &Cache{dir: dir}
	probe, err := os.CreateTemp(dir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("cache of collateral: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cache of collateral: %w", err)
	}
	return c, nil
}

// channelPrefix begins the name of each bundle that was asked for by a channel.
func channelPrefix(update Update) string { return entryPrefix + update.channel() + "-" }

// entryName is the file for what a service answers about a target, under a trust root. The hash is over parts of which none but the
// first can have a line feed, so that different parts give different texts.
func entryName(s *service, root quote.TrustRoot, target Target) string {
	key := strings.Join([]string{s.base, string(s.update), hex.EncodeToString(target.FMSPC[:]), target.CA, rootName(root)}, "\n")
	sum := sha256.Sum256([]byte(key))
	return channelPrefix(s.update) + hex.EncodeToString(sum[:]) + suffix
}

// load returns a kept bundle if it is still to be used: it verifies now, is about the target, and nothing newer was seen. A bundle that
// is malformed or does not verify is passed over with a note.
func (c *Cache) load(name string, root quote.TrustRoot, update Update, target Target, now time.Time, note func(string)) (quote.Collateral, bool, error) {
	dir, err := os.OpenRoot(c.dir)
	if err != nil {
		return quote.Collateral{}, false, fmt.Errorf("cache of collateral: %w", err)
	}
	defer dir.Close()
	data, err := readFile(dir, name, maxBundle)
	if errors.Is(err, fs.ErrNotExist) {
		return quote.Collateral{}, false, nil
	}
	var kept quote.Collateral
	if err == nil {
		kept, err = ParseBundle(data)
	}
	if contents, inspectErr := Inspect(kept); err == nil && inspectErr == nil && contents.NextUpdate != nil && !now.Before(*contents.NextUpdate) {
		return quote.Collateral{}, false, nil
	}
	var facts quote.Facts
	if err == nil {
		facts, err = quote.NewVerifier(kept, root).Facts(now)
	}
	if err == nil {
		err = target.Check(facts)
	}
	if err != nil {
		note(fmt.Sprintf("collateral kept in %s is not used, and is asked for again: %v", filepath.Join(c.dir, name), err))
		return quote.Collateral{}, false, nil
	}
	s, err := c.readState(root)
	if err != nil {
		return quote.Collateral{}, false, err
	}
	// Newer was seen elsewhere; the service is to show that it has it, too.
	if s.refuses(update, facts) != nil {
		return quote.Collateral{}, false, nil
	}
	return kept, true, nil
}

// kept is collateral that was verified when it was kept.
type kept struct {
	quote.Collateral
	name string
}

// bundles returns what is kept, of all channels. One that can not be read is no worse than one that is not there.
func (c *Cache) bundles() []kept {
	dir, err := os.OpenRoot(c.dir)
	if err != nil {
		return nil
	}
	defer dir.Close()
	files, err := fs.Glob(dir.FS(), entryPrefix+"*"+suffix)
	if err != nil {
		return nil
	}
	var all []kept
	for _, name := range files {
		data, err := readFile(dir, name, maxBundle)
		if err != nil {
			continue
		}
		if parsed, err := ParseBundle(data); err == nil {
			all = append(all, kept{parsed, name})
		}
	}
	return all
}

// newest replaces parts of verified collateral by newer ones that are kept in other bundles, documents only by those of the same channel,
// and verifies the whole again. It reports whether there is nothing newer.
func newest(bundles []kept, found quote.Collateral, facts quote.Facts, root quote.TrustRoot, update Update, now time.Time, note func(string)) (quote.Collateral, quote.Facts, bool) {
	best, seen := found, facts
	var replaced []string
	for _, kept := range bundles {
		// One that is damaged or not in force is no worse than one that is not there.
		other, err := quote.NewVerifier(kept.Collateral, root).Facts(now)
		if err != nil {
			continue
		}
		sameChannel := strings.HasPrefix(kept.name, channelPrefix(update))
		if sameChannel && other.FMSPC == seen.FMSPC && newer(other.TCBInfo, seen.TCBInfo) {
			best.TCBInfo, best.TCBInfoChain, seen.TCBInfo = kept.TCBInfo, kept.TCBInfoChain, other.TCBInfo
			replaced = append(replaced, "tcb_info")
		}
		if sameChannel && newer(other.QEIdentity, seen.QEIdentity) {
			best.QEIdentity, best.QEIdentityChain, seen.QEIdentity = kept.QEIdentity, kept.QEIdentityChain, other.QEIdentity
			replaced = append(replaced, "qe_identity")
		}
		if other.CA == seen.CA && newer(other.PCKCRL, seen.PCKCRL) {
			best.PCKCRL, best.PCKCRLChain, seen.PCKCRL = kept.PCKCRL, kept.PCKCRLChain, other.PCKCRL
			replaced = append(replaced, "pck_crl")
		}
		if newer(other.RootCRL, seen.RootCRL) {
			best.RootCRL, seen.RootCRL = kept.RootCRL, other.RootCRL
			replaced = append(replaced, "root_ca_crl")
		}
	}
	if len(replaced) == 0 {
		return found, facts, true
	}
	seen, err := quote.NewVerifier(best, root).Facts(now)
	if err != nil {
		return found, facts, true
	}
	slices.Sort(replaced)
	note("the service has an older " + strings.Join(slices.Compact(replaced), ", ") + " than was seen before; the newer that is kept is used")
	return best, seen, false
}

// newer reports whether a part is later than another in one respect, and not earlier in any.
func newer(a, b quote.Issue) bool {
	return a.Number.Cmp(b.Number) >= 0 && !a.Issued.Before(b.Issued) && (a.Number.Cmp(b.Number) > 0 || a.Issued.After(b.Issued))
}

// store keeps verified collateral, and of too many bundles the newest.
func (c *Cache) store(ctx context.Context, name string, collateral quote.Collateral) error {
	data, err := MarshalBundle(collateral)
	if err != nil {
		return err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.replace(name, data); err != nil {
		return fmt.Errorf("cache of collateral: %w", err)
	}
	if err := c.prune(name); err != nil {
		return fmt.Errorf("cache of collateral: %w", err)
	}
	return nil
}

// replace writes a file whole or not at all. The lock has to be held.
func (c *Cache) replace(name string, data []byte) error {
	f, err := os.CreateTemp(c.dir, tempPrefix)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(c.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	// The rename itself is on the disk only then.
	return dir.Sync()
}

// prune removes the oldest bundles beyond maxEntries, but not keep, and what a process left that ended amid a write. The lock has to be
// held, so no such file belongs to a process that runs; but one of OpenCache may, and that one removes it, too.
func (c *Cache) prune(keep string) error {
	files, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	type entry struct {
		name    string
		written time.Time
	}
	var entries []entry
	for _, f := range files {
		name := f.Name()
		if strings.HasPrefix(name, tempPrefix) {
			if err := os.Remove(filepath.Join(c.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if !strings.HasPrefix(name, entryPrefix) || name == keep {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return err
		}
		entries = append(entries, entry{name, info.ModTime()})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(b.written.Compare(a.written), cmp.Compare(a.name, b.name)) })
	for _, e := range entries[min(len(entries), maxEntries-1):] {
		if err := os.Remove(filepath.Join(c.dir, e.name)); err != nil {
			return err
		}
	}
	return nil
}

// lock waits until no other process or goroutine holds the cache's lock.
func (c *Cache) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cache of collateral: %w", err)
	}
	// The kernel wakes nobody whose context ends, so it is asked again and again: whoever holds the lock writes one small file.
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		held, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("cache of collateral: lock %s: %w", f.Name(), err)
		}
		if held {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("cache of collateral: %s is held by another process: %w", f.Name(), context.Cause(ctx))
		case <-tick.C:
		}
	}
}
