package provenance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

const (
	beaconIssuer  = "https://token.actions.githubusercontent.com"
	beaconSubject = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	publicGood    = "public-good"
)

// newer makes a bundle v0.3 of an older one, which changes nothing that is signed.
func newer(t *testing.T, data []byte) []byte {
	t.Helper()
	if bytes.Contains(data, []byte(provenance.BundleType)) {
		return data
	}
	var b map[string]json.RawMessage
	check(t, json.Unmarshal(data, &b))
	var material map[string]json.RawMessage
	check(t, json.Unmarshal(b["verificationMaterial"], &material))
	if chain, ok := material["x509CertificateChain"]; ok {
		var certificates struct{ Certificates []json.RawMessage }
		check(t, json.Unmarshal(chain, &certificates))
		delete(material, "x509CertificateChain")
		material["certificate"] = certificates.Certificates[0]
	}
	raw, err := json.Marshal(material)
	check(t, err)
	b["mediaType"], b["verificationMaterial"] = json.RawMessage(`"`+provenance.BundleType+`"`), raw
	raw, err = json.Marshal(b)
	check(t, err)
	return raw
}

// What the conformance suite of Sigstore's clients says about bundles, we say, and why.
func TestConformance(t *testing.T) {
	const staging = "rekor2-checkpoint-cosigned"
	type conformance struct {
		name, root string
		code       provenance.Code
		want       string
	}
	tests := []conformance{
		{"bundle-with-sct-with-extensions", "bundle-with-sct-with-extensions", "", ""},
		{"happy-path-intoto-in-dsse-v3", publicGood, "", ""},
		{"happy-path-v0.1", publicGood, "", ""},
		{"happy-path-v0.2", publicGood, "", ""},
		{"happy-path-v0.3", publicGood, "", ""},
		{"happy-path-v0.3-new-mediaType", publicGood, "", ""},
		{"managed-key-and-trusted-root", "managed-key-and-trusted-root", "", ""},
		{"managed-key-happy-path", publicGood, "", ""},
		{"rekor2-checkpoint-cosigned", staging, "", ""},
		{"rekor2-checkpoint-multiple-cosigs", staging, "", ""},
		{"rekor2-checkpoint-origin-not-first", staging, "", ""},
		{"rekor2-checkpoint-two-sigs-cosigned", staging, "", ""},
		{"rekor2-checkpoint-two-sigs-from-origin", staging, "", ""},
		{"rekor2-dsse-happy-path", "rekor2-dsse-happy-path", "", ""},
		{"rekor2-happy-path", staging, "", ""},
		{"rekor2-timestamp-with-embedded-cert", staging, "", ""},
		{"rekor2-timestamp-with-expired-cert-chain", "rekor2-timestamp-outside-tsa-cert-validity_fail", "", ""},
		{"rekor2-timestamp-without-embedded-cert", staging, "", ""},
		{"trust-root-tlog-validity-end-inclusive", "trust-root-tlog-validity-end-inclusive", "", ""},
		{"trust-root-tsa-validity-end-inclusive", "trust-root-tsa-validity-end-inclusive", "", ""},

		{"bundle-from-wrong-instance_fail", publicGood, provenance.CodeLog, `expected a log of the trust root`},
		{"checkpoint-bad-keyhint_fail", publicGood, provenance.CodeLogProof, `signature by the log's key`},
		{"checkpoint-wrong-roothash_fail", publicGood, provenance.CodeLogProof, `size and hash of the checkpoint's tree`},
		{"dsse-invalid-sig_fail", publicGood, provenance.CodeSignature, `does not verify`},
		{"dsse-mismatch-envelope_fail", publicGood, provenance.CodeLogSubject, `expected an entry about`},
		{"dsse-mismatch-sig_fail", publicGood, provenance.CodeLogSubject, `about this signature`},
		{"inclusion-proof-corrupted-hash_fail", publicGood, provenance.CodeLogProof, `expected hashes that lead to the checkpoint's`},
		{"incorrect-public-key_fail", publicGood, provenance.CodeLogSubject, `with the signer's certificate`},
		{"integrated-time-in-future_fail", publicGood, provenance.CodeCertificateTime, `valid at 2026-05-07T15:34:11Z`},
		{"invalid-checkpoint-signature_fail", publicGood, provenance.CodeLogProof, `signature by the log's key`},
		{"invalid-ct-key_fail", "invalid-ct-key_fail", provenance.CodeCertificateLog, `expected the promise of a certificate log of the trust root`},
		{"invalid-inclusion-proof_fail", publicGood, provenance.CodeLogProof, `with a checkpoint, got none`},
		{"managed-key-no-key_fail", publicGood, provenance.CodeSigner, `by a key of the policy`},
		{"managed-key-wrong-key_fail", publicGood, provenance.CodeSigner, `by a key of the policy`},
		{"message-digest-mismatch_fail", publicGood, provenance.CodeSubject, `expected a signature over sha256:a0cf`},
		{"rekor2-checkpoint-missing-log-signature_fail", staging, provenance.CodeLogProof, `expected a signed note`},
		{"rekor2-checkpoint-missing-origin_fail", staging, provenance.CodeLogProof, `signature by the log's key`},
		{"rekor2-checkpoint-missing-root-hash_fail", staging, provenance.CodeLogProof, `signature by the log's key`},
		{"rekor2-checkpoint-missing-size_fail", staging, provenance.CodeLogProof, `signature by the log's key`},
		{"rekor2-checkpoint-no-matching-signature_fail", staging, provenance.CodeLogProof, `signature by the log's key`},
		{"rekor2-dsse-invalid-sig_fail", "rekor2-dsse-happy-path", provenance.CodeSignature, `does not verify`},
		{"rekor2-dsse-mismatch-envelope_fail", "rekor2-dsse-happy-path", provenance.CodeLogSubject, `expected an entry about`},
		{"rekor2-dsse-mismatch-sig_fail", "rekor2-dsse-happy-path", provenance.CodeLogSubject, `about this signature`},
		{"rekor2-no-inclusion-proof_fail", staging, provenance.CodeLogProof, `with a checkpoint, got none`},
		{"rekor2-no-timestamp_fail", staging, provenance.CodeCertificateTime, `valid at 2026-11-23T00:00:00Z`},
		{"rekor2-timestamp-outside-trust-root-tsa-validity_fail", "rekor2-timestamp-outside-trust-root-tsa-validity_fail", provenance.CodeTimestampAuthority, `believed from`},
		{"rekor2-timestamp-outside-tsa-cert-validity_fail", "rekor2-timestamp-outside-tsa-cert-validity_fail", provenance.CodeTimestampAuthority, `valid at`},
		{"rekor2-timestamp-payload-mismatch_fail", staging, provenance.CodeTimestampSubject, `got one of something else`},
		{"rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail", staging, provenance.CodeTimestamp, `names the certificate by SHA-2, got none`},
		{"rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail", staging, provenance.CodeTimestamp, `names the certificate by SHA-2, got none`},
		{"rekor2-timestamp-with-incorrect-time_fail", staging, provenance.CodeTimestamp, `canonical base64`},
		{"set-invalid-signature_fail", publicGood, provenance.CodeLogProof, `inclusionPromise: expected a signature`},
		{"signature-mismatch_fail", publicGood, provenance.CodeSignature, `does not verify`},
		{"trust-root-tlog-missing-validity-start_fail", "trust-root-tlog-missing-validity-start_fail", provenance.CodeTrustRoot, `tlogs[1].publicKey.validFor: expected a start`},
		{"wrong-hashedrekord-artifact_fail", publicGood, provenance.CodeLogSubject, `got one about d40ec3ee`},
		{"wrong-hashedrekord-cert-and-sig_fail", publicGood, provenance.CodeLogSubject, `about this signature`},
		{"wrong-hashedrekord-entry_fail", publicGood, provenance.CodeLogSubject, `got one about 9d92fa52`},
	}
	verdict := func(t *testing.T, name, root string) (*provenance.Verified, error) {
		t.Helper()
		trusted, err := provenance.ParseTrustRoot(read(t, filepath.Join("conformance", "roots", root+".json")))
		if err != nil {
			return nil, err
		}
		bundle := newer(t, read(t, filepath.Join("conformance", name+".json")))
		p := provenance.Policy{
			Identities: []provenance.Identity{{Name: "beacon", Certificates: []provenance.CertificateIdentity{
				{Issuer: beaconIssuer, Subject: beaconSubject},
				{Issuer: "https://accounts.google.com", Subject: "untrusted-sa@sigstore-conformance.iam.gserviceaccount.com"},
			}}},
			Threshold: 1, At: now, LogEntries: 1, PredicateTypes: []string{provenance.BuildProvenanceType, "https://cosign.sigstore.dev/attestation/v1"},
		}
		if strings.HasPrefix(name, "managed-key") {
			if key, err := provenance.ParseKey(read(t, filepath.Join("conformance", name+".pub"))); err == nil {
				p.Identities[0].Keys = []provenance.ValidKey{{Key: key}}
			}
		}
		digest := provenance.DigestOf(read(t, filepath.Join("conformance", "a.txt")))
		if bytes.Contains(bundle, []byte(`"dsseEnvelope"`)) {
			return provenance.VerifyStatement([][]byte{bundle}, digest, p, trusted)
		}
		return provenance.VerifyBlob([][]byte{bundle}, digest, p, trusted)
	}
	files, err := filepath.Glob("testdata/conformance/*.json")
	check(t, err)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if !slices.ContainsFunc(tests, func(c conformance) bool { return c.name == name }) {
			t.Errorf("%s is not tested", name)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			verified, err := verdict(t, tt.name, tt.root)
			var refusal *provenance.Refusal
			var form *provenance.FormError
			switch {
			case tt.code == "":
				if err != nil || len(verified.Signers[0].LogEntries) != 1 {
					t.Errorf("refused: %v", err)
				}
			case errors.As(err, &refusal):
				if refusal.Code() != tt.code || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("refused as %s: %v; want %s: %s", refusal.Code(), err, tt.code, tt.want)
				}
			case errors.As(err, &form):
				if form.Code != tt.code || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("refused as %s: %v; want %s: %s", form.Code, err, tt.code, tt.want)
				}
			default:
				t.Errorf("got %v, %v; want %s", verified, err, tt.code)
			}
		})
	}
}
