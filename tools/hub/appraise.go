package hub

import (
	"context"
	"errors"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/evidence/verifier"
)

// Appraiser judges evidence. The hub has checked that the document is bound to its nonce, and that is all: an appraiser
// must verify the quote and must compare the REPORTDATA inside the quote with [evidence.ReportData] of the claims, because
// the copy that the hub compared is not signed. It returns a [*Refusal] for "no" and any other error for "could not tell";
// neither lets an agent in.
type Appraiser interface {
	Appraise(context.Context, evidence.Evidence) (Appraisal, error)
}

// Appraisal is what an appraiser found. The zero value is "not verified".
type Appraisal struct {
	Verified  bool // the quote was verified and policy is satisfied
	Simulated bool // under a root that is not Intel's: what was verified is no hardware
}

// Refusal is a verdict against evidence.
type Refusal struct {
	Code   string // stable, such as "no_verifier"
	Reason string // for people
}

func (e *Refusal) Error() string { return e.Code + ": " + e.Reason }

// RefuseAll accepts nothing. It stands where no verifier is configured.
type RefuseAll struct{}

// Appraise implements [Appraiser].
func (RefuseAll) Appraise(context.Context, evidence.Evidence) (Appraisal, error) {
	return Appraisal{}, &Refusal{"no_verifier", "this hub has no quote verifier configured, so it cannot accept any evidence"}
}

// Verifying returns an appraiser that asks a verifier with the reference values of agents.
func Verifying(v *verifier.Verifier) Appraiser { return byVerifier{v} }

type byVerifier struct{ verifier *verifier.Verifier }

// Appraise implements [Appraiser]. The nonce in the claims is the hub's own: [evidence.Evidence.CheckBinding] has held it to that.
func (v byVerifier) Appraise(ctx context.Context, e evidence.Evidence) (Appraisal, error) {
	result, err := v.verifier.Appraise(ctx, appraisal.FromDocument(e), e.Claims.Nonce)
	var refusal *verifier.Refusal
	if errors.As(err, &refusal) {
		return Appraisal{}, &Refusal{strings.Join(refusal.Codes, ","), refusal.Reason}
	}
	if err != nil {
		return Appraisal{}, err
	}
	return Appraisal{Verified: result.Accepted, Simulated: result.Simulated}, nil
}

// acceptUnverified looks at nothing. Only [Options].InsecureAcceptUnverified puts it in place.
type acceptUnverified struct{}

func (acceptUnverified) Appraise(context.Context, evidence.Evidence) (Appraisal, error) {
	return Appraisal{Verified: false}, nil
}

// appraise asks the appraiser. A hub that is not insecure takes nothing less than verified, whatever an appraiser that
// forgot to say so returns.
func (h *Hub) appraise(ctx context.Context, e evidence.Evidence) (Appraisal, error) {
	ctx, cancel := context.WithTimeout(ctx, appraisalTimeout)
	defer cancel()
	appraisal, err := h.appraiser.Appraise(ctx, e)
	if err != nil {
		return Appraisal{}, err
	}
	if !appraisal.Verified && !h.insecure {
		return Appraisal{}, &Refusal{"unverified", "the appraiser did not verify the evidence"}
	}
	return appraisal, nil
}
