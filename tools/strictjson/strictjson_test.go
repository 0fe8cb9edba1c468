package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

type inner struct {
	To string `json:"to"`
}

type document struct {
	Name  string            `json:"name"`
	Port  uint16            `json:"port,omitempty"`
	Files []inner           `json:"files,omitempty"`
	Env   map[string]string `json:"env,omitempty"`
	Any   any               `json:"any,omitempty"`
	Raw   json.RawMessage   `json:"raw,omitempty"`
	Skip  string            `json:"-"`
	Pair  [2]int            `json:"pair,omitempty"`
	Ptr   *inner            `json:"ptr,omitempty"`
}

func TestUnmarshalAccepts(t *testing.T) {
	in := `{"name":"a","port":1,"files":[{"to":"/x"}],"env":{"A":"b","a":"c"},"any":{"x":[1,{"y":null}]},"raw":{"z":1},"pair":[1,2],"ptr":{"to":"p"}}`
	var got document
	if err := strictjson.Unmarshal([]byte(in), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "a" || got.Port != 1 || got.Files[0].To != "/x" || got.Env["a"] != "c" || string(got.Raw) != `{"z":1}` ||
		got.Pair != [2]int{1, 2} || got.Ptr.To != "p" {
		t.Errorf("decoded %+v", got)
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"unknown member", `{"nam":"a"}`, `unknown member "nam"`},
		{"case variant", `{"Name":"a"}`, `unknown member "Name" (it is written "name")`},
		{"duplicate", `{"name":"a","name":"b"}`, `member "name" stands twice`},
		{"duplicate by escape", `{"name":"a","n\u0061me":"b"}`, `member "name" stands twice`},
		{"duplicate after many", `{"env":{` + many(40) + `,"m07":""}}`, `env: member "m07" stands twice`},
		{"duplicate among few", `{"env":{` + many(16) + `,"m15":""}}`, `env: member "m15" stands twice`},
		{"duplicate by another escape", `{"env":{"\u0061\"":"","a\u0022":""}}`, `env: member "a\"" stands twice`},
		{"path in arrays", `{"any":[[1,[{"k":{"x":1,"x":2}}]]]}`, `any[0][1][0].k: member "x" stands twice`},
		{"duplicate in a map", `{"env":{"A":"1","A":"2"}}`, `env: member "A" stands twice`},
		{"duplicate in any", `{"any":[{"x":1,"x":2}]}`, `any[0]: member "x" stands twice`},
		{"duplicate in raw", `{"raw":{"x":1,"x":2}}`, `raw: member "x" stands twice`},
		{"nested unknown", `{"files":[{"to":"a"},{"too":"b"}]}`, `files[1]: unknown member "too"`},
		{"unknown behind a pointer", `{"ptr":{"x":"b"}}`, `ptr: unknown member "x"`},
		{"excluded field", `{"Skip":"x"}`, `unknown member "Skip"`},
		{"trailing value", `{"name":"a"} {}`, `data after the JSON value`},
		{"trailing garbage", `{"name":"a"}x`, `data after the JSON value`},
		{"wrong type", `{"port":"80"}`, `port: expected a whole number, not negative, that fits uint16, got a JSON string`},
		{"out of range", `{"port":65536}`, `port: expected a whole number, not negative, that fits uint16`},
		{"array overrun", `{"pair":[1,2,3]}`, `pair: more than 2 elements`},
		{"truncated", `{"name":"a"`, `ends too early`},
		{"empty", ``, `ends too early`},
		{"malformed", `{"name":}`, `malformed JSON`},
		{"invalid UTF-8", "{\"name\":\"\xff\"}", `not valid UTF-8`},
		{"deep", `{"any":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, `nested deeper than 64 levels`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := strictjson.Unmarshal([]byte(tt.in), new(document))
			var refused *strictjson.Error
			if !errors.As(err, &refused) {
				t.Fatalf("error is %v, want a *strictjson.Error", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not contain %q", err, tt.want)
			}
		})
	}
}

// many are n members of an object.
func many(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%02d": "\"{[,"`, i)
	}
	return strings.Join(members, ",\n\t")
}

func TestUnmarshalWantsAPointer(t *testing.T) {
	for _, v := range []any{nil, document{}, (*document)(nil)} {
		if err := strictjson.Unmarshal([]byte(`{}`), v); err == nil {
			t.Errorf("decode into %T succeeded", v)
		}
	}
}

type Tagged struct {
	A string `json:"a"`
}

type Inlined struct {
	B string `json:"b"`
}

type Name string

type embedding struct {
	Tagged `json:"in"`
	*Inlined
	Name
}

type hiding struct {
	Tagged `json:"-"`
	X      any `json:"-"`
}

// TestEmbeddedStructs: what is embedded under a name of its own stands there and nowhere else.
func TestEmbeddedStructs(t *testing.T) {
	var got embedding
	if err := strictjson.Unmarshal([]byte(`{"in":{"a":"1"},"b":"2","Name":"3"}`), &got); err != nil || got.A != "1" || got.B != "2" || got.Name != "3" {
		t.Errorf("decoded %+v, error %v", got, err)
	}
	for _, c := range []struct {
		in   string
		to   any
		want string
	}{
		{`{"a":"1"}`, new(embedding), `unknown member "a"`},
		{`{"in":{"b":"1"}}`, new(embedding), `in: unknown member "b"`},
		{`{"a":"1"}`, new(hiding), `unknown member "a"`},
		{`{"Tagged":{}}`, new(embedding), `unknown member "Tagged"`},
		{`{"Inlined":{}}`, new(embedding), `unknown member "Inlined"`},
	} {
		if err := strictjson.Unmarshal([]byte(c.in), c.to); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s", c.in, err, c.want)
		}
	}
}

// word is a key that makes one of several spellings.
type word string

func (w *word) UnmarshalText(text []byte) error {
	*w = word(strings.ToLower(string(text)))
	return nil
}

// ring holds itself.
type ring struct {
	Next *ring `json:"next"`
	All  []ring
}

// TestTargetsOfNoUse: what no document could be decoded into strictly is a fault of the program, found with any document.
func TestTargetsOfNoUse(t *testing.T) {
	spare := []any{new(inner), new(inner)}[:0]
	for name, v := range map[string]any{
		"numbers as keys":             new(map[int]string),
		"keys that decode themselves": new(map[word]string),
		"such a map further down":     new([]struct{ M map[string]*map[uint8]any }),
		"two fields of one name": new(struct {
			A string
			B string `json:"A"`
		}),
		"interface with a pointer":         func() *any { v := any(new(inner)); return &v }(),
		"in a struct":                      &document{Any: new(inner)},
		"behind a pointer":                 func() **document { d := &document{Any: new(inner)}; return &d }(),
		"in an array":                      &[1]any{new(inner)},
		"behind the length of a slice":     &spare,
		"in an interface that has methods": &struct{ S fmt.Stringer }{new(bytes.Buffer)},
	} {
		err := strictjson.Unmarshal([]byte(`null`), v)
		var refused *strictjson.Error
		if err == nil || errors.As(err, &refused) || !strings.HasPrefix(err.Error(), "strictjson: decode into ") {
			t.Errorf("%s: error %v, want one about the target", name, err)
		}
	}
	round := new(ring)
	round.Next, round.All = round, make([]ring, 1)
	round.All[0].All = round.All
	for name, v := range map[string]any{
		"excluded field":                  &hiding{X: new(inner)},
		"interface with a value":          &document{Any: inner{}},
		"interface with a nil pointer":    &document{Any: (*inner)(nil)},
		"preset pointer of a known type":  &document{Ptr: new(inner)},
		"value that holds itself":         round,
		"map of strings of a type's name": new(map[Name]string),
	} {
		if err := strictjson.Unmarshal([]byte(`{}`), v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// sound goes over a value with the standard library's reader of tokens, and reports whether no member stands twice and nothing is too deep.
func sound(d *json.Decoder, depth int) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	delim, nested := token.(json.Delim)
	if !nested {
		return true
	}
	seen := make(map[any]bool)
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			if err != nil || seen[name] {
				return false
			}
			seen[name] = true
		}
		if !sound(d, depth+1) {
			return false
		}
	}
	_, err = d.Token()
	return err == nil && depth < strictjson.MaxDepth
}

// FuzzAgainstTokens compares with another way to find duplicates, where any names and types may stand.
func FuzzAgainstTokens(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null,"c":"x\"y"}],"d":{}}`))
	f.Add([]byte(`{"a":1,"\u0061":2}`))
	f.Add([]byte(" [ [ ] , -1.5e3 ,true] \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		want := utf8.Valid(data) && json.Valid(data) && sound(json.NewDecoder(bytes.NewReader(data)), 0)
		if err := strictjson.Unmarshal(data, new(any)); (err == nil) != want {
			t.Fatalf("error %v, accepted by the other way: %t", err, want)
		}
	})
}

func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"name":"a","files":[{"to":"x"}],"any":{"k":[1,2,{"z":null}]}}`))
	f.Add([]byte(`{"name":"a","name":"b"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var strict, lax document
		if strictjson.Unmarshal(data, &strict) != nil {
			return
		}
		if err := json.Unmarshal(data, &lax); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if !reflect.DeepEqual(strict, lax) {
			t.Fatalf("decoded %+v, encoding/json %+v", strict, lax)
		}
	})
}
