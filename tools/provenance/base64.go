package provenance

import (
	"encoding/base64"
	"errors"
)

// bytes64 is bytes in JSON as base64: RFC 4648 section 4, padded, in the one way that an encoder writes it.
type bytes64 []byte

func (b bytes64) MarshalText() ([]byte, error) { return base64.StdEncoding.AppendEncode(nil, b), nil }

func (b *bytes64) UnmarshalText(text []byte) error {
	decoded, err := base64.StdEncoding.Strict().DecodeString(string(text))
	// The decoder skips line ends.
	if err != nil || base64.StdEncoding.EncodedLen(len(decoded)) != len(text) {
		return errors.New("expected canonical base64 of the standard alphabet with padding")
	}
	*b = decoded
	return nil
}
