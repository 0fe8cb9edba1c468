package provenance

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// HandoverType is the type of what the holder of a key says when another key takes its place.
const HandoverType = "https://boardroom-tee.github.io/key-handover/v1"

// handover is the predicate. The subject of the statement is the new key, by the digest of its SubjectPublicKeyInfo.
type handover struct {
	// From is the fingerprint of the old key, which signs.
	From string `json:"from"`
	// Key is the new key as PEM.
	Key string `json:"key"`
	// At is the time of the hand-over, in UTC.
	At string `json:"at"`
}

// Handover is a hand-over that was verified.
type Handover struct {
	Old, New Key
	At       time.Time
}

// SignHandover lets the old key say that the new one takes its place from a time on, in whole seconds. Whoever trusts the old key
// decides by policy what follows from it.
func SignHandover(ctx context.Context, old Signer, successor Key, at time.Time) (Bundle, error) {
	if successor.IsZero() || successor.der == old.Key().der {
		return Bundle{}, errors.New("hand-over: expected another key as successor, got the same or none")
	}
	statement, err := NewStatement([]Subject{{"key", Digest(successor.Fingerprint()).Set()}}, HandoverType, handover{
		From: old.Key().Fingerprint().String(), Key: string(successor.PEM()), At: at.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return Bundle{}, err
	}
	return SignStatement(ctx, old, statement)
}

// VerifyHandover returns the key that the old one names as its successor. The error is a [*Refusal] or a [*PolicyError].
func VerifyHandover(bundle []byte, old, successor Key) (Handover, error) {
	if old.IsZero() || successor.IsZero() {
		return Handover{}, &PolicyError{"expected the old and the new key, got an empty one"}
	}
	policy := Policy{Identities: []Identity{{Name: "old", Keys: []ValidKey{{Key: old}}}}, Threshold: 1, At: time.Unix(0, 0), PredicateTypes: []string{HandoverType}}
	verified, err := VerifyStatement([][]byte{bundle}, Digest(successor.Fingerprint()), policy, TrustRoot{})
	if err != nil {
		return Handover{}, err
	}
	var said handover
	if err := verified.Statement.DecodePredicate(HandoverType, &said); err != nil {
		return Handover{}, &Refusal{[]Reason{reasonOf(0, err)}}
	}
	at, err := time.Parse(time.RFC3339, said.At)
	if err != nil || at.UTC().Format(time.RFC3339) != said.At {
		return Handover{}, refuse(CodePredicate, 0, fmt.Sprintf("at: expected a time in UTC as in 2026-04-24T02:37:51Z, got %.40q", said.At))
	}
	if said.From != old.Fingerprint().String() {
		return Handover{}, refuse(CodePredicate, 0, fmt.Sprintf("from: expected %s, got %.80q", old.Fingerprint(), said.From))
	}
	if said.Key != string(successor.PEM()) {
		return Handover{}, refuse(CodePredicate, 0, "key: expected the subject as PEM, got another one")
	}
	return Handover{old, successor, at}, nil
}
