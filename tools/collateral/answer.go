package collateral

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// AnswerError says why the answer of a service is none of its API. It says nothing about a platform.
type AnswerError struct {
	URL    string
	Reason string
}

func (e *AnswerError) Error() string { return e.URL + ": " + e.Reason }

// issuerChain reads the chain of a signer from the header that has it, under whichever of its names.
func issuerChain(address string, header http.Header, names ...string) ([]byte, error) {
	var values []string
	for _, name := range names {
		values = append(values, header.Values(name)...)
	}
	if len(values) == 0 {
		return nil, &AnswerError{address, fmt.Sprintf("expected the header %s, got none", names[0])}
	}
	if len(values) > 1 {
		return nil, &AnswerError{address, fmt.Sprintf("expected the header %s once, got %d", names[0], len(values))}
	}
	chain, err := decodeChain(values[0])
	if err != nil {
		return nil, &AnswerError{address, fmt.Sprintf("header %s: %v", names[0], err)}
	}
	return chain, nil
}

// decodeChain undoes the URL-encoding of PEM. Intel writes a space as %20 and a plus as %2B; an encoder for forms writes a space
// as a plus, and the first line tells.
func decodeChain(value string) ([]byte, error) {
	decode := url.PathUnescape
	if strings.HasPrefix(value, "-----BEGIN+CERTIFICATE-----") {
		decode = url.QueryUnescape
	}
	chain, err := decode(value)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode([]byte(chain)); block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("expected URL-encoded PEM certificates, got %s", shown([]byte(value)))
	}
	return canonicalPEM([]byte(chain)), nil
}

// canonicalPEM gives PEM text the line ends that Intel's has: line feeds, one at the end, and no blank lines around it. No signature is over
// this text, and package quote takes one form of it only. What is wrong with it otherwise stays.
func canonicalPEM(text []byte) []byte {
	trimmed := bytes.TrimSpace(text)
	if len(trimmed) == 0 {
		return text
	}
	return append(bytes.ReplaceAll(trimmed, []byte("\r\n"), []byte("\n")), '\n')
}

// decodeCRL returns the DER of a revocation list that is given as DER, as PEM, or as hex digits of DER. Whether it is signed by
// anybody is not looked at.
func decodeCRL(body []byte) ([]byte, error) {
	der := body
	if text := bytes.TrimSpace(body); bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		block, rest := pem.Decode(text)
		if block == nil || block.Type != "X509 CRL" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, fmt.Errorf("expected one PEM block X509 CRL, got %s", shown(body))
		}
		der = block.Bytes
	} else if raw, err := hex.DecodeString(string(text)); err == nil && len(raw) > 0 {
		der = raw
	}
	list, err := x509.ParseRevocationList(der)
	if err == nil && len(list.Raw) != len(der) {
		err = fmt.Errorf("%d bytes follow the list", len(der)-len(list.Raw))
	}
	if err != nil {
		return nil, fmt.Errorf("expected a revocation list in DER, PEM or hex, got %s: %w", shown(body), err)
	}
	return der, nil
}

// shown quotes the beginning of an answer.
func shown(b []byte) string {
	const limit = 40
	if len(b) > limit {
		return fmt.Sprintf("%q… (%d bytes)", b[:limit], len(b))
	}
	return fmt.Sprintf("%q", b)
}
