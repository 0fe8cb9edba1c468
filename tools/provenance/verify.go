package provenance

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// MaxBundles is how many bundles are verified together.
const MaxBundles = 64

// Verified is what can be believed.
type Verified struct {
	// Statement is what the identities said. It is nil for a blob.
	Statement *Statement `json:"statement,omitempty"`
	// Payload is Statement as signed.
	Payload []byte `json:"-"`
	// Signers are the identities that count, in the policy's order.
	Signers []VerifiedSigner `json:"signers"`
	// NotCounted says why other bundles do not.
	NotCounted []Reason `json:"not_counted"`
	// NotChecked names what bundles had and nobody looked at, sorted. It is no part of why anything is believed.
	NotChecked []string `json:"not_checked"`
}

// VerifiedSigner is one identity, and the key that it signed with.
type VerifiedSigner struct {
	Name string      `json:"name"`
	Key  Fingerprint `json:"key"`
	// Bundle is the position of its first bundle that counts.
	Bundle int `json:"bundle"`
}

// VerifyStatement verifies that enough of the policy's identities signed one and the same statement about the artifact, each in a bundle
// of its own. A refusal is a [*Refusal]; a policy that can decide nothing is a [*PolicyError].
func VerifyStatement(bundles [][]byte, artifact Digest, policy Policy, root TrustRoot) (*Verified, error) {
	if err := policy.checkPredicateTypes(); err != nil {
		return nil, err
	}
	v := verification{policy: policy, root: root}
	if err := v.parse(bundles); err != nil {
		return nil, err
	}
	for i, b := range v.bundles {
		if b.Envelope == nil {
			return nil, refuse(CodeContent, i, "expected a statement, got a signature over a blob")
		}
		if first := v.bundles[0].Envelope; b.Envelope.PayloadType != first.PayloadType || !bytes.Equal(b.Envelope.Payload, first.Payload) {
			return nil, refuse(CodeDiffering, i, "expected the statement of bundle 0, byte for byte, got another one")
		}
		v.count(i, DigestOf(PAE(b.Envelope.PayloadType, b.Envelope.Payload)), b.Envelope.Signatures[0].Bytes)
	}
	result, err := v.conclude()
	if err != nil {
		return nil, err
	}
	// Only now are these bytes somebody's.
	signed := *v.bundles[0].Envelope
	statement, err := policy.read(signed, artifact)
	if err != nil {
		return nil, &Refusal{[]Reason{reasonOf(-1, err)}}
	}
	result.Statement, result.Payload = &statement, signed.Payload
	return result, nil
}

// VerifyBlob verifies that enough of the policy's identities signed the artifact's bytes. Errors are those of [VerifyStatement].
func VerifyBlob(bundles [][]byte, artifact Digest, policy Policy, root TrustRoot) (*Verified, error) {
	v := verification{policy: policy, root: root}
	if err := v.parse(bundles); err != nil {
		return nil, err
	}
	for i, b := range v.bundles {
		if b.Blob == nil {
			return nil, refuse(CodeContent, i, "expected a signature over a blob, got a statement")
		}
		if b.Blob.Digest != artifact {
			return nil, refuse(CodeSubject, i, fmt.Sprintf("expected a signature over %s, got one over %s", artifact, b.Blob.Digest))
		}
		v.count(i, artifact, b.Blob.Signature)
	}
	return v.conclude()
}

func refuse(code Code, bundle int, text string) *Refusal {
	return &Refusal{[]Reason{{code, bundle, text}}}
}

// read returns an envelope's statement if it is what the policy asks for and about the artifact.
func (p Policy) read(e Envelope, artifact Digest) (Statement, error) {
	if e.PayloadType != PayloadType {
		return Statement{}, malformed(CodePayloadType, "expected %q, got %.80q", PayloadType, e.PayloadType)
	}
	s, err := ParseStatement(e.Payload)
	if err != nil {
		return Statement{}, err
	}
	if s.Type != StatementType && !p.OlderStatements {
		return Statement{}, malformed(CodeStatementType, "expected %q, got %.80q", StatementType, s.Type)
	}
	if !slices.Contains(p.PredicateTypes, s.PredicateType) {
		return Statement{}, malformed(CodePredicateType, "expected one of %q, got %.80q", p.PredicateTypes, s.PredicateType)
	}
	if !s.About(artifact) {
		return Statement{}, malformed(CodeSubject, "expected %s among them, got %d others", artifact, len(s.Subject))
	}
	return s, nil
}

// verification counts identities over bundles.
type verification struct {
	policy     Policy
	root       TrustRoot
	bundles    []Bundle
	signers    []VerifiedSigner
	notCounted []Reason
	notChecked []string
}

func (v *verification) parse(bundles [][]byte) error {
	if err := v.policy.check(); err != nil {
		return err
	}
	if len(bundles) == 0 || len(bundles) > MaxBundles {
		return refuse(CodeBundle, -1, fmt.Sprintf("expected 1 to %d bundles, got %d", MaxBundles, len(bundles)))
	}
	for i, data := range bundles {
		b, err := ParseBundle(data)
		if err != nil {
			return &Refusal{[]Reason{reasonOf(i, err)}}
		}
		v.bundles = append(v.bundles, b)
		if len(b.LogEntries) > 0 {
			v.notChecked = append(v.notChecked, "transparency log entries")
		}
		if len(b.Timestamps) > 0 {
			v.notChecked = append(v.notChecked, "timestamps")
		}
	}
	return nil
}

// count finds the identity whose signature over a digest bundle i holds.
func (v *verification) count(i int, digest Digest, signature []byte) {
	b := v.bundles[i]
	var name string
	var key Key
	var reason *Reason
	if b.Certificate != nil {
		name, key, reason = v.byCertificate(b, digest, signature)
	} else {
		name, key, reason = v.byKey(b, digest, signature)
	}
	// A key that an authority certified for one identity may be what another one signs with: it is one key.
	if reason == nil && slices.ContainsFunc(v.signers, func(s VerifiedSigner) bool { return s.Name == name || s.Key == key.Fingerprint() }) {
		reason = &Reason{Code: CodeRepeated, Text: fmt.Sprintf("expected a further identity with a further key, got %q with key %s again", name, key.Fingerprint())}
	}
	if reason != nil {
		reason.Bundle = i
		v.notCounted = append(v.notCounted, *reason)
		return
	}
	v.signers = append(v.signers, VerifiedSigner{name, key.Fingerprint(), i})
}

func (v *verification) byKey(b Bundle, digest Digest, signature []byte) (string, Key, *Reason) {
	hinted := false
	for _, identity := range v.policy.Identities {
		for _, k := range identity.Keys {
			hinted = hinted || k.Key.Hint() == b.Hint
			if !k.Key.verifies(digest, signature) {
				continue
			}
			if b.Hint != "" && b.Hint != k.Key.Hint() {
				return "", Key{}, &Reason{Code: CodeKeyHint, Text: fmt.Sprintf("expected the hint %s of the key that verifies it, got %.80q", k.Key.Hint(), b.Hint)}
			}
			if at := v.policy.At; at.Before(k.NotBefore) || (!k.NotAfter.IsZero() && at.After(k.NotAfter)) {
				return "", Key{}, &Reason{Code: CodeKeyTime, Text: fmt.Sprintf("expected a key of %q that is valid at %s, got %s, valid %s",
					identity.Name, at.UTC().Format(time.RFC3339), k.Key.Fingerprint(), k.window())}
			}
			return identity.Name, k.Key, nil
		}
	}
	if hinted {
		return "", Key{}, &Reason{Code: CodeSignature, Text: "expected a signature by the key that is named, got one that it does not verify"}
	}
	return "", Key{}, &Reason{Code: CodeSigner, Text: fmt.Sprintf("expected a signature by a key of the policy, got one that none of them verifies, by a key named %.80q", b.Hint)}
}

func (k ValidKey) window() string {
	from, to := "from ever", "for ever"
	if !k.NotBefore.IsZero() {
		from = "from " + k.NotBefore.UTC().Format(time.RFC3339)
	}
	if !k.NotAfter.IsZero() {
		to = "to " + k.NotAfter.UTC().Format(time.RFC3339)
	}
	return from + " " + to
}

func (v *verification) byCertificate(b Bundle, digest Digest, signature []byte) (string, Key, *Reason) {
	found, err := identityOf(b.Certificate)
	if err != nil {
		return "", Key{}, &Reason{Code: CodeCertificate, Text: "certificate: " + err.Error()}
	}
	i := slices.IndexFunc(v.policy.Identities, func(identity Identity) bool { return slices.Contains(identity.Certificates, found) })
	if i < 0 {
		return "", Key{}, &Reason{Code: CodeSigner, Text: fmt.Sprintf("expected a certificate of an identity of the policy, got that of %.200s", found)}
	}
	key, code, err := v.root.keyOf(b.Certificate, v.policy.At)
	if err != nil {
		return "", Key{}, &Reason{Code: code, Text: err.Error()}
	}
	if !key.verifies(digest, signature) {
		return "", Key{}, &Reason{Code: CodeSignature, Text: "expected a signature by the key of the certificate, got one that it does not verify"}
	}
	return v.policy.Identities[i].Name, key, nil
}

// conclude compares with the threshold.
func (v *verification) conclude() (*Verified, error) {
	if len(v.signers) < v.policy.Threshold {
		if len(v.bundles) == 1 && len(v.signers) == 0 {
			return nil, &Refusal{v.notCounted}
		}
		short := Reason{CodeThreshold, -1, fmt.Sprintf("expected signatures of %d distinct identities, got %d", v.policy.Threshold, len(v.signers))}
		return nil, &Refusal{append([]Reason{short}, v.notCounted...)}
	}
	slices.Sort(v.notChecked)
	result := &Verified{NotCounted: append([]Reason{}, v.notCounted...), NotChecked: append([]string{}, slices.Compact(v.notChecked)...)}
	for _, identity := range v.policy.Identities {
		if i := slices.IndexFunc(v.signers, func(s VerifiedSigner) bool { return s.Name == identity.Name }); i >= 0 {
			result.Signers = append(result.Signers, v.signers[i])
		}
	}
	return result, nil
}
