package agentapi

import (
	"context"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack"
)

// Guest is what answers. Report data is exactly the 64 bytes that the quote has to hold.
type Guest interface {
	// Release is that of dstack whose methods are offered.
	Release() dstack.Release
	Quote(ctx context.Context, reportData [64]byte) (Evidence, error)
	// Attest returns a quote in dstack's container, see [Record.Container].
	Attest(ctx context.Context, reportData [64]byte) ([]byte, error)
	EmitEvent(ctx context.Context, name string, payload []byte) error
	Key(KeyRequest) (Key, error)
	TLSKey(context.Context, TLSRequest) (TLSKey, error)
	Info(context.Context) (Info, error)
	// Revision names the build, beside its version.
	Revision() string
}

// Evidence is a quote with what is needed to make sense of it.
type Evidence struct {
	Quote []byte
	// EventLog is dstack's JSON, VMConfig what the host says of the machine.
	EventLog []byte
	VMConfig string
}

// KeyRequest is what GetKey is asked. The key depends on the path alone.
type KeyRequest struct {
	Path, Purpose string
	// Algorithm is empty, "secp256k1" or "k256", or "ed25519".
	Algorithm string
}

// Key is a key of 32 bytes, and the signatures that vouch for it: that of the application's key over the key, and that of the KMS over the
// application's, which is empty where there is no KMS.
type Key struct {
	Key   []byte
	Chain [2][]byte
}

// TLSRequest is what GetTlsKey is asked.
type TLSRequest struct {
	Subject                                    string
	AltNames                                   []string
	RATLS, ServerAuth, ClientAuth, WithAppInfo bool
	// NotBefore and NotAfter are zero where the request leaves them out.
	NotBefore, NotAfter time.Time
}

// TLSKey is a private key in PKCS #8 and the certificates of its public half, leaf first, each in PEM.
type TLSKey struct {
	Key   string
	Chain []string
}
