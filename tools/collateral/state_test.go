package collateral

import (
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

func observed(day int, n string) observation {
	v, _ := new(big.Int).SetString(n, 10)
	return observation{instant{time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC)}, number{v}}
}

// factsOf makes up collateral of which the parts have a day of January 2026 and a number each.
func factsOf(tcb, identity, pck, root observation) quote.Facts {
	issue := func(o observation) quote.Issue { return quote.Issue{Issued: o.Issued.Time, Number: o.Number.Int} }
	return quote.Facts{FMSPC: [6]byte{0x90, 0xc0, 0x6f}, CA: quote.PlatformCA, TCBInfo: issue(tcb), QEIdentity: issue(identity), PCKCRL: issue(pck), RootCRL: issue(root)}
}

func TestStateRefusesWhatIsOlder(t *testing.T) {
	const huge = "730750818665451459101842416358141509827966271487" // 20 bytes
	seen := factsOf(observed(10, "18"), observed(11, "18"), observed(12, huge), observed(2, "1"))
	for _, tt := range []struct {
		name string
		got  quote.Facts
		want string // What; empty: accepted
	}{
		{"the same", seen, ""},
		{"all newer", factsOf(observed(20, "19"), observed(20, "19"), observed(20, huge+"0"), observed(20, "2")), ""},
		{"TCB info of an older evaluation", factsOf(observed(20, "17"), observed(11, "18"), observed(12, huge), observed(2, "1")), "tcb_info/standard/90c06f000000"},
		{"TCB info that is older", factsOf(observed(9, "18"), observed(11, "18"), observed(12, huge), observed(2, "1")), "tcb_info/standard/90c06f000000"},
		{"TCB info that is older, of a newer evaluation", factsOf(observed(9, "19"), observed(11, "18"), observed(12, huge), observed(2, "1")), "tcb_info/standard/90c06f000000"},
		{"QE identity of an older evaluation", factsOf(observed(10, "18"), observed(12, "17"), observed(12, huge), observed(2, "1")), "qe_identity/standard"},
		{"QE identity that is older", factsOf(observed(10, "18"), observed(10, "18"), observed(12, huge), observed(2, "1")), "qe_identity/standard"},
		{"list with a lower number", factsOf(observed(10, "18"), observed(11, "18"), observed(20, "730750818665451459101842416358141509827966271486"), observed(2, "1")), "crl/platform"},
		{"list that is older", factsOf(observed(10, "18"), observed(11, "18"), observed(11, huge), observed(2, "1")), "crl/platform"},
		{"root's list with a lower number", factsOf(observed(10, "18"), observed(11, "18"), observed(12, huge), observed(3, "0")), "crl/root"},
		{"root's list that is older", factsOf(observed(10, "18"), observed(11, "18"), observed(12, huge), observed(1, "1")), "crl/root"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := state{Format: stateFormat, Documents: map[string]observation{}}
			if !s.add(Standard, seen) || s.add(Standard, seen) {
				t.Fatal("what is new changes what was seen, once")
			}
			data, err := s.marshal()
			if err != nil {
				t.Fatal(err)
			}
			if s, err = parseState(data); err != nil {
				t.Fatal(err)
			}
			err = s.refuses(Standard, tt.got)
			var is *RollbackError
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &is) || is.What != tt.want) {
				t.Errorf("error is %v, want one about %q", err, tt.want)
			}
		})
	}
	// Another platform and another CA are other documents.
	s := state{Format: stateFormat, Documents: map[string]observation{}}
	s.add(Standard, seen)
	other := factsOf(observed(1, "1"), observed(11, "18"), observed(1, "1"), observed(2, "1"))
	other.FMSPC, other.CA = [6]byte{0, 0x80, 0x6f, 5}, quote.ProcessorCA
	if err := s.refuses(Standard, other); err != nil {
		t.Error(err)
	}
}

// Documents of one channel are no measure for those of another, and lists have no channels.
func TestStateTellsChannelsApart(t *testing.T) {
	s := newState()
	s.add(Early, factsOf(observed(10, "19"), observed(10, "19"), observed(10, "5"), observed(2, "1")))
	standard := factsOf(observed(9, "18"), observed(9, "18"), observed(10, "5"), observed(2, "1"))
	for _, update := range []Update{Standard, ""} {
		if err := s.refuses(update, standard); err != nil {
			t.Errorf("%q: %v", update, err)
		}
		if !s.add(update, standard) || s.add(update, standard) {
			t.Errorf("%q: what is new changes what was seen, once", update)
		}
	}
	for update, what := range map[Update]string{Early: "tcb_info/early/90c06f000000", Standard: "", "": ""} {
		err := s.refuses(update, standard)
		var is *RollbackError
		if what == "" && err != nil || what != "" && (!errors.As(err, &is) || is.What != what) {
			t.Errorf("%q: error is %v, want one about %q", update, err, what)
		}
	}
	for _, update := range []Update{Early, Standard, ""} {
		var is *RollbackError
		older := factsOf(observed(20, "20"), observed(20, "20"), observed(9, "5"), observed(2, "1"))
		if err := s.refuses(update, older); !errors.As(err, &is) || is.What != "crl/platform" {
			t.Errorf("%q: error is %v, want one about the list", update, err)
		}
	}
	// The clock is one.
	if got := s.newest(); !got.Equal(observed(10, "0").Issued.Time) {
		t.Errorf("newest is %s", got)
	}
	data, err := s.marshal()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := parseState(data); err != nil || len(back.Documents) != 8 {
		t.Errorf("%d documents, %v, want 8", len(back.Documents), err)
	}
}

func TestStateIsStrict(t *testing.T) {
	const good = `{"format":"boardroom-collateral-seen/v1","documents":{"tcb_info/early/90c06f000000":{"issued":"2026-01-12T15:46:45Z","number":"18"}}}`
	if _, err := parseState([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ old, new, want string }{
		{`"format":`, `"FORMAT":`, "unknown member"},
		{`seen/v1`, `seen/v2`, "format: expected"},
		{`tcb_info/early/90c06f000000`, `tcb_info/early/90C06F000000`, "the name of a document"},
		{`tcb_info/early/90c06f000000`, `tcb_info/90c06f000000`, "the name of a document"},
		{`tcb_info/early/90c06f000000`, `tcb_info/late/90c06f000000`, "the name of a document"},
		{`tcb_info/early/90c06f000000`, `qe_identity`, "the name of a document"},
		{`tcb_info/early/90c06f000000`, ``, "the name of a document"},
		{`"18"`, `18`, "number"},
		{`"18"`, `"018"`, "decimal number"},
		{`"18"`, `"-1"`, "decimal number"},
		{`"18"`, `"` + strings.Repeat("9", 50) + `"`, "decimal number"},
		{`45Z`, `45+00:00`, "expected a time"},
		{`45Z`, `45.5Z`, "expected a time"},
		{`,"number":"18"`, ``, "expected issued and number"},
		{`"issued":"2026-01-12T15:46:45Z",`, ``, "expected issued and number"},
		{`"number":"18"`, `"number":null`, "decimal number"},
		{`"number":"18"`, `"number":"18","number":"19"`, "stands twice"},
		{`}}}`, `}}}{}`, "data after"},
	} {
		changed := strings.Replace(good, tt.old, tt.new, 1)
		if changed == good {
			t.Fatalf("%s is not in it", tt.old)
		}
		if _, err := parseState([]byte(changed)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want one with %q", changed, err, tt.want)
		}
	}
	var many strings.Builder
	for i := range maxDocuments + 1 {
		fmt.Fprintf(&many, `"tcb_info/default/%012x":{"issued":"2026-01-12T15:46:45Z","number":"18"},`, i)
	}
	text := `{"format":"boardroom-collateral-seen/v1","documents":{` + strings.TrimSuffix(many.String(), ",") + `}}`
	if _, err := parseState([]byte(text)); err == nil || !strings.Contains(err.Error(), "at most 4096") {
		t.Errorf("too many documents: error is %v", err)
	}
	if _, err := parseState(make([]byte, maxState+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too large: error is %v", err)
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"format":"boardroom-collateral-seen/v1","documents":{"tcb_info/early/90c06f000000":{"issued":"2026-01-12T15:46:45Z","number":"18"},"crl/root":{"issued":"2025-03-20T11:21:57Z","number":"1"}}}`))
	f.Add([]byte(`{"format":"boardroom-collateral-seen/v1","documents":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseState(data)
		if err != nil {
			return
		}
		text, err := s.marshal()
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseState(text)
		if err != nil {
			t.Fatalf("what was written can not be read: %v", err)
		}
		if !back.newest().Equal(s.newest()) || len(back.Documents) != len(s.Documents) {
			t.Fatalf("%s reads as %s", data, text)
		}
		c := factsOf(observed(1, "1"), observed(1, "1"), observed(1, "1"), observed(1, "1"))
		if back.refuses("", c) == nil {
			back.add("", c)
			if err := back.refuses("", c); err != nil {
				t.Fatalf("what was added is older than itself: %v", err)
			}
		}
	})
}

func FuzzAnswer(f *testing.F) {
	dir := filepath.Join("testdata", "go-tdx-guest-v5-cf77a6e9-202601-uptodate")
	crl, err := os.ReadFile(filepath.Join(dir, "root_ca_crl.der"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(crl)
	f.Add([]byte(hex.EncodeToString(crl)))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl}))
	f.Add([]byte("-----BEGIN+CERTIFICATE-----%0AMA%3D%3D%0A-----END+CERTIFICATE-----%0A"))
	f.Add([]byte("-----BEGIN%20CERTIFICATE-----%0AMA%3D%3D%0A-----END%20CERTIFICATE-----%0A"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if der, err := decodeCRL(data); err == nil {
			// Every form of a list is the same list.
			for _, form := range [][]byte{der, []byte(hex.EncodeToString(der)), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})} {
				if again, err := decodeCRL(form); err != nil || string(again) != string(der) {
					t.Fatalf("%q becomes %x, %v", form, again, err)
				}
			}
		}
		if chain, err := decodeChain(string(data)); err == nil {
			if block, _ := pem.Decode(chain); block == nil || block.Type != "CERTIFICATE" {
				t.Fatalf("%q has no certificate", chain)
			}
		}
	})
}
