package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNeverPrinted(t *testing.T) {
	const value = "correct-horse"
	s := New(value)
	type exported struct{ S Text }
	type hidden struct{ s Text }
	type nested struct{ inner hidden }
	for _, v := range []any{s, &s, exported{s}, &exported{s}, hidden{s}, &hidden{s}, nested{hidden{s}}, []Text{s}, map[string]Text{"a": s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10v", "%t"} {
			if got := fmt.Sprintf(verb, v); leaks(got, value) {
				t.Errorf("%s of %T prints %s", verb, v, got)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		if leaks(log.String(), value) {
			t.Errorf("the log of %T has %s", v, log.String())
		}
		text, err := json.Marshal(v)
		if err != nil || leaks(string(text), value) {
			t.Errorf("JSON of %T is %s, %v", v, text, err)
		}
	}
	if got := fmt.Errorf("key %v: %w", s, fmt.Errorf("bad %s", s)).Error(); got != "key [secret]: bad [secret]" {
		t.Errorf("error text %q", got)
	}
}

func leaks(text, value string) bool {
	return strings.Contains(text, value) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", value))
}

func TestReveal(t *testing.T) {
	if s := New("x"); !s.IsSet() || s.Reveal() != "x" || s.String() != "[secret]" {
		t.Errorf("set: %v %q %s", s.IsSet(), s.Reveal(), s)
	}
	if s := (Text{}); s.IsSet() || s.Reveal() != "" || s.String() != "[unset]" {
		t.Errorf("unset: %v %q %s", s.IsSet(), s.Reveal(), s)
	}
	if s := New(""); !s.IsSet() {
		t.Error("an empty secret counts as unset")
	}
}
