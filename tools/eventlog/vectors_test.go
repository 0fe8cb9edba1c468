package eventlog

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(name, ".gz") {
		return data
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestReplayCCEL(t *testing.T) {
	type expectation struct {
		Events              int
		RTMR0, RTMR1, RTMR2 *Digest
	}
	var expected map[string]expectation
	if err := json.Unmarshal(load(t, "ccel/expected.json"), &expected); err != nil {
		t.Fatal(err)
	}
	delete(expected, "cos-113-tdx-quote.dat") // a quote, not a log
	for name, want := range expected {
		t.Run(name, func(t *testing.T) {
			log, err := ParseCCEL(load(t, "ccel/"+name))
			if err != nil {
				t.Fatal(err)
			}
			// The expectations count the Spec ID event where the log is from Google, and do not in the other.
			if n := len(log.Events); n != want.Events && n+1 != want.Events {
				t.Errorf("%d events, want %d", n, want.Events)
			}
			got := log.Replay()
			for r, d := range map[Register]*Digest{RTMR0: want.RTMR0, RTMR1: want.RTMR1, RTMR2: want.RTMR2, RTMR3: nil} {
				if d == nil {
					d = new(Digest)
				}
				if got[r] != *d {
					t.Errorf("%s is %s, want %s", r, got[r], d)
				}
			}
		})
	}
}

// TestReplayTPM replays logs of distribution firmware and compares with what the TPM itself reported.
func TestReplayTPM(t *testing.T) {
	runs, err := filepath.Glob("testdata/tpm-oracle/*")
	if err != nil || len(runs) != 12 {
		t.Fatalf("%d runs, want 12 (%v)", len(runs), err)
	}
	for _, dir := range runs {
		run := "tpm-oracle/" + filepath.Base(dir)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			log, err := ParseTPM(load(t, run+"/binary_bios_measurements"))
			if err != nil {
				t.Fatal(err)
			}
			got := log.Replay()
			compared := 0
			for line := range strings.Lines(string(load(t, run+"/pcrs.txt"))) {
				f := strings.Fields(line)
				if len(f) != 4 || f[0] != "PCR" || f[1] != "sha384" {
					continue
				}
				compared++
				var n int
				for _, c := range f[2] {
					n = 10*n + int(c-'0')
				}
				if want := strings.ToLower(f[3]); got[PCR(n)].String() != want {
					t.Errorf("PCR %d is %s, want %s", n, got[PCR(n)], want)
				}
			}
			if compared < 10 {
				t.Errorf("only %d PCRs compared", compared)
			}
			for i := range log.Events {
				if e := &log.Events[i]; e.CheckData() == DataDiffers {
					t.Errorf("event %d (%s, %s): data is not what was hashed", i, e.Type, e.Describe())
				}
			}
		})
	}
}

// TestReplayDstack replays logs that upstream publishes together with quotes; the values are those of the quotes.
func TestReplayDstack(t *testing.T) {
	tests := map[string][4]string{
		"dstack/simulator-v0.5.2-eventlog.json": {
			"85e0855a6384fa1c8a6ab36d0dcbfaa11a5753e5a070c08218ae5fe872fcb86967fd2449c29e22e59dc9fec998cb6547",
			"6ba8f87f35d0641e8abca07e75e3882abdc9f19d7cc8f6e3fe04435bd5f694d4e3cf008b60d7c7233896e8d1f23c34a7",
			"03b1c4afcac07d00d8e853163aff3ba3f9af68ddfbdbeafab70210a8dc601b409c28873d74fb6dbe7dc33a8da7c09621",
			"6d1a3da994b6611ee602f25f07b41671ece90cd2898689f1ad4448fdf1155e3668736cca4499659caae2d8044070de57",
		},
		"dstack/tdx-lite-eventlog.json": {
			"f8438db36b96f85d8752ff7f24a89ec05c79ec9eda2ba732c897fb970ca429365b7471b1c054cb84f17b1c2b23ba6640",
			"2023546e7f3b9d1228e274f70c44d481162540f8452544520a796a52f06879709b81a824a26792a7822327504b0d2aee",
			"4c1b739ed451a637b0f82642e48a5ea83925d23633c72e7385c8e9aca4175e133ed1625b7d92eb39edf509c27ff392dc",
			"6f24c170d0fd63fc2b1b53202eea47b013978437fa6982cf5e0438ff95c208994aaa0f4ebab2e3a66824b5b56869137e",
		},
	}
	for name, want := range tests {
		t.Run(filepath.Base(name), func(t *testing.T) {
			log, err := ParseDstackJSON(load(t, name))
			if err != nil {
				t.Fatal(err)
			}
			got := log.Replay()
			for n, w := range want {
				if got[Register(n)].String() != w {
					t.Errorf("rtmr%d is %s, want %s", n, got[Register(n)], w)
				}
			}
			running := log.Running()
			if last := running[len(running)-1]; last != got[RTMR3] {
				t.Errorf("running value of the last event is %s, want that of RTMR3", last)
			}
		})
	}
}

func TestRuntimeDigest(t *testing.T) {
	tests := []struct {
		version int
		name    string
		payload []byte
		want    string
	}{
		{1, "app-id", []byte{0xde, 0xad, 0xbe, 0xef}, "67b4be4efed0893cfa2bb1d35dca209ad8348b4c97f980807bcde8b9a0f26398dd0923d6eccb5aa2096d98046da8740f"},
		{2, "compose-hash", []byte{0xab, 0xcd}, "9dde1673f544faa94b921825209593ddde08d0baf9cd6990175dffaf3081f1bb10311d56de189491feb33842a050ad7b"},
		{1, "system-preparing", nil, "f9974020ef507068183313d0ca808e0d1ca9b2d1ad0c61f5784e7157c362c06536f5ddacdad4451693f48fcc72fff624"},
		{1, "boot-mr-done", nil, "98bd7e6bd3952720b65027fd494834045d06b4a714bf737a06b874638b3ea00ff402f7f583e3e3b05e921c8570433ac6"},
		{1, "system-ready", nil, "1a76b2a80a0be71eae59f80945d876351a7a3fb8e9fd1ff1cede5734aa84ea11fd72b4edfbb6f04e5a85edd114c751bd"},
	}
	for _, test := range tests {
		got, err := RuntimeDigest(test.version, test.name, test.payload)
		if err != nil || got.String() != test.want {
			t.Errorf("version %d, %s: %s (%v), want %s", test.version, test.name, got, err, test.want)
		}
	}
}
