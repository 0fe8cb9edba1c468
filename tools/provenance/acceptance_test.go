//go:build acceptance

package provenance_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
	"github.com/boardroom-tee/boardroom/tools/deb/mirror"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
)

// cosign is the program of a Debian package, run in an empty folder with no network that it needs.
type cosign struct {
	program, dir string
}

// newCosign downloads the package of trixie, and nothing that it depends on but libc.
func newCosign(t *testing.T) cosign {
	t.Helper()
	cache, err := os.UserCacheDir()
	check(t, err)
	c := &mirror.Client{Mirror: debtest.Mirror(t), Cache: filepath.Join(cache, "boardroom-test", "deb")}
	set, err := deb.ParseSet([]byte(`{"suites": [{"archive": "debian", "name": "trixie"}], "include": ["cosign"], "files": {}}`))
	check(t, err)
	ring, err := os.ReadFile("/usr/share/keyrings/debian-archive-keyring.gpg")
	check(t, err)
	keys, err := deb.ReadKeyring(ring)
	check(t, err)
	// Whether the mirror is behind is not what is tested.
	lock, err := c.Lock(t.Context(), set, mirror.LockOptions{Keyring: keys, Now: time.Now(), AcceptExpired: true})
	check(t, err)
	lock.Packages = slices.DeleteFunc(lock.Packages, func(p deb.LockedPackage) bool { return p.Name != "cosign" })
	for _, p := range lock.Packages {
		t.Logf("cosign %s", p.Version)
	}
	_, err = c.Fetch(t.Context(), lock)
	check(t, err)
	tree, err := deb.Unpack(t.Context(), lock, c.File, deb.Options{})
	check(t, err)
	defer tree.Close()
	entry, found := tree.Find("usr/bin/cosign")
	if !found {
		t.Fatal("the package has no usr/bin/cosign")
	}
	data, err := io.ReadAll(tree.Open(entry))
	check(t, err)
	dir := t.TempDir()
	program := filepath.Join(dir, "cosign")
	check(t, os.WriteFile(program, data, 0o755))
	made := cosign{program, dir}
	// Without a trust root it asks for the public one; with an empty one it needs none.
	made.write(t, "root.json", []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`))
	return made
}

func (c cosign) write(t *testing.T, name string, data []byte) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(c.dir, name), data, 0o600))
}

func (c cosign) read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	check(t, err)
	return data
}

func (c cosign) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.program, args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"HOME=" + c.dir, "COSIGN_PASSWORD=secret", "PATH=/nowhere"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c cosign) accepts(t *testing.T, args ...string) {
	t.Helper()
	if out, err := c.run(t, args...); err != nil || !strings.Contains(out, "Verified OK") {
		t.Errorf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (c cosign) refuses(t *testing.T, args ...string) {
	t.Helper()
	if out, err := c.run(t, args...); err == nil || strings.Contains(out, "Verified OK") {
		t.Errorf("cosign %s is content:\n%s", strings.Join(args, " "), out)
	}
}

func (c cosign) must(t *testing.T, args ...string) {
	t.Helper()
	if out, err := c.run(t, args...); err != nil {
		t.Fatalf("cosign %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func blobArguments(bundle, key, file string) []string {
	return []string{"verify-blob", "--bundle", bundle, "--new-bundle-format", "--key", key, "--insecure-ignore-tlog", "--trusted-root", "root.json", file}
}

func statementArguments(bundle, key, predicateType, file string) []string {
	return []string{"verify-blob-attestation", "--bundle", bundle, "--new-bundle-format", "--key", key, "--type", predicateType, "--insecure-ignore-tlog", "--trusted-root", "root.json", file}
}

// What we sign with a key of ours, stock cosign verifies; what is altered, it refuses as we do.
func TestCosignVerifiesWhatWeSign(t *testing.T) {
	c := newCosign(t)
	ours, err := keyfile.Generate()
	check(t, err)
	sealed, err := ours.Seal([]byte("secret"))
	check(t, err)
	c.write(t, "board.key", sealed)
	c.write(t, "board.pub", ours.Key().PEM())
	c.write(t, "other.pub", signer(t, 2).Key().PEM())
	c.write(t, "artifact", artifact)
	c.write(t, "other", otherArtifact)

	blob, err := provenance.SignBlob(t.Context(), ours, artifact)
	check(t, err)
	c.write(t, "blob.json", encoded(t, blob))
	c.accepts(t, blobArguments("blob.json", "board.pub", "artifact")...)
	c.refuses(t, blobArguments("blob.json", "board.pub", "other")...)
	c.refuses(t, blobArguments("blob.json", "other.pub", "artifact")...)

	build, err := provenance.BuildStatement([]provenance.Subject{{Name: "finance-agent", Digest: provenance.DigestOf(artifact).Set()}}, buildProvenance(t))
	check(t, err)
	for predicateType, s := range map[string]provenance.Statement{testType: statement(t, testType, artifact), provenance.BuildProvenanceType: build} {
		b, err := provenance.SignStatement(t.Context(), ours, s)
		check(t, err)
		c.write(t, "statement.json", encoded(t, b))
		c.accepts(t, statementArguments("statement.json", "board.pub", predicateType, "artifact")...)
		// With a bundle, this version does not look at --type at all, so that there is nothing to compare: the claim of any kind does.
		c.accepts(t, statementArguments("statement.json", "board.pub", otherType, "artifact")...)
		p := provenance.Policy{
			Identities: []provenance.Identity{{Name: "board", Keys: []provenance.ValidKey{{Key: ours.Key()}}}}, Threshold: 1, At: now, PredicateTypes: []string{otherType},
		}
		if _, err := provenance.VerifyStatement([][]byte{encoded(t, b)}, provenance.DigestOf(artifact), p, provenance.TrustRoot{}); err == nil {
			t.Errorf("a statement of type %s was accepted as one of %s", predicateType, otherType)
		}
		c.refuses(t, statementArguments("statement.json", "board.pub", predicateType, "other")...)
		c.refuses(t, statementArguments("statement.json", "other.pub", predicateType, "artifact")...)
		b.Envelope.Payload = []byte(strings.Replace(string(b.Envelope.Payload), `"predicate":{`, `"predicate": {`, 1))
		c.write(t, "altered.json", encoded(t, b))
		c.refuses(t, statementArguments("altered.json", "board.pub", predicateType, "artifact")...)
	}

	// It signs with our key file, too.
	c.must(t, "sign-blob", "--key", "board.key", "--bundle", "theirs.json", "--new-bundle-format", "--tlog-upload=false", "--yes", "artifact")
	p := provenance.Policy{Identities: []provenance.Identity{{Name: "board", Keys: []provenance.ValidKey{{Key: ours.Key()}}}}, Threshold: 1, At: now}
	if _, err := provenance.VerifyBlob([][]byte{c.read(t, "theirs.json")}, provenance.DigestOf(artifact), p, provenance.TrustRoot{}); err != nil {
		t.Error(err)
	}
}

// What stock cosign signs with a key of its own, we verify; and its key file we read.
func TestWeVerifyWhatCosignSigns(t *testing.T) {
	c := newCosign(t)
	c.write(t, "artifact", artifact)
	c.must(t, "generate-key-pair")
	key, err := provenance.ParseKey(c.read(t, "cosign.pub"))
	check(t, err)
	opened, err := keyfile.Open(c.read(t, "cosign.key"), []byte("secret"))
	if err != nil || opened.Key().Fingerprint() != key.Fingerprint() {
		t.Errorf("cosign's key is %s, read as %v: %v", key.Fingerprint(), opened, err)
	}
	p := provenance.Policy{
		Identities: []provenance.Identity{{Name: "cosign", Keys: []provenance.ValidKey{{Key: key}}}}, Threshold: 1, At: now,
		PredicateTypes: []string{testType}, OlderStatements: true,
	}
	c.must(t, "sign-blob", "--key", "cosign.key", "--bundle", "blob.json", "--new-bundle-format", "--tlog-upload=false", "--yes", "artifact")
	if _, err := provenance.VerifyBlob([][]byte{c.read(t, "blob.json")}, provenance.DigestOf(artifact), p, provenance.TrustRoot{}); err != nil {
		t.Error(err)
	}
	predicate, err := json.Marshal(claim{true, "notes"})
	check(t, err)
	c.write(t, "predicate.json", predicate)
	c.must(t, "attest-blob", "--key", "cosign.key", "--bundle", "attestation.json", "--new-bundle-format", "--tlog-upload=false", "--yes",
		"--predicate", "predicate.json", "--type", testType, "artifact")
	verified, err := provenance.VerifyStatement([][]byte{c.read(t, "attestation.json")}, provenance.DigestOf(artifact), p, provenance.TrustRoot{})
	check(t, err)
	var said claim
	if err := verified.Statement.DecodePredicate(testType, &said); err != nil || said != (claim{true, "notes"}) {
		t.Errorf("cosign said %+v: %v", said, err)
	}
}
