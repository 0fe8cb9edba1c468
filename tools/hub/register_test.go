package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/secret"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/evidence/nonce"
)

func TestRefuseAllByDefault(t *testing.T) {
	h := newHub(t, nil)
	a := h.agent("finance-acme", "finance", 1)
	if status, code := h.post(a.message()); status != 403 || code != "refused" {
		t.Errorf("with evidence: %d %s, want 403 refused", status, code)
	}
	if status, code := h.post(a.bare()); status != 403 || code != "no_evidence" {
		t.Errorf("without evidence: %d %s, want 403 no_evidence", status, code)
	}
	if l := h.listing(); len(l.Agents) != 0 || l.Insecure {
		t.Errorf("listing %+v", l)
	}
	if !strings.Contains(h.log.String(), "no quote verifier") {
		t.Errorf("the log does not say why:\n%s", h.log)
	}
	if want := `boardroom_hub_registrations_total{outcome="refused"} 1`; !strings.Contains(string(h.set.Text()), want) {
		t.Errorf("the metrics lack %s", want)
	}
}

func TestContradictoryOptions(t *testing.T) {
	if _, err := New(Options{Appraiser: RefuseAll{}, InsecureAcceptUnverified: true}); err == nil {
		t.Error("an insecure hub with an appraiser was made")
	}
}

func TestVerifiedRegistration(t *testing.T) {
	h := newHub(t, verifying)
	a := h.agent("finance-acme", "finance", 1)
	message := a.message()
	body, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	var got registration.Receipt
	if status := h.do("POST", "/v1/agents", string(body), &got); status != http.StatusCreated {
		t.Fatalf("status %d", status)
	}
	want := registration.Receipt{AgentID: "finance-acme", Verified: true, ExpiresAt: "2026-11-22T10:10:00Z", TTLSeconds: 600}
	want, err = want.Sign(message, h.identity.Public, h.identity.Sign)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("receipt %+v, want %+v", got, want)
	}
	listing := Listing{Agents: []Listed{{
		AgentID: "finance-acme", AgentType: "finance", Model: "model/finance", PublicKey: a.claims(strings.Repeat("0", 32)).PublicKey,
		Endpoints: a.endpoints(), Verified: true, Evidence: true, Live: true,
		RegisteredAt: "2026-11-22T10:00:00Z", LastCheckedAt: "2026-11-22T10:00:00Z", ExpiresAt: "2026-11-22T10:10:00Z",
	}}}
	if l := h.listing(); fmt.Sprint(l) != fmt.Sprint(listing) {
		t.Errorf("listing %+v, want %+v", l, listing)
	}
}

func TestInsecureHubSaysSo(t *testing.T) {
	h := newHub(t, insecure)
	if !strings.Contains(h.log.String(), "INSECURE HUB") {
		t.Errorf("the log of the start does not say so:\n%s", h.log)
	}
	with, without := h.agent("finance-acme", "finance", 1), h.agent("sales-acme", "sales", 2)
	with.register()
	if status, code := h.post(without.bare()); status != 201 {
		t.Fatalf("without evidence: %d %s", status, code)
	}
	l := h.listing()
	if !l.Insecure || len(l.Agents) != 2 {
		t.Fatalf("listing %+v", l)
	}
	for _, a := range l.Agents {
		if a.Verified || a.Evidence != (a.AgentID == "finance-acme") || !a.Live {
			t.Errorf("listed %+v", a)
		}
	}
	if got := strings.Count(h.log.String(), "INSECURE: agent registered without verification"); got != 2 {
		t.Errorf("the log says so %d times, want once per registration", got)
	}
}

// TestAppraiserMustVerify proves that an appraiser that returns nothing accepts nobody.
func TestAppraiserMustVerify(t *testing.T) {
	for name, c := range map[string]struct {
		result Appraisal
		err    error
		status int
		code   string
	}{
		"forgetful": {Appraisal{}, nil, 403, "refused"},
		"refusing":  {Appraisal{Verified: true}, &Refusal{"bad_quote", "no"}, 403, "refused"},
		"wrapped":   {Appraisal{}, fmt.Errorf("step: %w", &Refusal{"bad_quote", "no"}), 403, "refused"},
		"failing":   {Appraisal{Verified: true}, errors.New("no collateral"), 503, "appraisal_failed"},
	} {
		h := newHub(t, func(o *Options) {
			o.Appraiser = appraise(func(evidence.Evidence) (Appraisal, error) { return c.result, c.err })
		})
		if status, code := h.post(h.agent("a", "finance", 1).message()); status != c.status || code != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, status, code, c.status, c.code)
		}
		if l := h.listing(); len(l.Agents) != 0 {
			t.Errorf("%s: listed %+v", name, l)
		}
	}
}

// TestRegistrationChecks runs at the most permissive hub there is: these checks hold even there.
func TestRegistrationChecks(t *testing.T) {
	stranger := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		message func(*testHub, *simAgent) string
		status  int
		code    string
	}{
		"another hub's nonce": {func(_ *testHub, a *simAgent) string {
			e := a.evidence(stranger)
			return text(t, a.compose(e.Claims, &e))
		}, 403, "bad_nonce"},
		"expired nonce": {func(h *testHub, a *simAgent) string {
			issued := h.nonce()
			h.clock = h.clock.Add(nonce.Lifetime)
			return text(t, a.compose(a.claims(issued), nil))
		}, 403, "bad_nonce"},
		"old time": {func(h *testHub, a *simAgent) string {
			c := a.claims(h.nonce())
			c.Timestamp = stamp(h.clock.Add(-evidence.MaxAge - time.Second))
			return text(t, a.compose(c, nil))
		}, 403, "bad_time"},
		"future time": {func(h *testHub, a *simAgent) string {
			c := a.claims(h.nonce())
			c.Timestamp = stamp(h.clock.Add(evidence.MaxAhead + time.Second))
			return text(t, a.compose(c, nil))
		}, 403, "bad_time"},
		"signature over another endpoint": {func(_ *testHub, a *simAgent) string {
			return strings.ReplaceAll(text(t, a.message()), "https://finance-acme.example.com", "https://evil.example.com")
		}, 403, "bad_signature"},
		"endpoints moved, no evidence": {func(_ *testHub, a *simAgent) string {
			return strings.ReplaceAll(text(t, a.bare()), "https://finance-acme.example.com", "https://evil.example.com")
		}, 403, "bad_signature"},
		"evidence of another, own signature": {func(h *testHub, a *simAgent) string {
			// A relay: the victim's evidence for the hub's nonce, posted under the attacker's address and key.
			victim := h.agent("ceo-acme", "ceo", 9)
			e := victim.evidence(h.nonce())
			mine := text(t, a.compose(a.claims(e.Claims.Nonce), nil))
			_, mine, _ = strings.Cut(mine, `,"model"`)
			return `{"evidence":` + text(t, e) + `,"model"` + mine
		}, 403, "bad_signature"},
		"report data of other claims": {func(_ *testHub, a *simAgent) string {
			m := a.message()
			e := *m.Evidence
			e.ReportData[63] ^= 1
			return text(t, a.compose(e.Claims, &e))
		}, 403, "bad_binding"},
		"reserved type": {func(h *testHub, _ *simAgent) string {
			return text(t, h.agent("all-acme", "all", 3).bare())
		}, 403, "bad_type"},
		"type hub": {func(h *testHub, _ *simAgent) string {
			return text(t, h.agent("hub-acme", "hub", 3).bare())
		}, 403, "bad_type"},
		"endpoint with user": {func(_ *testHub, a *simAgent) string {
			return strings.ReplaceAll(text(t, a.bare()), "https://finance-acme", "https://u:p@finance-acme")
		}, 400, "malformed"},
		"endpoint of a file": {func(_ *testHub, a *simAgent) string {
			return strings.ReplaceAll(text(t, a.bare()), "https://finance-acme.example.com", "file:///etc/passwd")
		}, 400, "malformed"},
		"unknown member": {func(_ *testHub, a *simAgent) string {
			return strings.Replace(text(t, a.bare()), `"model"`, `"verified":true,"model"`, 1)
		}, 400, "malformed"},
		"too large": {func(*testHub, *simAgent) string { return strings.Repeat(" ", registration.MaxSize+1) }, 413, "request_too_large"},
	} {
		h := newHub(t, insecure)
		status, code := h.postBody(c.message(h, h.agent("finance-acme", "finance", 1)))
		if status != c.status || code != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, status, code, c.status, c.code)
		}
		if l := h.listing(); len(l.Agents) != 0 {
			t.Errorf("%s: listed %+v", name, l)
		}
	}
}

// TestRegistrationNamesTheHub: who stands between an agent and its hub can not bring the agent's message to another hub, and can not
// harm an agent's registration there by trying.
func TestRegistrationNamesTheHub(t *testing.T) {
	other := evidence.EncodeKey(bytes.Repeat([]byte{7}, 32))
	for name, c := range map[string]struct {
		options func(*Options)
		hub     string
		bare    bool
		status  int
		code    string
	}{
		"another hub at one that verifies":          {verifying, other, false, 403, "wrong_hub"},
		"no hub at one that verifies":               {verifying, "", false, 403, "wrong_hub"},
		"no evidence and no hub":                    {verifying, "", true, 403, "no_evidence"},
		"another hub at an insecure one":            {insecure, other, false, 403, "wrong_hub"},
		"another hub at an insecure one, no quote":  {insecure, other, true, 403, "wrong_hub"},
		"no hub at an insecure one":                 {insecure, "", false, 201, ""},
		"no hub at one without reference values":    {nil, "", false, 403, "refused"},
		"another hub at one without such, no quote": {nil, other, true, 403, "wrong_hub"},
	} {
		h := newHub(t, c.options)
		a := h.agent("finance-acme", "finance", 1)
		a.hub = c.hub
		message := a.message
		if c.bare {
			message = a.bare
		}
		if status, code := h.post(message()); status != c.status || code != c.code {
			t.Errorf("%s: %d %s, want %d %s", name, status, code, c.status, c.code)
		}
	}
	h := newHub(t, verifying)
	a := h.agent("finance-acme", "finance", 1)
	a.register()
	for _, a.hub = range []string{other, ""} {
		var e web.ErrorBody
		if status := h.do("POST", "/v1/agents", text(t, a.message()), &e); status != 403 || !strings.Contains(e.Error.Message, "hub_public_key: want the key of this hub") {
			t.Errorf("renewal for %q: %d %+v", a.hub, status, e)
		}
		if len(h.liveAgents()) != 1 {
			t.Errorf("a registration for %q took the agent down", a.hub)
		}
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestNonceIsSingleUse(t *testing.T) {
	h := newHub(t, insecure)
	a := h.agent("finance-acme", "finance", 1)
	m := a.message()
	if status, code := h.post(m); status != 201 {
		t.Fatalf("%d %s", status, code)
	}
	if status, code := h.post(m); status != 403 || code != "bad_nonce" {
		t.Errorf("replayed: %d %s, want 403 bad_nonce", status, code)
	}
	// A registration that fails spends its nonce, too.
	nonce := h.nonce()
	e := a.evidence(nonce)
	bad := e
	bad.ReportData[0] ^= 1
	if status, code := h.post(a.compose(bad.Claims, &bad)); status != 403 || code != "bad_binding" {
		t.Fatalf("%d %s", status, code)
	}
	if status, code := h.post(a.compose(e.Claims, &e)); status != 403 || code != "bad_nonce" {
		t.Errorf("second try with one nonce: %d %s, want 403 bad_nonce", status, code)
	}
}

func TestSharedSecretIsRequired(t *testing.T) {
	right := secret.New("0123456789abcdef0123456789abcdef")
	h := newHub(t, func(o *Options) { insecure(o); o.Shared = right })
	a := h.agent("finance-acme", "finance", 1)
	nonce := h.nonce()
	for name, shared := range map[string]secret.Text{
		"none": {}, "empty": secret.New(""), "another": secret.New("x123456789abcdef0123456789abcdef"),
	} {
		a.shared = shared
		if status, code := h.post(a.compose(a.claims(nonce), nil)); status != 403 || code != "bad_hmac" {
			t.Errorf("%s: %d %s, want 403 bad_hmac", name, status, code)
		}
	}
	a.shared = right
	if status, code := h.post(a.compose(a.claims(nonce), nil)); status != 201 {
		t.Errorf("right: %d %s; a stranger must not be able to spend the nonce", status, code)
	}
	if strings.Contains(h.log.String(), right.Reveal()) {
		t.Error("the log has the secret")
	}
}

func TestUncheckedHMACIsLogged(t *testing.T) {
	h := newHub(t, insecure)
	a := h.agent("finance-acme", "finance", 1)
	a.shared = secret.New("0123456789abcdef0123456789abcdef")
	a.register()
	if !strings.Contains(h.log.String(), "no HUB_SHARED_SECRET") {
		t.Errorf("the log does not say so:\n%s", h.log)
	}
}

func TestAnotherKeyIsRefusedWhileTheFirstLives(t *testing.T) {
	h := newHub(t, insecure)
	first, second := h.agent("finance-acme", "finance", 1), h.agent("finance-acme", "finance", 2)
	first.register()
	if status, code := h.post(second.message()); status != 409 || code != "id_taken" {
		t.Errorf("%d %s, want 409 id_taken", status, code)
	}
	first.register()
	h.clock = h.clock.Add(registrationTTL - time.Second)
	if status, code := h.post(second.message()); status != 409 || code != "id_taken" {
		t.Errorf("just before expiry: %d %s, want 409 id_taken", status, code)
	}
	h.clock = h.clock.Add(time.Second)
	second.register()
	if l := h.listing(); len(l.Agents) != 1 || l.Agents[0].PublicKey != second.claims(h.nonce()).PublicKey {
		t.Errorf("listing %+v", l)
	}
}

func TestRegistrationsExpire(t *testing.T) {
	h := newHub(t, insecure)
	a := h.agent("finance-acme", "finance", 1)
	a.register()
	h.clock = h.clock.Add(registrationTTL / 2)
	a.register()
	h.clock = h.clock.Add(registrationTTL - time.Second)
	if l := h.listing(); len(l.Agents) != 1 || l.Agents[0].RegisteredAt != "2026-11-22T10:00:00Z" || l.Agents[0].ExpiresAt != "2026-11-22T10:15:00Z" {
		t.Errorf("renewed: %+v", l)
	}
	h.clock = h.clock.Add(time.Second)
	if l := h.listing(); len(l.Agents) != 0 {
		t.Errorf("expired: %+v", l)
	}
}

func TestRegistrationsAreBounded(t *testing.T) {
	h := newHub(t, insecure)
	for i := range maxAgents {
		h.agent(fmt.Sprintf("a%d", i), "finance", byte(i)).register()
	}
	if status, code := h.post(h.agent("late", "finance", 200).message()); status != 503 || code != "full" {
		t.Errorf("%d %s, want 503 full", status, code)
	}
	h.agent("a0", "finance", 0).register() // a renewal takes no room
}
