//go:build acceptance

package registry_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/oci/registry/registrytest"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/registry"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
)

// A rebuilder who signs the statement about a release with stock cosign counts: the release goes to a registry, comes back, and is accepted.
func TestReleaseThatCosignSigned(t *testing.T) {
	s := newSample(t, sampleOptions{})
	s.SignAs(t, s.Builder, release.BuildStep)
	// cosign of trixie makes statements itself and takes none.
	cosign := newCosign(t, "forky")
	cosign.must(t, "generate-key-pair")
	public, err := provenance.ParseKey(cosign.read(t, "cosign.pub"))
	check(t, err)
	of, err := s.Open(t).Release.Statement()
	check(t, err)
	statement, err := of.Encode()
	check(t, err)
	cosign.write(t, "statement.json", statement)
	cosign.write(t, "services.json", noServices)
	cosign.must(t, "attest-blob", "--key", "cosign.key", "--signing-config", "services.json", "--yes", "--statement", "statement.json", "--bundle", "bundle.json")
	name, err := release.SignerName(public, nil)
	check(t, err)
	bundle := release.BundlesFolder + "/release-" + name + ".sigstore.json"
	s.write(t, bundle, cosign.read(t, "bundle.json"))

	policy := policyFor(t, s, public)
	if report := judged(t, s.Dir, policy); report.Accepted || report.Refusal.Code == release.CodeBundleUnknown {
		t.Errorf("a rebuilder without a link: accepted %t, %+v", report.Accepted, report.Refusal)
	}
	// The link of the step is ours to make, with the same key file.
	opened, err := keyfile.Open(cosign.read(t, "cosign.key"), []byte("secret"))
	check(t, err)
	signed, err := release.Sign(t.Context(), s.Dir, release.SignOptions{Signer: &releasetest.Signer{Signer: opened}, Step: release.RebuildStep})
	check(t, err)
	if !slices.Contains(signed.Kept, bundle) {
		t.Errorf("kept are %v, want what cosign signed, %s", signed.Kept, bundle)
	}

	prefix := registrytest.New(t) + "/boardroom"
	p := publish(t, s.Open(t), prefix, registry.PublishOptions{Mirror: true})
	to := filepath.Join(t.TempDir(), "fetched")
	fetch(t, p.Tag, to, registry.FetchOptions{})
	sameTree(t, to, s.Dir)
	report := judged(t, to, policy)
	if !report.Accepted || !slices.ContainsFunc(report.Signers, func(s release.Signer) bool { return s.Key == public.Fingerprint() }) {
		t.Errorf("accepted %t, %+v, signers %+v", report.Accepted, report.Refusal, report.Signers)
	}
	for _, image := range p.Images {
		cosign.must(t, "verify-attestation", "--key", "cosign.pub", "--insecure-ignore-tlog", "--trusted-root", "root.json", "--type", release.StatementType, image)
	}
}

func judged(t *testing.T, dir string, policy *release.Policy) *release.Report {
	t.Helper()
	report, err := release.VerifyFolder(t.Context(), dir, policy, release.VerifyOptions{At: releasetest.Created.Add(time.Hour)})
	check(t, err)
	return report
}

// policyFor asks for the builder of a sample and one rebuilder.
func policyFor(t *testing.T, s *sample, rebuilder provenance.Key) *release.Policy {
	t.Helper()
	files, err := release.NewPolicy(release.PolicyOptions{
		Name: releaseName, Source: releasetest.Source.Repository, Builders: []release.NamedKey{{Name: "builder", Key: s.Builder.Key()}},
		Rebuilders: []release.NamedKey{{Name: "rebuilder", Key: rebuilder}}, Owners: []provenance.Key{s.Owner.Key()},
	})
	check(t, err)
	dir := t.TempDir()
	write := func(name string, data []byte) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		check(t, os.MkdirAll(filepath.Dir(file), 0o755))
		check(t, os.WriteFile(file, data, 0o644))
	}
	for name, data := range files {
		write(name, data)
	}
	unsigned, err := release.LoadPolicyToSign(filepath.Join(dir, release.PolicyFile))
	check(t, err)
	layout, err := unsigned.SignLayout(t.Context(), s.Owner, releasetest.Created.AddDate(1, 0, 0))
	check(t, err)
	write(release.LayoutFile, layout)
	policy, err := release.LoadPolicy(filepath.Join(dir, release.PolicyFile))
	check(t, err)
	return policy
}
