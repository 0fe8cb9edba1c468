package appraisal

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// released is the statement of a release with two machines, a production and a development guest, and two applications, of which the
// second runs on the second machine only. Each register of a guest on a machine begins with the digits of both.
func released() string {
	var guests []string
	for i, name := range []string{"board", "board-dev"} {
		var values []string
		for j, machine := range []string{"small", "large"} {
			r := func(n int) string { return fmt.Sprintf("%x%x%x", i, j, n) + digest[3:] }
			values = append(values, fmt.Sprintf(`{"machine":%q,"mrtd":%q,"rtmr0":%q,"rtmr1":%q,"rtmr2":%q,"notes":["a note"]}`, machine, r(0), r(1), r(2), r(3)))
		}
		guests = append(guests, fmt.Sprintf(`{"name":%q,"os_image_hash":"%064d","development":%t,"layout":"B","cmdline":"quiet","values":[%s]}`, name, i, i == 1, strings.Join(values, ",")))
	}
	return fmt.Sprintf(`{"_type":%q,"subject":[{"name":"board","digest":{"sha256":"00"}}],"predicateType":%q,"predicate":{`+
		`"machines":[{"name":"small","machine":{"cpus":2}},{"name":"large","machine":{"cpus":4},"processor":{"signature":1,"features":2}}],`+
		`"guests":[%s],"applications":[{"name":"finance","compose_hash":"%064d","machines":["small","large"]},{"name":"hub","compose_hash":"%064d","machines":["large"]}]}}`,
		StatementType, ReleaseReferenceValuesType, strings.Join(guests, ","), 5, 6)
}

// before and from are the document up to a text that is in it, and from there on.
func before(document, text string) string {
	head, _, _ := strings.Cut(document, text)
	return head
}

func from(document, text string) string { return strings.TrimPrefix(document, before(document, text)) }

// setsOf are mrtd and compose hash of the sets, by which they can be told apart.
func setsOf(e Expectation) (got []string) {
	for _, set := range e.sets {
		got = append(got, set["mrtd"][:3]+" "+strings.TrimLeft(set["compose_hash"], "0"))
	}
	return got
}

func TestParseRelease(t *testing.T) {
	production := []string{"000 5", "010 5", "010 6"}
	for name, tt := range map[string]struct {
		document string
		want     []string
	}{
		"two guests":                {released(), production},
		"white space":               {" \n" + released() + "\n", production},
		"both guests of production": {strings.Replace(released(), `"development":true`, `"development":false`, 1), append(slices.Clone(production), "100 5", "110 5", "110 6")},
		"no applications":           {before(released(), `"applications":`) + `"applications":[]}}`, []string{"000 ", "010 "}},
		"in a choice":               {`[{"mrtd":"fff` + digest[3:] + `"},` + released() + `]`, append([]string{"fff "}, production...)},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := ParseExpectation([]byte(tt.document))
			if err != nil {
				t.Fatal(err)
			}
			if got := setsOf(e); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for i, set := range e.sets {
				if tt.want[i] != "fff " && (len(set) < 4 || set["rtmr0"][2] != '1' || set["rtmr1"][2] != '2' || set["rtmr2"][2] != '3') {
					t.Errorf("set %d is %v", i, set)
				}
			}
		})
	}
}

func TestParseReleaseRefuses(t *testing.T) {
	replace := func(old, changed string) string {
		if !strings.Contains(released(), old) {
			t.Fatalf("%s is not in the document", old)
		}
		return strings.Replace(released(), old, changed, 1)
	}
	var machines, guests strings.Builder
	for i := range 300 {
		fmt.Fprintf(&machines, `,{"name":"m%d","machine":{}}`, i)
		fmt.Fprintf(&guests, `,{"machine":"m%d","mrtd":%[2]q,"rtmr0":%[2]q,"rtmr1":%[2]q,"rtmr2":%[2]q,"notes":[]}`, i, digest)
	}
	applications := from(released(), `"applications":`)
	manifold := strings.Replace(strings.Replace(replace(`{"signature":1,"features":2}}`, `{"signature":1,"features":2}}`+machines.String()),
		`"notes":["a note"]}]`, `"notes":["a note"]}`+guests.String()+`]`, 1), applications, `"applications":[]}}`, 1)
	for name, tt := range map[string]struct{ document, want string }{
		"development only":       {replace(`"development":false`, `"development":true`), "predicate.guests: expected a guest for production, got none"},
		"flavour left out":       {replace(`"development":true,`, ``), "predicate.guests[1].development: expected true or false, got nothing"},
		"flavour null":           {replace(`"development":true`, `"development":null`), "development: expected"},
		"flavour in capitals":    {replace(`"development":true`, `"Development":true`), `unknown member "Development"`},
		"flavour twice":          {replace(`"development":true`, `"development":true,"development":false`), `member "development" stands twice`},
		"statement type":         {replace(StatementType, StatementType+"0"), "_type: expected"},
		"predicate type":         {replace(ReleaseReferenceValuesType, ReleaseReferenceValuesType+"0"), "predicateType: expected"},
		"no subject":             {replace(`{"name":"board","digest":{"sha256":"00"}}`, ``), "subject: expected at least one, got none"},
		"no machines":            {replace(`"machines":[{"name":"small","machine":{"cpus":2}},{"name":"large","machine":{"cpus":4},"processor":{"signature":1,"features":2}}]`, `"machines":[]`), "predicate.machines: expected at least one"},
		"machine twice":          {replace(`{"name":"small","machine"`, `{"name":"large","machine"`), "predicate.machines[1].name: expected a name that no other machine has"},
		"machine without shape":  {replace(`,"machine":{"cpus":2}`, ``), "predicate.machines[0].machine: expected an object, got none"},
		"guest twice":            {replace(`"name":"board-dev"`, `"name":"board"`), "predicate.guests[1].name: expected a name that no other guest has"},
		"guest without name":     {replace(`"name":"board-dev"`, `"name":""`), "predicate.guests[1].name: expected"},
		"image hash":             {replace(`"os_image_hash":"0`, `"os_image_hash":"G`), "predicate.guests[0].os_image_hash: expected 64"},
		"no guests":              {before(released(), `"guests":`) + `"guests":[],` + applications, "predicate.guests: expected a guest for production"},
		"unknown machine":        {replace(`"machine":"small"`, `"machine":"tiny"`), "predicate.guests[0].values[0].machine: expected each of the machines once"},
		"machine with two":       {replace(`"machine":"small"`, `"machine":"large"`), "predicate.guests[0].values[1].machine: expected each of the machines once"},
		"machine without values": {replace(`{"machine":"small",`+from(before(released(), `{"machine":"large"`), `"mrtd"`), ``), "predicate.guests[0].values: expected values for each of 2 machines, got 1"},
		"short register":         {replace(`"rtmr2":"0`, `"rtmr2":"`), "predicate.guests[0].values[0].rtmr2: expected 96 lower-case hexadecimal digits, got 95"},
		"no register":            {replace(`"rtmr1":"`, `"rtmr3":"`), `unknown member "rtmr3"`},
		"register null":          {replace(`"mrtd":"`+from(released(), `"mrtd":"`)[len(`"mrtd":"`):][:96]+`"`, `"mrtd":null`), "values[0].mrtd: expected a string"},
		"application twice":      {replace(`"name":"hub"`, `"name":"finance"`), "predicate.applications[1].name: expected a name that no other application has"},
		"application's hash":     {replace(`"compose_hash":"0`, `"compose_hash":"A`), "predicate.applications[0].compose_hash: expected 64"},
		"application nowhere":    {replace(`"machines":["large"]`, `"machines":[]`), "predicate.applications[1].machines: expected at least one"},
		"application elsewhere":  {replace(`"machines":["large"]`, `"machines":["tiny"]`), "predicate.applications[1].machines[0]: expected one of the machines"},
		"application twice on":   {replace(`"machines":["large"]`, `"machines":["large","large"]`), "predicate.applications[1].machines[1]: expected one of the machines, once"},
		"values too":             {replace(`{"_type"`, `{"mrtd":"`+digest+`","_type"`), `unknown member "mrtd"`},
		"too many":               {manifold, "expected at most 256 sets, got more"},
	} {
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
}
