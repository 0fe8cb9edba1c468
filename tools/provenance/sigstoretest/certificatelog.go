//go:build acceptance

package sigstoretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// certificateLog promises to publish whatever precertificate it is shown (RFC 6962 section 4.2), and publishes nothing.
type certificateLog struct {
	url     string
	private *ecdsa.PrivateKey
}

// oidPoison marks a precertificate (RFC 6962 section 3.1).
var oidPoison = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}

func newCertificateLog(t *testing.T) *certificateLog {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	l := &certificateLog{private: private}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /test/ct/v1/add-pre-chain", func(w http.ResponseWriter, r *http.Request) {
		var shown struct {
			Chain [][]byte `json:"chain"`
		}
		err := json.NewDecoder(r.Body).Decode(&shown)
		if err == nil && len(shown.Chain) < 2 {
			err = errors.New("no chain")
		}
		var promise map[string]any
		if err == nil {
			promise, err = l.promise(shown.Chain[0], shown.Chain[1])
		}
		if err == nil {
			err = json.NewEncoder(w).Encode(promise)
		}
		if err != nil {
			t.Errorf("certificate log: %v", err)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	l.url = server.URL + "/test"
	return l
}

// promise is a signed certificate timestamp (RFC 6962 section 3.2) over a precertificate without its poison.
func (l *certificateLog) promise(precertificate, issuer []byte) (map[string]any, error) {
	c, err := x509.ParseCertificate(precertificate)
	if err != nil {
		return nil, err
	}
	by, err := x509.ParseCertificate(issuer)
	if err != nil {
		return nil, err
	}
	var tbs struct {
		Raw                                                      asn1.RawContent
		Version                                                  asn1.RawValue `asn1:"explicit,tag:0"`
		Serial, Algorithm, Issuer, Validity, Subject, SubjectKey asn1.RawValue
		Extensions                                               []asn1.RawValue `asn1:"explicit,tag:3"`
	}
	if _, err := asn1.Unmarshal(c.RawTBSCertificate, &tbs); err != nil {
		return nil, err
	}
	var kept []asn1.RawValue
	for _, e := range tbs.Extensions {
		var id asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(e.Bytes, &id); err != nil {
			return nil, err
		}
		if !id.Equal(oidPoison) {
			kept = append(kept, e)
		}
	}
	tbs.Raw, tbs.Extensions = nil, kept
	clean, err := asn1.Marshal(tbs)
	if err != nil {
		return nil, err
	}
	at := uint64(time.Now().UnixMilli())
	issuerKey := sha256.Sum256(by.RawSubjectPublicKeyInfo)
	signed := binary.BigEndian.AppendUint64([]byte{0, 0}, at)
	signed = append(append(signed, 0, 1), issuerKey[:]...)
	signed = append(signed, byte(len(clean)>>16), byte(len(clean)>>8), byte(len(clean)))
	signed = append(append(signed, clean...), 0, 0)
	digest := sha256.Sum256(signed)
	signature, err := ecdsa.SignASN1(rand.Reader, l.private, digest[:])
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKIXPublicKey(&l.private.PublicKey)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(key)
	// SHA-256 and ECDSA by their numbers in TLS (RFC 5246 section 7.4.1.4.1).
	signature = append(binary.BigEndian.AppendUint16([]byte{4, 3}, uint16(len(signature))), signature...)
	return map[string]any{"sct_version": 0, "id": id[:], "timestamp": at, "extensions": "", "signature": signature}, nil
}
