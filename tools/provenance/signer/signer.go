package signer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/fulcio"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/provenance/kms"
	"github.com/boardroom-tee/boardroom/tools/provenance/rekor"
	"github.com/boardroom-tee/boardroom/tools/provenance/timestamp"
)

// TokenVariable is the environment's variable for an OIDC token, that of cosign (pkg/cosign/env, VariableSigstoreIDToken).
const TokenVariable = "SIGSTORE_ID_TOKEN" //nolint:gosec // the name of a variable

// maxToken bounds the file of a token, in bytes.
const maxToken = 64 << 10

// Reference says what signs. Exactly one of Key and Fulcio is set.
type Reference struct {
	// Key is the path of an encrypted private key, or a key of a key management service as NAME://KEY.
	Key string
	// Password returns the password of the file that Key names. It is not called for a key of a service.
	Password func(name string) ([]byte, error)

	// Fulcio is the address of a certificate authority, https:// or on this machine http://.
	Fulcio string
	// IdentityTokenFile is the path of a file with the OIDC token that tells the authority who signs; if empty, the token comes from the
	// environment's [TokenVariable].
	IdentityTokenFile string
	// LookupEnv is [os.LookupEnv]. Without it, the environment is not asked.
	LookupEnv func(name string) (string, bool)

	// Timestamp is the address of a timestamp authority, with its path, and Rekor that of a transparency log of Rekor v2. If empty,
	// bundles are without.
	Timestamp, Rekor string
	// Transport is for everybody named above; nil is the default one.
	Transport http.RoundTripper
}

// ReferenceError says that a [Reference] names nothing that could sign: a mistake of whoever wrote it.
type ReferenceError struct {
	Reason string
}

func (e *ReferenceError) Error() string { return "signer: " + e.Reason }

// KeyError says that what was found is no key that can be opened: not a key, or another password.
type KeyError struct {
	Path string
	Err  error
}

func (e *KeyError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

// Signer signs, and gathers what proves when.
type Signer struct {
	signer      provenance.Signer
	certificate *x509.Certificate
	authority   *timestamp.Authority
	log         *rekor.Log
}

// Open opens a key, or asks an authority for a certificate, which then lives for minutes. The error is a [*ReferenceError], a [*KeyError],
// a [*kms.NoProgramError], or says what could not be read or reached.
func Open(ctx context.Context, reference Reference) (*Signer, error) {
	var s Signer
	var err error
	if reference.Timestamp != "" {
		if s.authority, err = timestamp.New(reference.Timestamp, reference.Transport); err != nil {
			return nil, &ReferenceError{err.Error()}
		}
	}
	if reference.Rekor != "" {
		if s.log, err = rekor.New(reference.Rekor, reference.Transport); err != nil {
			return nil, &ReferenceError{err.Error()}
		}
	}
	switch {
	case reference.Key != "" && reference.Fulcio == "":
		if reference.IdentityTokenFile != "" {
			return nil, &ReferenceError{"expected an identity token only with a certificate authority, got one with a key"}
		}
		s.signer, err = openKey(ctx, reference)
	case reference.Fulcio != "" && reference.Key == "":
		var certified *fulcio.Signer
		if certified, err = certify(ctx, reference); err == nil {
			s.signer, s.certificate = certified, certified.Certificate()
		}
	default:
		err = &ReferenceError{"expected either a key or a certificate authority, got both or none"}
	}
	if err != nil {
		return nil, err
	}
	return &s, nil
}

func openKey(ctx context.Context, reference Reference) (provenance.Signer, error) {
	if kms.IsURI(reference.Key) {
		return kms.Open(ctx, reference.Key)
	}
	text, err := readFile(reference.Key, keyfile.MaxFile)
	if err != nil {
		return nil, err
	}
	if !keyfile.Sealed(text) {
		return nil, &KeyError{reference.Key, errors.New("expected an encrypted private key, got something else")}
	}
	if reference.Password == nil {
		return nil, &ReferenceError{"expected a password for " + reference.Key + ", got none"}
	}
	password, err := reference.Password(reference.Key)
	if err != nil {
		return nil, err
	}
	defer clear(password)
	signer, err := keyfile.Open(text, password)
	if err != nil {
		return nil, &KeyError{reference.Key, err}
	}
	return signer, nil
}

func certify(ctx context.Context, reference Reference) (*fulcio.Signer, error) {
	service, err := fulcio.New(reference.Fulcio, reference.Transport)
	if err != nil {
		return nil, &ReferenceError{err.Error()}
	}
	token, err := reference.token()
	if err != nil {
		return nil, err
	}
	return service.Certify(ctx, token)
}

func (r Reference) token() (string, error) {
	if r.IdentityTokenFile != "" {
		text, err := readFile(r.IdentityTokenFile, maxToken)
		if err != nil {
			return "", fmt.Errorf("identity token: %w", err)
		}
		return string(text), nil
	}
	if r.LookupEnv != nil {
		if text, ok := r.LookupEnv(TokenVariable); ok {
			return text, nil
		}
	}
	return "", &ReferenceError{"expected an identity token in a file or in " + TokenVariable + ", got none"}
}

// readFile returns at most one byte more than a file may have: who reads it on refuses it.
func readFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, most+1))
}

// Key is the public key.
func (s *Signer) Key() provenance.Key { return s.signer.Key() }

// Certificate is what bundles have in the place of a key, or nil.
func (s *Signer) Certificate() *x509.Certificate { return s.certificate }

// Sign signs the SHA-256 of message, as [provenance.Signer] asks. Timestamps and log entries are for whole bundles.
func (s *Signer) Sign(ctx context.Context, message []byte) ([]byte, error) {
	return s.signer.Sign(ctx, message)
}

// SignStatement signs a statement into a finished bundle.
func (s *Signer) SignStatement(ctx context.Context, statement provenance.Statement) (provenance.Bundle, error) {
	b, err := provenance.SignStatement(ctx, s, statement)
	if err != nil {
		return provenance.Bundle{}, err
	}
	return s.finish(ctx, b)
}

// SignBlob signs the bytes of an artifact into a finished bundle.
func (s *Signer) SignBlob(ctx context.Context, artifact []byte) (provenance.Bundle, error) {
	b, err := provenance.SignBlob(ctx, s, artifact)
	if err != nil {
		return provenance.Bundle{}, err
	}
	return s.finish(ctx, b)
}

// finish adds what proves when a bundle was signed, and where it is recorded.
func (s *Signer) finish(ctx context.Context, b provenance.Bundle) (provenance.Bundle, error) {
	if s.authority != nil {
		response, err := s.authority.Stamp(ctx, b.Signature())
		if err != nil {
			return provenance.Bundle{}, err
		}
		if err := b.AddTimestamp(response); err != nil {
			return provenance.Bundle{}, err
		}
	}
	if s.log != nil {
		if err := s.log.Record(ctx, &b, s.Key()); err != nil {
			return provenance.Bundle{}, err
		}
	}
	return b, nil
}
