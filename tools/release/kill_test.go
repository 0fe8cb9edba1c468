package release_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/logdir"
	"github.com/boardroom-tee/boardroom/tools/transparency/tilelog"
)

// kills is how many runs of each command are killed.
const kills = 20

// The environment of a test binary that stands in for a command.
const (
	runVariable  = "RELEASE_TEST_RUN"
	workVariable = "RELEASE_TEST_WORK"
	// sourceVariable names the checkout for "create".
	sourceVariable = "RELEASE_TEST_SOURCE"
)

// init makes this binary the command that is killed.
func init() {
	run, found := map[string]func(ctx context.Context, work string) error{"create": runCreate, "assemble": runAssemble, "sign": runSign}[os.Getenv(runVariable)]
	if !found {
		return
	}
	if err := run(context.Background(), os.Getenv(workVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func command(t *testing.T, run, work string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), runVariable+"="+run, workVariable+"="+work)
	return cmd
}

// killed starts a command and kills it after a part of the time that a whole run takes, unless it is done before. It tells which.
func killed(t *testing.T, cmd *exec.Cmd, after time.Duration) bool {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may be done
	defer timer.Stop()
	var exit *exec.ExitError
	err := cmd.Wait()
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 0) {
		t.Fatalf("it failed before it was killed: %v", err)
	}
	return err != nil
}

// finish runs a command to its end and returns how long that took.
func finish(t *testing.T, cmd *exec.Cmd) time.Duration {
	t.Helper()
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the run after one that was killed: %v\n%s", err, out)
	}
	return time.Since(start)
}

// interrupt calls try with random times within a run until enough runs were killed before their end.
func interrupt(t *testing.T, whole time.Duration, try func(after time.Duration) bool) {
	t.Helper()
	for tries, interrupted := 0, 0; interrupted < kills; tries++ {
		if tries == 20*kills {
			t.Fatalf("only %d of %d runs of %s could be killed before their end", interrupted, tries, whole)
		}
		if try(mathrand.N(whole)) {
			interrupted++
		}
	}
}

func runAssemble(ctx context.Context, work string) error {
	parts, err := killParts(work)
	if err != nil {
		return err
	}
	return release.Assemble(ctx, *parts, filepath.Join(work, "release"))
}

// killParts are without a guest image, the making of which would take most of the time.
func killParts(work string) (*release.Parts, error) {
	return releasetest.Parts(work, releasetest.Options{NoGuests: true})
}

func runCreate(ctx context.Context, work string) error {
	d, err := release.Create(ctx, release.CreateOptions{
		Source: os.Getenv(sourceVariable), Name: "board", Version: "1.2.3", Repository: "registry.example/board",
		Compiler: func(_ context.Context, tree string) (release.Compiler, error) { return compiler(tree), nil },
	}, filepath.Join(work, "release"))
	if err != nil {
		return err
	}
	return d.Close()
}

// TestKilledAssemble kills runs: afterwards there is no release or all of it, and the next run finishes it.
func TestKilledAssemble(t *testing.T) {
	t.Parallel()
	killRuns(t, "assemble")
}

// TestKilledCreate does the same from a checkout on.
func TestKilledCreate(t *testing.T) {
	c := newCheckout(t)
	t.Setenv(sourceVariable, c.dir)
	killRuns(t, "create")
}

func killRuns(t *testing.T, run string) {
	t.Helper()
	reference := t.TempDir()
	whole := finish(t, command(t, run, reference))
	want := contents(t, filepath.Join(reference, "release"))
	work := t.TempDir()
	to := filepath.Join(work, "release")
	interrupt(t, whole, func(after time.Duration) bool {
		interrupted := killed(t, command(t, run, work), after)
		if _, err := os.Stat(to); err == nil {
			if names := differences(want, contents(t, to)); len(names) > 0 {
				t.Fatalf("killed after %s, %v are not what they have to be", after, names)
			}
		}
		finish(t, command(t, run, work))
		if names := differences(want, contents(t, to)); len(names) > 0 {
			t.Fatalf("killed after %s and run again, %v are not what they have to be", after, names)
		}
		if got := names(t, work); len(got) != 1 {
			t.Fatalf("killed after %s and run again, %v is there", after, got)
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		return interrupted
	})
}

// plainSigner signs with a key from a file that nobody encrypted: deriving one from a password would take most of a run.
type plainSigner struct{ key *ecdsa.PrivateKey }

func readSigner(name string) (*plainSigner, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(data)
	return &plainSigner{key}, err
}

func (s *plainSigner) Key() provenance.Key {
	key, err := provenance.NewKey(s.key.Public())
	if err != nil {
		panic(err) // it is of the one kind that there is
	}
	return key
}

func (s *plainSigner) Sign(_ context.Context, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, s.key, digest[:])
}

func (s *plainSigner) Certificate() *x509.Certificate { return nil }

func (s *plainSigner) SignStatement(ctx context.Context, statement provenance.Statement) (provenance.Bundle, error) {
	return provenance.SignStatement(ctx, s, statement)
}

// logSigner is the key of the log, which is no secret here.
func logSigner() (*transparency.Signer, error) {
	return transparency.NewLogSigner("example.test/log", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
}

func runSign(ctx context.Context, work string) error {
	signer, err := readSigner(filepath.Join(work, "key"))
	if err != nil {
		return err
	}
	key, err := logSigner()
	if err != nil {
		return err
	}
	log, err := tilelog.Create(ctx, filepath.Join(work, "log"), key, filepath.Join(work, "signed.json"))
	if err != nil {
		return err
	}
	defer log.Close()
	_, err = release.Sign(ctx, filepath.Join(work, "release"), release.SignOptions{Signer: signer, Step: release.BuildStep, Log: log})
	return err
}

// TestKilledSign kills runs: every file in the release is whole at any time, the next run finishes, and the log takes each release once and
// never forks.
func TestKilledSign(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "key"), der, 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := logSigner()
	if err != nil {
		t.Fatal(err)
	}
	policy := transparency.Policy{Origin: signer.Name(), Key: signer.Key()}
	dir := filepath.Join(work, "release")
	fresh := func() {
		unsigned := releasetest.New(t, releasetest.Options{NoGuests: true})
		if err := errors.Join(os.RemoveAll(dir), os.Rename(unsigned.Dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	fresh()
	whole := finish(t, command(t, "sign", work))
	want := vouchers(t, dir)
	memory := new(transparency.Memory)
	size := uint64(1)
	interrupt(t, whole, func(after time.Duration) bool {
		fresh()
		interrupted := killed(t, command(t, "sign", work), after)
		vouchers(t, dir)
		finish(t, command(t, "sign", work))
		got := vouchers(t, dir)
		size++
		if size == 2 {
			want = append(want, "log/"+transparency.ConsistencyFile(transparency.ProofFile(signer.Name())))
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("killed after %s and run again, got %v, want %v", after, got, want)
		}
		if _, err := os.Stat(filepath.Join(work, ".release.partial")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("killed after %s and run again, something is left: %v", after, err)
		}
		reader, err := logdir.Open(filepath.Join(work, "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		tree, _, err := transparency.Follow(t.Context(), memory, policy, reader)
		if err != nil {
			t.Fatalf("killed after %s and run again: %v", after, err)
		}
		if got := tree.Head().Size; got != size {
			t.Fatalf("killed after %s and run again, the log has %d entries, want %d", after, got, size)
		}
		checkProof(t, dir, policy)
		return interrupted
	})
}

// vouchers are the files that vouch for a release, which is sound.
func vouchers(t *testing.T, dir string) []string {
	t.Helper()
	d, err := release.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var names []string
	for name, data := range d.Bundles {
		if _, err := provenance.ParseBundle(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		names = append(names, "bundles/"+name)
	}
	for name, data := range d.Links {
		if _, err := provenance.ParseEnvelope(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		names = append(names, "links/"+name)
	}
	for name, data := range d.Proofs {
		var err error
		if strings.HasSuffix(name, release.ProofSuffix) {
			_, err = transparency.ParseProof(data)
		} else {
			_, err = transparency.ParseConsistency(data)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		names = append(names, "log/"+name)
	}
	slices.Sort(names)
	return names
}

// checkProof verifies the proof of a log in a release, which has an entry with all signatures about it.
func checkProof(t *testing.T, dir string, policy transparency.Policy) {
	t.Helper()
	d, err := release.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	proof, err := transparency.ParseProof(d.Proofs[transparency.ProofFile(policy.Origin)])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transparency.Verify(proof, proof.Entry, policy); err != nil {
		t.Fatal(err)
	}
	entry, err := transparency.ParseEntry(proof.Entry)
	if err != nil {
		t.Fatal(err)
	}
	found, err := d.BundlesAbout("")
	if err != nil {
		t.Fatal(err)
	}
	logged, err := entry.MatchBundles(d.Release.Name, d.Release.Version, d.Digest, slices.Collect(maps.Values(found))...)
	if err != nil {
		t.Fatal(err)
	}
	if len(logged) != len(found) || len(found) == 0 {
		t.Fatalf("the entry has signatures of %d bundles, the release has %d", len(logged), len(found))
	}
}
