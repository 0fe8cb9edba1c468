package transparency

import "fmt"

// Code names a reason for a refusal. It is stable.
type Code string

// The reasons.
const (
	CodeProof       Code = "log-proof"       // a malformed proof
	CodeCheckpoint  Code = "log-checkpoint"  // a malformed checkpoint
	CodeOrigin      Code = "log-origin"      // a checkpoint of another log
	CodeKey         Code = "log-key"         // a checkpoint that the log's key did not sign
	CodeSignature   Code = "log-signature"   // a signature of the log's key does not verify
	CodeInclusion   Code = "log-inclusion"   // the entry is not in the tree
	CodeEntry       Code = "log-entry"       // a malformed entry, or that of another artifact
	CodeConsistency Code = "log-consistency" // two trees of one log of which neither is the beginning of the other
	CodeTruncated   Code = "log-truncated"   // a head that is smaller than one that was seen
	CodeWitness     Code = "log-witness"     // too few witnesses, or a cosignature that does not verify
	CodeTile        Code = "log-tile"        // what the log serves is not the tree that it signed
)

// Refusal is a verdict: something about a log is not what it has to be.
type Refusal struct {
	Code Code `json:"code"`
	// Reason is one sentence: what was expected and what came.
	Reason string `json:"reason"`
}

func (r *Refusal) Error() string { return r.Reason }

func refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// PolicyError says that a policy could not decide anything, whatever it is asked about.
type PolicyError struct {
	Reason string
}

func (e *PolicyError) Error() string { return "policy of the log: " + e.Reason }

// UnprovenError says that a checkpoint is neither consistent nor inconsistent with what was seen, as far as can be told: a proof is
// needed. It is no verdict.
type UnprovenError struct {
	Origin string
	// Old and New are the sizes of the trees between which a consistency proof is needed.
	Old, New uint64
}

func (e *UnprovenError) Error() string {
	return fmt.Sprintf("log %s: expected a proof that the tree of size %d continues that of size %d, since one of them was seen before, got none; "+
		"the log itself has it, or a consistency file", e.Origin, e.New, e.Old)
}
