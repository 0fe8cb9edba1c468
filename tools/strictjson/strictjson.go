package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// MaxDepth is the deepest nesting of arrays and objects that is read.
const MaxDepth = 64

// Error says where in the document the first offence stands.
type Error struct {
	// Path names the place as in "ports.api" or "files[2].to"; it is empty for the document as a whole.
	Path string
	// Reason is one clause: what was expected and what came.
	Reason string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

// Unmarshal decodes exactly one JSON value into v, a non-nil pointer. Struct fields are matched by their exact "json"
// names; a member without a field is refused, as are the offences the package comment lists. Types that implement
// [json.Unmarshaler] receive their value after the checks that do not depend on types. Every refusal is an [*Error].
//
// Any other error is the program's, whatever the document is: v is no non-nil pointer, a map has keys that are not plain strings, two
// fields have one name, or an interface in v already holds a pointer.
func Unmarshal(data []byte, v any) error {
	to := reflect.ValueOf(v)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return fmt.Errorf("strictjson: decode into %T: want a non-nil pointer", v)
	}
	w := walker{data: data, types: make(map[reflect.Type]*structure)}
	if err := errors.Join(w.learn(to.Type().Elem()), make(targets).check(to.Elem())); err != nil {
		return fmt.Errorf("strictjson: decode into %T: %w", v, err)
	}
	if !utf8.Valid(data) {
		return &Error{Reason: "not valid UTF-8"}
	}
	if !json.Valid(data) {
		return syntax(data)
	}
	if err := w.value(to.Type().Elem(), 0); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return typeError(err)
	}
	return nil
}

// syntax says what is wrong with data that is not valid JSON.
func syntax(data []byte) error {
	err := json.Unmarshal(data, new(json.RawMessage))
	switch text := fmt.Sprint(err); {
	case strings.HasPrefix(text, "unexpected end"):
		return &Error{Reason: "the JSON ends too early"}
	case strings.HasSuffix(text, "after top-level value"):
		return &Error{Reason: "data after the JSON value"}
	default:
		var at *json.SyntaxError
		if errors.As(err, &at) {
			text += " at byte " + strconv.FormatInt(at.Offset, 10)
		}
		return &Error{Reason: "malformed JSON: " + text}
	}
}

func typeError(err error) error {
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		return &Error{Path: mismatch.Field, Reason: fmt.Sprintf("expected %s, got a JSON %s", describe(mismatch.Type), mismatch.Value)}
	}
	return &Error{Reason: err.Error()}
}

func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number that fits " + t.Kind().String()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative, that fits " + t.Kind().String()
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return t.String()
	}
}

// walker goes over data that is valid JSON. It need not look for anything but what valid JSON can still offend in.
type walker struct {
	data  []byte
	at    int
	types map[reflect.Type]*structure
}

// structure is what a Go type has to say about the JSON that goes to it.
type structure struct {
	kind    reflect.Kind            // Struct, Map, Slice, Array, or Invalid where anything may stand
	element reflect.Type            // of a map, slice or array
	length  int                     // of an array
	members map[string]reflect.Type // of a struct
}

var anything structure

// learn looks at a type and at those that it is made of. An error is the program's: the document does not matter to it.
func (w *walker) learn(t reflect.Type) error {
	if w.types[t] != nil {
		return nil
	}
	s := new(structure)
	w.types[t] = s
	inner := shape(t)
	if inner == nil {
		return nil
	}
	switch kind := inner.Kind(); kind {
	case reflect.Struct:
		members, err := membersOf(inner)
		if err != nil {
			return err
		}
		s.kind, s.members = kind, members
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if err := w.learn(members[name]); err != nil {
				return err
			}
		}
	case reflect.Map:
		// Two spellings of one number, or of what a key makes of its text, would be one member.
		if key := inner.Key(); key.Kind() != reflect.String || reflect.PointerTo(key).Implements(textUnmarshaler) {
			return fmt.Errorf("want a map with keys that are plain strings, got %v", inner)
		}
		s.kind, s.element = kind, inner.Elem()
		return w.learn(s.element)
	case reflect.Array:
		s.kind, s.element, s.length = kind, inner.Elem(), inner.Len()
		return w.learn(s.element)
	case reflect.Slice:
		s.kind, s.element = kind, inner.Elem()
		return w.learn(s.element)
	}
	return nil
}

// structure returns what was learnt of a type.
func (w *walker) structure(t reflect.Type) *structure {
	if t == nil {
		return &anything
	}
	return w.types[t]
}

// next returns the first byte that is not white space, and stands on it.
func (w *walker) next() byte {
	for {
		switch c := w.data[w.at]; c {
		case ' ', '\t', '\n', '\r':
			w.at++
		default:
			return c
		}
	}
}

// value goes over one value; t is the Go type it goes to, or nil where any member name is allowed.
func (w *walker) value(t reflect.Type, depth int) *Error {
	switch c := w.next(); c {
	case '[', '{':
		if depth == MaxDepth {
			return &Error{Reason: fmt.Sprintf("nested deeper than %d levels", MaxDepth)}
		}
		w.at++
		if c == '[' {
			return w.array(w.structure(t), depth)
		}
		return w.object(w.structure(t), depth)
	case '"':
		w.text()
	default:
		for w.at < len(w.data) && !literalEnd(w.data[w.at]) {
			w.at++
		}
	}
	return nil
}

// literalEnd holds for what may follow a number, true, false or null.
func literalEnd(c byte) bool {
	switch c {
	case ' ', '\t', '\n', '\r', ',', ']', '}':
		return true
	default:
		return false
	}
}

// text goes over a string and returns what is between its quotes.
func (w *walker) text() []byte {
	w.at++
	start := w.at
	for w.data[w.at] != '"' {
		if w.data[w.at] == '\\' {
			w.at++
		}
		w.at++
	}
	w.at++
	return w.data[start : w.at-1]
}

func (w *walker) array(s *structure, depth int) *Error {
	var element reflect.Type
	if s.kind == reflect.Slice || s.kind == reflect.Array {
		element = s.element
	}
	for i := 0; w.more(i, ']'); i++ {
		if s.kind == reflect.Array && i >= s.length {
			return &Error{Reason: fmt.Sprintf("more than %d elements", s.length)}
		}
		if err := w.value(element, depth+1); err != nil {
			return err.in("[" + strconv.Itoa(i) + "]")
		}
	}
	return nil
}

// more reports whether an element follows, and goes past the comma before it or past the bracket.
func (w *walker) more(i int, end byte) bool {
	c := w.next()
	if c == end || i > 0 {
		w.at++
	}
	return c != end
}

func (w *walker) object(s *structure, depth int) *Error {
	var seen names
	for i := 0; w.more(i, '}'); i++ {
		w.next()
		name := w.text()
		if bytes.IndexByte(name, '\\') >= 0 {
			name = unescaped(name)
		}
		if seen.add(name) {
			return &Error{Reason: fmt.Sprintf("member %q stands twice", name)}
		}
		var member reflect.Type
		switch s.kind {
		case reflect.Struct:
			var known bool
			if member, known = s.members[string(name)]; !known {
				return &Error{Reason: fmt.Sprintf("unknown member %q%s", name, hint(s.members, string(name)))}
			}
		case reflect.Map:
			member = s.element
		}
		w.next()
		w.at++ // the colon
		if err := w.value(member, depth+1); err != nil {
			return err.in(string(name))
		}
	}
	return nil
}

// unescaped reads a name with escapes as encoding/json does.
func unescaped(name []byte) []byte {
	var text string
	if json.Unmarshal(append(append([]byte{'"'}, name...), '"'), &text) != nil {
		return name // can not be: the whole is valid
	}
	return []byte(text)
}

// names is a set of member names. Few are compared one by one, which is faster than a map; many are not, for hostile input.
type names struct {
	few  [][]byte
	many map[string]struct{}
}

// add adds a name and reports whether it was there.
func (n *names) add(name []byte) bool {
	const most = 16
	if n.many == nil && len(n.few) < most {
		for _, other := range n.few {
			if bytes.Equal(other, name) {
				return true
			}
		}
		n.few = append(n.few, name)
		return false
	}
	if n.many == nil {
		n.many = make(map[string]struct{})
		for _, other := range n.few {
			n.many[string(other)] = struct{}{}
		}
	}
	_, there := n.many[string(name)]
	n.many[string(name)] = struct{}{}
	return there
}

// in prefixes the path with a member's name or an element's number.
func (e *Error) in(outer string) *Error {
	switch {
	case e.Path == "":
		e.Path = outer
	case e.Path[0] == '[':
		e.Path = outer + e.Path
	default:
		e.Path = outer + "." + e.Path
	}
	return e
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// shape strips pointers and returns nil for a type that decodes itself or takes anything.
func shape(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() == reflect.Interface {
		return nil
	}
	if p := reflect.PointerTo(t); p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler) {
		return nil
	}
	return t
}

// membersOf lists the JSON names of a struct's fields with their types, each as encoding/json would fill it. The error names a JSON
// name that two fields have.
func membersOf(t reflect.Type) (map[string]reflect.Type, error) {
	members := make(map[string]reflect.Type)
	for _, field := range reflect.VisibleFields(t) {
		name, excluded := nameOf(field)
		if !field.IsExported() || excluded || !promoted(t, field.Index) || name == "" && inlined(field) {
			continue
		}
		if name == "" {
			name = field.Name
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("two fields of %v have the JSON name %q", t, name)
		}
		members[name] = field.Type
	}
	return members, nil
}

// nameOf returns the name in a field's "json" tag, which may be empty, and whether the tag excludes the field.
func nameOf(field reflect.StructField) (name string, excluded bool) {
	tag := field.Tag.Get("json")
	name, _, _ = strings.Cut(tag, ",")
	return name, tag == "-"
}

// inlined says whether the fields of an embedded struct stand in its place, which a name in its tag prevents.
func inlined(field reflect.StructField) bool {
	inner := field.Type
	if inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	name, excluded := nameOf(field)
	return field.Anonymous && inner.Kind() == reflect.Struct && name == "" && !excluded
}

// promoted says whether every embedded struct on the way to a field is inlined.
func promoted(t reflect.Type, index []int) bool {
	for n := 1; n < len(index); n++ {
		if !inlined(t.FieldByIndex(index[:n])) {
			return false
		}
	}
	return true
}

// targets are the places of a value that were looked at, so that one that holds itself comes to an end.
type targets map[target]bool

type target struct {
	at  unsafe.Pointer
	typ reflect.Type
}

// check refuses a pointer in an interface: encoding/json decodes into what it points to, of whose type the walker knows nothing.
func (seen targets) check(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Interface:
		if inner := v.Elem(); inner.Kind() == reflect.Pointer && !inner.IsNil() {
			return fmt.Errorf("want an interface that holds no pointer, got %v with %v", v.Type(), inner.Type())
		}
	case reflect.Pointer:
		if !v.IsNil() && seen.add(v) {
			return seen.check(v.Elem())
		}
	case reflect.Slice:
		// Up to its capacity: encoding/json uses what is there.
		if !v.IsNil() && seen.add(v) {
			return seen.elements(v.Slice(0, v.Cap()))
		}
	case reflect.Array:
		return seen.elements(v)
	case reflect.Struct:
		if shape(v.Type()) == nil {
			return nil
		}
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if _, excluded := nameOf(field); excluded || !field.IsExported() && !field.Anonymous {
				continue
			}
			if err := seen.check(v.Field(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (seen targets) elements(v reflect.Value) error {
	switch v.Type().Elem().Kind() {
	case reflect.Interface, reflect.Pointer, reflect.Slice, reflect.Array, reflect.Struct:
	default:
		return nil
	}
	if shape(v.Type()) == nil {
		return nil
	}
	for i := range v.Len() {
		if err := seen.check(v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// add adds the place of a pointer or slice and reports whether it is new.
func (seen targets) add(v reflect.Value) bool {
	place := target{v.UnsafePointer(), v.Type()}
	if seen[place] {
		return false
	}
	seen[place] = true
	return true
}

func hint(members map[string]reflect.Type, name string) string {
	for known := range members {
		if strings.EqualFold(known, name) {
			return fmt.Sprintf(" (it is written %q)", known)
		}
	}
	return ""
}
