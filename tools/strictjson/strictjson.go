package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
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
func Unmarshal(data []byte, v any) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("strictjson: decode into %T: want a non-nil pointer", v)
	}
	if !utf8.Valid(data) {
		return &Error{Reason: "not valid UTF-8"}
	}
	w := walker{dec: json.NewDecoder(bytes.NewReader(data))}
	w.dec.UseNumber()
	if err := w.value(target.Type().Elem(), "", 0); err != nil {
		return err
	}
	if _, err := w.dec.Token(); !errors.Is(err, io.EOF) {
		return &Error{Reason: "data after the JSON value"}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return typeError(err)
	}
	return nil
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

type walker struct {
	dec *json.Decoder
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value reads one value; t is the Go type it goes to, or nil where any member name is allowed.
func (w *walker) value(t reflect.Type, path string, depth int) error {
	token, err := w.dec.Token()
	if err != nil {
		return syntax(path, err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == MaxDepth {
		return &Error{Path: path, Reason: fmt.Sprintf("nested deeper than %d levels", MaxDepth)}
	}
	t = shape(t)
	if delim == '[' {
		return w.array(t, path, depth)
	}
	return w.object(t, path, depth)
}

func (w *walker) array(t reflect.Type, path string, depth int) error {
	var element reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		element = t.Elem()
	}
	for i := 0; w.dec.More(); i++ {
		if t != nil && t.Kind() == reflect.Array && i >= t.Len() {
			return &Error{Path: path, Reason: fmt.Sprintf("more than %d elements", t.Len())}
		}
		if err := w.value(element, path+"["+strconv.Itoa(i)+"]", depth+1); err != nil {
			return err
		}
	}
	return w.end(path)
}

func (w *walker) object(t reflect.Type, path string, depth int) error {
	members := membersOf(t)
	seen := make(map[string]struct{})
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return syntax(path, err)
		}
		// The decoder yields only strings where a member name stands.
		name, _ := token.(string)
		if _, twice := seen[name]; twice {
			return &Error{Path: path, Reason: fmt.Sprintf("member %q stands twice", name)}
		}
		seen[name] = struct{}{}
		var member reflect.Type
		switch {
		case members != nil:
			var known bool
			if member, known = members[name]; !known {
				return &Error{Path: path, Reason: fmt.Sprintf("unknown member %q%s", name, hint(members, name))}
			}
		case t != nil && t.Kind() == reflect.Map:
			member = t.Elem()
		}
		if err := w.value(member, join(path, name), depth+1); err != nil {
			return err
		}
	}
	return w.end(path)
}

// end consumes the closing bracket.
func (w *walker) end(path string) error {
	if _, err := w.dec.Token(); err != nil {
		return syntax(path, err)
	}
	return nil
}

func syntax(path string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Path: path, Reason: "the JSON ends too early"}
	}
	return &Error{Path: path, Reason: "malformed JSON: " + err.Error()}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

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

// membersOf lists the JSON names of a struct's fields with their types, and is nil for anything but a struct.
func membersOf(t reflect.Type) map[string]reflect.Type {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	members := make(map[string]reflect.Type)
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" || (field.Anonymous && name == "") {
			continue
		}
		if name == "" {
			name = field.Name
		}
		members[name] = field.Type
	}
	return members
}

func hint(members map[string]reflect.Type, name string) string {
	for known := range members {
		if strings.EqualFold(known, name) {
			return fmt.Sprintf(" (it is written %q)", known)
		}
	}
	return ""
}
