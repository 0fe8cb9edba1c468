package timestamp_test

import (
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/provenance/provenancetest"
	"github.com/boardroom-tee/boardroom/tools/provenance/timestamp"
)

var now = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T, a http.Handler) *timestamp.Authority {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	authority, err := timestamp.New(server.URL+"/api/v1/timestamp", nil)
	check(t, err)
	return authority
}

func TestStamp(t *testing.T) {
	a := provenancetest.NewTimestampAuthority(t, now, nil)
	signer, err := keyfile.Generate()
	check(t, err)
	b, err := provenance.SignBlob(t.Context(), signer, []byte("artifact"))
	check(t, err)
	response, err := serve(t, a).Stamp(t.Context(), b.Signature())
	check(t, err)
	check(t, b.AddTimestamp(response))
	data, err := b.Encode()
	check(t, err)
	p := provenance.Policy{Identities: []provenance.Identity{{Name: "key", Keys: []provenance.ValidKey{{Key: signer.Key()}}}}, Threshold: 1, At: now, Timestamps: 1}
	root := provenance.TrustRoot{TimestampAuthorities: []provenance.Authority{{Chain: []*x509.Certificate{a.Root}}}}
	if _, err := provenance.VerifyBlob([][]byte{data}, provenance.DigestOf([]byte("artifact")), p, root); err != nil {
		t.Error(err)
	}
}

func TestStampRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*provenancetest.Token)
		answer func(http.ResponseWriter) bool
		want   string
	}{
		"another nonce":   {func(k *provenancetest.Token) { k.Nonce = big.NewInt(1) }, nil, "expected the nonce that was sent"},
		"no nonce":        {func(k *provenancetest.Token) { k.Nonce = nil }, nil, "expected the nonce that was sent"},
		"another message": {func(k *provenancetest.Token) { k.Imprint = make([]byte, 32) }, nil, "expected a timestamp of what was sent"},
		"not granted":     {func(k *provenancetest.Token) { k.Status = 2 }, nil, "status: expected 0, granted, got 2"},
		"a fault":         {nil, func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusBadGateway); return true }, "expected status 200 or 201, got 502"},
		"something else":  {nil, func(http.ResponseWriter) bool { return true }, "expected a TimeStampResp"},
	} {
		a := provenancetest.NewTimestampAuthority(t, now, nil)
		a.Change, a.Answer = tt.change, tt.answer
		if _, err := serve(t, a).Stamp(t.Context(), []byte("x")); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "timestamp authority http://") {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
	if _, err := timestamp.New("x", nil); err == nil || !strings.HasPrefix(err.Error(), "timestamp authority: expected an address") {
		t.Errorf("no address: %v", err)
	}
}
