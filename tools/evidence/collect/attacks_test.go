package collect

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

// TestResumedSessionProvesNothing: a resumed session shows that the peer knew a secret of an earlier one, not that it holds the key of
// the certificate that the earlier one had (attack 59).
func TestResumedSessionProvesNothing(t *testing.T) {
	held := certificate(t, newKey(t), now.Add(-time.Hour), now.Add(time.Hour), true)
	leaf, err := x509.ParseCertificate(held.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, resumed := range []bool{false, true} {
		state := tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{leaf}, DidResume: resumed}
		if _, err := fromSession("x", state, now); (err == nil) == resumed {
			t.Errorf("resumed %t: error %v", resumed, err)
		}
	}
}
