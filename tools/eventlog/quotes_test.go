package eventlog_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

func unpack(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata/ccel", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestLogOfQuote replays a log of a real TD and compares with the quote that was taken in it.
func TestLogOfQuote(t *testing.T) {
	q, err := quote.Parse(unpack(t, "cos-113-tdx-quote.dat.gz"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.ParseCCEL(unpack(t, "go-tdx-guest-cos113-ccel_data.dat.gz"))
	if err != nil {
		t.Fatal(err)
	}
	replayed := log.Replay()
	for i, r := range []eventlog.Register{eventlog.RTMR0, eventlog.RTMR1, eventlog.RTMR2, eventlog.RTMR3} {
		if got := replayed[r]; got != eventlog.Digest(q.Body.RTMR[i]) {
			t.Errorf("%s is %s, the quote has %x", r, got, q.Body.RTMR[i])
		}
	}
	expected, err := os.ReadFile("testdata/ccel/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		MRTD eventlog.Digest `json:"mrtd"`
	}
	if err := json.Unmarshal(expected, &want); err != nil {
		t.Fatal(err)
	}
	if got := eventlog.Digest(q.Body.MRTD); got != want["cos-113-tdx-quote.dat"].MRTD {
		t.Errorf("MRTD is %s, want %s", got, want["cos-113-tdx-quote.dat"].MRTD)
	}
	nonce, err := os.ReadFile("testdata/ccel/cos-113-nonce.dat")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(q.Body.ReportData[:], nonce) {
		t.Errorf("REPORTDATA is %x, want %x", q.Body.ReportData, nonce)
	}
}

// TestQuoteWithoutRuntimeEvents reads the quote of dstack's RA-TLS tests, whose TD extended RTMR3 with nothing.
func TestQuoteWithoutRuntimeEvents(t *testing.T) {
	q, err := quote.Parse(unpack(t, "dstack-ra-tls-quote.bin.gz"))
	if err != nil {
		t.Fatal(err)
	}
	if q.Version != 4 || q.Body.RTMR[3] != [48]byte{} {
		t.Errorf("version %d, RTMR3 %x, want 4 and zero", q.Version, q.Body.RTMR[3])
	}
	if mrtd := hex.EncodeToString(q.Body.MRTD[:]); mrtd[:8] != "91eb2b44" || mrtd[92:] != "18b7" {
		t.Errorf("MRTD is %s, want 91eb2b44...18b7", mrtd)
	}
}

// TestOtherPlatforms: what other machines attest with is neither a TDX quote nor a log of one.
func TestOtherPlatforms(t *testing.T) {
	files, err := filepath.Glob("testdata/other/*.gz")
	if err != nil || len(files) != 5 {
		t.Fatalf("%d files, want 5 (%v)", len(files), err)
	}
	for _, file := range files {
		data := unpack(t, filepath.Join("..", "other", filepath.Base(file)))
		if _, err := quote.Parse(data); err == nil {
			t.Errorf("%s is read as a quote", file)
		}
		for name, parse := range map[string]func([]byte) (*eventlog.Log, error){
			"CCEL": eventlog.ParseCCEL, "TPM log": eventlog.ParseTPM, "log of dstack": eventlog.ParseDstackJSON,
		} {
			if _, err := parse(data); err == nil {
				t.Errorf("%s is read as a %s", file, name)
			}
		}
	}
}
