package rekor_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/provenance/provenancetest"
	"github.com/boardroom-tee/boardroom/tools/provenance/rekor"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T, l http.Handler) *rekor.Log {
	t.Helper()
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	log, err := rekor.New(server.URL, nil)
	check(t, err)
	return log
}

func signed(t *testing.T) (provenance.Bundle, provenance.Key) {
	t.Helper()
	signer, err := keyfile.Generate()
	check(t, err)
	b, err := provenance.SignBlob(t.Context(), signer, []byte("artifact"))
	check(t, err)
	return b, signer.Key()
}

func TestRecord(t *testing.T) {
	l := provenancetest.NewLog(t, "log.example.com")
	log := serve(t, l)
	for index := range int64(3) {
		b, key := signed(t)
		check(t, log.Record(t.Context(), &b, key))
		data, err := b.Encode()
		check(t, err)
		p := provenance.Policy{
			Identities: []provenance.Identity{{Name: "key", Keys: []provenance.ValidKey{{Key: key}}}}, Threshold: 1, At: time.Unix(0, 0), LogEntries: 1,
		}
		root := provenance.TrustRoot{Logs: []provenance.Log{{URL: "https://" + l.Origin, Key: l.Public}}}
		verified, err := provenance.VerifyBlob([][]byte{data}, provenance.DigestOf([]byte("artifact")), p, root)
		if err != nil || verified.Signers[0].LogEntries[0].Index != index {
			t.Errorf("verified %+v: %v", verified, err)
		}
	}
}

func TestRecordRefuses(t *testing.T) {
	says := func(status int, text string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool {
			w.WriteHeader(status)
			fmt.Fprint(w, text)
			return true
		}
	}
	for name, tt := range map[string]struct {
		change func(map[string]any)
		answer func(http.ResponseWriter) bool
		want   string
	}{
		"denied":                 {nil, says(400, `{"code":3,"message":"no such key"}`), `expected status 200 or 201, got 400: it says "no such key"`},
		"a fault":                {nil, says(502, "<html>"), `expected status 200 or 201, got 502: it says ""`},
		"no entry":               {nil, says(201, "x"), "malformed JSON"},
		"an entry of other kind": {func(e map[string]any) { e["kindVersion"] = map[string]any{"kind": "rpm", "version": "0.0.2"} }, nil, "kindVersion: expected"},
		"an entry of another": {func(e map[string]any) {
			e["canonicalizedBody"] = []byte(strings.Replace(string(e["canonicalizedBody"].([]byte)), `"digest":"`, `"digest":"AAAA`, 1))
		}, nil, "expected an entry about"},
	} {
		l := provenancetest.NewLog(t, "log.example.com")
		l.Change, l.Answer = tt.change, tt.answer
		b, key := signed(t)
		if err := serve(t, l).Record(t.Context(), &b, key); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "transparency log http://") || len(b.LogEntries) > 0 {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
	if _, err := rekor.New("x", nil); err == nil || !strings.HasPrefix(err.Error(), "transparency log: expected an address") {
		t.Errorf("no address: %v", err)
	}
}
