package difference

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// Max is how many differences are told one by one.
	Max = 100
	// maxContent bounds what is decompressed for a comparison, in bytes.
	maxContent = 1 << 30
	// shown is how many bytes are told where bytes differ, and maxText how many of a text.
	shown   = 16
	maxText = 200
	// maxNested bounds how often something compressed is looked for in something compressed: some files decompress to themselves.
	maxNested = 4
)

// NoOffset is the offset of a difference that is not one of bytes.
const NoOffset = -1

// Difference is one place.
type Difference struct {
	// Where leads to the place, outermost first.
	Where []string `json:"where"`
	// Offset is that of the first byte that differs, in the innermost file of Where; NoOffset where the difference is none of bytes.
	Offset int64 `json:"offset"`
	// Expected is what the published artifact has there, Got what was built, for people.
	Expected string `json:"expected"`
	Got      string `json:"got"`
}

func (d Difference) String() string {
	at := ""
	if d.Offset != NoOffset {
		at = fmt.Sprintf(" at offset %d (0x%x)", d.Offset, d.Offset)
	}
	return fmt.Sprintf("%s%s: expected %s, got %s", strings.Join(d.Where, ", "), at, d.Expected, d.Got)
}

// List is what was found.
type List struct {
	Differences []Difference `json:"differences"`
	// More is how many further ones were found and are not told.
	More int `json:"more,omitempty"`
}

// Equal holds if nothing was found.
func (l List) Equal() bool { return len(l.Differences) == 0 }

// finder collects differences below a place.
type finder struct {
	list   *List
	where  []string
	nested int
}

func newFinder(where ...string) finder {
	return finder{list: &List{Differences: []Difference{}}, where: where}
}

// in is the finder for a place below.
func (f finder) in(place string) finder {
	f.where = append(f.where[:len(f.where):len(f.where)], place)
	return f
}

func (f finder) add(offset int64, expected, got string) {
	if len(f.list.Differences) == Max {
		f.list.More++
		return
	}
	where := make([]string, len(f.where))
	for i, place := range f.where {
		where[i] = Plain(place)
	}
	f.list.Differences = append(f.list.Differences, Difference{where, offset, Plain(expected), Plain(got)})
}

// Plain is a text with everything escaped that a terminal or a page would not show as it is: control characters, and those that turn the
// direction of a text.
func Plain(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// found is how many there are.
func (f finder) found() int { return len(f.list.Differences) + f.list.More }

// text compares two values for people.
func (f finder) text(what, expected, got string) {
	if expected != got {
		f.in(what).add(NoOffset, quote(expected), quote(got))
	}
}

func quote(s string) string {
	if s == "" {
		return "none"
	}
	if len(s) > maxText {
		return fmt.Sprintf("%q… (%d bytes)", s[:maxText], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// File compares two files by what they are: both sides have to be of one kind to be looked into.
func File(name string, expected, got []byte) List {
	f := newFinder(name)
	f.file(expected, got)
	return *f.list
}

func (f finder) file(expected, got []byte) {
	if bytes.Equal(expected, got) {
		return
	}
	before := f.found()
	both := func(magic string) bool {
		return bytes.HasPrefix(expected, []byte(magic)) && bytes.HasPrefix(got, []byte(magic))
	}
	switch {
	case both("\x7fELF"):
		f.program(expected, got)
	case both("MZ"):
		f.pe(expected, got)
	case both("\x1f\x8b"):
		f.gzip(expected, got, finder.file)
	case both("070701"):
		f.cpio(expected, got)
	case isJSON(expected) && isJSON(got):
		f.json(expected, got)
	}
	// What the reader of a format has no eye for is a difference all the same.
	if f.found() == before {
		f.bytes(expected, got)
	}
}

// bytes tells the first byte that differs, how much differs, and for texts the line.
func (f finder) bytes(expected, got []byte) {
	if bytes.Equal(expected, got) {
		return
	}
	both := min(len(expected), len(got))
	first, count := both, 0
	for i := range both {
		if expected[i] != got[i] {
			first = min(first, i)
			count++
		}
	}
	if len(expected) != len(got) {
		f.in("size").add(NoOffset, fmt.Sprintf("%d bytes", len(expected)), fmt.Sprintf("%d bytes", len(got)))
	}
	g := f
	if isText(expected) && isText(got) {
		g = f.in(fmt.Sprintf("line %d", 1+bytes.Count(expected[:first], []byte("\n"))))
		g.add(int64(first), quote(line(expected, first)), quote(line(got, first)))
		return
	}
	more := ""
	if count > 1 && len(expected) == len(got) {
		more = fmt.Sprintf(" (%d bytes of %d differ)", count, len(expected))
	}
	g.add(int64(first), excerpt(expected, first), excerpt(got, first)+more)
}

func isText(b []byte) bool {
	return len(b) > 0 && utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) })
}

// line is the line of a text that has the byte at an offset.
func line(text []byte, at int) string {
	begin := bytes.LastIndexByte(text[:at], '\n') + 1
	if end := bytes.IndexByte(text[begin:], '\n'); end >= 0 {
		return string(text[begin : begin+end])
	}
	return string(text[begin:])
}

// excerpt is what stands at an offset, in hex and, where that can be read, as text.
func excerpt(b []byte, at int) string {
	if at >= len(b) {
		return "the end"
	}
	part := b[at:min(at+shown, len(b))]
	if isText(part) {
		return fmt.Sprintf("%s %q", hex.EncodeToString(part), part)
	}
	return hex.EncodeToString(part)
}

// readAll reads content that has to be smaller than maxContent.
func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxContent+1))
	if err == nil && len(data) > maxContent {
		err = fmt.Errorf("expected at most %d bytes, got more", maxContent)
	}
	return data, err
}
