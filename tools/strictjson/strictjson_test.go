package strictjson_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

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

func TestUnmarshalWantsAPointer(t *testing.T) {
	for _, v := range []any{nil, document{}, (*document)(nil)} {
		if err := strictjson.Unmarshal([]byte(`{}`), v); err == nil {
			t.Errorf("decode into %T succeeded", v)
		}
	}
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
