package provenance

import (
	"fmt"
	"slices"
	"time"
)

// Policy says whose signatures count for what. It names everybody exactly; there are no patterns.
type Policy struct {
	// Identities are those whose signatures count. At least one.
	Identities []Identity
	// Threshold is how many of them have to have signed, at least 1.
	Threshold int
	// At is the time to judge for.
	At time.Time
	// PredicateTypes are the kinds of claims to accept, for [VerifyStatement]. At least one.
	PredicateTypes []string
	// OlderStatements accepts statements of in-toto v0.1, too, which is what cosign writes, up to 3.1.
	OlderStatements bool
	// Timestamps is by how many timestamp authorities of the trust root each signature has to be dated, and LogEntries in how many
	// of its transparency logs it has to stand; those of one operator count once. A certificate that is not valid at the time to judge for needs a time from either in any case.
	Timestamps, LogEntries int
	// CertificateLogs is how many certificate logs of the trust root have to have promised to publish a certificate. It is at least 1 if
	// the trust root has any.
	CertificateLogs int
}

// Identity is one person or service. Whichever of its keys and certificates it signs with, it counts once.
type Identity struct {
	// Name is how the policy calls it.
	Name         string
	Keys         []ValidKey
	Certificates []CertificateIdentity
}

// ValidKey is a key with the time in which it is valid. A zero time is no bound.
type ValidKey struct {
	Key Key
	// NotBefore and NotAfter belong to the time of validity.
	NotBefore, NotAfter time.Time
}

// CertificateIdentity is whom a certificate authority of Sigstore's kind (Fulcio) vouches for. Both have to be equal, as bytes.
type CertificateIdentity struct {
	// Issuer is the OIDC issuer that the authority asked.
	Issuer string
	// Subject is the alternative name of the certificate: an e-mail address, or a URI that names a workflow with its ref.
	Subject string
}

func (p Policy) check() error {
	if len(p.Identities) == 0 {
		return &PolicyError{"identities: expected at least one, got none"}
	}
	if p.Threshold < 1 || p.Threshold > len(p.Identities) {
		return &PolicyError{fmt.Sprintf("threshold: expected 1 to %d, the number of identities, got %d", len(p.Identities), p.Threshold)}
	}
	if p.At.IsZero() {
		return &PolicyError{"time: expected one, got none"}
	}
	// Who signed is told by what the key is: a key or certificate that two identities have would count for both.
	names := make(map[string]bool)
	keys := make(map[string]string)
	certificates := make(map[CertificateIdentity]string)
	for _, identity := range p.Identities {
		if identity.Name == "" || names[identity.Name] {
			return &PolicyError{fmt.Sprintf("identities: expected a name for each and no name twice, got %q", identity.Name)}
		}
		names[identity.Name] = true
		if len(identity.Keys)+len(identity.Certificates) == 0 {
			return &PolicyError{fmt.Sprintf("identity %q: expected a key or a certificate, got none", identity.Name)}
		}
		for _, k := range identity.Keys {
			if k.Key.IsZero() {
				return &PolicyError{fmt.Sprintf("identity %q: expected a key, got an empty one", identity.Name)}
			}
			if !k.NotAfter.IsZero() && k.NotAfter.Before(k.NotBefore) {
				return &PolicyError{fmt.Sprintf("identity %q: expected a key that ends after it begins, got %s", identity.Name, k.Key.Fingerprint())}
			}
			if other, ok := keys[k.Key.der]; ok {
				return &PolicyError{fmt.Sprintf("identity %q: expected each key once, got %s again, which %q has", identity.Name, k.Key.Fingerprint(), other)}
			}
			keys[k.Key.der] = identity.Name
		}
		for _, c := range identity.Certificates {
			if c.Issuer == "" || c.Subject == "" {
				return &PolicyError{fmt.Sprintf("identity %q: expected issuer and subject of a certificate, got %q and %q", identity.Name, c.Issuer, c.Subject)}
			}
			if other, ok := certificates[c]; ok {
				return &PolicyError{fmt.Sprintf("identity %q: expected each certificate once, got %s again, which %q has", identity.Name, c, other)}
			}
			certificates[c] = identity.Name
		}
	}
	return nil
}

// checkAgainst refuses a policy that asks for more than a trust root could ever give.
func (p Policy) checkAgainst(root TrustRoot) error {
	if err := root.check(); err != nil {
		return &PolicyError{"trust root: " + err.Error()}
	}
	stampers := make(operators)
	for i, a := range root.TimestampAuthorities {
		stampers.add(a.Operator, i)
	}
	for _, need := range []struct {
		name string
		want int
		have operators
	}{{"timestamps", p.Timestamps, stampers}, {"log entries", p.LogEntries, operatorsOf(root.Logs)}, {"certificate logs", p.CertificateLogs, operatorsOf(root.CertificateLogs)}} {
		if need.want < 0 || need.want > len(need.have) {
			return &PolicyError{fmt.Sprintf("%s: expected 0 to %d, as many operators as the trust root lists, got %d", need.name, len(need.have), need.want)}
		}
	}
	return nil
}

func (p Policy) checkPredicateTypes() error {
	if len(p.PredicateTypes) == 0 || slices.Contains(p.PredicateTypes, "") {
		return &PolicyError{"predicate types: expected at least one and none empty, got other ones"}
	}
	return nil
}

func (c CertificateIdentity) String() string { return fmt.Sprintf("%q of %q", c.Subject, c.Issuer) }
