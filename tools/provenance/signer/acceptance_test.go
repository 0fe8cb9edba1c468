//go:build acceptance

package signer_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/provenance/signer"
	"github.com/boardroom-tee/boardroom/tools/provenance/sigstoretest"
)

var update = flag.Bool("update", false, "write the bundles of package provenance's tests anew")

const (
	person    = "release@example.com"
	workflow  = "org/repo/.github/workflows/release.yml@refs/heads/main"
	claimType = "https://example.com/claim/v1"
)

var (
	artifact      = []byte("an artifact\n")
	otherArtifact = []byte("another artifact\n")
)

// keyless opens a signer with a certificate for whomever the token is.
func keyless(t *testing.T, s *sigstoretest.Services, token string, change func(*signer.Reference)) *signer.Signer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(file, []byte(token), 0o600))
	r := signer.Reference{Fulcio: s.Fulcio, IdentityTokenFile: file, Timestamp: s.Timestamp, Rekor: s.Rekor}
	if change != nil {
		change(&r)
	}
	opened, err := signer.Open(t.Context(), r)
	check(t, err)
	return opened
}

func statement(t *testing.T) provenance.Statement {
	t.Helper()
	s, err := provenance.NewStatement([]provenance.Subject{{Name: "artifact", Digest: provenance.DigestOf(artifact).Set()}}, claimType, map[string]bool{"reviewed": true})
	check(t, err)
	return s
}

func blobOf(t *testing.T, s *signer.Signer, data []byte) []byte {
	t.Helper()
	b, err := s.SignBlob(t.Context(), data)
	check(t, err)
	return encoded(t, b)
}

func claimOf(t *testing.T, s *signer.Signer) []byte {
	t.Helper()
	b, err := s.SignStatement(t.Context(), statement(t))
	check(t, err)
	return encoded(t, b)
}

func encoded(t *testing.T, b provenance.Bundle) []byte {
	t.Helper()
	data, err := b.Encode()
	check(t, err)
	return data
}

// policyFor asks for everything that can be asked for, a day later, when all certificates have expired.
func policyFor(s *sigstoretest.Services) provenance.Policy {
	return provenance.Policy{
		Identities: []provenance.Identity{
			{Name: "person", Certificates: []provenance.CertificateIdentity{{Issuer: s.Issuer.URL, Subject: person}}},
			{Name: "pipeline", Certificates: []provenance.CertificateIdentity{{Issuer: s.Pipeline.URL, Subject: "https://ci.example.com/" + workflow}}},
		},
		Threshold: 1, At: time.Now().Add(24 * time.Hour), PredicateTypes: []string{claimType}, Timestamps: 1, LogEntries: 1, CertificateLogs: 1,
		OlderStatements: true, // cosign's
	}
}

// What is signed without a key that anybody keeps, under a trust root of our own, we verify and cosign verifies; what cosign signs so, we
// verify. Authorities and log are the real programs.
func TestKeyless(t *testing.T) {
	s := sigstoretest.Start(t)
	text, err := s.Root.Encode()
	check(t, err)
	root, err := provenance.ParseTrustRoot(text)
	check(t, err)
	p := policyFor(s)
	digest := provenance.DigestOf(artifact)

	opened := keyless(t, s, s.Issuer.EmailToken(t, person), nil)
	blob, claim := blobOf(t, opened, artifact), claimOf(t, opened)
	verified, err := provenance.VerifyBlob([][]byte{blob}, digest, p, root)
	check(t, err)
	if got := verified.Signers[0]; got.Name != "person" || len(got.Times) != 1 || got.Times[0].By != s.Timestamp || len(got.LogEntries) != 1 ||
		got.LogEntries[0] != (provenance.VerifiedLogEntry{Log: "https://" + sigstoretest.RekorOrigin, Index: 0}) || len(verified.NotChecked) > 0 {
		t.Errorf("verified %+v", verified)
	}
	verified, err = provenance.VerifyStatement([][]byte{claim}, digest, p, root)
	check(t, err)
	if got := verified.Signers[0].LogEntries[0].Index; got != 1 {
		t.Errorf("the statement is entry %d of the log, want 1", got)
	}
	job := keyless(t, s, s.Pipeline.WorkflowToken(t, workflow), nil)
	both := p
	both.Threshold = 2
	byJob := claimOf(t, job)
	verified, err = provenance.VerifyStatement([][]byte{claim, byJob}, digest, both, root)
	if err != nil || verified.Signers[1].Name != "pipeline" {
		t.Errorf("a person and a pipeline: %+v, %v", verified, err)
	}

	// A key that somebody keeps is recorded and dated as well.
	kept, err := keyfile.Generate()
	check(t, err)
	sealed, err := kept.Seal([]byte("secret"))
	check(t, err)
	file := filepath.Join(t.TempDir(), "board.key")
	check(t, os.WriteFile(file, sealed, 0o600))
	withKey, err := signer.Open(t.Context(), signer.Reference{
		Key: file, Password: func(string) ([]byte, error) { return []byte("secret"), nil }, Timestamp: s.Timestamp, Rekor: s.Rekor,
	})
	check(t, err)
	p.Identities = append(p.Identities, provenance.Identity{Name: "board", Keys: []provenance.ValidKey{{Key: kept.Key()}}})
	byKey := blobOf(t, withKey, artifact)
	if verified, err := provenance.VerifyBlob([][]byte{byKey}, digest, p, root); err != nil || len(verified.Signers[0].Times)+len(verified.Signers[0].LogEntries) != 2 {
		t.Errorf("with a key: %+v, %v", verified, err)
	}

	// cosign 2.5 was made before logs of Rekor v2, and can not read a bundle with an entry of one.
	unlogged := keyless(t, s, s.Issuer.EmailToken(t, person), func(r *signer.Reference) { r.Rekor = "" })
	unloggedBlob, unloggedClaim := blobOf(t, unlogged, artifact), claimOf(t, unlogged)
	if *update {
		bare := keyless(t, s, s.Issuer.EmailToken(t, person), func(r *signer.Reference) { r.Rekor, r.Timestamp = "", "" })
		for name, data := range map[string][]byte{
			"root.json": append(text, '\n'), "blob.sigstore.json": blob, "statement.sigstore.json": claim, "pipeline.sigstore.json": byJob, "key.sigstore.json": byKey, "key.pub": kept.Key().PEM(),
			"other.sigstore.json": blobOf(t, opened, otherArtifact), "unlogged.sigstore.json": unloggedBlob, "bare.sigstore.json": blobOf(t, bare, artifact),
			"again.sigstore.json": blobOf(t, opened, artifact), "issuers": []byte(s.Issuer.URL + " " + s.Pipeline.URL),
		} {
			check(t, os.WriteFile(filepath.Join("..", "testdata", "keyless", name), data, 0o644))
		}
	}
	for _, suite := range sigstoretest.Suites {
		t.Run(suite, func(t *testing.T) {
			c := sigstoretest.NewCosign(t, suite)
			c.Environment = []string{"SIGSTORE_CT_LOG_PUBLIC_KEY_FILE=ctlog.pub"}
			for name, data := range map[string][]byte{
				"root.json": text, "ctlog.pub": s.CertificateLogKey, "artifact": artifact, "other": otherArtifact, "token": []byte(s.Issuer.EmailToken(t, person)),
				"predicate.json": []byte(`{"reviewed":true}`),
			} {
				c.Write(t, name, data)
			}
			log := []string{}
			c.Write(t, "blob.json", blob)
			c.Write(t, "claim.json", claim)
			if suite == "trixie" {
				log = []string{"--insecure-ignore-tlog"}
				c.Write(t, "blob.json", unloggedBlob)
				c.Write(t, "claim.json", unloggedClaim)
			}
			verify := func(what []string, subject, file string) []string {
				return slices.Concat(what, log, []string{"--new-bundle-format", "--trusted-root", "root.json", "--use-signed-timestamps",
					"--certificate-identity", subject, "--certificate-oidc-issuer", s.Issuer.URL, file})
			}
			for _, what := range [][]string{{"verify-blob", "--bundle", "blob.json"}, {"verify-blob-attestation", "--bundle", "claim.json", "--type", claimType}} {
				c.Accepts(t, verify(what, person, "artifact")...)
				c.Refuses(t, verify(what, "somebody@example.com", "artifact")...)
				c.Refuses(t, verify(what, person, "other")...)
			}

			ours := p
			if suite == "trixie" {
				ours.LogEntries = 0
				services := []string{"--new-bundle-format", "--fulcio-url", s.Fulcio, "--identity-token", "token", "--timestamp-server-url", s.Timestamp, "--tlog-upload=false", "--yes"}
				c.Must(t, slices.Concat([]string{"sign-blob", "--bundle", "theirs.json"}, services, []string{"artifact"})...)
				c.Must(t, slices.Concat([]string{"attest-blob", "--bundle", "claimed.json", "--predicate", "predicate.json", "--type", claimType}, services, []string{"artifact"})...)
			} else {
				since := ",start-time=2026-01-01T00:00:00Z,operator=test"
				c.Must(t, "signing-config", "create", "--fulcio=url="+s.Fulcio+",api-version=1"+since, "--rekor=url="+s.Rekor+",api-version=2"+since, "--rekor-config=ANY",
					"--tsa=url="+s.Timestamp+",api-version=1"+since, "--tsa-config=ANY", "--out=signing.json")
				services := []string{"--signing-config", "signing.json", "--trusted-root", "root.json", "--identity-token", "token", "--yes"}
				c.Must(t, slices.Concat([]string{"sign-blob", "--bundle", "theirs.json"}, services, []string{"artifact"})...)
				c.Must(t, slices.Concat([]string{"attest-blob", "--bundle", "claimed.json", "--predicate", "predicate.json", "--type", claimType}, services, []string{"artifact"})...)
			}
			theirs, claimed := c.Read(t, "theirs.json"), c.Read(t, "claimed.json")
			if _, err := provenance.VerifyBlob([][]byte{theirs}, digest, ours, root); err != nil {
				t.Errorf("what cosign of %s signed: %v", suite, err)
			}
			if _, err := provenance.VerifyStatement([][]byte{claimed}, digest, ours, root); err != nil {
				t.Errorf("what cosign of %s attested: %v", suite, err)
			}
			stranger := ours
			stranger.Identities = p.Identities[1:]
			refusedAs(t, verifyBlob(theirs, digest, stranger, root), provenance.CodeSigner)
		})
	}
}

// A trust root that cosign makes is one that we read, and means the same.
func TestCosignMakesATrustRoot(t *testing.T) {
	s := sigstoretest.Start(t)
	opened := keyless(t, s, s.Issuer.EmailToken(t, person), nil)
	blob := blobOf(t, opened, artifact)
	c := sigstoretest.NewCosign(t, "forky")
	chain := func(name string, certificates []*x509.Certificate) {
		var text []byte
		for _, certificate := range certificates {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})...)
		}
		c.Write(t, name, text)
	}
	chain("fulcio.pem", s.Root.Authorities[0].Chain)
	chain("tsa.pem", s.Root.TimestampAuthorities[0].Chain)
	der, err := x509.MarshalPKIXPublicKey(s.Root.Logs[0].Key)
	check(t, err)
	c.Write(t, "rekor.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	c.Write(t, "ctlog.pub", s.CertificateLogKey)
	since := ",start-time=2026-01-01T00:00:00Z"
	c.Must(t, "trusted-root", "create", "--fulcio=url="+s.Fulcio+",certificate-chain=fulcio.pem"+since, "--ctfe=url=https://ctlog.test,public-key=ctlog.pub"+since,
		"--tsa=url="+s.Timestamp+",certificate-chain=tsa.pem"+since, "--rekor=url=https://"+sigstoretest.RekorOrigin+",public-key=rekor.pub,origin="+sigstoretest.RekorOrigin+since, "--out=root.json")
	root, err := provenance.ParseTrustRoot(c.Read(t, "root.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Read(t, "root.json"))
	}
	if _, err := provenance.VerifyBlob([][]byte{blob}, provenance.DigestOf(artifact), policyFor(s), root); err != nil {
		t.Error(err)
	}
}

func verifyBlob(bundle []byte, digest provenance.Digest, p provenance.Policy, root provenance.TrustRoot) error {
	_, err := provenance.VerifyBlob([][]byte{bundle}, digest, p, root)
	return err
}

func refusedAs(t *testing.T, err error, code provenance.Code) {
	t.Helper()
	var refusal *provenance.Refusal
	if !errors.As(err, &refusal) || refusal.Code() != code {
		t.Errorf("got %v, want %s", err, code)
	}
}
