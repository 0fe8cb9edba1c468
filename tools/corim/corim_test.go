package corim

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

var update = flag.Bool("update", false, "write the golden file anew")

func example() Values {
	var v Values
	for i, d := range []*eventlog.Digest{&v.MRTD, &v.RTMR0, &v.RTMR1, &v.RTMR2} {
		copy(d[:], bytes.Repeat([]byte{byte(0xD0 + i)}, len(d)))
	}
	return v
}

func encode(t *testing.T, v Values) []byte {
	t.Helper()
	data, err := Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestGolden(t *testing.T) {
	const golden = "testdata/example.corim.hex"
	got := encode(t, example())
	if *update {
		if err := os.WriteFile(golden, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(text)); hex.EncodeToString(got) != want {
		t.Errorf("the manifest is\n%x, want\n%s", got, want)
	}
}

// decoder reads CBOR of RFC 8949 without a library: the encoding is checked by rules of its own. It writes diagnostic notation
// (section 8), and refuses what core deterministic encoding does not allow (section 4.2.1).
type decoder struct{ data []byte }

var errEncoding = errors.New("not deterministic, or not expected in a manifest")

func (d *decoder) head() (major byte, n uint64, err error) {
	if len(d.data) == 0 {
		return 0, 0, errEncoding
	}
	major, info := d.data[0]>>5, d.data[0]&31
	d.data = d.data[1:]
	if info < 24 {
		return major, uint64(info), nil
	}
	if info > 27 || len(d.data) < 1<<(info-24) {
		return 0, 0, errEncoding
	}
	size := 1 << (info - 24)
	for _, b := range d.data[:size] {
		n = n<<8 | uint64(b)
	}
	d.data = d.data[size:]
	// The shortest form.
	if least := [...]uint64{24, 1 << 8, 1 << 16, 1 << 32}[info-24]; n < least {
		return 0, 0, errEncoding
	}
	return major, n, nil
}

func (d *decoder) item(b *strings.Builder) error {
	major, n, err := d.head()
	if err != nil {
		return err
	}
	switch major {
	case 0:
		b.WriteString(strconv.FormatUint(n, 10))
	case 1:
		b.WriteString("-" + strconv.FormatUint(n+1, 10))
	case 2, 3:
		if n > uint64(len(d.data)) {
			return errEncoding
		}
		content := d.data[:n]
		d.data = d.data[n:]
		if major == 3 {
			b.WriteString(`"` + string(content) + `"`)
		} else {
			b.WriteString("h'" + hex.EncodeToString(content) + "'")
		}
	case 4:
		b.WriteByte('[')
		for i := range n {
			if i > 0 {
				b.WriteString(", ")
			}
			if err := d.item(b); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case 5:
		return d.members(b, n)
	case 6:
		b.WriteString(strconv.FormatUint(n, 10) + "(")
		if err := d.item(b); err != nil {
			return err
		}
		b.WriteByte(')')
	default:
		return errEncoding
	}
	return nil
}

// members reads those of a map, whose keys ascend in the order of their bytes.
func (d *decoder) members(b *strings.Builder, n uint64) error {
	b.WriteByte('{')
	var last []byte
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		start := d.data
		if err := d.item(b); err != nil {
			return err
		}
		key := start[:len(start)-len(d.data)]
		if bytes.Compare(last, key) >= 0 {
			return errEncoding
		}
		last = key
		b.WriteString(": ")
		if err := d.item(b); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func diagnose(t *testing.T, data []byte) string {
	t.Helper()
	d, b := &decoder{data}, &strings.Builder{}
	if err := d.item(b); err != nil {
		t.Fatalf("%v, with %d bytes left of %x", err, len(d.data), data)
	}
	if len(d.data) != 0 {
		t.Fatalf("%d bytes behind the item", len(d.data))
	}
	return b.String()
}

// TestDiagnosticForm compares the manifest with what the draft's CDDL and Intel's profile ask for, written by hand.
func TestDiagnosticForm(t *testing.T) {
	repeated := func(b byte) string { return "[[7, h'" + strings.Repeat(hex.EncodeToString([]byte{b}), 48) + "']]" }
	triples := `{0: [[{0: {1: "Intel Corporation", 2: "TDX trust domain"}}, [{1: {14: {0: ` +
		repeated(0xD1) + `, 1: ` + repeated(0xD2) + `, 2: ` + repeated(0xD3) + `}, -83: ` + repeated(0xD0) + `}}]]]}`
	data := encode(t, example())
	outer := diagnose(t, data)
	_, rest, ok := strings.Cut(outer, "501({0: h'")
	id, rest, ok2 := strings.Cut(rest, "', 1: [506(h'")
	inner, rest, ok3 := strings.Cut(rest, "')], 3: ")
	if !ok || !ok2 || !ok3 || rest != "111(h'6086480186f84d011001')})" {
		t.Fatalf("the manifest is %s", outer)
	}
	comid, err := hex.DecodeString(inner)
	if err != nil {
		t.Fatal(err)
	}
	tag := diagnose(t, comid)
	tagID, got, ok := strings.Cut(strings.TrimPrefix(tag, "{1: {0: h'"), "'}, 4: ")
	if !ok || got != triples+"}" {
		t.Errorf("the tag is %s\nwant triples %s", tag, triples)
	}
	for _, id := range []string{id, tagID} {
		// Version 8 and variant 1 in their places.
		if len(id) != 32 || id[12] != '8' || !strings.ContainsRune("89ab", rune(id[16])) {
			t.Errorf("identifier %s, want a UUID of version 8", id)
		}
	}
	// The library's own reader agrees with ours.
	if theirs, err := cbor.Diagnose(data); err != nil || theirs != outer {
		t.Errorf("the library reads %s (%v)\nwe read %s", theirs, err, outer)
	}
}

// TestIdentifiers: the identifiers follow the values, each of them.
func TestIdentifiers(t *testing.T) {
	id := func(v Values) string { return diagnose(t, encode(t, v))[:50] }
	seen := map[string]bool{id(example()): true}
	if !seen[id(example())] {
		t.Error("the same values have two identifiers")
	}
	for n := range 4 {
		v := example()
		[]*eventlog.Digest{&v.MRTD, &v.RTMR0, &v.RTMR1, &v.RTMR2}[n][47] ^= 1
		if seen[id(v)] {
			t.Errorf("value %d does not show in the identifier", n)
		}
		seen[id(v)] = true
	}
}
