package kms_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	sigstorekms "github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/kms"
)

// TestMain is also the program of a service, under its name: the side of the protocol that sigstore wrote.
func TestMain(m *testing.M) {
	if strings.HasPrefix(filepath.Base(os.Args[0]), "sigstore-kms-") {
		os.Exit(program())
	}
	os.Exit(m.Run())
}

func private() *ecdsa.PrivateKey {
	scalar := make([]byte, 32)
	scalar[31] = 7
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		panic(err)
	}
	return key
}

type service struct{ signature.SignerVerifier }

func (service) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.ErrUnsupported
}
func (service) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.ErrUnsupported
}
func (service) SupportedAlgorithms() []string { return nil }
func (service) DefaultAlgorithm() string      { return "" }

var _ sigstorekms.SignerVerifier = service{}

func program() int {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	signing := args.SignMessage != nil
	switch resource := args.InitOptions.KeyResourceID; {
	case resource == "denied", resource == "denies signing" && signing:
		return failed(handler.WriteErrorResponse(os.Stdout, errors.New("permission denied")))
	case resource == "silent", resource == "silent when signing" && signing:
		return 0
	case resource == "empty", resource == "empty when signing" && signing:
		fmt.Print("{}")
		return 0
	case resource == "endless":
		for {
			if _, err := os.Stdout.WriteString(strings.Repeat(" ", 4096)); err != nil {
				return 1
			}
		}
	case resource == "unknown":
		fmt.Print(`{"secret":"x"}`)
		return 0
	case resource == "no key":
		fmt.Print(`{"publicKey":{"publicKeyPEM":"eA=="}}`)
		return 0
	case resource == "lies when signing" && signing:
		fmt.Print(`{"signMessage":{"signature":"eA=="}}`)
		return 0
	case resource == "failing":
		fmt.Fprintln(os.Stderr, "a token that nobody should read")
		return 0
	}
	sv, err := signature.LoadECDSASignerVerifier(private(), args.InitOptions.HashFunc)
	if err != nil {
		return failed(err)
	}
	_, err = handler.Dispatch(os.Stdout, os.Stdin, args, service{sv})
	return failed(err)
}

func failed(err error) int {
	if err != nil {
		return 1
	}
	return 0
}

// install puts the program on the PATH, alone.
func install(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "sigstore-kms-test")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

var _ provenance.Signer = (*kms.Signer)(nil)

func TestSign(t *testing.T) {
	install(t)
	signer, err := kms.Open(t.Context(), "test://projects/p/keys/k")
	if err != nil {
		t.Fatal(err)
	}
	want, err := provenance.NewKey(&private().PublicKey)
	if err != nil || signer.Key().Fingerprint() != want.Fingerprint() {
		t.Errorf("the key is %s, want %s: %v", signer.Key().Fingerprint(), want.Fingerprint(), err)
	}
	b, err := provenance.SignBlob(t.Context(), signer, []byte("artifact"))
	if err != nil || !want.Verify([]byte("artifact"), b.Blob.Signature) {
		t.Errorf("signed: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	install(t)
	for resource, want := range map[string]string{
		"denied":              `it says "permission denied"`,
		"denies signing":      `it says "permission denied"`,
		"silent":              "the JSON ends too early",
		"silent when signing": "the JSON ends too early",
		"empty":               "expected a public key, got none",
		"empty when signing":  "got another one or none",
		"endless":             "expected an answer of at most 65536 bytes, got more",
		"unknown":             `unknown member "secret"`,
		"no key":              "public key: expected PEM",
		"lies when signing":   "expected a signature by key ",
		"failing":             "the JSON ends too early",
	} {
		t.Run(resource, func(t *testing.T) {
			signer, err := kms.Open(t.Context(), "test://"+resource)
			if err == nil {
				_, err = signer.Sign(t.Context(), []byte("x"))
			}
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "key test://"+resource) || strings.Contains(err.Error(), "token") {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	install(t)
	var missing *kms.NoProgramError
	if _, err := kms.Open(t.Context(), "gcpkms://projects/p"); !errors.As(err, &missing) || missing.Program != "sigstore-kms-gcpkms" ||
		err.Error() != "key gcpkms://projects/p: boardroom is linked with no cloud's SDK: expected the program sigstore-kms-gcpkms on the PATH, got none" {
		t.Errorf("without a program: %v", err)
	}
	for _, uri := range []string{"", "test", "test:", "test://", "://k", "TEST://k", "../test://k", "a/b://k", "-x://k", strings.Repeat("a", 33) + "://k"} {
		if _, err := kms.Open(t.Context(), uri); err == nil || !strings.Contains(err.Error(), "expected NAME://KEY") {
			t.Errorf("%q: %v", uri, err)
		}
	}
	if kms.IsURI("board.key") || !kms.IsURI("gcpkms://k") {
		t.Error("IsURI does not tell a path from a URI")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := kms.Open(ctx, "test://k"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
