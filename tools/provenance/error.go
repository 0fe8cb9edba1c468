package provenance

import (
	"errors"
	"fmt"
	"strings"
)

// Code names a reason for a refusal. It is stable.
type Code string

// The reasons. Those of a bundle and of its content refuse whatever else holds; those of a signature make it not count.
const (
	CodeBundle          Code = "bundle"           // no Sigstore bundle v0.3
	CodeContent         Code = "content"          // a statement where a blob's signature was asked for, or the other way round
	CodeEnvelope        Code = "envelope"         // no DSSE envelope
	CodePayloadType     Code = "payload-type"     // DSSE, and no in-toto statement
	CodeStatement       Code = "statement"        // malformed
	CodeStatementType   Code = "statement-type"   // another version of in-toto
	CodePredicateType   Code = "predicate-type"   // a claim of another kind
	CodePredicate       Code = "predicate"        // a claim of the right kind, malformed
	CodeSubject         Code = "subject"          // about other artifacts
	CodeDiffering       Code = "differing"        // several bundles whose statements are not the same bytes
	CodeSignature       Code = "signature"        // does not verify
	CodeKeyHint         Code = "key-hint"         // the bundle names another key than the one that verifies it
	CodeSigner          Code = "signer"           // nobody whom the policy names
	CodeKeyTime         Code = "key-time"         // the key is not valid yet, or no more
	CodeCertificate     Code = "certificate"      // malformed, or not issued by the trust root
	CodeCertificateTime Code = "certificate-time" // the certificate is not valid yet, or no more, and nobody dated the signature otherwise
	CodeRepeated        Code = "repeated"         // a second signature of one identity
	CodeThreshold       Code = "threshold"        // too few identities

	CodeTimestamp          Code = "timestamp"           // malformed, or its signature does not verify
	CodeTimestampSubject   Code = "timestamp-subject"   // a timestamp of something else
	CodeTimestampAuthority Code = "timestamp-authority" // of an authority that the trust root does not list, or not for that time
	CodeTimestampMissing   Code = "timestamp-missing"   // fewer timestamps than the policy asks for
	CodeLog                Code = "log"                 // of a log that the trust root does not list, or not for that time
	CodeLogEntry           Code = "log-entry"           // malformed, or of an unknown kind
	CodeLogSubject         Code = "log-subject"         // an entry about another signature, another artifact or another signer
	CodeLogProof           Code = "log-proof"           // proof, checkpoint or promise does not verify
	CodeLogMissing         Code = "log-missing"         // fewer log entries than the policy asks for
	CodeCertificateLog     Code = "certificate-log"     // no certificate log promised to publish the certificate
	CodeTime               Code = "time"                // signed after the time to judge for
	CodeTrustRoot          Code = "trust-root"          // no trust root v0.1
)

// Reason is why something does not count.
type Reason struct {
	Code Code `json:"code"`
	// Bundle is the position of the bundle, from 0; -1 stands for all of them.
	Bundle int `json:"bundle"`
	// Text is one clause: what was expected and what came.
	Text string `json:"text"`
}

func (r Reason) String() string {
	if r.Bundle < 0 {
		return r.Text
	}
	return fmt.Sprintf("bundle %d: %s", r.Bundle, r.Text)
}

// Refusal is a verdict. It has at least one reason, the one that decided first.
type Refusal struct {
	Reasons []Reason `json:"reasons"`
}

func (r *Refusal) Error() string {
	texts := make([]string, len(r.Reasons))
	for i, reason := range r.Reasons {
		texts[i] = reason.String()
	}
	return strings.Join(texts, "; ")
}

// Code is that of the first reason.
func (r *Refusal) Code() Code { return r.Reasons[0].Code }

// PolicyError says that a policy could not decide anything, whatever it is asked about.
type PolicyError struct {
	Reason string
}

func (e *PolicyError) Error() string { return "policy: " + e.Reason }

// FormError says that bytes are not what they are taken for.
type FormError struct {
	Code Code
	Err  error
}

func (e *FormError) Error() string { return fmt.Sprintf("%s: %v", e.Code, e.Err) }
func (e *FormError) Unwrap() error { return e.Err }

func malformed(code Code, format string, args ...any) *FormError {
	return &FormError{code, fmt.Errorf(format, args...)}
}

// reasonOf turns what a parser said into a reason.
func reasonOf(bundle int, err error) Reason {
	var form *FormError
	if errors.As(err, &form) {
		return Reason{form.Code, bundle, err.Error()}
	}
	return Reason{CodeBundle, bundle, err.Error()}
}
