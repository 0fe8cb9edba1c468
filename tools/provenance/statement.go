package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// StatementType is that of in-toto Statement v1.
	StatementType = "https://in-toto.io/Statement/v1"
	// StatementTypeV01 is that of the version before, which has the same members and which cosign writes, up to 3.1.
	StatementTypeV01 = "https://in-toto.io/Statement/v0.1"

	// MaxStatement bounds a statement as JSON, in bytes: three quarters of an envelope, as base64 has it.
	MaxStatement = MaxEnvelope / 4 * 3

	maxSubjects = 4096
	maxName     = 4096
)

// Statement says something about artifacts.
type Statement struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	// Predicate is a JSON object, as bytes: what it means is for whoever knows the type.
	Predicate json.RawMessage `json:"predicate"`
}

// Subject is an artifact. The name helps people; the digest is what counts.
type Subject struct {
	Name   string    `json:"name"`
	Digest DigestSet `json:"digest"`
}

// NewStatement makes a statement v1. Subjects are sorted by name; the predicate is encoded as JSON.
func NewStatement(subjects []Subject, predicateType string, predicate any) (Statement, error) {
	raw, err := encode(predicate)
	if err != nil {
		return Statement{}, fmt.Errorf("statement: predicate: %w", err)
	}
	s := Statement{StatementType, slices.Clone(subjects), predicateType, raw}
	slices.SortFunc(s.Subject, func(a, b Subject) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	if err := s.check(); err != nil {
		return Statement{}, err
	}
	return s, nil
}

// ParseStatement reads a statement of at most [MaxStatement] bytes. The error is a [*FormError].
func ParseStatement(data []byte) (Statement, error) {
	if len(data) > MaxStatement {
		return Statement{}, malformed(CodeStatement, "expected at most %d bytes, got %d", MaxStatement, len(data))
	}
	var s Statement
	if err := strictjson.Unmarshal(data, &s); err != nil {
		return Statement{}, &FormError{CodeStatement, err}
	}
	if err := s.check(); err != nil {
		return Statement{}, err
	}
	return s, nil
}

func (s Statement) check() error {
	if s.Type != StatementType && s.Type != StatementTypeV01 {
		return malformed(CodeStatementType, "_type: expected %q, got %.80q", StatementType, s.Type)
	}
	if err := checkTypeURI(s.PredicateType); err != nil {
		return malformed(CodeStatement, "predicateType: %w", err)
	}
	if len(s.Subject) == 0 || len(s.Subject) > maxSubjects {
		return malformed(CodeStatement, "subject: expected 1 to %d, got %d", maxSubjects, len(s.Subject))
	}
	names := make(map[string]bool, len(s.Subject))
	for i, subject := range s.Subject {
		if subject.Name == "" || len(subject.Name) > maxName {
			return malformed(CodeStatement, "subject[%d].name: expected 1 to %d bytes, got %d", i, maxName, len(subject.Name))
		}
		if names[subject.Name] {
			return malformed(CodeStatement, "subject[%d].name: expected each name once, got %.80q again", i, subject.Name)
		}
		names[subject.Name] = true
		if err := subject.Digest.check(); err != nil {
			return malformed(CodeStatement, "subject[%d].digest: %w", i, err)
		}
	}
	if !bytes.HasPrefix(bytes.TrimLeft(s.Predicate, " \t\r\n"), []byte("{")) {
		return malformed(CodeStatement, "predicate: expected an object, got something else or none")
	}
	return nil
}

// checkTypeURI asks a type for what sets it apart from all others (spec/v1/field_types.md, TypeURI).
func checkTypeURI(text string) error {
	if len(text) > maxName {
		return fmt.Errorf("expected at most %d bytes, got %d", maxName, len(text))
	}
	if u, err := url.Parse(text); err != nil || u.Scheme == "" {
		return fmt.Errorf("expected a URI, got %.80q", text)
	}
	return nil
}

// Encode returns the bytes to sign. They depend on nothing but the statement.
func (s Statement) Encode() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return encode(s)
}

// About holds if an artifact with the digest is a subject.
func (s Statement) About(artifact Digest) bool {
	return slices.ContainsFunc(s.Subject, func(subject Subject) bool { return subject.Digest[SHA256] == artifact.hex() })
}

// DecodePredicate reads the predicate into v, strictly. The error is a [*FormError].
func (s Statement) DecodePredicate(predicateType string, v any) error {
	if s.PredicateType != predicateType {
		return malformed(CodePredicateType, "expected %q, got %.80q", predicateType, s.PredicateType)
	}
	if err := strictjson.Unmarshal(s.Predicate, v); err != nil {
		return &FormError{CodePredicate, err}
	}
	return nil
}

// encode is JSON in one line with <, > and & as they are; the order of members is that of the struct, or sorted.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
