//go:build acceptance

package provenance_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/provenance/sigstoretest"
)

// newCosign is a suite's program, with a trust root in which nobody is: without any it asks for the public one.
func newCosign(t *testing.T, suite string) sigstoretest.Cosign {
	t.Helper()
	c := sigstoretest.NewCosign(t, suite)
	root, err := provenance.TrustRoot{}.Encode()
	check(t, err)
	c.Write(t, "root.json", root)
	if suite != trixie {
		c.Must(t, "signing-config", "create", "--out=alone.json")
	}
	return c
}

// trixie has cosign 2.5, which is asked in an older way and compares less.
const trixie = "trixie"

// alone makes cosign sign with a key and nobody else.
func alone(c sigstoretest.Cosign, args ...string) []string {
	if c.Suite == trixie {
		return append(args, "--new-bundle-format", "--tlog-upload=false", "--yes", "artifact")
	}
	return append(args, "--signing-config=alone.json", "--yes", "artifact")
}

// inSuites runs a test with the programs of each suite.
func inSuites(t *testing.T, test func(*testing.T, sigstoretest.Cosign)) {
	for _, suite := range sigstoretest.Suites {
		t.Run(suite, func(t *testing.T) { test(t, newCosign(t, suite)) })
	}
}

func blobArguments(bundle, key, file string) []string {
	return []string{"verify-blob", "--bundle", bundle, "--new-bundle-format", "--key", key, "--insecure-ignore-tlog", "--trusted-root", "root.json", file}
}

func statementArguments(bundle, key, predicateType, file string) []string {
	return []string{"verify-blob-attestation", "--bundle", bundle, "--new-bundle-format", "--key", key, "--type", predicateType, "--insecure-ignore-tlog", "--trusted-root", "root.json", file}
}

// What we sign with a key of ours, stock cosign verifies; what is altered, it refuses as we do.
func TestCosignVerifiesWhatWeSign(t *testing.T) { inSuites(t, cosignVerifies) }

func cosignVerifies(t *testing.T, c sigstoretest.Cosign) {
	ours, err := keyfile.Generate()
	check(t, err)
	sealed, err := ours.Seal([]byte("secret"))
	check(t, err)
	c.Write(t, "board.key", sealed)
	c.Write(t, "board.pub", ours.Key().PEM())
	c.Write(t, "other.pub", signer(t, 2).Key().PEM())
	c.Write(t, "artifact", artifact)
	c.Write(t, "other", otherArtifact)

	blob, err := provenance.SignBlob(t.Context(), ours, artifact)
	check(t, err)
	c.Write(t, "blob.json", encoded(t, blob))
	c.Accepts(t, blobArguments("blob.json", "board.pub", "artifact")...)
	c.Refuses(t, blobArguments("blob.json", "board.pub", "other")...)
	c.Refuses(t, blobArguments("blob.json", "other.pub", "artifact")...)

	build, err := provenance.BuildStatement([]provenance.Subject{{Name: "finance-agent", Digest: provenance.DigestOf(artifact).Set()}}, buildProvenance(t))
	check(t, err)
	for predicateType, s := range map[string]provenance.Statement{testType: statement(t, testType, artifact), provenance.BuildProvenanceType: build} {
		b, err := provenance.SignStatement(t.Context(), ours, s)
		check(t, err)
		c.Write(t, "statement.json", encoded(t, b))
		c.Accepts(t, statementArguments("statement.json", "board.pub", predicateType, "artifact")...)
		other := c.Refuses
		if c.Suite == trixie {
			// With a bundle, cosign 2.5 does not look at --type at all: the claim of any kind does.
			other = c.Accepts
		}
		other(t, statementArguments("statement.json", "board.pub", otherType, "artifact")...)
		p := provenance.Policy{
			Identities: []provenance.Identity{{Name: "board", Keys: []provenance.ValidKey{{Key: ours.Key()}}}}, Threshold: 1, At: now, PredicateTypes: []string{otherType},
		}
		if _, err := provenance.VerifyStatement([][]byte{encoded(t, b)}, provenance.DigestOf(artifact), p, provenance.TrustRoot{}); err == nil {
			t.Errorf("a statement of type %s was accepted as one of %s", predicateType, otherType)
		}
		c.Refuses(t, statementArguments("statement.json", "board.pub", predicateType, "other")...)
		c.Refuses(t, statementArguments("statement.json", "other.pub", predicateType, "artifact")...)
		b.Envelope.Payload = []byte(strings.Replace(string(b.Envelope.Payload), `"predicate":{`, `"predicate": {`, 1))
		c.Write(t, "altered.json", encoded(t, b))
		c.Refuses(t, statementArguments("altered.json", "board.pub", predicateType, "artifact")...)
	}

	// It signs with our key file, too.
	c.Must(t, alone(c, "sign-blob", "--key", "board.key", "--bundle", "theirs.json")...)
	p := provenance.Policy{Identities: []provenance.Identity{{Name: "board", Keys: []provenance.ValidKey{{Key: ours.Key()}}}}, Threshold: 1, At: now}
	if _, err := provenance.VerifyBlob([][]byte{c.Read(t, "theirs.json")}, provenance.DigestOf(artifact), p, provenance.TrustRoot{}); err != nil {
		t.Error(err)
	}
}

// What stock cosign signs with a key of its own, we verify; and its key file we read.
func TestWeVerifyWhatCosignSigns(t *testing.T) { inSuites(t, cosignSigns) }

func cosignSigns(t *testing.T, c sigstoretest.Cosign) {
	c.Write(t, "artifact", artifact)
	c.Must(t, "generate-key-pair")
	key, err := provenance.ParseKey(c.Read(t, "cosign.pub"))
	check(t, err)
	opened, err := keyfile.Open(c.Read(t, "cosign.key"), []byte("secret"))
	if err != nil || opened.Key().Fingerprint() != key.Fingerprint() {
		t.Errorf("cosign's key is %s, read as %v: %v", key.Fingerprint(), opened, err)
	}
	p := provenance.Policy{
		Identities: []provenance.Identity{{Name: "cosign", Keys: []provenance.ValidKey{{Key: key}}}}, Threshold: 1, At: now,
		PredicateTypes: []string{testType}, OlderStatements: true,
	}
	c.Must(t, alone(c, "sign-blob", "--key", "cosign.key", "--bundle", "blob.json")...)
	if _, err := provenance.VerifyBlob([][]byte{c.Read(t, "blob.json")}, provenance.DigestOf(artifact), p, provenance.TrustRoot{}); err != nil {
		t.Error(err)
	}
	predicate, err := json.Marshal(claim{true, "notes"})
	check(t, err)
	c.Write(t, "predicate.json", predicate)
	c.Must(t, alone(c, "attest-blob", "--key", "cosign.key", "--bundle", "attestation.json", "--predicate", "predicate.json", "--type", testType)...)
	verified, err := provenance.VerifyStatement([][]byte{c.Read(t, "attestation.json")}, provenance.DigestOf(artifact), p, provenance.TrustRoot{})
	check(t, err)
	var said claim
	if err := verified.Statement.DecodePredicate(testType, &said); err != nil || said != (claim{true, "notes"}) {
		t.Errorf("cosign said %+v: %v", said, err)
	}
}
