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
	// Times are when timestamp authorities and logs say that it was signed, and LogEntries where it is recorded.
	Times      []VerifiedTime     `json:"times,omitempty"`
	LogEntries []VerifiedLogEntry `json:"log_entries,omitempty"`
}

// VerifiedTime is a time that somebody of the trust root signed.
type VerifiedTime struct {
	At time.Time `json:"at"`
	// By is where the timestamp authority or the log is, as the trust root has it.
	By string `json:"by"`
}

// VerifiedLogEntry is an entry of a log of the trust root.
type VerifiedLogEntry struct {
	Log   string `json:"log"`
	Index int64  `json:"index"`
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
		v.count(i)
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
		v.count(i)
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
	if err := v.policy.checkAgainst(v.root); err != nil {
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
	}
	return nil
}

// count finds the identity whose signature bundle i holds, and asks whoever else has to vouch for it.
func (v *verification) count(i int) {
	b := v.bundles[i]
	var signer VerifiedSigner
	var reason *Reason
	if b.Certificate != nil {
		signer, reason = v.byCertificate(b)
	} else {
		signer, reason = v.byKey(b)
	}
	// A key that an authority certified for one identity may be what another one signs with: it is one key.
	if reason == nil && slices.ContainsFunc(v.signers, func(s VerifiedSigner) bool { return s.Name == signer.Name || s.Key == signer.Key }) {
		reason = &Reason{Code: CodeRepeated, Text: fmt.Sprintf("expected a further identity with a further key, got %q with key %s again", signer.Name, signer.Key)}
	}
	if reason != nil {
		reason.Bundle = i
		v.notCounted = append(v.notCounted, *reason)
		return
	}
	signer.Bundle = i
	v.signers = append(v.signers, signer)
}

func (v *verification) byKey(b Bundle) (VerifiedSigner, *Reason) {
	hinted := false
	for _, identity := range v.policy.Identities {
		for _, k := range identity.Keys {
			hinted = hinted || k.Key.Hint() == b.Hint
			if !k.Key.verifies(b.Signed(), b.Signature()) {
				continue
			}
			if b.Hint != "" && b.Hint != k.Key.Hint() {
				return VerifiedSigner{}, &Reason{Code: CodeKeyHint, Text: fmt.Sprintf("expected the hint %s of the key that verifies it, got %.80q", k.Key.Hint(), b.Hint)}
			}
			if window := (Validity{k.NotBefore, k.NotAfter}); !window.contains(v.policy.At) {
				return VerifiedSigner{}, &Reason{Code: CodeKeyTime, Text: fmt.Sprintf("expected a key of %q that is valid at %s, got %s, valid %s",
					identity.Name, v.policy.At.UTC().Format(time.RFC3339), k.Key.Fingerprint(), window)}
			}
			signer := VerifiedSigner{Name: identity.Name, Key: k.Key.Fingerprint()}
			_, reason := v.witness(b, k.Key, &signer)
			return signer, reason
		}
	}
	if hinted {
		return VerifiedSigner{}, &Reason{Code: CodeSignature, Text: "expected a signature by the key that is named, got one that it does not verify"}
	}
	return VerifiedSigner{}, &Reason{Code: CodeSigner, Text: fmt.Sprintf("expected a signature by a key of the policy, got one that none of them verifies, by a key named %.80q", b.Hint)}
}

func (v *verification) byCertificate(b Bundle) (VerifiedSigner, *Reason) {
	found, err := identityOf(b.Certificate)
	if err != nil {
		return VerifiedSigner{}, &Reason{Code: CodeCertificate, Text: "certificate: " + err.Error()}
	}
	i := slices.IndexFunc(v.policy.Identities, func(identity Identity) bool { return slices.Contains(identity.Certificates, found) })
	if i < 0 {
		return VerifiedSigner{}, &Reason{Code: CodeSigner, Text: fmt.Sprintf("expected a certificate of an identity of the policy, got that of %.200s", found)}
	}
	key, err := NewKey(b.Certificate.PublicKey)
	if err != nil {
		return VerifiedSigner{}, &Reason{Code: CodeCertificate, Text: "certificate: " + err.Error()}
	}
	if !key.verifies(b.Signed(), b.Signature()) {
		return VerifiedSigner{}, &Reason{Code: CodeSignature, Text: "expected a signature by the key of the certificate, got one that it does not verify"}
	}
	signer := VerifiedSigner{Name: v.policy.Identities[i].Name, Key: key.Fingerprint()}
	unknown, reason := v.witness(b, key, &signer)
	if reason != nil {
		return VerifiedSigner{}, reason
	}
	var times []time.Time
	for _, t := range signer.Times {
		times = append(times, t.At)
	}
	if len(times) == 0 {
		// Nobody said when it was signed: only a certificate that is still valid is proof.
		times = []time.Time{v.policy.At}
	}
	if code, err := v.root.certifies(b.Certificate, times, v.policy.CertificateLogs); err != nil {
		if code == CodeCertificateTime && len(signer.Times) == 0 && unknown != nil {
			return VerifiedSigner{}, unknown
		}
		return VerifiedSigner{}, &Reason{Code: code, Text: err.Error()}
	}
	return signer, nil
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
