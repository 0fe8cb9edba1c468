package difference

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"
)

// maxDepth bounds how deep documents are compared member by member.
const maxDepth = 64

func isJSON(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && (b[0] == '{' || b[0] == '[') && json.Valid(b)
}

// json compares two documents member by member. Documents of one meaning and other bytes are left to the caller.
func (f finder) json(expected, got []byte) {
	e, err := decode(expected)
	if err != nil {
		return
	}
	g, err := decode(got)
	if err != nil {
		return
	}
	f.value("", e, g, 0)
}

func decode(data []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected one value, got more")
	}
	return v, nil
}

func (f finder) value(at string, expected, got any, depth int) {
	if depth > maxDepth {
		return
	}
	switch e := expected.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			f.object(at, e, g, depth)
			return
		}
	case []any:
		if g, ok := got.([]any); ok {
			f.array(at, e, g, depth)
			return
		}
	}
	if e, g := rendered(expected), rendered(got); e != g {
		first := 0
		for first < min(len(e), len(g)) && e[first] == g[first] {
			first++
		}
		f.in("member "+name(at)).add(NoOffset, clip(e, first), clip(g, first))
	}
}

func name(at string) string {
	if at == "" {
		return "(the document)"
	}
	return at
}

func (f finder) object(at string, expected, got map[string]any, depth int) {
	names := maps.Clone(expected)
	maps.Copy(names, got)
	for _, key := range slices.Sorted(maps.Keys(names)) {
		member := key
		if at != "" {
			member = at + "." + key
		}
		e, inExpected := expected[key]
		g, inGot := got[key]
		f.present(member, e, g, inExpected, inGot, depth)
	}
}

func (f finder) present(member string, e, g any, inExpected, inGot bool, depth int) {
	switch {
	case !inGot:
		f.in("member "+member).add(NoOffset, clip(rendered(e), 0), "none")
	case !inExpected:
		f.in("member "+member).add(NoOffset, "none", clip(rendered(g), 0))
	default:
		f.value(member, e, g, depth+1)
	}
}

// identities are members by which elements of a list can be told apart: of bills of materials, provenance, statements and releases.
var identities = []string{"bom-ref", "uri", "ref", "path", "name"}

// array compares elements by an identity that all of them have, or else by position.
func (f finder) array(at string, expected, got []any, depth int) {
	for _, identity := range identities {
		e, ok := byIdentity(expected, identity)
		if !ok {
			continue
		}
		g, ok := byIdentity(got, identity)
		if !ok {
			continue
		}
		all := maps.Clone(e)
		maps.Copy(all, g)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			_, inExpected := e[key]
			_, inGot := g[key]
			f.present(fmt.Sprintf("%s[%s]", at, key), e[key], g[key], inExpected, inGot, depth)
		}
		return
	}
	for i := range max(len(expected), len(got)) {
		var e, g any
		if i < len(expected) {
			e = expected[i]
		}
		if i < len(got) {
			g = got[i]
		}
		f.present(fmt.Sprintf("%s[%d]", at, i), e, g, i < len(expected), i < len(got), depth)
	}
}

func byIdentity(list []any, identity string) (map[string]any, bool) {
	found := make(map[string]any, len(list))
	for _, element := range list {
		members, ok := element.(map[string]any)
		if !ok {
			return nil, false
		}
		key, ok := members[identity].(string)
		if _, twice := found[key]; !ok || twice {
			return nil, false
		}
		found[key] = element
	}
	return found, true
}

// rendered is a value in one form, so that values can be compared as text.
func rendered(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

// clip cuts a long value down to what stands around a byte of it.
func clip(s string, at int) string {
	if len(s) <= maxText {
		return s
	}
	const before = 40
	begin := max(0, min(at, len(s))-before)
	end := min(begin+maxText, len(s))
	for begin > 0 && !utf8.RuneStart(s[begin]) {
		begin--
	}
	for end < len(s) && !utf8.RuneStart(s[end]) {
		end++
	}
	text := s[begin:end]
	if begin > 0 {
		text = "…" + text
	}
	if end < len(s) {
		text += "…"
	}
	return fmt.Sprintf("%s (%d bytes)", text, len(s))
}
