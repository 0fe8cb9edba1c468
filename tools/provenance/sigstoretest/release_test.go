//go:build acceptance

package sigstoretest_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/sigstoretest"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
)

const (
	workflow  = "org/repo/.github/workflows/release.yml@refs/heads/main"
	rebuilder = "rebuilder@example.com"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// boardroom is the program, as whoever uses it has it.
type boardroom struct{ program, dir string }

func newBoardroom(t *testing.T) boardroom {
	t.Helper()
	b := boardroom{dir: t.TempDir()}
	b.program = filepath.Join(b.dir, "boardroom")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", b.program, "github.com/boardroom-tee/boardroom/tools/cmd/boardroom")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return b
}

// run returns what the program says, and its exit code.
func (b boardroom) run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.program, args...)
	cmd.Dir = b.dir
	cmd.Env = []string{"HOME=" + b.dir, "PATH=/nowhere"}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (b boardroom) want(t *testing.T, code int, said string, args ...string) {
	t.Helper()
	if out, got := b.run(t, args...); got != code || !strings.Contains(out, said) {
		t.Errorf("boardroom %s: exit code %d, want %d and %q\n%s", strings.Join(args, " "), got, code, said, out)
	}
}

// A pipeline that has no key builds a release and signs it, a person with no key vouches for having built it again, and who has our trust root
// verifies it offline, a year later. cosign verifies the same bundles.
func TestReleaseWithoutKeys(t *testing.T) {
	s := sigstoretest.Start(t)
	text, err := s.Root.Encode()
	check(t, err)
	b := newBoardroom(t)
	write := func(name string, data []byte) string {
		path := filepath.Join(b.dir, name)
		check(t, os.WriteFile(path, data, 0o600))
		return path
	}
	write("root.json", text)
	// Nobody in this one is the one who signed.
	elsewhere := s.Root
	elsewhere.TimestampAuthorities = nil
	other, err := elsewhere.Encode()
	check(t, err)
	write("other.json", other)
	policy := func(name, root, subject string) string {
		role := func(who, issuer, subject string) map[string]any {
			return map[string]any{"threshold": 1, "identities": []any{map[string]any{"name": who, "certificates": []any{map[string]any{"issuer": issuer, "subject": subject}}}}}
		}
		data, err := json.Marshal(map[string]any{
			"schema": "https://boardroom-tee.github.io/release-policy/v1", "name": releasetest.Name, "source": releasetest.Source.Repository,
			"builders": role("pipeline", s.Pipeline.URL, "https://ci.example.com/"+workflow), "rebuilders": role("person", s.Issuer.URL, subject), "threshold": 2,
			"trust_root": root, "development_guests": false, "revoked_releases": []any{}, "revoked_keys": []any{},
		})
		check(t, err)
		return write(name, data)
	}

	dir := releasetest.New(t).Dir
	sign := []string{"release", "sign", dir, "--fulcio", s.Fulcio, "--timestamp", s.Timestamp, "--rekor", s.Rekor, "--identity-token-file"}
	b.want(t, 0, "", append(sign, write("pipeline.token", []byte(s.Pipeline.WorkflowToken(t, workflow))), "--step", "build")...)
	verify := func(policy string) []string {
		return []string{"release", "verify", dir, "--policy", policy, "--at", time.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339), "--no-memory"}
	}
	good := policy("policy.json", "root.json", rebuilder)
	b.want(t, 1, "", verify(good)...)
	b.want(t, 0, "", append(sign, write("person.token", []byte(s.Issuer.EmailToken(t, rebuilder))))...)
	b.want(t, 0, "", verify(good)...)
	b.want(t, 1, "", verify(policy("stranger.json", "root.json", "somebody@example.com"))...)
	b.want(t, 1, "certificate", verify(policy("undated.json", "other.json", rebuilder))...)

	bundles, err := filepath.Glob(filepath.Join(dir, "bundles", "release-*.sigstore.json"))
	check(t, err)
	c := sigstoretest.NewCosign(t, "forky")
	c.Write(t, "root.json", text)
	manifest, err := os.ReadFile(filepath.Join(dir, "release.json"))
	check(t, err)
	c.Write(t, "release.json", manifest)
	verified := 0
	for _, file := range bundles {
		data, err := os.ReadFile(file)
		check(t, err)
		parsed, err := provenance.ParseBundle(data)
		check(t, err)
		if !slices.Contains(parsed.Certificate.EmailAddresses, rebuilder) {
			continue
		}
		verified++
		signed, err := provenance.ParseStatement(parsed.Envelope.Payload)
		check(t, err)
		c.Write(t, "bundle.json", data)
		c.Accepts(t, "verify-blob-attestation", "--bundle", "bundle.json", "--type", signed.PredicateType, "--trusted-root", "root.json", "--use-signed-timestamps",
			"--certificate-identity", rebuilder, "--certificate-oidc-issuer", s.Issuer.URL, "release.json")
	}
	if verified == 0 {
		t.Errorf("no bundle about the release by %s among %q", rebuilder, bundles)
	}
}
