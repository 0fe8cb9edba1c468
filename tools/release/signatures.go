package release

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
)

// Files of bundles and links are called by what they hold: see the package comment.
var (
	bundleName = regexp.MustCompile(`^(release|[0-9a-f]{16})-[0-9a-f]{16}\.sigstore\.json$`)
	linkName   = regexp.MustCompile(`^([a-z][a-z0-9-]{0,63})\.[0-9a-f]{8}\.link$`)
)

// bundle is a file of bundles/ that is about a known statement.
type bundle struct {
	name      string
	data      []byte
	parsed    provenance.Bundle
	statement string // see verification.statements
}

// counted is a bundle over the statement about the release that counts.
type counted struct {
	bundle
	signer provenance.VerifiedSigner
	role   *role
}

// role is a role of the policy, for the verdict.
type role struct {
	Role
	name  string
	step  string
	check CheckName
	code  Code
}

func (v *verification) builders() *role {
	return &role{v.policy.Builders, "builder", BuildStep, CheckBuilders, CodeBuilderThreshold}
}

func (v *verification) rebuilders() *role {
	return &role{v.policy.Rebuilders, "rebuilder", RebuildStep, CheckRebuilders, CodeRebuilderThreshold}
}

// checkBundles takes every bundle to the statement that it is about.
func (v *verification) checkBundles(f *findings) {
	if v.report.result(CheckStatements) == NotChecked {
		f.skip("not every statement could be read")
		return
	}
	byPayload := make(map[provenance.Digest]string)
	for _, name := range slices.Sorted(maps.Keys(v.statements)) {
		byPayload[provenance.DigestOf(v.statements[name].payload)] = name
	}
	for _, name := range slices.Sorted(maps.Keys(v.d.Bundles)) {
		data, at := v.d.Bundles[name], BundlesFolder+"/"+name
		parsed, err := provenance.ParseBundle(data)
		switch {
		case err != nil:
			f.refuse(formCode(err, Code(provenance.CodeBundle)), "%s: %v", at, err)
			continue
		case parsed.Envelope == nil:
			f.refuse(CodeContent, "%s: expected a statement, got a signature over a blob", at)
			continue
		case parsed.Envelope.PayloadType != provenance.PayloadType:
			f.refuse(CodePayloadType, "%s: payloadType: expected %q, got %.80q", at, provenance.PayloadType, parsed.Envelope.PayloadType)
			continue
		}
		digest := provenance.DigestOf(parsed.Envelope.Payload)
		about, known := byPayload[digest]
		if !known {
			f.refuse(CodeBundleUnknown, "%s: expected the statement about the release or one of its statements, byte for byte, got %s", at, describe(parsed.Envelope.Payload))
			continue
		}
		prefix := releaseBundle
		if about != "" {
			prefix = statementBundle(parsed.Envelope.Payload)
		}
		if m := bundleName.FindStringSubmatch(name); m == nil || m[1] != prefix {
			f.refuse(CodeBundleName, "%s: expected the name %s-KEY.sigstore.json, which says what is signed and by whom, got another one", at, prefix)
			continue
		}
		v.bundles = append(v.bundles, bundle{name, data, parsed, about})
	}
	f.detail = fmt.Sprintf("%d signatures", len(v.bundles))
}

// describe says what a statement is about, as far as it can be told. Nobody verified it.
func describe(payload []byte) string {
	s, err := provenance.ParseStatement(payload)
	if err != nil {
		return "no statement"
	}
	return fmt.Sprintf("another one, of type %.80q about %s", s.PredicateType, subjectNames(s.Subject[:min(len(s.Subject), maxTold)]))
}

// checkLayout lets the owners' layout say who may do what, and asks that they did it with these artifacts.
func (v *verification) checkLayout(f *findings) {
	v.links = make(map[string][]provenance.Fingerprint)
	if v.policy.Layout == nil {
		f.notAsked("the policy has no layout: everybody signs with certificates")
		return
	}
	links := make([][]byte, 0, len(v.d.Links))
	for _, name := range slices.Sorted(maps.Keys(v.d.Links)) {
		if !linkName.MatchString(name) {
			f.refuse(CodeLinkName, "%s/%s: expected the name STEP.KEYID.link, as in-toto has it, got another one", LinksFolder, name)
		}
		links = append(links, v.d.Links[name])
	}
	verified, err := layout.Verify(v.policy.Layout.Envelope, v.policy.Layout.Owners, links, v.at)
	var refusal *layout.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Code == layout.CodeFunctions:
		f.refuse(Code(refusal.Code), "%s, among the links %q", refusal.Reason, slices.Sorted(maps.Keys(v.d.Links)))
		return
	case errors.As(err, &refusal):
		f.refuse(Code(refusal.Code), "%s", refusal.Reason)
		return
	case err != nil:
		f.fault(err)
		return
	}
	products, err := v.release.Products()
	if err != nil {
		f.fault(err)
		return
	}
	var done []string
	for _, step := range verified.Steps {
		if step.Name != BuildStep && step.Name != RebuildStep {
			f.refuse(CodeLayoutStep, "layout: expected the steps %s and %s, got %.80q", BuildStep, RebuildStep, step.Name)
			continue
		}
		if what := unequal(v.release.Materials(), step.Materials); what != "" {
			f.refuse(CodeLinkMaterials, "step %s: materials: expected those of the release, got a difference in %s", step.Name, what)
		}
		if what := unequal(products, step.Products); what != "" {
			f.refuse(CodeLinkProducts, "step %s: products: expected those of the release, got a difference in %s", step.Name, what)
		}
		for _, key := range step.By {
			if slices.Contains(v.policy.RevokedKeys, key) {
				f.refuse(CodeLinkRevoked, "step %s: expected links by keys that are not revoked, got one by %s, which the policy revokes", step.Name, key)
			}
		}
		v.links[step.Name] = step.By
		done = append(done, fmt.Sprintf("%s by %d", step.Name, len(step.By)))
	}
	for _, r := range []*role{v.builders(), v.rebuilders()} {
		if _, there := v.links[r.step]; !there && r.Threshold > 0 {
			f.refuse(CodeLayoutStep, "layout: expected the step %s, since the policy has %ss, got none", r.step, r.name)
		}
	}
	f.detail = strings.Join(append(done, "valid until "+verified.Expires.UTC().Format("2006-01-02")), ", ")
}

// unequal names the first artifact, by name, that is not the same in both.
func unequal(want, got map[string]provenance.Digest) string {
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a, inWant := want[name]
		b, inGot := got[name]
		if inWant != inGot || a != b {
			return name
		}
	}
	return ""
}

// verifySigner verifies one bundle and returns who signed it.
func (v *verification) verifySigner(b bundle, identities []provenance.Identity) (provenance.VerifiedSigner, *NotCounted) {
	s := v.statements[b.statement]
	file := BundlesFolder + "/" + b.name
	policy := provenance.Policy{Identities: identities, Threshold: 1, At: v.at, PredicateTypes: []string{s.predicateType}}
	verified, err := provenance.VerifyStatement([][]byte{b.data}, s.artifact, policy, v.policy.TrustRoot)
	var refusal *provenance.Refusal
	switch {
	case errors.As(err, &refusal):
		return provenance.VerifiedSigner{}, &NotCounted{file, Code(refusal.Code()), refusal.Reasons[0].Text}
	case err != nil:
		// A policy that can decide nothing lets nobody count.
		return provenance.VerifiedSigner{}, &NotCounted{file, Code(provenance.CodeSigner), err.Error()}
	}
	signer := verified.Signers[0]
	if slices.Contains(v.policy.RevokedKeys, signer.Key) {
		return provenance.VerifiedSigner{}, &NotCounted{file, CodeKeyRevoked, fmt.Sprintf("expected a key that is not revoked, got %s of %q, which the policy revokes", signer.Key, signer.Name)}
	}
	// What the layout does not name any more is revoked, too.
	if r := v.roleOf(signer); v.policy.Layout != nil && b.parsed.Certificate == nil && !slices.Contains(v.links[r.step], signer.Key) {
		return provenance.VerifiedSigner{}, &NotCounted{file, CodeNoLink, fmt.Sprintf(
			"expected a key that made a link of the step %s, as the layout lets it, got %s of %q without one that counts", r.step, signer.Key, signer.Name)}
	}
	return signer, nil
}

// roleOf is the role of an identity of the policy; nobody has two.
func (v *verification) roleOf(signer provenance.VerifiedSigner) *role {
	r := v.builders()
	if !slices.ContainsFunc(r.Identities, func(i provenance.Identity) bool { return i.Name == signer.Name }) {
		r = v.rebuilders()
	}
	return r
}

// countSigners finds who counts for the statement about the release: an identity of a role, with a key that the layout lets do the
// role's step. An identity counts once, and so does a key, whoever has it.
func (v *verification) countSigners() {
	if v.err != nil || v.report.result(CheckBundles) == NotChecked {
		return
	}
	for _, b := range v.bundles {
		if b.statement != "" {
			continue
		}
		signer, not := v.verifySigner(b, v.policy.identities())
		if not != nil {
			v.report.NotCounted = append(v.report.NotCounted, *not)
			continue
		}
		if i := slices.IndexFunc(v.counted, func(c counted) bool { return c.signer.Name == signer.Name || c.signer.Key == signer.Key }); i >= 0 {
			v.report.NotCounted = append(v.report.NotCounted, NotCounted{BundlesFolder + "/" + b.name, CodeRepeated, fmt.Sprintf(
				"expected a further identity with a further key, got %q with key %s, which %s/%s has already", signer.Name, signer.Key, BundlesFolder, v.counted[i].name)})
			continue
		}
		v.counted = append(v.counted, counted{b, signer, v.roleOf(signer)})
	}
	for _, c := range v.counted {
		v.report.Signers = append(v.report.Signers, Signer{
			Name: c.signer.Name, Role: c.role.name, Key: c.signer.Key, Bundle: BundlesFolder + "/" + c.name,
			Link: slices.Contains(v.links[c.role.step], c.signer.Key), Logs: []string{},
		})
	}
}

// checkRole compares with a role's threshold.
func (v *verification) checkRole(f *findings, r *role) {
	if v.report.result(CheckBundles) == NotChecked {
		f.skip("the signatures could not be told apart")
		return
	}
	if r.Threshold == 0 {
		f.notAsked("the policy has no " + r.name + "s")
		return
	}
	var names []string
	for _, s := range v.report.Signers {
		if s.Role == r.name {
			names = append(names, s.Name)
		}
	}
	v.compareThreshold(f, r.code, r.name+"s", r.Threshold, names)
}

func (v *verification) checkThreshold(f *findings) {
	if v.report.result(CheckBundles) == NotChecked {
		f.skip("the signatures could not be told apart")
		return
	}
	names := make([]string, 0, len(v.report.Signers))
	for _, s := range v.report.Signers {
		names = append(names, s.Name)
	}
	v.compareThreshold(f, CodeThreshold, "builders and rebuilders", v.policy.Threshold, names)
}

// compareThreshold tells beside a threshold that is missed why others do not count.
func (v *verification) compareThreshold(f *findings, code Code, who string, threshold int, names []string) {
	f.detail = fmt.Sprintf("%d of %d: %s", len(names), threshold, strings.Join(names, ", "))
	if len(names) >= threshold {
		return
	}
	all := 0
	for _, b := range v.bundles {
		if b.statement == "" {
			all++
		}
	}
	f.refuse(code, "expected signatures of %d distinct %s, got %d; %d signatures are about the release", threshold, who, len(names), all)
	for _, n := range v.report.NotCounted {
		f.refuse(n.Code, "%s: %s", n.File, n.Reason)
	}
}

// checkSigned asks that a builder signed each of the statements: they travel without the release, too.
func (v *verification) checkSigned(f *findings) {
	if v.report.result(CheckBundles) == NotChecked {
		f.skip("the signatures could not be told apart")
		return
	}
	signed := make(map[string]bool)
	var not []NotCounted
	for _, b := range v.bundles {
		if b.statement == "" || signed[b.statement] {
			continue
		}
		if _, reason := v.verifySigner(b, v.policy.Builders.Identities); reason != nil {
			not = append(not, *reason)
			continue
		}
		signed[b.statement] = true
	}
	for _, name := range slices.Sorted(maps.Keys(v.statements)) {
		if name != "" && !signed[name] {
			f.refuse(CodeUnsigned, "%s: expected a builder's signature, got none that counts", name)
		}
	}
	if len(f.refusals) > 0 {
		for _, n := range not {
			f.refuse(n.Code, "%s: %s", n.File, n.Reason)
		}
	}
	f.detail = fmt.Sprintf("%d statements", len(signed))
}
