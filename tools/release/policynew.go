package release

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// Files of a policy's folder that [NewPolicy] makes.
const (
	PolicyFile = "release.json"
	LayoutFile = "layout.json"
	keysFolder = "keys"
)

// PolicyOptions are what a new policy is made from. Everybody signs with keys.
type PolicyOptions struct {
	Name, Source         string
	Builders, Rebuilders []NamedKey
	// Owners sign the layout; LayoutThreshold is how many of them, all by default.
	Owners          []provenance.Key
	LayoutThreshold int
	// Threshold is how many builders and rebuilders have to have signed, by default one of each.
	Threshold int
	// Logs are believed, and RequiredLogs of them are asked for, all by default.
	Logs           []transparency.Policy
	RequiredLogs   int
	MinimumVersion string
}

// NamedKey is an identity with one key.
type NamedKey struct {
	Name string
	Key  provenance.Key
}

// NewPolicy makes the files of a policy, by their paths in its folder: all but the layout, which the owners sign ([Policy.SignLayout]). The
// error is a [*PolicyError].
func NewPolicy(o PolicyOptions) (map[string][]byte, error) {
	f := policyFile{
		Schema: PolicySchema, Name: o.Name, Source: o.Source, MinimumVersion: o.MinimumVersion, Threshold: o.Threshold,
		RevokedReleases: []provenance.Digest{}, RevokedKeys: []string{},
		Layout: &layoutFile{File: LayoutFile, Threshold: o.LayoutThreshold},
	}
	files := make(map[string][]byte)
	role := func(list []NamedKey) (*roleFile, error) {
		if len(list) == 0 {
			return nil, nil //nolint:nilnil // a policy may be without rebuilders
		}
		r := &roleFile{Threshold: 1}
		for _, k := range list {
			if !fileName(k.Name) {
				return nil, &PolicyError{PolicyFile, "identities", fmt.Sprintf("expected a name that a file can have, got %.80q", k.Name)}
			}
			name := keysFolder + "/" + k.Name + ".pub"
			files[name] = k.Key.PEM()
			r.Identities = append(r.Identities, identityFile{Name: k.Name, Keys: []keyFile{{File: name}}})
		}
		return r, nil
	}
	builders, err := role(o.Builders)
	if err != nil {
		return nil, err
	}
	if builders == nil {
		builders = &roleFile{}
	}
	f.Builders = *builders
	if f.Rebuilders, err = role(o.Rebuilders); err != nil {
		return nil, err
	}
	for i, owner := range o.Owners {
		name := fmt.Sprintf("%s/owner-%d.pub", keysFolder, i+1)
		if _, taken := files[name]; taken {
			return nil, &PolicyError{PolicyFile, "identities", fmt.Sprintf("expected names other than those of owners, got %q", name)}
		}
		files[name] = owner.PEM()
		f.Layout.Owners = append(f.Layout.Owners, keyFile{File: name})
	}
	if o.Threshold == 0 {
		f.Threshold = min(1, len(o.Builders)) + min(1, len(o.Rebuilders))
	}
	if o.LayoutThreshold == 0 {
		f.Layout.Threshold = len(o.Owners)
	}
	if len(o.Logs) > 0 {
		f.Logs = &logsFile{o.RequiredLogs, o.Logs}
		if o.RequiredLogs == 0 {
			f.Logs.Required = len(o.Logs)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(f); err != nil {
		return nil, err
	}
	files[PolicyFile] = b.Bytes()
	// What would be refused is not made.
	if _, err := ParsePolicy(b.Bytes(), PolicyFile, func(name string) ([]byte, error) { return files[name], nil }); err != nil {
		return nil, err
	}
	return files, nil
}

// LayoutError says that a layout can not be signed as it is asked for.
type LayoutError struct {
	Reason string
}

func (e *LayoutError) Error() string { return "layout: " + e.Reason }

// SignLayout returns the envelope of the layout that follows from the policy, with the signature of an owner: who is builder or rebuilder and
// has a key that is not revoked may do that step. A layout that is there and says the same keeps its other signatures. Without a time,
// the layout that is there is signed, if it says what the policy says. The error may be a [*LayoutError].
func (p *Policy) SignLayout(ctx context.Context, owner provenance.Signer, expires time.Time) ([]byte, error) {
	if p.Layout == nil {
		return nil, &LayoutError{"expected a policy with a layout, got one without"}
	}
	if !slices.ContainsFunc(p.Layout.Owners.Keys, func(k provenance.Key) bool { return k.Fingerprint() == owner.Key().Fingerprint() }) {
		return nil, &LayoutError{fmt.Sprintf("expected the key of an owner, got %s", owner.Key().Fingerprint())}
	}
	there, l, err := p.currentLayout()
	if err != nil {
		return nil, err
	}
	renew := !expires.IsZero()
	if !renew {
		if l == nil {
			return nil, &LayoutError{"expected a time when the new layout expires, got none"}
		}
		if expires, err = time.Parse(in_toto.ISO8601DateSchema, l.Expires); err != nil {
			return nil, &LayoutError{fmt.Sprintf("expires: expected a time, got %.80q", l.Expires)}
		}
	}
	next, err := NewLayout(expires, p.functionaries(p.Builders), p.functionaries(p.Rebuilders))
	if err != nil {
		return nil, err
	}
	signed, err := layout.SignLayout(ctx, next, owner)
	if err != nil {
		return nil, err
	}
	e, err := provenance.ParseEnvelope(signed)
	if err != nil {
		return nil, err
	}
	same := l != nil && bytes.Equal(there.Payload, e.Payload)
	if !same && !renew {
		return nil, &LayoutError{"expected the layout that is there to say what the policy says, got another; a new one needs a time when it expires"}
	}
	if same {
		for _, s := range there.Signatures {
			if !owner.Key().Verify(provenance.PAE(there.PayloadType, there.Payload), s.Bytes) {
				e.Signatures = append(e.Signatures, s)
			}
		}
	}
	return json.Marshal(e)
}

// currentLayout is the layout that is there, if any; nobody verified it.
func (p *Policy) currentLayout() (provenance.Envelope, *in_toto.Layout, error) {
	if len(p.Layout.Envelope) == 0 {
		return provenance.Envelope{}, nil, nil
	}
	e, err := provenance.ParseEnvelope(p.Layout.Envelope)
	if err != nil {
		return e, nil, &LayoutError{err.Error()}
	}
	l := new(in_toto.Layout)
	if err := strictjson.Unmarshal(e.Payload, l); err != nil {
		return e, nil, &LayoutError{err.Error()}
	}
	return e, l, nil
}

// functionaries are those of a role who have keys, but for those that are revoked. Who signs with certificates has no links, and takes no
// part in the layout's threshold.
func (p *Policy) functionaries(r Role) Functionaries {
	f := Functionaries{Threshold: r.Threshold}
	for _, identity := range r.Identities {
		for _, k := range identity.Keys {
			if !slices.Contains(p.RevokedKeys, k.Key.Fingerprint()) {
				f.Keys = append(f.Keys, k.Key)
			}
		}
		if len(identity.Keys) == 0 && f.Threshold > 1 {
			f.Threshold--
		}
	}
	return f
}

// LoadPolicyToSign is [LoadPolicy] for a policy whose layout may not be there yet.
func LoadPolicyToSign(file string) (*Policy, error) { return loadPolicy(file, true) }
