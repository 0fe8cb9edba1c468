package transparency

import (
	"encoding/base64"
	"errors"
)

var (
	errBase64 = errors.New("expected canonical base64 of the standard alphabet with padding")
	errBundle = errors.New("expected a statement with one signature, got something else")
	errHint   = errors.New("expected a certificate or a hint that is the key's fingerprint in base64, got neither")
)

// decode64 reads base64 (RFC 4648 section 4) in the one way that an encoder writes it.
func decode64(text string) ([]byte, error) {
	decoded, err := base64.StdEncoding.Strict().DecodeString(text)
	// The decoder skips line ends.
	if err != nil || base64.StdEncoding.EncodedLen(len(decoded)) != len(text) {
		return nil, errBase64
	}
	return decoded, nil
}

// parseHash reads a hash in base64.
func parseHash(text string) (h Hash, err error) {
	decoded, err := decode64(text)
	if err != nil || len(decoded) != len(h) {
		return h, errors.New("expected 32 bytes in canonical base64")
	}
	copy(h[:], decoded)
	return h, nil
}
