package release

import (
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// Outcome is what became of a check.
type Outcome string

// The outcomes. NotChecked is never a pass.
const (
	Pass       Outcome = "pass"
	Fail       Outcome = "fail"
	NotChecked Outcome = "not_checked" // it rests on something that failed; the release is refused
	NotAsked   Outcome = "not_asked"   // the policy, or the caller, does not ask for it
)

// Check is one thing that was looked at.
type Check struct {
	// Check is its name; it is stable.
	Check  CheckName `json:"check"`
	Result Outcome   `json:"result"`
	// Detail says what was verified, or why nothing was.
	Detail string `json:"detail,omitempty"`
	// Refusals are all that failed, the one that decides first.
	Refusals []Refusal `json:"refusals,omitempty"`
}

// Refusal is a reason to refuse a release.
type Refusal struct {
	Code Code `json:"code"`
	// Reason is one sentence: where, what was expected and what came.
	Reason string `json:"reason"`
}

func (r *Refusal) Error() string { return r.Reason }

// Report is a verdict, with everything that it rests on.
type Report struct {
	Accepted bool `json:"accepted"`
	// Refusal is the one that decides; nil if the release is accepted.
	Refusal *Refusal `json:"refusal,omitempty"`
	// At is the time that the verdict is for.
	At time.Time `json:"at"`
	// Digest is that of release.json; nil if that could not be read.
	Digest *provenance.Digest `json:"digest,omitempty"`
	// Name, Version, Created and Source are what the release says of itself.
	Name    string     `json:"name,omitempty"`
	Version string     `json:"version,omitempty"`
	Created *time.Time `json:"created,omitempty"`
	Source  *Source    `json:"source,omitempty"`
	// Checks are all that there are, in order.
	Checks []Check `json:"checks"`
	// Signers are the identities that count for the statement about the release.
	Signers []Signer `json:"signers"`
	// NotCounted says which files vouch for the release and do not count, and why.
	NotCounted []NotCounted `json:"not_counted"`
	// Logs are the heads of the logs that have signatures which count.
	Logs []LogHead `json:"logs"`
}

// Signer is an identity of the policy that signed the release.
type Signer struct {
	Name string `json:"name"`
	Role string `json:"role"`
	// Key is what it signed with.
	Key provenance.Fingerprint `json:"key"`
	// Bundle is the file with its signature.
	Bundle string `json:"bundle"`
	// Link says whether it made the link of its role's step, too.
	Link bool `json:"link"`
	// Logs are the origins of the logs that have the signature.
	Logs []string `json:"logs"`
}

// NotCounted is a file that vouches for the release and does not count.
type NotCounted struct {
	File   string `json:"file"`
	Code   Code   `json:"code"`
	Reason string `json:"reason"`
}

// LogHead is the head of a log as a proof of the release shows it.
type LogHead struct {
	transparency.Checkpoint
	// Witnesses are those of the policy that cosigned it.
	Witnesses []transparency.Witnessed `json:"witnesses"`
}

// newReport has every check, none of them made.
func newReport(at time.Time) *Report {
	r := &Report{At: at.UTC(), Signers: []Signer{}, NotCounted: []NotCounted{}, Logs: []LogHead{}}
	for _, c := range checks {
		r.Checks = append(r.Checks, Check{Check: c.name, Result: NotChecked})
	}
	return r
}

func (r *Report) check(name CheckName) *Check {
	for i := range r.Checks {
		if r.Checks[i].Check == name {
			return &r.Checks[i]
		}
	}
	panic("release: check " + string(name) + " is not in the table") // a mistake of this package
}

func (r *Report) result(name CheckName) Outcome { return r.check(name).Result }

// conclude accepts what passed every check that was asked for.
func (r *Report) conclude() {
	r.Accepted, r.Refusal = true, nil
	for i := range r.Checks {
		c := &r.Checks[i]
		if c.Result == Pass || c.Result == NotAsked {
			continue
		}
		r.Accepted = false
		if r.Refusal == nil && len(c.Refusals) > 0 {
			r.Refusal = &c.Refusals[0]
		}
	}
	if !r.Accepted && r.Refusal == nil {
		r.Refusal = &Refusal{CodeUnchecked, "expected every check to be made, got one that could not be"}
	}
}
