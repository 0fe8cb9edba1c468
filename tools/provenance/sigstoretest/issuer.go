//go:build acceptance

package sigstoretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Issuer is an OIDC issuer (OpenID Connect Discovery 1.0, RFC 7517, RFC 7519) for whomever a test names.
type Issuer struct {
	URL     string
	private *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *Issuer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	i := &Issuer{private: private}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.URL = server.URL
	answer := func(path string, v any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(v); err != nil {
				t.Error(err)
			}
		})
	}
	answer("/.well-known/openid-configuration", map[string]any{
		"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/auth", "token_endpoint": i.URL + "/token",
		"id_token_signing_alg_values_supported": []string{"ES256"}, "response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
	})
	point, err := private.PublicKey.Bytes()
	check(t, err)
	answer("/keys", map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": encode64(point[1:33]), "y": encode64(point[33:]),
	}}})
	return i
}

func encode64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// Token is one for Fulcio, with some claims.
func (i *Issuer) Token(t *testing.T, claims map[string]any) string {
	t.Helper()
	now := time.Now()
	all := map[string]any{"iss": i.URL, "aud": "sigstore", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	maps.Copy(all, claims)
	body, err := json.Marshal(all)
	check(t, err)
	signed := encode64([]byte(`{"alg":"ES256","kid":"1","typ":"JWT"}`)) + "." + encode64(body)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.private, digest[:])
	check(t, err)
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + encode64(signature)
}

// EmailToken is one for a person, of an issuer for people.
func (i *Issuer) EmailToken(t *testing.T, address string) string {
	return i.Token(t, map[string]any{"sub": address, "email": address, "email_verified": true})
}

// WorkflowToken is one for a job of a pipeline, of an issuer for those.
func (i *Issuer) WorkflowToken(t *testing.T, ref string) string {
	return i.Token(t, map[string]any{"sub": "repo:" + ref, "workflow_ref": ref})
}
