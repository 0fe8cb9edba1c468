package ratls

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// The extensions that are read.
var (
	oidQuote       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 62397, 1, 1}
	oidEventLog    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 62397, 1, 2}
	oidUsage       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 62397, 1, 4}
	oidAttestation = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 62397, 1, 8}
)

// gzipMagic precedes a compressed event log, and maxInflated bounds what comes out, in bytes (cert.rs EVENTLOG_GZIP_MAGIC,
// MAX_EVENTLOG_EXT_SIZE).
const (
	gzipMagic   = "ELGZv1"
	maxInflated = 16 << 10
)

// Bounds in bytes. A TLS handshake of crypto/tls carries at most 256 KiB of certificates.
const (
	maxCertificate = 256 << 10
	maxUsage       = 64
)

// ErrNoEvidence means that the certificate is well formed and carries no attestation, as those have that a KMS issued without.
var ErrNoEvidence = errors.New("the certificate carries no attestation")

// FormError says which part of a certificate is not of its form.
type FormError struct {
	Part   string // such as "attestation: platform.data.quote"
	Reason string
}

func (e *FormError) Error() string { return "RA-TLS certificate: " + e.Part + ": " + e.Reason }

// Evidence is what a certificate carries. Nothing in it is verified.
type Evidence struct {
	Quote    []byte // raw
	EventLog []byte // JSON as in GetQuote, see package eventlog; most certificates carry the events of RTMR3 only
	VMConfig string // JSON of dstack's vm_config, from the host; empty: none
	Format   string // "quote", "attestation v0" or "attestation v1"
	Usage    string // the issuer's word for what the certificate is for; empty: none
}

// FromCertificate reads the evidence of a certificate. The error is [ErrNoEvidence] or a [*FormError].
func FromCertificate(c *x509.Certificate) (Evidence, error) {
	if len(c.Raw) > maxCertificate {
		return Evidence{}, &FormError{"certificate", fmt.Sprintf("want at most %d bytes, got %d", maxCertificate, len(c.Raw))}
	}
	parts := make(map[string][]byte, 4)
	for _, oid := range []asn1.ObjectIdentifier{oidQuote, oidEventLog, oidUsage, oidAttestation} {
		value, present, err := extension(c, oid)
		if err != nil {
			return Evidence{}, err
		}
		if present {
			parts[oid.String()] = value
		}
	}
	container, new := parts[oidAttestation.String()]
	raw, old := parts[oidQuote.String()]
	var e Evidence
	var err error
	switch {
	case new:
		e, err = parseContainer(container)
	case old:
		e, err = fromQuote(raw, parts[oidEventLog.String()])
	default:
		return Evidence{}, ErrNoEvidence
	}
	if err != nil {
		return Evidence{}, err
	}
	if usage := parts[oidUsage.String()]; len(usage) > maxUsage {
		return Evidence{}, &FormError{"special usage", fmt.Sprintf("want at most %d bytes, got %d", maxUsage, len(usage))}
	}
	e.Usage = string(parts[oidUsage.String()])
	return e, e.check()
}

// extension returns the bytes inside an extension's OCTET STRING. crypto/x509 refuses a certificate with two of one kind.
func extension(c *x509.Certificate, oid asn1.ObjectIdentifier) (value []byte, present bool, err error) {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oid) {
			continue
		}
		rest, err := asn1.Unmarshal(e.Value, &value)
		if err != nil {
			return nil, true, &FormError{"extension " + oid.String(), "want a DER OCTET STRING: " + err.Error()}
		}
		if len(rest) > 0 {
			return nil, true, &FormError{"extension " + oid.String(), fmt.Sprintf("want one OCTET STRING, got %d bytes after it", len(rest))}
		}
		return value, true, nil
	}
	return nil, false, nil
}

// fromQuote is the form of dstack 0.5.8 and before.
func fromQuote(quote, log []byte) (Evidence, error) {
	if log == nil {
		return Evidence{}, &FormError{"extension " + oidEventLog.String(), "want the event log of the quote, got none"}
	}
	if compressed, ok := bytes.CutPrefix(log, []byte(gzipMagic)); ok {
		var err error
		if log, err = inflate(compressed); err != nil {
			return Evidence{}, &FormError{"event log", err.Error()}
		}
	}
	return Evidence{Quote: quote, EventLog: log, Format: "quote"}, nil
}

func inflate(compressed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("want gzip: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err != nil {
		return nil, fmt.Errorf("want gzip: %w", err)
	}
	if len(data) > maxInflated {
		return nil, fmt.Errorf("want at most %d bytes when unpacked, got more", maxInflated)
	}
	return data, nil
}

func (e Evidence) check() error {
	if len(e.Quote) == 0 || len(e.Quote) > evidence.MaxQuote {
		return &FormError{"quote", fmt.Sprintf("want 1 to %d bytes, got %d", evidence.MaxQuote, len(e.Quote))}
	}
	if len(e.EventLog) == 0 || len(e.EventLog) > evidence.MaxEventLog {
		return &FormError{"event log", fmt.Sprintf("want 1 to %d bytes, got %d", evidence.MaxEventLog, len(e.EventLog))}
	}
	if len(e.VMConfig) > evidence.MaxVMConfig {
		return &FormError{"vm_config", fmt.Sprintf("want at most %d bytes, got %d", evidence.MaxVMConfig, len(e.VMConfig))}
	}
	return nil
}

// event is one entry of an event log in the JSON of GetQuote (cc-eventlog/src/tdx.rs TdxEvent).
type event struct {
	Register uint64 `json:"imr"`
	Type     uint64 `json:"event_type"`
	Digest   string `json:"digest"`
	Name     string `json:"event"`
	Payload  string `json:"event_payload"`
	Version  uint64 `json:"version,omitempty"` // absent: 1
	Preimage string `json:"preimage,omitempty"`
}

// runtimeType is the type of dstack's own events, all of which stand in RTMR3 (runtime_events.rs DSTACK_RUNTIME_EVENT_TYPE).
const (
	runtimeType     = 0x08000001
	runtimeRegister = 3
)

// eventLog joins the two lists of a container to the one log that GetQuote returns. The events of RTMR3 stand in both; those
// beside the quote count, and the others only where there is none of them.
func eventLog(beside, runtime []event) ([]byte, error) {
	log := beside
	for _, e := range beside {
		if e.Register == runtimeRegister {
			runtime = nil
			break
		}
	}
	log = append(log, runtime...)
	if len(log) == 0 {
		return nil, &FormError{"attestation: event log", "want events, got none"}
	}
	return json.Marshal(log)
}

// vmConfig returns the vm_config of a container's config, which is that itself or the sys-config that has it as a text.
func vmConfig(config string) (string, error) {
	if config == "" {
		return "", nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(config), &members); err != nil {
		return "", &FormError{"attestation: config", "want a JSON object: " + err.Error()}
	}
	inner, nested := members["vm_config"]
	if !nested {
		return config, nil
	}
	var text string
	if err := json.Unmarshal(inner, &text); err != nil {
		return "", &FormError{"attestation: config.vm_config", "want a string: " + err.Error()}
	}
	return text, nil
}
