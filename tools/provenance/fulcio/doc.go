// Package fulcio signs without a key that anybody keeps: a certificate authority of Sigstore's kind vouches for a new key, which signs once
// and is forgotten. Who the signer is, an OIDC token says.
//
// The request is the authority's API (github.com/sigstore/fulcio, fulcio.proto, CreateSigningCertificate) with a PKCS #10 request (RFC 2986).
// Which authority is asked is the caller's choice; nothing is asked by default, and no redirection is followed, since the token would go
// along. What comes back is not believed because of where it came from: the certificate has to be for the key, and whoever verifies
// the signature judges it by a trust root of its own.
package fulcio
