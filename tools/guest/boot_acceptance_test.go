//go:build acceptance

package guest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBootInQEMU boots the development image on unmodified firmware until the finance agent's image, pulled from a registry, answers. The
// quote that the agent gets for a nonce of ours is accepted under the simulated root, with the registers that were predicted from the same
// files before anything ran.
func TestBootInQEMU(t *testing.T) {
	s := site(t)
	m := s.start(t, s.compose, "")
	m.await(t)
	// How long it took is for the record; what is promised about it depends on the machine.
	begun, err := os.Stat(m.vmConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the agent answered /health %.1f s after QEMU was started", time.Since(begun.ModTime()).Seconds())
	t.Logf("console:\n%s", m.output(t))
	emulated := strings.Contains(read(t, m.progress), "KVM false")
	if emulated != strings.Contains(m.output(t), " the processor is emulated: ") {
		t.Errorf("emulated: %t, and the guest does not know", emulated)
	}

	// The call that the run itself names predicts the same as ours. It is not there where the processor is real.
	if said := regexp.MustCompile(`predicted by: boardroom (measure .*)`).FindStringSubmatch(read(t, m.progress)); said != nil {
		if got := s.succeeds(t, append(strings.Fields(said[1]), "--explain", "--output", "json")...); got != read(t, s.prediction(t)) {
			t.Errorf("%s: not what was predicted:\n%s", said[1], got)
		}
	} else if emulated {
		t.Errorf("no call that predicts the registers:\n%s", read(t, m.progress))
	}

	evidence := m.collect(t)
	expected := s.expect(t, s.compose, m.vmConfig)
	s.succeeds(t, "measure", "diff", s.prediction(t), evidence)
	accepted := s.succeeds(t, s.verify(t, evidence, "--nonce", nonce, "--expect", expected)...)
	if !strings.Contains(accepted, "ACCEPTED (SIMULATED)") {
		t.Errorf("the verdict does not say that it is simulated:\n%s", accepted)
	}
	// The same from the quote and its log apart from each other.
	var document struct {
		Quote    string          `json:"quote"`
		EventLog json.RawMessage `json:"event_log"`
	}
	readJSON(t, evidence, &document)
	quote, log := filepath.Join(t.TempDir(), "quote.hex"), filepath.Join(t.TempDir(), "log.json")
	writeFile(t, quote, []byte(document.Quote))
	writeFile(t, log, eventLog(t, document.EventLog))
	s.succeeds(t, s.verify(t, quote, "--event-log", log, "--expect", expected)...)
	if code, _, _ := s.try(t, s.verify(t, evidence, "--nonce", strings.Repeat("a5", 32), "--expect", expected)...); code != 1 {
		t.Errorf("with another nonce: exit code %d, want 1", code)
	}
	if code, _, _ := s.try(t, "quote", "verify", evidence, "--nonce", nonce, "--collateral", s.collateral(t), "--cache", t.TempDir()); code != 1 {
		t.Errorf("under Intel's root: exit code %d, want 1", code)
	}

	for address, want := range map[string]string{
		"/": "finance-agent", "/metrics": "dstack_guest_cpus 2", "/logs/finance-agent?text&bare": "finance", "/logs/finance-agent?text&tail=all": `"channel":"std`,
		"/prpc/Worker.Version": `"0.5.11"`, "/prpc/Worker.Info": s.hash(t, s.compose)[:40],
	} {
		if body := fetch(t, m.public+address); !strings.Contains(body, want) {
			t.Errorf("%s: %.600s, want %q in it", address, body, want)
		}
	}

	if err := m.command.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := m.wait(); code != 0 {
		t.Errorf("an interrupt ended it with exit code %d, want 0", code)
	}
	if !strings.Contains(m.output(t), "boardroom-guest: ") || !strings.Contains(m.output(t), " stopping\n") {
		t.Errorf("the guest did not stop by itself:\n%s\n%s", m.output(t), read(t, m.progress))
	}
	if left, err := os.ReadDir(m.temporary); err != nil || len(left) > 0 {
		t.Errorf("the run left %v behind (%v)", left, err)
	}
}

// eventLog takes the log out of the text that dstack hands it out as.
func eventLog(t *testing.T, member json.RawMessage) []byte {
	t.Helper()
	var text string
	if err := json.Unmarshal(member, &text); err != nil {
		return member
	}
	return []byte(text)
}

// fetch asks, and expects an answer.
func fetch(t *testing.T, address string) string {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %.400s %v", address, response.StatusCode, body, err)
	}
	return string(body)
}
