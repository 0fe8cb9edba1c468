package evidence

import (
	"encoding/json"
	"errors"
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

// sample is well-formed evidence around a quote that is none.
func sample(t testing.TB) Evidence {
	t.Helper()
	e, err := New(vector.claims, []byte{4, 0, 2, 0}, `[{"imr":0, "event":"<a & b>"}]`, "{}")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func marshal(t testing.TB, e Evidence) string {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestParseRoundTrip(t *testing.T) {
	e := sample(t)
	got, err := Parse([]byte(marshal(t, e)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, e) {
		t.Errorf("parsed %+v, want %+v", got, e)
	}
	var lax Evidence
	if err := json.Unmarshal([]byte(marshal(t, e)), &lax); err != nil || !reflect.DeepEqual(lax, e) {
		t.Errorf("json.Unmarshal gave %+v, %v", lax, err)
	}
}

func TestParseRefuses(t *testing.T) {
	good := marshal(t, sample(t))
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the sample has no %s", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	for name, c := range map[string]struct{ document, want string }{
		"empty":                 {"", "evidence"},
		"not an object":         {"[]", "evidence"},
		"null":                  {"null", "agent_data"},
		"trailing data":         {good + "{}", "after"},
		"unknown member":        {replace(`"quote"`, `"x":1,"quote"`), "x"},
		"unknown claim":         {replace(`"nonce"`, `"x":"1","nonce"`), "x"},
		"case variant":          {replace(`"quote"`, `"Quote"`), "Quote"},
		"case variant of claim": {replace(`"nonce"`, `"Nonce"`), "Nonce"},
		"duplicate":             {replace(`"vm_config"`, `"vm_config":"","vm_config"`), "vm_config"},
		"duplicate claim":       {replace(`"nonce"`, `"nonce":"","nonce"`), "nonce"},
		"absent vm_config":      {replace(`,"vm_config":"{}"`, ``), "vm_config: is missing"},
		"null vm_config":        {replace(`"vm_config":"{}"`, `"vm_config":null`), "vm_config: is missing"},
		"null claim":            {replace(`"nonce":"00112233445566778899aabbccddeeff"`, `"nonce":null`), "nonce"},
		"event log as a value":  {replace(`"vm_config":"{}"`, `"vm_config":{}`), "vm_config"},
		"empty quote":           {replace(`"quote":"04000200"`, `"quote":""`), "quote"},
		"odd quote":             {replace(`"04000200"`, `"0400020"`), "quote"},
		"upper-case quote":      {replace(`"04000200"`, `"0400020A"`), "quote"},
		"quote with 0x":         {replace(`"04000200"`, `"0x040002"`), "quote"},
		"short report data":     {replace(vector.reportData, vector.reportData[2:]), "report_data"},
		"upper report data":     {replace(vector.reportData, strings.ToUpper(vector.reportData)), "report_data"},
		"long quote":            {replace("04000200", strings.Repeat("00", MaxQuote+1)), "quote"},
		"long vm_config":        {replace(`"{}"`, `"`+strings.Repeat("x", MaxVMConfig+1)+`"`), "vm_config"},
		"too large":             {good + strings.Repeat(" ", MaxSize), "at most"},
	} {
		_, err := Parse([]byte(c.document))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
		var form *FormError
		var claim *ClaimError
		if !errors.As(err, &form) && !errors.As(err, &claim) {
			t.Errorf("%s: error %T is not typed", name, err)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: the error text has %d bytes", name, len(err.Error()))
		}
	}
}

func TestNewRefuses(t *testing.T) {
	long := strings.Repeat("x", MaxEventLog+1)
	for name, c := range map[string]struct {
		quote         []byte
		log, vmConfig string
		want          string
	}{
		"no quote":        {nil, "[]", "", "quote"},
		"large quote":     {make([]byte, MaxQuote+1), "[]", "", "quote"},
		"no event log":    {[]byte{1}, "", "", "event_log"},
		"large event log": {[]byte{1}, long, "", "event_log"},
		"large vm_config": {[]byte{1}, "[]", long, "vm_config"},
	} {
		_, err := New(vector.claims, c.quote, c.log, c.vmConfig)
		var form *FormError
		if !errors.As(err, &form) || form.Member != c.want {
			t.Errorf("%s: error %v, want a FormError for %s", name, err, c.want)
		}
	}
}

func TestCheckBinding(t *testing.T) {
	nonce := vector.claims.Nonce
	if err := sample(t).CheckBinding(nonce); err != nil {
		t.Fatalf("good evidence: %v", err)
	}
	other := strings.Repeat("ab", 16)
	for name, c := range map[string]struct {
		nonce, check string
		change       func(*Evidence)
	}{
		"another nonce":   {other, "nonce", func(*Evidence) {}},
		"longer nonce":    {nonce + "00", "nonce", func(*Evidence) {}},
		"nonce rewritten": {other, "report_data", func(e *Evidence) { e.Claims.Nonce = other }},
		"id rewritten":    {nonce, "report_data", func(e *Evidence) { e.Claims.AgentID = "ceo-acme" }},
		"first byte":      {nonce, "report_data", func(e *Evidence) { e.ReportData[0] ^= 1 }},
		"last byte":       {nonce, "report_data", func(e *Evidence) { e.ReportData[63] ^= 1 }},
		"all zero":        {nonce, "report_data", func(e *Evidence) { e.ReportData = [64]byte{} }},
	} {
		e := sample(t)
		c.change(&e)
		err := e.CheckBinding(c.nonce)
		var binding *BindingError
		if !errors.As(err, &binding) || binding.Check != c.check {
			t.Errorf("%s: error %v, want a BindingError for %s", name, err, c.check)
		}
	}
	if err := sample(t).CheckBinding(""); err == nil {
		t.Error("an empty expected nonce was accepted")
	}
}

// TestNoNetwork keeps verification a pure function: nothing this package links may open a socket.
func TestNoNetwork(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for name := range strings.Lines(string(out)) {
		switch name = strings.TrimSpace(name); name {
		case "net", "net/http", "os/exec":
			t.Errorf("evidence depends on %s", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(marshal(f, sample(f))))
	f.Add([]byte(`{"agent_data":{},"report_data":"","quote":"","event_log":"","vm_config":""}`))
	f.Add([]byte(`{"agent_data":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse([]byte(marshal(t, e)))
		if err != nil {
			t.Fatalf("the document written back is refused: %v", err)
		}
		if !reflect.DeepEqual(again, e) {
			t.Fatalf("parsed %+v, then %+v", e, again)
		}
		if e.CheckBinding(e.Claims.Nonce) == nil {
			if want, err := ReportData(e.Claims); err != nil || want != e.ReportData {
				t.Fatalf("bound to %x, but the claims give %x, %v", e.ReportData, want, err)
			}
		}
	})
}
