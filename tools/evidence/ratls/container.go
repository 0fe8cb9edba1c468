package ratls

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// Bounds of a container. Upstream reads 10 MiB (attestation.rs MAX_ATTESTATION_BYTES); one with a quote and an event log of
// the sizes read here is smaller.
const (
	maxContainer = 1 << 20
	maxEvents    = 1 << 12
	maxText      = evidence.MaxVMConfig * 2 // a sys-config around a vm_config
)

// parseContainer reads a VersionedAttestation. The error is a [*FormError].
func parseContainer(data []byte) (Evidence, error) {
	if len(data) == 0 || len(data) > maxContainer {
		return Evidence{}, &FormError{"attestation", fmt.Sprintf("want 1 to %d bytes, got %d", maxContainer, len(data))}
	}
	var (
		a   attestation
		err error
	)
	switch first := data[0]; {
	case first == 0:
		a, err = parseV0(data[1:])
	case first&0xf0 == 0x80, first == 0xde, first == 0xdf: // MessagePack maps
		a, err = parseV1(data)
	default:
		return Evidence{}, &FormError{"attestation", fmt.Sprintf("want a first byte 0 (V0) or of a MessagePack map (V1), got %#02x", first)}
	}
	if err != nil {
		return Evidence{}, err
	}
	log, err := eventLog(a.beside, a.runtime)
	if err != nil {
		return Evidence{}, err
	}
	config, err := vmConfig(a.config)
	if err != nil {
		return Evidence{}, err
	}
	return Evidence{Quote: a.quote, EventLog: log, VMConfig: config, Format: a.format}, nil
}

// attestation is what both forms of the container hold, save the copy of the report data, which proves nothing.
type attestation struct {
	format  string
	quote   []byte
	beside  []event // beside the quote
	runtime []event
	config  string
}

// platforms are the kinds of a V0 container, in the order of upstream's enum AttestationQuote.
var platforms = []string{"tdx", "gcp-tdx", "nitro-enclave", "sev-snp", "aws-nitro-tpm"}

// parseV0 reads a SCALE container after its version byte. Its events are all of digest version 1.
func parseV0(data []byte) (attestation, error) {
	s := &scale{data: data}
	a := attestation{format: "attestation v0"}
	if kind := s.byte("platform"); s.err == nil && kind != 0 {
		name := "unknown"
		if int(kind) < len(platforms) {
			name = platforms[kind]
		}
		s.fail("platform", "want tdx (0), got %s (%d)", name, kind)
		return a, s.err
	}
	a.quote = s.bytes("quote", evidence.MaxQuote)
	for i := range s.length("event log", maxEvents) {
		at := fmt.Sprintf("event log[%d]", i)
		a.beside = append(a.beside, event{
			Register: uint64(s.uint32(at + ".imr")),
			Type:     uint64(s.uint32(at + ".event_type")),
			Digest:   hex.EncodeToString(s.bytes(at+".digest", evidence.MaxEventLog)),
			Name:     s.text(at+".event", evidence.MaxEventLog),
			Payload:  hex.EncodeToString(s.bytes(at+".event_payload", evidence.MaxEventLog)),
		})
		if s.err != nil {
			return a, s.err
		}
	}
	for i := range s.length("runtime events", maxEvents) {
		at := fmt.Sprintf("runtime events[%d]", i)
		a.runtime = append(a.runtime, event{
			Register: runtimeRegister,
			Type:     runtimeType,
			Name:     s.text(at+".event", evidence.MaxEventLog),
			Payload:  hex.EncodeToString(s.bytes(at+".payload", evidence.MaxEventLog)),
		})
		if s.err != nil {
			return a, s.err
		}
	}
	s.take("report data", 64)
	a.config = s.text("config", maxText)
	if s.err == nil && len(s.data) > 0 {
		s.fail("end", "want nothing after the config, got %d bytes", len(s.data))
	}
	return a, s.err
}

// scale reads SCALE (parity-scale-codec): integers little-endian, lengths in its compact form. After the first error it
// returns zeros.
type scale struct {
	data []byte
	err  error
}

func (s *scale) fail(part, format string, args ...any) {
	if s.err == nil {
		s.err = &FormError{"attestation v0: " + part, fmt.Sprintf(format, args...)}
	}
}

func (s *scale) take(part string, n int) []byte {
	if s.err != nil {
		return make([]byte, min(n, 8)) // enough for every integer
	}
	if n > len(s.data) {
		s.fail(part, "want %d bytes, got %d", n, len(s.data))
		return make([]byte, min(n, 8))
	}
	taken := s.data[:n]
	s.data = s.data[n:]
	return taken
}

func (s *scale) byte(part string) byte     { return s.take(part, 1)[0] }
func (s *scale) uint32(part string) uint32 { return binary.LittleEndian.Uint32(s.take(part, 4)) }

// length reads a compact integer of at most limit: the two low bits of the first byte say how many bytes it has, 1, 2 or 4.
// The fourth form, for 2^30 and above, is beyond any limit here. A number has one spelling only.
func (s *scale) length(part string, limit int) int {
	first := s.byte(part)
	var n uint32
	var least uint32
	switch first & 3 {
	case 0:
		n = uint32(first) >> 2
	case 1:
		n, least = (uint32(first)|uint32(s.byte(part))<<8)>>2, 1<<6
	case 2:
		rest := s.take(part, 3)
		n, least = (uint32(first)|uint32(rest[0])<<8|uint32(rest[1])<<16|uint32(rest[2])<<24)>>2, 1<<14
	default:
		s.fail(part, "want a length of at most %d, got one of 2^30 or more", limit)
	}
	if s.err == nil && n < least {
		s.fail(part, "want the shortest spelling of the length %d", n)
	}
	if s.err == nil && int64(n) > int64(limit) {
		s.fail(part, "want a length of at most %d, got %d", limit, n)
	}
	if s.err != nil {
		return 0
	}
	return int(n)
}

func (s *scale) bytes(part string, limit int) []byte {
	n := s.length(part, limit)
	taken := s.take(part, n)
	if s.err != nil {
		return nil
	}
	return taken
}

func (s *scale) text(part string, limit int) string {
	taken := s.bytes(part, limit)
	if !utf8.Valid(taken) {
		s.fail(part, "want UTF-8")
		return ""
	}
	return string(taken)
}
