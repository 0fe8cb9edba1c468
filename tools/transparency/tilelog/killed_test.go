package tilelog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// childVariable names the folder for which this program is a writer, and not a test.
const childVariable = "TILELOG_TEST_CHILD"

func TestMain(m *testing.M) {
	root := os.Getenv(childVariable)
	if root == "" {
		os.Exit(m.Run())
	}
	entry := os.Args[1]
	index, err := placeIn(root).vouch(context.Background(), entry, proofFile(root, entry))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(index)
	os.Exit(0)
}

func proofFile(root, entry string) string {
	return filepath.Join(root, strings.ReplaceAll(entry, " ", "-")+".tlog-proof")
}

// child is a process that puts an entry into the log.
func (p place) child(t testing.TB, entry string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	cmd := exec.Command(self, entry)
	cmd.Env = append(os.Environ(), childVariable+"="+p.root)
	cmd.Stderr = os.Stderr
	return cmd
}

// run runs a child and kills it after some time. It reports whether it was killed before it ended.
func run(t testing.TB, cmd *exec.Cmd, after time.Duration) (killed bool) {
	t.Helper()
	check(t, cmd.Start())
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	timer.Stop()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
			t.Fatalf("the writer ended with %v", err)
		}
		return true
	}
	check(t, err)
	return false
}

// TestKilled kills writers at random points. Whoever read the log meanwhile sees it grow and nothing else, the next writer finishes, and
// each entry is in the log once.
func TestKilled(t *testing.T) {
	const kills, most = 24, 200
	p := newPlace(t)
	// How long one takes that is left alone.
	began := time.Now()
	if run(t, p.child(t, entryName(0)), time.Hour) {
		t.Fatal("nobody killed it")
	}
	whole := time.Since(began)
	killed, entries := 0, 1
	for range most {
		if killed == kills {
			break
		}
		if run(t, p.child(t, entryName(entries)), rand.N(whole+whole/8)) {
			killed++
			// Some are tried again, others left as they are for the next, who adds another.
			p.follow(t)
			if rand.N(2) == 0 {
				continue
			}
		}
		entries++
	}
	if killed < kills {
		t.Fatalf("%d of %d writers were killed, want %d", killed, most, kills)
	}
	var want []string
	for i := range entries + 1 {
		want = append(want, entryName(i))
		if run(t, p.child(t, entryName(i)), time.Hour) {
			t.Fatal("nobody killed it")
		}
	}
	got := p.follow(t)
	if sorted(got) != sorted(want) {
		t.Errorf("the log has %v, want %v in any order", got, want)
	}
	p.tidy(t)
	for i := range entries + 1 {
		data, err := os.ReadFile(proofFile(p.root, entryName(i)))
		check(t, err)
		proof, err := transparency.ParseProof(data)
		check(t, err)
		if verified, err := transparency.Verify(proof, []byte(entryName(i)), policy()); err != nil || got[verified.Index] != entryName(i) {
			t.Errorf("the proof of %s: %v", entryName(i), err)
		}
	}
	t.Logf("%d writers were killed, %d entries", killed, len(got))
}

// TestKilledWhileMaking kills those who make a log.
func TestKilledWhileMaking(t *testing.T) {
	whole := 50 * time.Millisecond
	for killed, tries := 0, 0; killed < 10; tries++ {
		if tries == 100 {
			t.Fatalf("%d of %d writers were killed, want 10", killed, tries)
		}
		p := newPlace(t)
		if run(t, p.child(t, entryName(0)), rand.N(whole)) {
			killed++
		} else {
			whole /= 2
		}
		if run(t, p.child(t, entryName(1)), time.Hour) {
			t.Fatal("nobody killed it")
		}
		if got := p.follow(t); len(got) == 0 || got[len(got)-1] != entryName(1) {
			t.Errorf("the log has %v", got)
		}
		p.tidy(t)
	}
}

// Writers at the same time wait for each other; one entry of two is added once.
func TestWritersAtOnce(t *testing.T) {
	p := newPlace(t)
	var wait sync.WaitGroup
	for i := range 6 {
		wait.Go(func() {
			if i%2 == 0 {
				if run(t, p.child(t, entryName(i/2)), time.Hour) {
					t.Error("nobody killed it")
				}
				return
			}
			if _, err := p.vouch(t.Context(), entryName(i/2), filepath.Join(t.TempDir(), "one.tlog-proof")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got, want := sorted(p.follow(t)), "entry 00, entry 01, entry 02"; got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
	p.tidy(t)
}
