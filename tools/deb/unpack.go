package deb

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// Limits bound what packages may hold; zero members stand for the defaults.
type Limits struct {
	// File is the size of the largest file, in bytes. Default: 1 GiB.
	File int64
	// Total is the size of all packages decompressed, in bytes. Default: 8 GiB.
	Total int64
	// Entries is the number of entries of all packages. Default: 1000000.
	Entries int64
}

func (l Limits) filled() Limits {
	if l.File == 0 {
		l.File = 1 << 30
	}
	if l.Total == 0 {
		l.Total = 8 << 30
	}
	if l.Entries == 0 {
		l.Entries = 1_000_000
	}
	return l
}

const (
	// maxPath and maxName are Linux' PATH_MAX and NAME_MAX, in bytes.
	maxPath = 4095
	maxName = 255
	// maxControl bounds control.tar decompressed, in bytes; the largest of trixie has 6 MB.
	maxControl = 64 << 20
	// maxOwner is the highest number that Policy 9.2.2 gives to users and groups, nobody's.
	maxOwner = 65534
)

// Options of [Unpack].
type Options struct {
	// Limits bound what packages may hold.
	Limits Limits
	// Spool is a folder for the content of files while the tree is open; it has to have room for all of it. Default: the folder for
	// temporary files.
	Spool string
}

// Unpack reads locked packages as one tree. File tells where the file of a package is. Each file is read into memory and checked
// against the lock before anything in it is looked at. The tree depends on the lock alone: not on the order of files, the
// number of processors or the machine. The caller closes the tree.
func Unpack(ctx context.Context, lock *Lock, file func(LockedPackage) string, options Options) (*Tree, error) {
	s, err := newSpool(options.Spool)
	if err != nil {
		return nil, err
	}
	t, err := unpack(ctx, lock, file, s, options.Limits.filled())
	if err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return t, nil
}

func unpack(ctx context.Context, lock *Lock, file func(LockedPackage) string, s *spool, limits Limits) (*Tree, error) {
	u := &unpacker{spool: s, limits: limits, filter: lock.Files.compile()}
	u.left.Store(limits.Total)
	// The largest packages first, so that no processor is left with one at the end.
	order := make([]int, len(lock.Packages))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(lock.Packages[b].Size - lock.Packages[a].Size) })
	results := make([][]read, len(lock.Packages))
	failures := make([]error, len(lock.Packages))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(order)) {
		wg.Go(func() {
			for n := int(next.Add(1)) - 1; n < len(order); n = int(next.Add(1)) - 1 {
				i := order[n]
				if failures[i] = ctx.Err(); failures[i] == nil {
					results[i], failures[i] = u.readFile(file(lock.Packages[i]), lock.Packages[i])
				}
			}
		})
	}
	wg.Wait()
	// The failure of the first package, not the first failure.
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	b := newBuilder()
	for _, entries := range results {
		for _, e := range entries {
			if e.leftOut {
				b.leave(e.Entry)
			} else if err := b.add(e.Entry); err != nil {
				return nil, err
			}
		}
	}
	return b.finish(s)
}

// read is an entry of a package, and whether the filter leaves it out.
type read struct {
	Entry
	leftOut bool
}

type unpacker struct {
	spool  *spool
	limits Limits
	filter filter

	// left is how many bytes may still come out of decompression, entries how many entries there were, for all packages.
	left, entries atomic.Int64
}

func (u *unpacker) readFile(name string, p LockedPackage) ([]read, error) {
	data, err := readSized(name, p.Size)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); int64(len(data)) != p.Size || sum != p.SHA256 {
		return nil, refuse(ErrContent, "%s: %s: expected %d bytes with sha256 %s, got %d with %s", p, name, p.Size, p.SHA256, len(data), Digest(sum))
	}
	entries, err := u.readPackage(data, p)
	if err != nil {
		var verdict *RefusedError
		if errors.As(err, &verdict) {
			return nil, err
		}
		return nil, refuse(ErrArchive, "%s: %v", p, err)
	}
	return entries, nil
}

// readSized reads at most one byte more than a file should have.
func readSized(name string, size int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	if info, err := f.Stat(); err == nil && info.Size() == size {
		b.Grow(int(size) + bytes.MinRead)
	}
	_, err = io.Copy(&b, io.LimitReader(f, size+1))
	return b.Bytes(), err
}

// readPackage reads a package file: debian-binary, control.tar and data.tar, in this order, and nothing else.
func (u *unpacker) readPackage(data []byte, p LockedPackage) ([]read, error) {
	members, err := readAr(data)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.name
	}
	if len(members) != 3 || names[0] != "debian-binary" || !strings.HasPrefix(names[1], "control.tar") || !strings.HasPrefix(names[2], "data.tar") {
		return nil, fmt.Errorf("expected members debian-binary, control.tar and data.tar, got %s", strings.Join(names, ", "))
	}
	// Minor versions add what older readers may ignore.
	if v := string(members[0].data); !strings.HasPrefix(v, "2.") || !strings.HasSuffix(v, "\n") || len(v) > 8 {
		return nil, fmt.Errorf("expected format 2.0, got %.20q", v)
	}
	control, err := decompress(strings.TrimPrefix(names[1], "control.tar"), members[1].data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", names[1], err)
	}
	if err := checkControl(control, p); err != nil {
		return nil, fmt.Errorf("%s: %w", names[1], err)
	}
	content, err := decompress(strings.TrimPrefix(names[2], "data.tar"), members[2].data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", names[2], err)
	}
	entries, err := u.readData(content, p.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", names[2], err)
	}
	return entries, nil
}

// checkControl holds the package to what it was locked as. Of what else is in control.tar nothing is used.
func checkControl(r io.Reader, p LockedPackage) error {
	var left atomic.Int64
	left.Store(maxControl)
	in := tar.NewReader(limitedReader{r, &left})
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return errors.New("expected a file control, got none")
		}
		if err != nil {
			return err
		}
		if header.Name != "./control" && header.Name != "control" {
			continue
		}
		if header.Typeflag != tar.TypeReg || header.Size > maxDocument {
			return fmt.Errorf("control: expected a file of at most %d bytes", maxDocument)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		fields, err := single(string(text))
		if err != nil {
			return fmt.Errorf("control: %w", err)
		}
		for _, f := range []struct{ name, want string }{{"Package", p.Name}, {"Version", string(p.Version)}, {"Architecture", p.Architecture}} {
			if got := fields.get(f.name); got != f.want {
				return fmt.Errorf("control: %s: expected %s, got %.80q", f.name, f.want, got)
			}
		}
		return nil
	}
}

// readData reads data.tar.
func (u *unpacker) readData(r io.Reader, pkg string) ([]read, error) {
	ending := &endReader{r: limitedReader{r, &u.left}}
	in := tar.NewReader(ending)
	var entries []read
	seen := make(map[string]int)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if u.entries.Add(1) > u.limits.Entries {
			return nil, fmt.Errorf("more than %d entries in all packages", u.limits.Entries)
		}
		e, err := u.entry(header, pkg)
		if err != nil {
			return nil, err
		}
		if i, twice := seen[e.Path]; twice {
			// Folders may stand twice: lib/ and usr/lib/ are one.
			if e.Type == Folder && entries[i].same(e.Entry) {
				continue
			}
			return nil, fmt.Errorf("%s stands twice", e.Path)
		}
		switch {
		case header.Typeflag == tar.TypeLink:
			if err := hardLink(&e, header.Linkname, entries, seen); err != nil {
				return nil, err
			}
		case e.Type == File && !e.leftOut:
			if e.offset, e.SHA256, err = u.spool.add(in, e.Size); err != nil {
				return nil, fmt.Errorf("%s: %w", e.Path, err)
			}
		}
		seen[e.Path] = len(entries)
		entries = append(entries, e)
	}
	// Reading to the end checks the checksums of the compression.
	return entries, ending.finish()
}

// entry checks a tar header and makes an entry of it, for files without the content.
func (u *unpacker) entry(header *tar.Header, pkg string) (read, error) {
	if header.Format == tar.FormatPAX {
		return read{}, fmt.Errorf("path %.200q: expected a ustar or GNU header, got a PAX one", header.Name)
	}
	name, err := cleanPath(header.Name)
	if err != nil {
		return read{}, err
	}
	bad := func(format string, args ...any) (read, error) {
		return read{}, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
	}
	e := read{Entry: Entry{Path: name, Mode: uint32(header.Mode & 0o7777), UID: header.Uid, GID: header.Gid, Package: pkg}, leftOut: u.filter.excludes(name)}
	if header.Uid < 0 || header.Uid > maxOwner || header.Gid < 0 || header.Gid > maxOwner {
		return bad("expected an owner of 0 to %d, got %d:%d", maxOwner, header.Uid, header.Gid)
	}
	switch header.Typeflag {
	case tar.TypeDir:
		e.Type = Folder
		if slices.Contains(topLinks, name) {
			e.Path = "usr/" + name
			e.leftOut = u.filter.excludes(e.Path)
		}
		return e, nil
	case tar.TypeReg:
		e.Type, e.Size = File, header.Size
		if e.Size > u.limits.File {
			return bad("expected at most %d bytes, got %d", u.limits.File, e.Size)
		}
	case tar.TypeLink:
		e.Type = File
	case tar.TypeSymlink:
		e.Type, e.Target, e.Mode = Symlink, header.Linkname, 0o777
		if err := checkTarget(name, header.Linkname); err != nil {
			return read{}, err
		}
	case tar.TypeChar, tar.TypeBlock:
		return bad("is a device")
	case tar.TypeFifo:
		return bad("is a named pipe")
	case tar.TypeGNUSparse:
		return bad("is a sparse file")
	default:
		return bad("is of an unknown type %q", header.Typeflag)
	}
	if name == "." {
		return bad("expected the root to be a folder")
	}
	if header.Typeflag != tar.TypeSymlink && strings.HasSuffix(header.Name, "/") {
		return bad("has the name of a folder, and is none")
	}
	return e, nil
}

// hardLink makes a file of a hard link to a file that the package had before.
func hardLink(e *read, target string, entries []read, seen map[string]int) error {
	to, err := cleanPath(target)
	if err != nil {
		return fmt.Errorf("%s: hard link: %w", e.Path, err)
	}
	i, found := seen[to]
	if !found || entries[i].Type != File {
		return fmt.Errorf("%s: hard link to %s: expected a file that the package had before", e.Path, to)
	}
	of := entries[i]
	if of.leftOut && !e.leftOut {
		return fmt.Errorf("%s: hard link to %s, which the set leaves out; keep both or none", e.Path, to)
	}
	e.Mode, e.UID, e.GID, e.Size, e.SHA256, e.offset = of.Mode, of.UID, of.GID, of.Size, of.SHA256, of.offset
	return nil
}

// cleanPath makes "./usr/bin/" to "usr/bin", and moves what lies in the folders that are links into /usr there.
func cleanPath(name string) (string, error) {
	bad := func(reason string) (string, error) { return "", fmt.Errorf("path %.200q: %s", name, reason) }
	if len(name) > maxPath {
		return bad(fmt.Sprintf("longer than %d bytes", maxPath))
	}
	if !utf8.ValidString(name) {
		return bad("not valid UTF-8")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return bad("has a control character")
	}
	if strings.HasPrefix(name, "/") {
		return bad("is absolute")
	}
	clean := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if clean == "" || clean == "." {
		if name == "" {
			return bad("is empty")
		}
		return ".", nil
	}
	parts := strings.Split(clean, "/")
	for _, part := range parts {
		switch {
		case part == "..":
			return bad("leads up by ..")
		case part == "" || part == ".":
			return bad("has an empty part")
		case len(part) > maxName:
			return bad(fmt.Sprintf("has a part longer than %d bytes", maxName))
		}
	}
	if slices.Contains(topLinks, parts[0]) && len(parts) > 1 {
		return "usr/" + clean, nil
	}
	return clean, nil
}

// checkTarget refuses the target of a link at name that leads out of the tree.
func checkTarget(name, target string) error {
	bad := func(reason string) error { return fmt.Errorf("%s: link to %.200q: %s", name, target, reason) }
	if target == "" || len(target) > maxPath || !utf8.ValidString(target) || strings.ContainsFunc(target, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return bad(fmt.Sprintf("expected a path of at most %d bytes in UTF-8 without control characters", maxPath))
	}
	depth := 0
	if !strings.HasPrefix(target, "/") {
		depth = strings.Count(name, "/")
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return bad("leads out of the tree")
			}
		default:
			depth++
		}
	}
	return nil
}

// limitedReader fails when more is read than is left, for all readers that share left.
type limitedReader struct {
	r    io.Reader
	left *atomic.Int64
}

var errTooMuch = errors.New("decompresses to more than is allowed")

func (l limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left.Add(-int64(n)) < 0 {
		return 0, errTooMuch
	}
	return n, err
}

// endReader watches how a tar archive ends: package tar takes one that was cut between two entries for whole.
type endReader struct {
	r io.Reader
	// size is what was read, zeros how much of its end is zero.
	size, zeros int64
}

func (e *endReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.size += int64(n)
	rest := bytes.TrimRight(p[:n], "\x00")
	if len(rest) > 0 {
		e.zeros = 0
	}
	e.zeros += int64(n - len(rest))
	return n, err
}

// finish reads what follows the end mark, two blocks of zeros, which may be followed by more of them.
func (e *endReader) finish() error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := e.Read(buffer)
		if !zero(buffer[:n]) {
			return errors.New("data after the end of the archive")
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if err != nil {
			break
		}
	}
	if e.size%512 != 0 || e.zeros < 1024 {
		return errors.New("the archive has no end mark")
	}
	return nil
}
