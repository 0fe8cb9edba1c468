package layout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	layoutType = "layout"
	linkType   = "link"
	stepType   = "step"

	maxSteps     = 16
	maxKeys      = 64
	maxRules     = 64
	maxLinks     = 256
	maxArtifacts = 4096
)

// Code names a reason for a refusal. It is stable.
type Code string

// The reasons.
const (
	CodeEnvelope   Code = "layout-envelope"   // no DSSE envelope with an in-toto payload
	CodeSignature  Code = "layout-signature"  // too few owners signed the layout
	CodeLayout     Code = "layout"            // malformed
	CodeExpired    Code = "layout-expired"    // not valid any more
	CodeInspection Code = "layout-inspection" // would run commands
	CodeRule       Code = "layout-rule"       // a rule that can not be relied on
	CodeLink       Code = "link"              // malformed
	CodeStep       Code = "link-step"         // of a step that the layout does not have
	CodeFunctions  Code = "link-threshold"    // too few of those who may do a step did it
	CodeCommand    Code = "link-command"      // another command than the layout's
	CodeDiffering  Code = "link-differing"    // two did the same step with different results
	CodeArtifacts  Code = "link-artifacts"    // the rules for artifacts do not hold
)

// Refusal is a verdict.
type Refusal struct {
	Code   Code
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }

func refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// Step is one step of a layout that [New] makes.
type Step struct {
	Name string
	// Who may do it, and how many of them have to.
	Who       []provenance.Key
	Threshold int
	// Materials and Products are rules as in section 4.3.3. Each list ends with DISALLOW *.
	Materials, Products [][]string
}

// New makes a layout that is valid until expires, in whole seconds. What [Verify] would refuse is an error.
func New(expires time.Time, readme string, steps ...Step) (in_toto.Layout, error) {
	l := in_toto.Layout{
		Type: layoutType, Expires: expires.UTC().Format(in_toto.ISO8601DateSchema), Readme: readme,
		Inspect: []in_toto.Inspection{}, Keys: map[string]in_toto.Key{}, Steps: []in_toto.Step{},
	}
	for _, step := range steps {
		s := in_toto.Step{Type: stepType, Threshold: step.Threshold, PubKeys: []string{}, ExpectedCommand: []string{}, SupplyChainItem: in_toto.SupplyChainItem{
			Name: step.Name, ExpectedMaterials: step.Materials, ExpectedProducts: step.Products,
		}}
		for _, who := range step.Who {
			key, err := keyOf(who)
			if err != nil {
				return in_toto.Layout{}, err
			}
			l.Keys[key.KeyID] = key
			s.PubKeys = append(s.PubKeys, key.KeyID)
		}
		l.Steps = append(l.Steps, s)
	}
	if _, err := check(&l); err != nil {
		return in_toto.Layout{}, err
	}
	return l, nil
}

// NewLink says that a step made products from materials, each by its path.
func NewLink(step string, materials, products map[string]provenance.Digest) in_toto.Link {
	return in_toto.Link{
		Type: linkType, Name: step, Materials: artifacts(materials), Products: artifacts(products),
		ByProducts: map[string]any{}, Command: []string{}, Environment: map[string]any{},
	}
}

func artifacts(digests map[string]provenance.Digest) map[string]in_toto.HashObj {
	objects := make(map[string]in_toto.HashObj, len(digests))
	for name, digest := range digests {
		objects[name] = in_toto.HashObj(digest.Set())
	}
	return objects
}

// SignLayout returns the envelope of a layout, signed by its owners.
func SignLayout(ctx context.Context, l in_toto.Layout, owners ...provenance.Signer) ([]byte, error) {
	return signAs(ctx, l, owners)
}

// SignLink returns the envelope of a link, signed by whoever did the step.
func SignLink(ctx context.Context, l in_toto.Link, signer provenance.Signer) ([]byte, error) {
	return signAs(ctx, l, []provenance.Signer{signer})
}

func signAs(ctx context.Context, payload any, signers []provenance.Signer) ([]byte, error) {
	data, err := json.Marshal(payload)
	if err != nil {
		return nil, fmt.Errorf("in-toto: %w", err)
	}
	e := provenance.Envelope{PayloadType: provenance.PayloadType, Payload: data}
	for i, signer := range signers {
		if err := e.Sign(ctx, signer); err != nil {
			return nil, err
		}
		key, err := keyOf(signer.Key())
		if err != nil {
			return nil, err
		}
		// Other implementations look for it.
		e.Signatures[i].KeyID = key.KeyID
	}
	return json.Marshal(e)
}

// keyOf is a key as in-toto has it; its id depends on the key alone.
func keyOf(key provenance.Key) (in_toto.Key, error) {
	var k in_toto.Key
	if err := k.LoadKeyReaderDefaults(bytes.NewReader(key.PEM())); err != nil {
		return in_toto.Key{}, fmt.Errorf("in-toto: key %s: %w", key.Fingerprint(), err)
	}
	return k, nil
}

// FileName is how in-toto calls the file of a link.
func FileName(step string, signer provenance.Key) (string, error) {
	key, err := keyOf(signer)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(in_toto.LinkNameFormat, step, key.KeyID), nil
}

// Owners are who may write layouts, and how many of them have to agree.
type Owners struct {
	Keys      []provenance.Key
	Threshold int
}

// Verified is what can be believed.
type Verified struct {
	Expires time.Time
	// Steps are those of the layout, in its order.
	Steps []VerifiedStep
}

// VerifiedStep is a step that enough of those who may do it did, all with these results.
type VerifiedStep struct {
	Name                string
	By                  []provenance.Fingerprint
	Materials, Products map[string]provenance.Digest
}

// Verify checks that the owners signed a layout, that it is still valid, and that the links fulfil it. A refusal is a [*Refusal]; owners
// that can decide nothing are a [*provenance.PolicyError].
func Verify(layout []byte, owners Owners, links [][]byte, at time.Time) (*Verified, error) {
	if at.IsZero() {
		return nil, &provenance.PolicyError{Reason: "time: expected one, got none"}
	}
	e, err := parseEnvelope(layout)
	if err != nil {
		return nil, refuse(CodeEnvelope, "layout: %v", err)
	}
	if _, err := e.Verify(owners.Keys, owners.Threshold); err != nil {
		var refusal *provenance.Refusal
		if errors.As(err, &refusal) {
			return nil, refuse(CodeSignature, "layout: %v", err)
		}
		return nil, err
	}
	var l in_toto.Layout
	if err := strictjson.Unmarshal(e.Payload, &l); err != nil {
		return nil, refuse(CodeLayout, "layout: %v", err)
	}
	checked, err := check(&l)
	if err != nil {
		return nil, err
	}
	if at.After(checked.expires) {
		return nil, refuse(CodeExpired, "layout: expected one that is valid at %s, got one that expired at %s", at.UTC().Format(time.RFC3339), l.Expires)
	}
	verified := &Verified{Expires: checked.expires}
	reduced, err := checked.count(links, verified)
	if err != nil {
		return nil, err
	}
	steps := make([]any, len(l.Steps))
	for i, step := range l.Steps {
		steps[i] = step
	}
	if err := in_toto.VerifyArtifacts(steps, reduced); err != nil {
		return nil, refuse(CodeArtifacts, "layout: %v", err)
	}
	return verified, nil
}

func parseEnvelope(data []byte) (provenance.Envelope, error) {
	e, err := provenance.ParseEnvelope(data)
	if err == nil && e.PayloadType != provenance.PayloadType {
		err = fmt.Errorf("payloadType: expected %q, got %.80q", provenance.PayloadType, e.PayloadType)
	}
	return e, err
}

// checked is a layout that may be used.
type checked struct {
	*in_toto.Layout
	expires time.Time
	// who has for each step the keys of those who may do it.
	who map[string][]provenance.Key
}

var name = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

func check(l *in_toto.Layout) (*checked, error) {
	if l.Type != layoutType {
		return nil, refuse(CodeLayout, "layout: _type: expected %q, got %.40q", layoutType, l.Type)
	}
	if len(l.Inspect) > 0 {
		return nil, refuse(CodeInspection, "layout: inspect: expected none, because inspections run commands, got %d", len(l.Inspect))
	}
	if len(l.RootCas)+len(l.IntermediateCas) > 0 {
		return nil, refuse(CodeLayout, "layout: expected keys and no certificate authorities, got %d", len(l.RootCas)+len(l.IntermediateCas))
	}
	expires, err := time.Parse(in_toto.ISO8601DateSchema, l.Expires)
	if err != nil {
		return nil, refuse(CodeLayout, "layout: expires: expected a time as in 2026-04-24T02:37:51Z, got %.40q", l.Expires)
	}
	if len(l.Steps) == 0 || len(l.Steps) > maxSteps {
		return nil, refuse(CodeLayout, "layout: steps: expected 1 to %d, got %d", maxSteps, len(l.Steps))
	}
	keys, err := readKeys(l.Keys)
	if err != nil {
		return nil, err
	}
	c := &checked{l, expires, make(map[string][]provenance.Key)}
	used := make(map[provenance.Fingerprint]string)
	for i := range l.Steps {
		step := &l.Steps[i]
		if !name.MatchString(step.Name) || step.Type != stepType {
			return nil, refuse(CodeLayout, "layout: steps[%d]: expected a step with a name of small letters, digits and hyphens, got %.40q %.80q", i, step.Type, step.Name)
		}
		if _, twice := c.who[step.Name]; twice {
			return nil, refuse(CodeLayout, "layout: steps[%d]: expected each name once, got %q again", i, step.Name)
		}
		if len(step.CertificateConstraints) > 0 {
			return nil, refuse(CodeLayout, "layout: step %s: expected keys and no certificates, got %d", step.Name, len(step.CertificateConstraints))
		}
		for _, id := range step.PubKeys {
			key, known := keys[id]
			if !known {
				return nil, refuse(CodeLayout, "layout: step %s: expected a key of the layout, got %.80q", step.Name, id)
			}
			if other, twice := used[key.Fingerprint()]; twice {
				return nil, refuse(CodeLayout, "layout: step %s: expected each key in one step, once, got %s again, which %s has", step.Name, key.Fingerprint(), other)
			}
			used[key.Fingerprint()] = step.Name
			c.who[step.Name] = append(c.who[step.Name], key)
		}
		if n := len(c.who[step.Name]); step.Threshold < 1 || step.Threshold > n {
			return nil, refuse(CodeLayout, "layout: step %s: threshold: expected 1 to %d, the number of its keys, got %d", step.Name, n, step.Threshold)
		}
	}
	for i := range l.Steps {
		for _, list := range []struct {
			name  string
			rules [][]string
		}{{"expected_materials", l.Steps[i].ExpectedMaterials}, {"expected_products", l.Steps[i].ExpectedProducts}} {
			if err := c.checkRules(list.rules); err != nil {
				return nil, refuse(CodeRule, "layout: step %s: %s: %v", l.Steps[i].Name, list.name, err)
			}
		}
	}
	return c, nil
}

// readKeys reads the keys of a layout. An id has to be the key's own: two ids for one key would be two signers.
func readKeys(named map[string]in_toto.Key) (map[string]provenance.Key, error) {
	if len(named) > maxKeys {
		return nil, refuse(CodeLayout, "layout: keys: expected at most %d, got %d", maxKeys, len(named))
	}
	keys := make(map[string]provenance.Key, len(named))
	for _, id := range slices.Sorted(maps.Keys(named)) {
		key, err := provenance.ParseKey([]byte(named[id].KeyVal.Public))
		if err != nil {
			return nil, refuse(CodeLayout, "layout: keys: %.80q: %v", id, err)
		}
		want, err := keyOf(key)
		if err != nil {
			return nil, refuse(CodeLayout, "layout: keys: %.80q: %v", id, err)
		}
		if id != want.KeyID || !reflect.DeepEqual(named[id], want) {
			return nil, refuse(CodeLayout, "layout: keys: expected key %s under its id %s and with nothing else, got another form under %.80q", key.Fingerprint(), want.KeyID, id)
		}
		keys[id] = key
	}
	return keys, nil
}

// pattern is what rules may name: a path, with * for any run of characters at most at its end. What more a pattern may have
// is different between implementations.
var pattern = regexp.MustCompile(`^([A-Za-z0-9_+@:-][A-Za-z0-9._+@:-]*(/[A-Za-z0-9_+@:-][A-Za-z0-9._+@:-]*)*/?\*?|\*)$`)

func (c *checked) checkRules(rules [][]string) error {
	if n := len(rules); n == 0 || n > maxRules || !slices.Equal(rules[n-1], []string{"DISALLOW", "*"}) {
		return fmt.Errorf("expected 1 to %d rules with DISALLOW * as the last, got %d with another one or none", maxRules, n)
	}
	for i, rule := range rules {
		if len(rule) == 0 { // which the library does not survive
			return fmt.Errorf("[%d]: expected a rule, got an empty one", i)
		}
		parts, err := in_toto.UnpackRule(rule)
		if err != nil {
			return fmt.Errorf("[%d]: expected a rule of in-toto, got %.200q", i, rule)
		}
		if !pattern.MatchString(parts["pattern"]) {
			return fmt.Errorf("[%d]: expected a path, with * at most at its end, got %.200q", i, parts["pattern"])
		}
		if parts["type"] == "require" && strings.Contains(parts["pattern"], "*") {
			return fmt.Errorf("[%d]: expected a path to require, got the pattern %.200q", i, parts["pattern"])
		}
		if parts["type"] != "match" {
			continue
		}
		if parts["dstType"] != "materials" && parts["dstType"] != "products" {
			return fmt.Errorf("[%d]: expected MATERIALS or PRODUCTS, got %.40q", i, parts["dstType"])
		}
		if _, known := c.who[parts["dstName"]]; !known {
			return fmt.Errorf("[%d]: expected a step of the layout, got %.80q", i, parts["dstName"])
		}
		for _, prefix := range []string{parts["srcPrefix"], parts["dstPrefix"]} {
			if prefix != "" && (!pattern.MatchString(prefix) || strings.HasSuffix(prefix, "*")) {
				return fmt.Errorf("[%d]: expected a path as prefix, got %.200q", i, prefix)
			}
		}
	}
	return nil
}

// count verifies links, counts signers per step and leaves one link of each step. Every link has to be of a step and sound; one by
// somebody who may not do its step does not count.
func (c *checked) count(links [][]byte, verified *Verified) (map[string]in_toto.Metadata, error) {
	if len(links) > maxLinks {
		return nil, refuse(CodeLink, "links: expected at most %d, got %d", maxLinks, len(links))
	}
	type result struct {
		link in_toto.Link
		by   []provenance.Fingerprint
	}
	results := make(map[string]*result)
	for i, data := range links {
		e, err := parseEnvelope(data)
		if err != nil {
			return nil, refuse(CodeLink, "link %d: %v", i, err)
		}
		for _, step := range c.Steps {
			// Who signed says which step it is of, since a key has one; nothing of it is read before.
			by, err := e.Verify(c.who[step.Name], 1)
			if err != nil {
				continue
			}
			link, err := readLink(e.Payload)
			if err != nil {
				return nil, refuse(CodeLink, "link %d: %v", i, err)
			}
			if link.Name != step.Name {
				return nil, refuse(CodeStep, "link %d: expected one of step %s, whose key signed it, got one of %.80q", i, step.Name, link.Name)
			}
			if len(step.ExpectedCommand) > 0 && !slices.Equal(step.ExpectedCommand, link.Command) {
				return nil, refuse(CodeCommand, "link %d: step %s: expected the command %.200q, got %.200q", i, step.Name, step.ExpectedCommand, link.Command)
			}
			r := results[step.Name]
			if r == nil {
				r = &result{link: link}
				results[step.Name] = r
			}
			if what := difference(r.link, link); what != "" {
				return nil, refuse(CodeDiffering, "link %d: step %s: expected what others did, got a difference in %s", i, step.Name, what)
			}
			for _, key := range by {
				if !slices.Contains(r.by, key.Fingerprint()) {
					r.by = append(r.by, key.Fingerprint())
				}
			}
		}
	}
	reduced := make(map[string]in_toto.Metadata, len(c.Steps))
	for _, step := range c.Steps {
		r := results[step.Name]
		if r == nil {
			r = &result{}
		}
		if len(r.by) < step.Threshold {
			return nil, refuse(CodeFunctions, "step %s: expected it to be done by %d of those who may, got %d", step.Name, step.Threshold, len(r.by))
		}
		slices.SortFunc(r.by, func(a, b provenance.Fingerprint) int { return bytes.Compare(a[:], b[:]) })
		done := VerifiedStep{Name: step.Name, By: r.by}
		var err error
		if done.Materials, err = digests(r.link.Materials); err == nil {
			done.Products, err = digests(r.link.Products)
		}
		if err != nil {
			return nil, refuse(CodeLink, "step %s: %v", step.Name, err)
		}
		verified.Steps = append(verified.Steps, done)
		reduced[step.Name] = &in_toto.Metablock{Signed: r.link}
	}
	return reduced, nil
}

func readLink(payload []byte) (in_toto.Link, error) {
	var link in_toto.Link
	if err := strictjson.Unmarshal(payload, &link); err != nil {
		return link, err
	}
	if link.Type != linkType {
		return link, fmt.Errorf("_type: expected %q, because layouts in layouts are not followed, got %.40q", linkType, link.Type)
	}
	for _, objects := range []map[string]in_toto.HashObj{link.Materials, link.Products} {
		if _, err := digests(objects); err != nil {
			return link, err
		}
	}
	return link, nil
}

func digests(objects map[string]in_toto.HashObj) (map[string]provenance.Digest, error) {
	if len(objects) > maxArtifacts {
		return nil, fmt.Errorf("expected at most %d artifacts, got %d", maxArtifacts, len(objects))
	}
	out := make(map[string]provenance.Digest, len(objects))
	for _, file := range slices.Sorted(maps.Keys(objects)) {
		// One path has one form, so that no rule misses it.
		if file == "" || file != path.Clean(file) || path.IsAbs(file) || file == ".." || strings.HasPrefix(file, "../") {
			return nil, fmt.Errorf("expected a relative path in its shortest form, got %.200q", file)
		}
		if len(objects[file]) != 1 {
			return nil, fmt.Errorf("%s: expected a sha256 and no other digest, got %d", file, len(objects[file]))
		}
		digest, err := provenance.ParseDigest(provenance.SHA256 + ":" + objects[file][provenance.SHA256])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out[file] = digest
	}
	return out, nil
}

// difference names the first artifact that two links of one step do not agree about.
func difference(a, b in_toto.Link) string {
	for _, pair := range []struct {
		kind     string
		one, two map[string]in_toto.HashObj
	}{{"material", a.Materials, b.Materials}, {"product", a.Products, b.Products}} {
		all := maps.Clone(pair.one)
		if all == nil {
			all = map[string]in_toto.HashObj{}
		}
		maps.Copy(all, pair.two)
		for _, file := range slices.Sorted(maps.Keys(all)) {
			if !reflect.DeepEqual(pair.one[file], pair.two[file]) {
				return pair.kind + " " + file
			}
		}
	}
	return ""
}
