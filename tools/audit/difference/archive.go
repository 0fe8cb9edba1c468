package difference

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxEntries bounds how many entries of an archive are looked at.
const maxEntries = 1 << 16

// gzip compares what is compressed; where that is equal, how it is.
func (f finder) gzip(expected, got []byte, content func(finder, []byte, []byte)) {
	if f.nested++; f.nested > maxNested {
		return
	}
	e, eHeader, err := gunzip(expected)
	if err != nil {
		return
	}
	g, gHeader, err := gunzip(got)
	if err != nil {
		return
	}
	if !bytes.Equal(e, g) {
		content(f, e, g)
		return
	}
	in := f.in("gzip, the content being equal")
	in.text("header, name", eHeader.Name, gHeader.Name)
	in.text("header, time", moment(eHeader.ModTime), moment(gHeader.ModTime))
	in.text("header, system", strconv.Itoa(int(eHeader.OS)), strconv.Itoa(int(gHeader.OS)))
	in.bytes(expected, got)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func gunzip(data []byte) ([]byte, gzip.Header, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, gzip.Header{}, err
	}
	content, err := readAll(r)
	return content, r.Header, err
}

// entry is a file of an archive.
type entry struct {
	// fields are those of the header, by name.
	fields  map[string]string
	content []byte
}

// archive is a list of entries.
type archive struct {
	names   []string
	entries map[string]entry
}

func newArchive() *archive { return &archive{entries: make(map[string]entry)} }

func (a *archive) add(name string, e entry) error {
	if _, twice := a.entries[name]; twice {
		return fmt.Errorf("%q stands twice", name)
	}
	if len(a.names) == maxEntries {
		return fmt.Errorf("expected at most %d entries, got more", maxEntries)
	}
	a.names = append(a.names, name)
	a.entries[name] = e
	return nil
}

// archives compares two archives entry by entry.
func (f finder) archives(expected, got *archive) {
	before := f.found()
	all := make(map[string]bool)
	for _, name := range slices.Concat(expected.names, got.names) {
		if all[name] {
			continue
		}
		all[name] = true
		in := f.in(name)
		e, inExpected := expected.entries[name]
		g, inGot := got.entries[name]
		switch {
		case !inGot:
			in.add(NoOffset, fmt.Sprintf("a file of %d bytes", len(e.content)), "none")
			continue
		case !inExpected:
			in.add(NoOffset, "none", fmt.Sprintf("a file of %d bytes", len(g.content)))
			continue
		}
		fields := maps.Clone(e.fields)
		maps.Copy(fields, g.fields)
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			in.text("header, "+field, e.fields[field], g.fields[field])
		}
		in.file(e.content, g.content)
	}
	if f.found() == before {
		f.text("order of files", strings.Join(expected.names, " "), strings.Join(got.names, " "))
	}
}

// tar compares two tar archives.
func (f finder) tar(expected, got []byte) {
	before := f.found()
	e, err := readTar(expected)
	if err == nil {
		var g *archive
		if g, err = readTar(got); err == nil {
			f.archives(e, g)
		}
	}
	if f.found() == before {
		f.bytes(expected, got)
	}
}

func readTar(data []byte) (*archive, error) {
	a := newArchive()
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(io.LimitReader(r, maxContent))
		if err != nil {
			return nil, err
		}
		fields := map[string]string{
			"type": string(h.Typeflag), "mode": fmt.Sprintf("%04o", h.Mode), "owner": fmt.Sprintf("%d:%d", h.Uid, h.Gid), "names of owner": h.Uname + ":" + h.Gname,
			"time": h.ModTime.UTC().Format(time.RFC3339Nano), "link": h.Linkname, "device": fmt.Sprintf("%d:%d", h.Devmajor, h.Devminor), "format": h.Format.String(),
		}
		for key, value := range h.PAXRecords {
			fields["record "+key] = value
		}
		if err := a.add("/"+strings.TrimPrefix(strings.TrimPrefix(h.Name, "./"), "/"), entry{fields, content}); err != nil {
			return nil, err
		}
	}
}

// cpio compares two archives of the form "newc".
func (f finder) cpio(expected, got []byte) {
	e, err := readCPIO(expected)
	if err != nil {
		return
	}
	g, err := readCPIO(got)
	if err != nil {
		return
	}
	f.archives(e, g)
}

// cpioFields are the numbers of a newc header, each of 8 hexadecimal digits, behind the magic.
var cpioFields = []string{"inode", "mode", "uid", "gid", "links", "time", "size", "device major", "device minor", "node major", "node minor", "name size", "check"}

const (
	cpioMagic  = "070701"
	cpioHeader = 110
	cpioEnd    = "TRAILER!!!"
)

func readCPIO(data []byte) (*archive, error) {
	a := newArchive()
	for at := 0; ; {
		if len(data)-at < cpioHeader || string(data[at:at+len(cpioMagic)]) != cpioMagic {
			return nil, fmt.Errorf("offset %d: expected a header, got none", at)
		}
		numbers := make(map[string]uint32, len(cpioFields))
		fields := make(map[string]string, len(cpioFields))
		for i, field := range cpioFields {
			text := data[at+len(cpioMagic)+8*i:][:8]
			var b [4]byte
			if _, err := hex.Decode(b[:], text); err != nil {
				return nil, fmt.Errorf("offset %d: %s: %w", at, field, err)
			}
			numbers[field] = uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
			fields[field] = string(text)
		}
		// The inode follows from the position, and the sizes are told with name and content.
		for _, field := range []string{"inode", "size", "name size", "check"} {
			delete(fields, field)
		}
		nameEnd := at + cpioHeader + int(numbers["name size"])
		begin := (nameEnd + 3) &^ 3
		end := begin + int(numbers["size"])
		if numbers["name size"] == 0 || end > len(data) || begin > len(data) {
			return nil, fmt.Errorf("offset %d: expected a file within the archive, got one beyond its end", at)
		}
		name := string(data[at+cpioHeader : nameEnd-1])
		if name == cpioEnd {
			return a, nil
		}
		if err := a.add("/"+name, entry{fields, data[begin:end]}); err != nil {
			return nil, err
		}
		if at = (end + 3) &^ 3; at > len(data) {
			return nil, fmt.Errorf("offset %d: expected the end of the archive, got nothing", at)
		}
	}
}
