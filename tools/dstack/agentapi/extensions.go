package agentapi

import (
	"crypto/x509/pkix"
	"encoding/asn1"

	"github.com/boardroom-tee/boardroom/tools/dstack"
)

// Numbers of dstack's certificate extensions under 1.3.6.1.4.1.62397.1 (dstack/ra-tls/src/oids.rs).
const (
	arcQuote       = 1
	arcEventLog    = 2
	arcAppID       = 3
	arcUsage       = 4
	arcAttestation = 8
	arcAppInfo     = 9
)

// extension wraps the content twice, as dstack does: the extension's octets are the DER of an OCTET STRING.
func extension(number int, content []byte) (pkix.Extension, error) {
	value, err := asn1.Marshal(content)
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 62397, 1, number}, Value: value}, err
}

// Usage is the extension that says what an authority's certificate is for, such as "app:ca".
func Usage(usage string) (pkix.Extension, error) { return extension(arcUsage, []byte(usage)) }

// Extensions are those of dstack in a leaf: evidence, where the quote over the report data is given, as quote and event log until 0.5.8
// and as attestation container since 0.5.9; the app id only where a KMS signs (dstack/cert-client/src/lib.rs CertRequestClient).
func (r *Record) Extensions(request TLSRequest, quote []byte, reportData [64]byte) ([]pkix.Extension, error) {
	var list []pkix.Extension
	var failed error
	add := func(number int, content []byte) {
		e, err := extension(number, content)
		if err != nil {
			failed = err
		}
		list = append(list, e)
	}
	if r.Boot.KeyProvider.Kind == dstack.KeyProviderKMS {
		add(arcAppID, r.Boot.App[:])
	}
	add(arcUsage, []byte("app:custom"))
	if request.WithAppInfo && r.since([3]int{0, 5, 6}) {
		add(arcAppInfo, r.AppInfo())
	}
	switch {
	case quote == nil:
	case r.since([3]int{0, 5, 9}):
		add(arcAttestation, r.Container(quote, reportData))
	default:
		add(arcQuote, quote)
		add(arcEventLog, r.EventLog(true))
	}
	return list, failed
}
