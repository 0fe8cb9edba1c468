package quote_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

var update = flag.Bool("update", false, "write CODES.md anew")

// TestCodesAreDocumented holds CODES.md to the codes, and every result to the codes.
func TestCodesAreDocumented(t *testing.T) {
	var want strings.Builder
	want.WriteString("# Checks of a quote\n\nEvery appraisal makes each of these checks, in this order, or says that it could not (`not_checked`). A quote is accepted\nif all of them pass. The codes are stable. This page is written by `go test ./tools/quote -run Documented -update`.\n\n")
	want.WriteString("| code | passes if |\n|---|---|\n")
	seen := make(map[string]bool)
	for _, c := range quote.Codes() {
		if c.Code == "" || c.Meaning == "" || seen[c.Code] {
			t.Errorf("code %q, meaning %q: expected one code and one meaning each", c.Code, c.Meaning)
		}
		seen[c.Code] = true
		fmt.Fprintf(&want, "| `%s` | %s |\n", c.Code, c.Meaning)
	}
	if *update {
		if err := os.WriteFile("CODES.md", []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("CODES.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Error("CODES.md does not list the codes; write it anew with -update")
	}
}

// TestEveryResultHasEveryCode also holds that nothing is accepted without a verifier, a root or collateral.
func TestEveryResultHasEveryCode(t *testing.T) {
	good := vectorNamed(t, "attested-tls-v4-fefa5722-202601-uptodate")
	raw, at := good.quote(t), good.at(t)
	for name, r := range map[string]quote.Result{
		"accepted":      good.appraise(t, quote.Policy{}),
		"nothing":       quote.NewVerifier(good.collateral(t), good.root(t)).Appraise(nil, quote.Policy{}, at),
		"no collateral": quote.NewVerifier(quote.Collateral{}, good.root(t)).Appraise(raw, quote.Policy{}, at),
		"no root":       quote.NewVerifier(good.collateral(t), quote.TrustRoot{}).Appraise(raw, quote.Policy{}, at),
		"zero verifier": new(quote.Verifier).Appraise(raw, quote.Policy{}, at),
		"nil verifier":  (*quote.Verifier)(nil).Appraise(raw, quote.Policy{}, at),
		"no time":       quote.NewVerifier(good.collateral(t), good.root(t)).Appraise(raw, quote.Policy{}, time.Time{}),
	} {
		codes := quote.Codes()
		if len(r.Checks) != len(codes) {
			t.Fatalf("%s: %d checks, want %d", name, len(r.Checks), len(codes))
		}
		for i, c := range r.Checks {
			if c.Code != codes[i].Code {
				t.Errorf("%s: check %d is %q, want %q", name, i, c.Code, codes[i].Code)
			}
			if c.Result != quote.Pass && c.Result != quote.Fail && c.Result != quote.NotChecked {
				t.Errorf("%s: %s has result %q", name, c.Code, c.Result)
			}
		}
		if r.Accepted != (name == "accepted") {
			t.Errorf("%s: accepted %t; failed %v", name, r.Accepted, codesOf(r, quote.Fail))
		}
		if r.Simulated != (name == "no root" || name == "zero verifier" || name == "nil verifier") {
			t.Errorf("%s: simulated %t", name, r.Simulated)
		}
	}
}
