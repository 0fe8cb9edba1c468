package release

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

const (
	// PolicySchema is the version of the schema of a policy.
	PolicySchema = "https://boardroom-tee.github.io/release-policy/v1"

	// MaxPolicy bounds a policy, and every file that it names, in bytes.
	MaxPolicy = 1 << 20

	maxKeys   = 64
	maxAgeMax = 100 * 366 // days
)

// Policy says which releases are accepted. It names everybody exactly; what it does not say is not accepted.
type Policy struct {
	// Name is that of the release, and Source the repository that it is built from.
	Name, Source string
	// Builders made the release. Rebuilders made it again and found it equal; nobody is both. A Threshold of 0 stands for a policy
	// without rebuilders.
	Builders, Rebuilders Role
	// Threshold is how many builders and rebuilders have to have signed altogether.
	Threshold int
	// Layout is nil only where everybody signs with certificates, since links are signed by keys.
	Layout *Layout
	// Logs are those that are believed, and RequiredLogs how many of them need every signature that counts.
	Logs         []transparency.Policy
	RequiredLogs int
	// TrustRoot is for those who sign with certificates.
	TrustRoot provenance.TrustRoot
	// MinimumVersion is a semantic version without a leading v, or empty.
	MinimumVersion string
	// MaximumAge is how long after Release.Created a release is accepted; 0 is for ever.
	MaximumAge time.Duration
	// DevelopmentGuests accepts guest images that accept simulated hardware.
	DevelopmentGuests bool
	RevokedReleases   []provenance.Digest
	// RevokedKeys count nowhere, whatever else names them.
	RevokedKeys []provenance.Fingerprint
}

// Role is who may do a step, and how many of them have to.
type Role struct {
	Identities []provenance.Identity
	Threshold  int
}

// Layout is the in-toto layout of a policy, as the owners signed it.
type Layout struct {
	// File is where it is.
	File     string
	Envelope []byte
	Owners   layout.Owners
}

// PolicyError says that a policy, or a file that it names, is malformed or could not decide anything.
type PolicyError struct {
	// File is the policy, or the file that it names.
	File string
	// Member is a path such as "builders.identities[0].name"; it is empty for the file as a whole.
	Member string
	Reason string
}

func (e *PolicyError) Error() string {
	if e.Member == "" {
		return e.File + ": " + e.Reason
	}
	return e.File + ": " + e.Member + ": " + e.Reason
}

// policyFile is a policy as JSON. Paths are relative to its folder.
type policyFile struct {
	Schema            string              `json:"schema"`
	Name              string              `json:"name"`
	Source            string              `json:"source"`
	Builders          roleFile            `json:"builders"`
	Rebuilders        *roleFile           `json:"rebuilders,omitempty"`
	Threshold         int                 `json:"threshold"`
	Layout            *layoutFile         `json:"layout,omitempty"`
	Logs              *logsFile           `json:"logs,omitempty"`
	TrustRoot         string              `json:"trust_root,omitempty"`
	MinimumVersion    string              `json:"minimum_version,omitempty"`
	MaximumAgeDays    int                 `json:"maximum_age_days,omitempty"`
	DevelopmentGuests bool                `json:"development_guests"`
	RevokedReleases   []provenance.Digest `json:"revoked_releases"`
	RevokedKeys       []string            `json:"revoked_keys"`
}

type roleFile struct {
	Threshold  int            `json:"threshold"`
	Identities []identityFile `json:"identities"`
}

type identityFile struct {
	Name         string            `json:"name"`
	Keys         []keyFile         `json:"keys,omitempty"`
	Certificates []certificateFile `json:"certificates,omitempty"`
}

// keyFile is a public key: a file, or PEM as text.
type keyFile struct {
	File      string     `json:"file,omitempty"`
	PEM       string     `json:"pem,omitempty"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
}

type certificateFile struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

type layoutFile struct {
	File      string    `json:"file"`
	Owners    []keyFile `json:"owners"`
	Threshold int       `json:"threshold"`
}

type logsFile struct {
	Required int                   `json:"required"`
	Logs     []transparency.Policy `json:"logs"`
}

// LoadPolicy reads a policy and the files that it names. What is malformed is a [*PolicyError]; what can not be read is not.
func LoadPolicy(file string) (*Policy, error) { return loadPolicy(file, false) }

func loadPolicy(file string, unsigned bool) (*Policy, error) {
	data, err := readFileBounded(file, MaxPolicy)
	if err != nil {
		return nil, err
	}
	beside := func(name string) string { return filepath.Join(filepath.Dir(file), filepath.FromSlash(name)) }
	r := newPolicyReader(file, func(name string) ([]byte, error) { return readFileBounded(beside(name), MaxPolicy) })
	r.unsigned = unsigned
	p, err := r.parse(data)
	if err == nil && p.Layout != nil {
		p.Layout.File = beside(p.Layout.File)
	}
	return p, err
}

// readFileBounded returns at most one byte more than limit: who reads it on refuses it.
func readFileBounded(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// ParsePolicy reads a policy; name is how errors call it, and read reads the files that it names. What is malformed is a [*PolicyError];
// other errors are those of read.
func ParsePolicy(data []byte, name string, read func(name string) ([]byte, error)) (*Policy, error) {
	return newPolicyReader(name, read).parse(data)
}

func newPolicyReader(name string, read func(name string) ([]byte, error)) *policyReader {
	return &policyReader{
		file: name, read: read, names: make(map[string]bool), keys: make(map[provenance.Fingerprint]string),
		certificates: make(map[provenance.CertificateIdentity]string),
	}
}

func (r *policyReader) parse(data []byte) (*Policy, error) {
	if len(data) > MaxPolicy {
		return nil, r.fail("", "expected at most %d bytes, got %d", MaxPolicy, len(data))
	}
	var schema struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(data, &schema); err == nil && schema.Schema != PolicySchema {
		return nil, r.fail("schema", "expected %s, got %.200q", PolicySchema, schema.Schema)
	}
	var f policyFile
	if err := strictjson.Unmarshal(data, &f); err != nil {
		return nil, r.fail("", "%v", err)
	}
	return r.policy(&f)
}

// policyReader reads one policy, and remembers who is already in it: whoever could sign twice would count twice.
type policyReader struct {
	file         string
	read         func(name string) ([]byte, error)
	unsigned     bool // the layout may be missing
	names        map[string]bool
	keys         map[provenance.Fingerprint]string
	certificates map[provenance.CertificateIdentity]string
}

func (r *policyReader) fail(member, format string, args ...any) error {
	return &PolicyError{r.file, member, fmt.Sprintf(format, args...)}
}

func (r *policyReader) policy(f *policyFile) (*Policy, error) {
	p := &Policy{
		Name: f.Name, Source: f.Source, Threshold: f.Threshold, MinimumVersion: f.MinimumVersion, DevelopmentGuests: f.DevelopmentGuests,
		MaximumAge: time.Duration(f.MaximumAgeDays) * 24 * time.Hour, RevokedReleases: f.RevokedReleases,
	}
	if !namePattern.MatchString(f.Name) {
		return nil, r.fail("name", "expected the name of a release, got %.80q", f.Name)
	}
	if f.Source == "" {
		return nil, r.fail("source", "expected the URI of the repository that releases are built from, got none")
	}
	if v := "v" + f.MinimumVersion; f.MinimumVersion != "" && (!semver.IsValid(v) || semver.Canonical(v) != v) {
		return nil, r.fail("minimum_version", "expected a semantic version MAJOR.MINOR.PATCH, got %.80q", f.MinimumVersion)
	}
	if f.MaximumAgeDays < 0 || f.MaximumAgeDays > maxAgeMax {
		return nil, r.fail("maximum_age_days", "expected 1 to %d days, or none for ever, got %d", maxAgeMax, f.MaximumAgeDays)
	}
	if len(f.RevokedReleases) > MaxFiles || len(f.RevokedKeys) > MaxFiles {
		return nil, r.fail("revoked_releases, revoked_keys", "expected at most %d, got more", MaxFiles)
	}
	for i, text := range f.RevokedKeys {
		fingerprint, err := parseFingerprint(text)
		if err != nil {
			return nil, r.fail(fmt.Sprintf("revoked_keys[%d]", i), "%v", err)
		}
		p.RevokedKeys = append(p.RevokedKeys, fingerprint)
	}
	var err error
	if p.Builders, err = r.role("builders", f.Builders); err != nil {
		return nil, err
	}
	if f.Rebuilders != nil {
		if p.Rebuilders, err = r.role("rebuilders", *f.Rebuilders); err != nil {
			return nil, err
		}
	}
	least, most := p.Builders.Threshold+p.Rebuilders.Threshold, len(p.Builders.Identities)+len(p.Rebuilders.Identities)
	if f.Threshold < least || f.Threshold > most {
		return nil, r.fail("threshold", "expected %d, the sum of the roles' thresholds, to %d, the number of identities, got %d", least, most, f.Threshold)
	}
	if p.Layout, err = r.layout(f.Layout, p.identities()); err != nil {
		return nil, err
	}
	if err := r.logs(f.Logs, p); err != nil {
		return nil, err
	}
	if err := r.trustRoot(f.TrustRoot, p); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Policy) identities() []provenance.Identity {
	return slices.Concat(p.Builders.Identities, p.Rebuilders.Identities)
}

func parseFingerprint(text string) (f provenance.Fingerprint, _ error) {
	decoded, err := hex.DecodeString(text)
	if err != nil || len(decoded) != len(f) || strings.ToLower(text) != text {
		return f, fmt.Errorf("expected the fingerprint of a key, %d lower-case hexadecimal digits, got %.80q", 2*len(f), text)
	}
	copy(f[:], decoded)
	return f, nil
}

func (r *policyReader) role(member string, f roleFile) (Role, error) {
	if n := len(f.Identities); n == 0 || n > maxKeys {
		return Role{}, r.fail(member+".identities", "expected 1 to %d, got %d", maxKeys, n)
	}
	if f.Threshold < 1 || f.Threshold > len(f.Identities) {
		return Role{}, r.fail(member+".threshold", "expected 1 to %d, the number of identities, got %d", len(f.Identities), f.Threshold)
	}
	role := Role{Threshold: f.Threshold}
	for i, identity := range f.Identities {
		got, err := r.identity(fmt.Sprintf("%s.identities[%d]", member, i), identity)
		if err != nil {
			return Role{}, err
		}
		role.Identities = append(role.Identities, got)
	}
	return role, nil
}

func (r *policyReader) identity(member string, f identityFile) (provenance.Identity, error) {
	identity := provenance.Identity{Name: f.Name}
	if f.Name == "" || len(f.Name) > 200 || strings.ContainsFunc(f.Name, func(c rune) bool { return c < ' ' || c > '~' }) {
		return identity, r.fail(member+".name", "expected 1 to 200 printable characters, got %.200q", f.Name)
	}
	if r.names[f.Name] {
		return identity, r.fail(member+".name", "expected each identity once, in one role, got %q again", f.Name)
	}
	r.names[f.Name] = true
	if n := len(f.Keys) + len(f.Certificates); n == 0 || n > maxKeys {
		return identity, r.fail(member, "expected 1 to %d keys and certificates, got %d", maxKeys, n)
	}
	for i, k := range f.Keys {
		at := fmt.Sprintf("%s.keys[%d]", member, i)
		valid, err := r.key(at, k)
		if err != nil {
			return identity, err
		}
		if other, twice := r.keys[valid.Key.Fingerprint()]; twice {
			return identity, r.fail(at, "expected each key once, got %s again, which %q has", valid.Key.Fingerprint(), other)
		}
		r.keys[valid.Key.Fingerprint()] = f.Name
		identity.Keys = append(identity.Keys, valid)
	}
	for i, c := range f.Certificates {
		at := fmt.Sprintf("%s.certificates[%d]", member, i)
		certificate := provenance.CertificateIdentity{Issuer: c.Issuer, Subject: c.Subject}
		if c.Issuer == "" || c.Subject == "" {
			return identity, r.fail(at, "expected issuer and subject, got %.80q and %.80q", c.Issuer, c.Subject)
		}
		if other, twice := r.certificates[certificate]; twice {
			return identity, r.fail(at, "expected each certificate once, got %s again, which %q has", certificate, other)
		}
		r.certificates[certificate] = f.Name
		identity.Certificates = append(identity.Certificates, certificate)
	}
	return identity, nil
}

func (r *policyReader) key(member string, f keyFile) (provenance.ValidKey, error) {
	var k provenance.ValidKey
	text, file := []byte(f.PEM), r.file
	switch {
	case (f.File == "") == (f.PEM == ""):
		return k, r.fail(member, "expected either file or pem, got both or none")
	case f.File != "":
		var err error
		if text, file, err = r.named(member+".file", f.File); err != nil {
			return k, err
		}
	}
	key, err := provenance.ParseKey(text)
	if err != nil {
		return k, &PolicyError{file, member, err.Error()}
	}
	k.Key = key
	if f.NotBefore != nil {
		k.NotBefore = *f.NotBefore
	}
	if f.NotAfter != nil {
		k.NotAfter = *f.NotAfter
		if !k.NotBefore.Before(k.NotAfter) {
			return k, r.fail(member+".not_after", "expected a time after not_before, got %s", k.NotAfter.Format(time.RFC3339))
		}
	}
	return k, nil
}

// named reads a file that the policy names, and returns how to call it.
func (r *policyReader) named(member, name string) (data []byte, file string, err error) {
	if name == "" || strings.ContainsRune(name, 0) || filepath.IsAbs(name) {
		return nil, "", r.fail(member, "expected the path of a file, relative to the policy, got %.200q", name)
	}
	if data, err = r.read(name); err != nil {
		return nil, "", fmt.Errorf("%s: %s: %w", r.file, member, err)
	}
	if len(data) > MaxPolicy {
		return nil, "", r.fail(member, "expected a file of at most %d bytes, got more", MaxPolicy)
	}
	return data, name, nil
}

func (r *policyReader) layout(f *layoutFile, identities []provenance.Identity) (*Layout, error) {
	if f == nil {
		for _, identity := range identities {
			if len(identity.Keys) > 0 {
				return nil, r.fail("layout", "expected one, since %q signs with keys; only where everybody signs with certificates there is none", identity.Name)
			}
		}
		return nil, nil
	}
	if n := len(f.Owners); n == 0 || n > maxKeys {
		return nil, r.fail("layout.owners", "expected 1 to %d keys, got %d", maxKeys, n)
	}
	if f.Threshold < 1 || f.Threshold > len(f.Owners) {
		return nil, r.fail("layout.threshold", "expected 1 to %d, the number of owners, got %d", len(f.Owners), f.Threshold)
	}
	l := &Layout{Owners: layout.Owners{Threshold: f.Threshold}}
	for i, owner := range f.Owners {
		at := fmt.Sprintf("layout.owners[%d]", i)
		if owner.NotBefore != nil || owner.NotAfter != nil {
			return nil, r.fail(at, "expected a key without times, since the layout has one, got %s", "not_before or not_after")
		}
		k, err := r.key(at, owner)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(l.Owners.Keys, func(other provenance.Key) bool { return other.Fingerprint() == k.Key.Fingerprint() }) {
			return nil, r.fail(at, "expected each key once, got %s again", k.Key.Fingerprint())
		}
		l.Owners.Keys = append(l.Owners.Keys, k.Key)
	}
	var err error
	if l.Envelope, l.File, err = r.named("layout.file", f.File); r.unsigned && errors.Is(err, fs.ErrNotExist) {
		l.Envelope, l.File, err = nil, f.File, nil
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (r *policyReader) logs(f *logsFile, p *Policy) error {
	if f == nil {
		return nil
	}
	if n := len(f.Logs); n == 0 || n > maxKeys {
		return r.fail("logs.logs", "expected 1 to %d, got %d", maxKeys, n)
	}
	if f.Required < 1 || f.Required > len(f.Logs) {
		return r.fail("logs.required", "expected 1 to %d, the number of logs, got %d", len(f.Logs), f.Required)
	}
	origins, keys := make(map[string]bool), make(map[string]bool)
	for i, log := range f.Logs {
		at := fmt.Sprintf("logs.logs[%d]", i)
		if err := log.Check(); err != nil {
			return r.fail(at, "%v", err)
		}
		// A key is called as its log: what stands behind the last plus sign is the key itself (c2sp.org/signed-note).
		public := log.Key[strings.LastIndexByte(log.Key, '+')+1:]
		if origins[log.Origin] || keys[public] {
			return r.fail(at, "expected each log and each key once, got %s again", log.Key)
		}
		origins[log.Origin], keys[public] = true, true
	}
	p.Logs, p.RequiredLogs = f.Logs, f.Required
	return nil
}

func (r *policyReader) trustRoot(file string, p *Policy) error {
	if (file != "") != (len(r.certificates) > 0) {
		return r.fail("trust_root", "expected a file if anybody signs with certificates, and none otherwise, got %.200q", file)
	}
	if file == "" {
		return nil
	}
	data, name, err := r.named("trust_root", file)
	if err != nil {
		return err
	}
	if p.TrustRoot, err = provenance.ParseTrustRoot(data); err != nil {
		return &PolicyError{name, "", err.Error()}
	}
	return nil
}
