package appraisal

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var (
	digest  = strings.Repeat("a1", 48)
	another = strings.Repeat("b2", 48)
)

// measured is what `boardroom measure --output json` prints; TestScript of the command holds it to the real output.
func measured(mrtd string) string {
	return fmt.Sprintf(`{"mrtd":%q,"rtmr0":%q,"rtmr1":%q,"rtmr2":%q,"layout":"A","notes":[],"machine":{"cpus":2},"events":[{"name":"x"}]}`, mrtd, digest, digest, digest)
}

func statement(kind, values string) string {
	return fmt.Sprintf(`{"_type":%q,"subject":[{"name":"ovmf.fd","digest":{"sha256":"00"}}],"predicateType":%q,`+
		`"predicate":{"machine":{"cpus":2},"cmdline":"quiet","layout":"A","values":%s,"notes":[]}}`, StatementType, kind, values)
}

var predictedValues = fmt.Sprintf(`{"mrtd":%q,"rtmr0":%q,"rtmr1":%q,"rtmr2":%q}`, digest, digest, digest, digest)

func TestParseExpectation(t *testing.T) {
	all := `{"instance_id":"","key_provider":{"name":"local-sgx","id":"` + strings.Repeat("0c", 32) + `"}`
	for i := range members {
		if m := &members[i]; m.size > 0 {
			all += fmt.Sprintf(`,%q:%q`, m.name, strings.Repeat("0d", m.size))
		}
	}
	four := []string{"mrtd", "rtmr0", "rtmr1", "rtmr2"}
	var names []string
	for i := range members {
		names = append(names, members[i].name)
	}
	tests := map[string]struct {
		document string
		want     [][]string
	}{
		"measure":                  {measured(digest), [][]string{four}},
		"measure without events":   {strings.Replace(measured(digest), `,"machine":{"cpus":2},"events":[{"name":"x"}]`, "", 1), [][]string{four}},
		"statement":                {statement(ReferenceValuesType, predictedValues), [][]string{four}},
		"one value":                {`{"mrtd":"` + digest + `"}`, [][]string{{"mrtd"}}},
		"no instance id":           {`{"instance_id":""}`, [][]string{{"instance_id"}}},
		"key provider without key": {`{"key_provider":{"name":"none","id":""}}`, [][]string{{"key_provider"}}},
		"every value":              {all + "}", [][]string{names}},
		"a choice":                 {"\n[" + measured(digest) + "," + statement(ReferenceValuesType, predictedValues) + `,{"rtmr3":"` + digest + `"}]`, [][]string{four, four, {"rtmr3"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := ParseExpectation([]byte(tt.document))
			if err != nil {
				t.Fatal(err)
			}
			if len(e.sets) != len(tt.want) {
				t.Fatalf("got %d sets, want %d", len(e.sets), len(tt.want))
			}
			for i, want := range tt.want {
				var got []string
				for j := range members {
					if _, ok := e.sets[i][members[j].name]; ok {
						got = append(got, members[j].name)
					}
				}
				if !slices.Equal(got, want) || len(e.sets[i]) != len(want) {
					t.Errorf("set %d has %q, want %q", i, got, want)
				}
			}
		})
	}
}

func TestParseExpectationRefuses(t *testing.T) {
	manifold := "[" + strings.Repeat(`{"mrtd":"`+digest+`"},`, maxAlternatives) + `{"mrtd":"` + digest + `"}]`
	tests := map[string]struct{ document, want string }{
		"nothing":               {``, "ends too early"},
		"null":                  {`null`, "expected an object, got null"},
		"text":                  {`"mrtd"`, "expected an object"},
		"no value":              {`{}`, "expected at least one value, got none"},
		"no choice":             {`[]`, "expected 1 to 256 documents in the array, got 0"},
		"too much choice":       {manifold, "got 257"},
		"empty choice":          {`[{"mrtd":"` + digest + `"},{}]`, "[1]: expected at least one value"},
		"choice in a choice":    {`[[{"mrtd":"` + digest + `"}]]`, "[0]: expected an object"},
		"unknown":               {`{"mrtd":"` + digest + `","mr_td":"` + digest + `"}`, `unknown member "mr_td"`},
		"other case":            {`{"MRTD":"` + digest + `"}`, `unknown member "MRTD"`},
		"twice":                 {`{"mrtd":"` + digest + `","mrtd":"` + digest + `"}`, `member "mrtd" stands twice`},
		"notes by hand":         {`{"mrtd":"` + digest + `","notes":[]}`, `unknown member "notes"`},
		"another document":      {`{"mrtd":"` + digest + `"} {}`, "data after"},
		"short":                 {`{"mrtd":"` + digest[2:] + `"}`, "mrtd: expected 96 lower-case hexadecimal digits, got 94 characters"},
		"empty":                 {`{"mrtd":""}`, "mrtd: expected 96"},
		"capitals":              {`{"mrtd":"` + strings.ToUpper(digest) + `"}`, "mrtd: expected 96"},
		"number":                {`{"mrtd":1}`, "mrtd: expected a string"},
		"null value":            {`{"mrtd":null}`, "mrtd: expected a string"},
		"array of values":       {`{"mrtd":["` + digest + `"]}`, "mrtd: expected a string"},
		"short instance id":     {`{"instance_id":"00"}`, "instance_id: instance id: expected 40"},
		"key provider's name":   {`{"key_provider":"kms"}`, "key_provider: expected an object"},
		"key provider, no id":   {`{"key_provider":{"name":"kms"}}`, "key_provider: expected members name and id"},
		"key provider, unknown": {`{"key_provider":{"name":"km","id":"00"}}`, `key_provider: name: expected none, local-sgx, kms or tpm, got "km"`},
		"key provider, quote":   {`{"key_provider":{"name":"kms\",\"id\":\"","id":"00"}}`, "key_provider: name: expected none"},
		"key provider, bad id":  {`{"key_provider":{"name":"kms","id":"0G"}}`, "key_provider: id: expected lower-case hexadecimal"},
		"other statement":       {strings.Replace(statement(ReferenceValuesType, predictedValues), StatementType, "https://in-toto.io/Statement/v0.1", 1), "_type: expected"},
		"other predicate":       {statement("https://slsa.dev/provenance/v1", predictedValues), "predicateType: expected"},
		"predicate, next":       {statement(ReferenceValuesType+"0", predictedValues), "predicateType: expected"},
		"predicate in capitals": {strings.Replace(statement(ReferenceValuesType, predictedValues), "predicateType", "PredicateType", 1), "predicateType: expected a string"},
		"statement, no subject": {strings.Replace(statement(ReferenceValuesType, predictedValues), `{"name":"ovmf.fd","digest":{"sha256":"00"}}`, "", 1), "subject: expected at least one"},
		"statement, no values":  {statement(ReferenceValuesType, `{}`), "predicate.values.mrtd: expected a string"},
		"statement, more":       {statement(ReferenceValuesType, strings.Replace(predictedValues, "}", `,"rtmr3":"00"}`, 1)), "predicate.values: expected mrtd and rtmr0 to rtmr2, got 5"},
		"statement, unknown":    {strings.Replace(statement(ReferenceValuesType, predictedValues), `"cmdline"`, `"cmd"`, 1), `unknown member "cmd"`},
		"statement, values too": {strings.Replace(statement(ReferenceValuesType, predictedValues), `{"_type"`, `{"mrtd":"`+digest+`","_type"`, 1), `unknown member "mrtd"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := ParseExpectation([]byte(tt.document))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q in it", err, tt.want)
			}
			if len(e.sets) > 0 {
				t.Errorf("got %v beside the error", e)
			}
		})
	}
	if _, err := ParseExpectation(make([]byte, MaxExpectation+1)); err == nil || !strings.Contains(err.Error(), "expected at most") {
		t.Errorf("large document: error is %v", err)
	}
}

func expectation(t testing.TB, documents ...any) Expectation {
	t.Helper()
	text, err := json.Marshal(documents)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseExpectation(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAnd(t *testing.T) {
	type values = map[string]string
	a := expectation(t, values{"mrtd": digest}, values{"mrtd": another, "rtmr0": digest})
	b := expectation(t, values{"rtmr0": digest}, values{"rtmr0": another})
	both, err := a.And(b)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(both.sets)
	want := fmt.Sprint([]values{
		{"mrtd": digest, "rtmr0": digest}, {"mrtd": digest, "rtmr0": another}, {"mrtd": another, "rtmr0": digest},
	})
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if _, err := expectation(t, values{"mrtd": digest}).And(expectation(t, values{"mrtd": another})); err == nil {
		t.Error("values that contradict each other were joined")
	}
	if _, err := a.And(Expectation{}); err == nil {
		t.Error("an expectation without values was joined")
	}
	var many []any
	for i := range 17 {
		many = append(many, values{"mrowner": fmt.Sprintf("%096x", i)})
	}
	var more []any
	for i := range 17 {
		more = append(more, values{"mrconfigid": fmt.Sprintf("%096x", i)})
	}
	if _, err := expectation(t, many...).And(expectation(t, more...)); err == nil {
		t.Error("17 times 17 sets were joined")
	}
}
