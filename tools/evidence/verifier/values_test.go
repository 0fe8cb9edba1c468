package verifier

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

var (
	register = strings.Repeat("ab", 48)
	machine  = `{"mrtd":"` + register + `","rtmr0":"` + register + `","rtmr1":"` + register + `","rtmr2":"` + register + `"}`
	hash     = strings.Repeat("cd", 32)
	entryOf  = func(name, kind, id, application, machines string) string {
		return `{"name":"` + name + `","agent_type":"` + kind + `"` + id + `,"application":` + application + `,"machine":[` + machines + `]}`
	}
	good = entryOf("finance 0.1.0", "finance", "", `{"compose_hash":"`+hash+`"}`, machine)
)

func TestParse(t *testing.T) {
	v, err := parse([]byte(`{"peers":[` + good + `,` +
		entryOf("one", "finance", `,"agent_id":"finance-acme"`, `{"app_id":"`+hash[:40]+`","key_provider":{"name":"kms","id":"00"}}`, machine+","+machine) + `],
		"policy":{"accept_status":["SWHardeningNeeded"],"denied_advisories":["INTEL-SA-1"],"min_tcb_evaluation":18,
		"platforms":["00112233445566778899aabbccddeeff"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(v.policy.AcceptStatus) != 1 || v.policy.AcceptStatus[0] != quote.SWHardeningNeeded || v.policy.DeniedAdvisories[0] != "INTEL-SA-1" ||
		v.policy.MinEvaluation != 18 || v.policy.Platforms[0] != [16]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff} {
		t.Errorf("policy %+v", v.policy)
	}
	for _, c := range []struct {
		kind, id string
		want     int
	}{{"finance", "finance-acme", 2}, {"finance", "finance-other", 1}, {"ceo", "finance-acme", 0}, {"", "", 0}} {
		if got := len(v.entriesFor(c.kind, c.id)); got != c.want {
			t.Errorf("%s %s: %d entries, want %d", c.kind, c.id, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	peers := func(entries string) string { return `{"peers":[` + entries + `]}` }
	policy := func(p string) string { return `{"peers":[` + good + `],"policy":` + p + `}` }
	app := `{"compose_hash":"` + hash + `"}`
	for name, c := range map[string]struct{ text, want string }{
		"empty":              {``, "ends too early"},
		"no peers":           {`{}`, "peers: want 1 to 256 entries, got 0"},
		"unknown member":     {`{"peers":[],"Peers":[]}`, "Peers"},
		"twice":              {`{"peers":[],"peers":[]}`, "twice"},
		"trailing":           {peers(good) + `{}`, "after"},
		"too large":          {strings.Repeat(" ", maxValues+1), "bytes"},
		"unnamed":            {peers(entryOf("", "finance", "", app, machine)), "peers[0].name"},
		"one name twice":     {peers(good + "," + good), "peers[1].name"},
		"bad type":           {peers(entryOf("x", "Finance", "", app, machine)), "peers[0].agent_type"},
		"bad id":             {peers(entryOf("x", "finance", `,"agent_id":"A"`, app, machine)), "peers[0].agent_id"},
		"no application":     {peers(`{"name":"x","agent_type":"finance","machine":[` + machine + `]}`), "want app_id or compose_hash"},
		"null application":   {peers(entryOf("x", "finance", "", `null`, machine)), "want app_id or compose_hash"},
		"empty application":  {peers(entryOf("x", "finance", "", `{}`, machine)), "want app_id or compose_hash"},
		"only the provider":  {peers(entryOf("x", "finance", "", `{"key_provider":{"name":"kms","id":"00"}}`, machine)), "want app_id or compose_hash"},
		"machine in app":     {peers(entryOf("x", "finance", "", `{"compose_hash":"`+hash+`","mrtd":"`+register+`"}`, machine)), "mrtd"},
		"short hash":         {peers(entryOf("x", "finance", "", `{"compose_hash":"cd"}`, machine)), "compose_hash"},
		"upper case":         {peers(entryOf("x", "finance", "", `{"compose_hash":"`+strings.ToUpper(hash)+`"}`, machine)), "compose_hash"},
		"no machine":         {peers(entryOf("x", "finance", "", app, "")), "peers[0].machine: want measurements"},
		"null machine":       {peers(entryOf("x", "finance", "", app, "null")), "peers[0].machine[0]"},
		"half a machine":     {peers(entryOf("x", "finance", "", app, `{"mrtd":"`+register+`"}`)), `"rtmr0"`},
		"only the app":       {peers(entryOf("x", "finance", "", app, app)), `"mrtd"`},
		"contradiction":      {peers(entryOf("x", "finance", "", app, strings.Replace(machine, "{", `{"compose_hash":"`+strings.Repeat("00", 32)+`",`, 1))), "contradict"},
		"statement of else":  {peers(entryOf("x", "finance", "", app, `{"_type":"x"}`)), "_type"},
		"revoked acceptable": {policy(`{"accept_status":["Revoked"]}`), "policy.accept_status[0]"},
		"no such status":     {policy(`{"accept_status":["uptodate"]}`), "policy.accept_status[0]"},
		"empty advisory":     {policy(`{"denied_advisories":[""]}`), "policy.denied_advisories[0]"},
		"no platform":        {policy(`{"platforms":[]}`), "policy.platforms"},
		"short platform":     {policy(`{"platforms":["00"]}`), "policy.platforms[0]"},
		"negative number":    {policy(`{"min_tcb_evaluation":-1}`), "min_tcb_evaluation"},
	} {
		_, err := parse([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one sentence with %q", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"peers":[` + good + `]}`))
	f.Add([]byte(`{"peers":[` + good + `],"policy":{"platforms":["00"]},"collateral":"x","trust_root":"y"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := parse(data)
		if err == nil && len(v.entries) == 0 {
			t.Error("reference values of nobody were taken")
		}
	})
}

// write puts a file into a new directory.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadRefuses(t *testing.T) {
	here := t.TempDir()
	with := func(member string) string { return `{"peers":[` + good + `],` + member + `}` }
	for name, c := range map[string]struct{ text, want string }{
		"malformed":            {`{`, "ends too early"},
		"no root there":        {with(`"trust_root":"` + here + `/none.pem"`), "trust_root"},
		"root is no PEM":       {with(`"trust_root":"` + write(t, "root.pem", "x") + `"`), "trust_root"},
		"root is endless":      {with(`"trust_root":"` + write(t, "root.pem", strings.Repeat("x", maxRoot+1)) + `"`), "at most"},
		"no collateral there":  {with(`"collateral":"` + here + `/none"`), "collateral"},
		"collateral elsewhere": {with(`"collateral":"ftp://host"`), "collateral"},
	} {
		path := write(t, "values.json", c.text)
		_, err := Load(path, nil, nil)
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %s and %q", name, err, path, c.want)
		}
	}
	if _, err := Load(here+"/none.json", nil, nil); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("no file: %v", err)
	}
}

// TestLoadTrustsIntel: without a root of its own a verifier has Intel's and does not call itself simulated.
func TestLoadTrustsIntel(t *testing.T) {
	text := `{"peers":[` + good + `],"collateral":"` + t.TempDir() + `"}`
	given, err := Load(text, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Load(write(t, "values.json", text), nil, nil)
	if err == nil && v.Digest() != given.Digest() {
		t.Errorf("digest %s of a file, %s of the text in it", v.Digest(), given.Digest())
	}
	if err != nil {
		t.Fatal(err)
	}
	if v.Simulated() || len(v.Digest()) != 64 {
		t.Errorf("simulated %v, digest %s", v.Simulated(), v.Digest())
	}
}

func TestResultsAreBounded(t *testing.T) {
	var v Verifier
	v.results.keep(Result{AgentID: "good", PublicKey: "k", Accepted: true})
	for i := range 3 * maxResults {
		v.results.keep(Result{AgentID: "stranger", PublicKey: strings.Repeat("x", i)})
	}
	got := v.Results()
	if len(got) != maxResults+1 || got[0].AgentID != "good" {
		t.Errorf("%d results, first %+v", len(got), got[0])
	}
	// The newest of one peer counts, and a stranger with its id does not touch it.
	v.results.keep(Result{AgentID: "good", PublicKey: "k", Accepted: false})
	v.results.keep(Result{AgentID: "good", PublicKey: "other", Accepted: true})
	var own int
	for _, r := range v.Results() {
		if r.AgentID == "good" && r.PublicKey == "k" {
			own++
			if r.Accepted {
				t.Error("an older result is shown")
			}
		}
	}
	if own != 1 {
		t.Errorf("%d results of one peer", own)
	}
}
