package release

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/semver"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/memoryfile"
)

const (
	// MemorySchema is the version of the schema of a memory's file.
	MemorySchema = "https://boardroom-tee.github.io/release-memory/v1"
	// MaxMemory bounds the file, in bytes.
	MaxMemory = 4 << 20

	// ReleasesFile and LogsFile are the files of a memory's folder.
	ReleasesFile = "releases.json"
	LogsFile     = "logs.json"

	maxRemembered = 4096
)

// Memory is a folder that remembers what one verifier accepted: the newest version of each release, and the heads of logs. Whoever reads
// and writes it holds a lock; its files are replaced whole.
type Memory struct {
	dir string
}

// OpenMemory opens the memory in a folder, which is made if it is missing.
func OpenMemory(dir string) (*Memory, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Memory{dir}, nil
}

// remembered is what a memory knows about releases.
type remembered struct {
	Schema   string       `json:"schema"`
	Releases []newestSeen `json:"releases"`
}

// newestSeen is the newest release that was accepted of a name and a source under one set of roots of trust.
type newestSeen struct {
	Name   string `json:"name"`
	Source string `json:"source"`
	// Roots are whom the policy's owners trust in the end, sorted: see [Policy.roots]. A memory holds for every policy that shares one,
	// so that a root can be replaced and nothing is forgotten.
	Roots   []string          `json:"roots"`
	Version string            `json:"version"`
	Digest  provenance.Digest `json:"digest"`
	// At is the latest time that a verdict was for.
	At time.Time `json:"at"`
}

var errRefused = errors.New("refused")

// update lets judge see what is remembered, and keeps what it changes if the release is accepted.
func (m *Memory) update(ctx context.Context, judge func(*transparency.Memory, *remembered) (*Report, error)) (*Report, error) {
	var report *Report
	// The lock of the one file is that of both.
	err := memoryfile.Update(ctx, filepath.Join(m.dir, LogsFile), func(logs *transparency.Memory) error {
		file := filepath.Join(m.dir, ReleasesFile)
		before, releases, err := readRemembered(file)
		if err != nil {
			return err
		}
		if report, err = judge(logs, releases); err != nil {
			return err
		}
		if !report.Accepted {
			return errRefused
		}
		after, err := releases.encode()
		if err != nil || bytes.Equal(before, after) {
			return err
		}
		return replaceFile(file, after)
	})
	if errors.Is(err, errRefused) {
		return report, nil
	}
	if err != nil {
		return nil, err
	}
	return report, nil
}

func readRemembered(file string) ([]byte, *remembered, error) {
	data, err := readFileBounded(file, MaxMemory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &remembered{Schema: MemorySchema, Releases: []newestSeen{}}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	r, err := parseRemembered(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return data, r, nil
}

// parseRemembered reads what encode wrote. A memory that can not be read is a fault and never an empty one.
func parseRemembered(data []byte) (*remembered, error) {
	if len(data) > MaxMemory {
		return nil, fmt.Errorf("memory of releases: expected at most %d bytes, got %d", MaxMemory, len(data))
	}
	r := new(remembered)
	if err := strictjson.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("memory of releases: %w", err)
	}
	if r.Schema != MemorySchema {
		return nil, fmt.Errorf("memory of releases: schema: expected %s, got %.200q", MemorySchema, r.Schema)
	}
	if r.Releases == nil || len(r.Releases) > maxRemembered {
		return nil, fmt.Errorf("memory of releases: releases: expected a list of at most %d, got %d", maxRemembered, len(r.Releases))
	}
	for i, s := range r.Releases {
		v := "v" + s.Version
		if !namePattern.MatchString(s.Name) || s.Source == "" || len(s.Roots) == 0 || !slices.IsSorted(s.Roots) || !semver.IsValid(v) || semver.Canonical(v) != v || s.At.IsZero() {
			return nil, fmt.Errorf("memory of releases: releases[%d]: expected name, source, sorted roots, version and time, got something else", i)
		}
		if i > 0 && compareSeen(r.Releases[i-1], s) >= 0 {
			return nil, fmt.Errorf("memory of releases: releases[%d]: expected them sorted and each once, got another order", i)
		}
	}
	return r, nil
}

func compareSeen(a, b newestSeen) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Source, b.Source), slices.Compare(a.Roots, b.Roots))
}

func (r *remembered) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(r)
	return b.Bytes(), err
}

// replaceFile writes a file whole or not at all, and to the disk. The lock has to be held.
func replaceFile(file string, data []byte) error {
	temporary := file + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temporary, file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	// The rename itself is on the disk only then.
	return errors.Join(dir.Sync(), dir.Close())
}

// roots are those whom everything else rests on, by what they are: the owners of the layout, or without one the signers' certificates.
func (p *Policy) roots() []string {
	var roots []string
	if p.Layout != nil {
		for _, key := range p.Layout.Owners.Keys {
			roots = append(roots, key.Fingerprint().String())
		}
	} else {
		for _, identity := range p.identities() {
			for _, c := range identity.Certificates {
				roots = append(roots, c.String())
			}
		}
	}
	slices.Sort(roots)
	return roots
}

// checkMemory compares with what was accepted before, and takes note of the release if all else passed.
func (v *verification) checkMemory(f *findings, releases *remembered) {
	if releases == nil {
		f.notAsked("nothing is remembered")
		return
	}
	now := newestSeen{v.release.Name, v.release.Source.Repository, v.policy.roots(), v.release.Version, v.d.Digest, v.at.UTC()}
	f.detail = "the first that was seen"
	for _, s := range releases.Releases {
		if s.Name != now.Name || s.Source != now.Source || !slices.ContainsFunc(s.Roots, func(r string) bool { return slices.Contains(now.Roots, r) }) {
			continue
		}
		f.detail = "not older than " + s.Version + ", which was accepted before"
		switch order := semver.Compare("v"+now.Version, "v"+s.Version); {
		case order < 0:
			f.refuse(CodeRollback, "version: expected at least %s, which was accepted before, got %s", s.Version, now.Version)
		case order == 0 && now.Digest != s.Digest:
			f.refuse(CodeTwice, "version %s: expected %s, which was accepted before, got %s: two releases have one version", s.Version, s.Digest, now.Digest)
		}
		if now.At.Add(MaxSkew).Before(s.At) {
			f.refuse(CodeClockBack, "expected a time not before %s, for which a release was accepted before, got %s: the clock was set back",
				s.At.Format(time.RFC3339), now.At.Format(time.RFC3339))
		}
	}
	at, found := slices.BinarySearchFunc(releases.Releases, now, compareSeen)
	if !found {
		if len(releases.Releases) == maxRemembered {
			f.fault(fmt.Errorf("memory of releases: expected at most %d, got one more", maxRemembered))
			return
		}
		releases.Releases = slices.Insert(releases.Releases, at, now)
		return
	}
	if now.At.Before(releases.Releases[at].At) {
		now.At = releases.Releases[at].At
	}
	releases.Releases[at] = now
}
