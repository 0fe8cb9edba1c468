//go:build simtee

package collateral_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/collateral"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

var bootTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// platform is a simulated platform: the same at each time, with what is published about it then.
func platform(t *testing.T, at time.Time, edits ...func(*simtee.Design)) *simtee.Platform {
	t.Helper()
	p, err := simtee.New(simtee.Seed{1, 2, 3}, at, edits...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func rootOf(t *testing.T, p *simtee.Platform) quote.TrustRoot {
	t.Helper()
	root, err := quote.ParseTrustRoot(p.RootPEM())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// handler carries requests to any host to one.
type handler struct{ http.Handler }

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := w.Result()
	for name, values := range answer.Header { // as they are once they were sent
		delete(answer.Header, name)
		answer.Header[http.CanonicalHeaderKey(name)] = values
	}
	return answer, nil
}

func TestSimulatedServices(t *testing.T) {
	for _, kind := range []string{"PCS", "PCCS"} {
		for _, ca := range []string{quote.PlatformCA, quote.ProcessorCA} {
			t.Run(kind+" "+ca, func(t *testing.T) {
				var edits []func(*simtee.Design)
				if ca == quote.ProcessorCA {
					edits = append(edits, simtee.ProcessorCA)
				}
				p := platform(t, bootTime, edits...)
				spec, service := "https://pccs.example:8081/sgx/certification/v4/", p.PCCS()
				if kind == "PCS" {
					spec, service = "", p.PCS()
				}
				root := rootOf(t, p)
				options := collateral.Options{Root: root, Cache: cacheAt(t, t.TempDir()), Now: func() time.Time { return bootTime }, Transport: handler{service}}
				body := p.Body()
				body.Kind = "TD15"
				raw := p.Quote(4, body)
				if kind == "PCS" {
					raw = p.Quote(5, body)
				}
				q, err := quote.Parse(raw)
				if err != nil {
					t.Fatal(err)
				}
				if target, err := collateral.TargetOf(q); err != nil || target.CA != ca {
					t.Fatalf("target is %v, %v", target, err)
				}
				found, err := open(t, spec, options).For(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, found, p.Collateral())
				r := quote.NewVerifier(found, root).Appraise(raw, quote.Policy{}, bootTime)
				if !r.Accepted || !r.Simulated {
					t.Errorf("accepted %t, simulated %t: %v", r.Accepted, r.Simulated, r.Checks)
				}
				// From here on the cache has it.
				options.Transport = handler{http.NotFoundHandler()}
				if found, err = open(t, spec, options).For(t.Context(), q); err != nil {
					t.Fatal(err)
				}
				equal(t, found, p.Collateral())
				other := collateral.Target{FMSPC: target2026.FMSPC, CA: ca}
				if _, err := open(t, spec, options).Get(t.Context(), other); !errors.Is(err, collateral.ErrUnreachable) {
					t.Errorf("another platform: error is %v, want ErrUnreachable", err)
				}
			})
		}
	}
}

// A platform is revoked, and somebody replays the list of the day before, which is signed, in force, and does not have it.
func TestOlderListHidesNoRevocation(t *testing.T) {
	before, after := platform(t, bootTime), platform(t, bootTime.Add(24*time.Hour), simtee.RevokePCK)
	now := bootTime.Add(25 * time.Hour)
	root := rootOf(t, before)
	if root.Fingerprint() != rootOf(t, after).Fingerprint() {
		t.Fatal("the root is another the day after")
	}
	cache := cacheAt(t, t.TempDir())
	replayed := after.Collateral()
	replayed.PCKCRL, replayed.PCKCRLChain = before.Collateral().PCKCRL, before.Collateral().PCKCRLChain
	body := before.Body()
	body.Kind = "TD15"
	raw := before.Quote(5, body)
	if r := quote.NewVerifier(replayed, root).Appraise(raw, quote.Policy{}, now); !r.Accepted {
		t.Fatalf("the replayed list has something else against it, so that this test shows nothing: %v", r.Checks)
	}
	p := newPCCS(t, after.Collateral())
	options := collateral.Options{Root: root, Cache: cache, Now: func() time.Time { return now }}
	found, err := open(t, p.URL, options).Get(t.Context(), collateral.Target{FMSPC: [6]byte{'S', 'I', 'M'}, CA: quote.PlatformCA})
	if err != nil {
		t.Fatal(err)
	}
	if r := quote.NewVerifier(found, root).Appraise(raw, quote.Policy{}, now); r.Accepted {
		t.Error("a revoked platform is accepted")
	}
	hostile := newPCCS(t, replayed)
	_, err = open(t, hostile.URL, options).Fetch(t.Context(), collateral.Target{FMSPC: [6]byte{'S', 'I', 'M'}, CA: quote.PlatformCA})
	rollback(t, err, "crl/platform")
	// Asked without haste, the list that is kept stands in, and has the platform.
	found, err = open(t, hostile.URL, options).Get(t.Context(), collateral.Target{FMSPC: [6]byte{'S', 'I', 'M'}, CA: quote.PlatformCA})
	if err != nil {
		t.Fatal(err)
	}
	if r := quote.NewVerifier(found, root).Appraise(raw, quote.Policy{}, now); r.Accepted {
		t.Error("a revoked platform is accepted")
	}
}

func evaluation19(d *simtee.Design) { d.TCBInfo.Evaluation, d.QEIdentity.Evaluation = 19, 19 }

// Who saw an evaluation is not served the one before it again by the same channel.
func TestOlderEvaluation(t *testing.T) {
	ahead := platform(t, bootTime, evaluation19)
	p := newPCCS(t, ahead.Collateral())
	options := collateral.Options{Root: rootOf(t, ahead), Cache: cacheAt(t, t.TempDir()), Now: func() time.Time { return bootTime }, Update: collateral.Early}
	target := collateral.Target{FMSPC: [6]byte{'S', 'I', 'M'}, CA: quote.PlatformCA}
	if _, err := open(t, p.URL, options).Get(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	p.serve(platform(t, bootTime).Collateral())
	_, err := open(t, p.URL, options).Fetch(t.Context(), target)
	rollback(t, err, "tcb_info/early/53494d000000")
}

// The early channel is ahead of the standard one. Who saw the early one is still served the standard one, with a cache and without, and
// nothing of the early one gets into it; lists are the same for both, so that the newer ones that the early answer had stand in.
func TestChannels(t *testing.T) {
	early, standard := platform(t, bootTime.Add(24*time.Hour), evaluation19), platform(t, bootTime)
	now := bootTime.Add(25 * time.Hour)
	target := collateral.Target{FMSPC: [6]byte{'S', 'I', 'M'}, CA: quote.PlatformCA}
	p := newPCCS(t, early.Collateral())
	options := collateral.Options{Root: rootOf(t, early), Cache: cacheAt(t, t.TempDir()), Now: func() time.Time { return now }, Update: collateral.Early}
	if _, err := open(t, p.URL, options).Fetch(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	for _, update := range []collateral.Update{collateral.Standard, ""} {
		options.Update = update
		p.serve(standard.Collateral())
		_, err := open(t, p.URL, options).Fetch(t.Context(), target)
		rollback(t, err, "crl/platform")
		want, lists := standard.Collateral(), early.Collateral()
		want.PCKCRL, want.PCKCRLChain, want.RootCRL = lists.PCKCRL, lists.PCKCRLChain, lists.RootCRL
		got, err := open(t, p.URL, options).Get(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, want)
		p.serve(want)
		if _, err := open(t, p.URL, options).Fetch(t.Context(), target); err != nil {
			t.Errorf("update %q after the early channel: %v", update, err)
		}
	}
	// And the early one is not served the standard one.
	options.Update = collateral.Early
	_, err := open(t, p.URL, options).Fetch(t.Context(), target)
	rollback(t, err, "tcb_info/early/53494d000000")
}

// dev tee --pcs serves at an address that is not Intel's, so that it is asked as a PCCS is.
func TestPCSAtAnAddress(t *testing.T) {
	p := platform(t, bootTime)
	server := httptest.NewServer(p.PCS())
	defer server.Close()
	options := collateral.Options{Root: rootOf(t, p), Now: func() time.Time { return bootTime }}
	got, err := open(t, server.URL, options).Get(t.Context(), collateral.Target{FMSPC: [6]byte{'S', 'I', 'M'}, CA: quote.PlatformCA})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, p.Collateral())
}

// The node of a service that is asked about another platform is a day behind with what all platforms share. What is kept for the first
// platform stands in, and nothing but that.
func TestNewestOfWhatIsShared(t *testing.T) {
	for name, cache := range map[string]*collateral.Cache{"cache": cacheAt(t, t.TempDir()), "memory": nil} {
		t.Run(name, func(t *testing.T) { newestOfWhatIsShared(t, cache) })
	}
}

func newestOfWhatIsShared(t *testing.T, cache *collateral.Cache) {
	first := platform(t, bootTime.Add(24*time.Hour))
	second := platform(t, bootTime, simtee.ProcessorCA, func(d *simtee.Design) {
		d.SGX.FMSPC, d.TCBInfo.FMSPC = []byte{1, 2, 3, 4, 5, 6}, "010203040506"
	})
	now := bootTime.Add(25 * time.Hour)
	p := newPCCS(t, first.Collateral())
	var notes []string
	options := collateral.Options{
		Root: rootOf(t, first), Cache: cache, Now: func() time.Time { return now }, Note: func(text string) { notes = append(notes, text) },
	}
	source := open(t, p.URL, options)
	if _, err := source.Get(t.Context(), collateral.Target{FMSPC: [6]byte{'S', 'I', 'M'}, CA: quote.PlatformCA}); err != nil {
		t.Fatal(err)
	}
	p.serve(second.Collateral())
	target := collateral.Target{FMSPC: [6]byte{1, 2, 3, 4, 5, 6}, CA: quote.ProcessorCA}
	got, err := source.Get(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	want, shared := second.Collateral(), first.Collateral()
	want.QEIdentity, want.QEIdentityChain, want.RootCRL = shared.QEIdentity, shared.QEIdentityChain, shared.RootCRL
	equal(t, got, want)
	if len(notes) != 1 || !strings.Contains(notes[0], "older qe_identity, root_ca_crl than was seen") {
		t.Errorf("notes are %q, want one about both", notes)
	}
	if cache == nil {
		return
	}
	// It is kept as it was put together.
	p.Close()
	if got, err = source.Get(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	equal(t, got, want)
}
