package quote

import (
	"encoding/binary"
	"fmt"
)

// MaxSize is the longest quote that is read, in bytes, with what trails it. Real ones have about 5 KiB; some interfaces hand
// out a zero-padded buffer of 8 KB.
const MaxSize = 64 << 10

// Sizes and constants of the TDX DCAP Quoting Library API, appendix A.3 (version 4) and A.4 (version 5).
const (
	headerSize     = 48
	descriptorSize = 6 // version 5 only: body type and body size
	bodySizeTD10   = 584
	bodySizeTD15   = 648
	qeReportSize   = 384
	// signatureFixed is what precedes the certification data: signature, attestation key, type and size.
	signatureFixed = 64 + 64 + 2 + 4
	// certificationFixed is what the QE certification data has beside authentication data and certificates.
	certificationFixed = qeReportSize + 64 + 2 + 2 + 4

	keyTypeECDSAP256 = 2
	teeTypeTDX       = 0x81
	bodyTypeTD10     = 2
	bodyTypeTD15     = 3

	certificationQE       = 6 // QE report certification data
	certificationPCKChain = 5 // PEM, PCK certificate first
)

// The names of the two TD reports.
const (
	TD10 = "TD10"
	TD15 = "TD15"
)

// Quote is a parsed TDX quote. Nothing in it is true before it was appraised. Its slices alias the bytes that were parsed.
type Quote struct {
	Version            uint16 // 4 or 5
	AttestationKeyType uint16 // 2, ECDSA P-256
	TEEType            uint32 // 0x81, TDX
	QEVendorID         [16]byte
	UserData           [20]byte
	Body               Body
	Signed             []byte // header and body as signed, in version 5 with the body's type and size between them
	Signature          [64]byte
	AttestationKey     [64]byte
	QEReport           []byte // 384 bytes
	QEReportSignature  [64]byte
	AuthData           []byte
	Certificates       []byte // PEM, as given
	Trailing           []byte // what follows the quote: only zero is acceptable
}

// Body is the TD report in a quote: 584 bytes for TDX 1.0, 648 for 1.5.
type Body struct {
	Kind           string // TD10 or TD15
	TEETCBSVN      [16]byte
	MRSEAM         [48]byte
	MRSIGNERSEAM   [48]byte
	SEAMAttributes [8]byte
	TDAttributes   [8]byte
	XFAM           [8]byte
	MRTD           [48]byte
	MRCONFIGID     [48]byte
	MROWNER        [48]byte
	MROWNERCONFIG  [48]byte
	RTMR           [4][48]byte
	ReportData     [64]byte
	TEETCBSVN2     [16]byte // TD15
	MRSERVICETD    [48]byte // TD15
}

// FormatError says why bytes are not a TDX quote that can be verified.
type FormatError struct {
	Code   string // stable, such as "quote.tee_type"
	Reason string
	check  code
}

func (e *FormatError) Error() string { return e.Reason }

func formatError(c code, format string, args ...any) *FormatError {
	return &FormatError{Code: c.String(), Reason: fmt.Sprintf(format, args...), check: c}
}

// reader takes fields off the front of a quote. After the first field that does not fit, all are empty.
type reader struct {
	rest []byte
	at   int
	err  *FormatError
}

func (r *reader) bytes(n int, what string) []byte {
	if r.err == nil && n > len(r.rest) {
		r.err = formatError(codeTruncated, "truncated quote: expected %d bytes of %s at offset %d, got %d", n, what, r.at, len(r.rest))
	}
	if r.err != nil {
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	r.at += n
	return taken
}

func (r *reader) u16(what string) uint16 {
	if b := r.bytes(2, what); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32(what string) uint32 {
	if b := r.bytes(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Parse reads a quote of version 4 or 5, strictly. The error is a *FormatError. Bytes after the quote are kept, not judged.
func Parse(raw []byte) (*Quote, error) {
	q, err := parse(raw)
	if err != nil {
		return nil, err
	}
	return q, nil
}

func parse(raw []byte) (*Quote, *FormatError) {
	if len(raw) > MaxSize {
		return nil, formatError(codeSize, "quote: expected at most %d bytes, got %d", MaxSize, len(raw))
	}
	if len(raw) == 0 {
		return nil, formatError(codeSize, "quote: expected at least 1 byte, got none")
	}
	q := new(Quote)
	r := &reader{rest: raw}
	if err := q.header(r); err != nil {
		return nil, err
	}
	bodySize, err := q.bodyDescriptor(r)
	if err != nil {
		return nil, err
	}
	body := r.bytes(bodySize, "TD report")
	if r.err != nil {
		return nil, r.err
	}
	q.Body.read(body)
	q.Signed = raw[:r.at:r.at]
	if err := q.signatureData(r); err != nil {
		return nil, err
	}
	q.Trailing = r.rest
	return q, nil
}

func (q *Quote) header(r *reader) *FormatError {
	q.Version = r.u16("version")
	switch {
	case r.err != nil:
		return r.err
	case q.Version == 3:
		return formatError(codeVersion, "quote version: expected 4 or 5, got 3, which is a quote of an SGX enclave, not of a TD")
	case q.Version != 4 && q.Version != 5:
		return formatError(codeVersion, "quote version: expected 4 or 5, got %d", q.Version)
	}
	q.AttestationKeyType = r.u16("attestation key type")
	q.TEEType = r.u32("TEE type")
	r.bytes(4, "reserved fields") // two numbers that are 0 in TDX quotes; signed, and without meaning here
	copy(q.QEVendorID[:], r.bytes(len(q.QEVendorID), "QE vendor id"))
	copy(q.UserData[:], r.bytes(len(q.UserData), "user data"))
	switch {
	case r.err != nil:
		return r.err
	case q.TEEType == 0:
		return formatError(codeTEEType, "TEE type: expected 0x81 (TDX), got 0x0, which is a quote of an SGX enclave, not of a TD")
	case q.TEEType != teeTypeTDX:
		return formatError(codeTEEType, "TEE type: expected 0x81 (TDX), got %#x", q.TEEType)
	case q.AttestationKeyType != keyTypeECDSAP256:
		return formatError(codeKeyType, "attestation key type: expected 2 (ECDSA P-256), got %d", q.AttestationKeyType)
	}
	return nil
}

// bodyDescriptor returns the size of the body. Version 4 has no descriptor, and a TD report of TDX 1.0.
func (q *Quote) bodyDescriptor(r *reader) (int, *FormatError) {
	if q.Version == 4 {
		q.Body.Kind = TD10
		return bodySizeTD10, nil
	}
	kind, size := r.u16("body type"), r.u32("body size")
	var want int
	switch {
	case r.err != nil:
		return 0, r.err
	case kind == bodyTypeTD10:
		q.Body.Kind, want = TD10, bodySizeTD10
	case kind == bodyTypeTD15:
		q.Body.Kind, want = TD15, bodySizeTD15
	case kind == 1:
		return 0, formatError(codeBodyType, "body type: expected 2 (TDX 1.0) or 3 (TDX 1.5), got 1, which is the report of an SGX enclave, not of a TD")
	default:
		return 0, formatError(codeBodyType, "body type: expected 2 (TDX 1.0) or 3 (TDX 1.5), got %d", kind)
	}
	if size != uint32(want) {
		return 0, formatError(codeBodyType, "body size: expected %d bytes for body type %d, got %d", want, kind, size)
	}
	return want, nil
}

// read takes the fields from 584 or 648 bytes.
func (b *Body) read(body []byte) {
	at := 0
	next := func(field []byte) {
		at += copy(field, body[at:])
	}
	for _, field := range b.fields() {
		next(field)
	}
}

// fields are the fields of the body in their order there.
func (b *Body) fields() [][]byte {
	fields := [][]byte{
		b.TEETCBSVN[:], b.MRSEAM[:], b.MRSIGNERSEAM[:], b.SEAMAttributes[:], b.TDAttributes[:], b.XFAM[:], b.MRTD[:], b.MRCONFIGID[:],
		b.MROWNER[:], b.MROWNERCONFIG[:], b.RTMR[0][:], b.RTMR[1][:], b.RTMR[2][:], b.RTMR[3][:], b.ReportData[:],
	}
	if b.Kind == TD15 {
		fields = append(fields, b.TEETCBSVN2[:], b.MRSERVICETD[:])
	}
	return fields
}

// signatureData reads what follows the body. Every size has to account for exactly the bytes that it is about.
func (q *Quote) signatureData(r *reader) *FormatError {
	size := r.u32("signature data size")
	switch {
	case r.err != nil:
		return r.err
	case uint64(size) > uint64(len(r.rest)):
		return formatError(codeTruncated, "truncated quote: expected %d bytes of signature data at offset %d, got %d", size, r.at, len(r.rest))
	case size < signatureFixed:
		return formatError(codeSignatureData, "signature data size: expected at least %d bytes, got %d", signatureFixed, size)
	}
	inner := &reader{rest: r.bytes(int(size), "signature data"), at: r.at - int(size)}
	copy(q.Signature[:], inner.bytes(64, "signature"))
	copy(q.AttestationKey[:], inner.bytes(64, "attestation key"))
	kind, certificationSize := inner.u16("certification data type"), inner.u32("certification data size")
	switch {
	case kind != certificationQE:
		return formatError(codeCertificationType, "certification data type: expected 6 (QE report), got %d%s", kind, certificationName(kind))
	case uint64(certificationSize) != uint64(len(inner.rest)):
		return formatError(codeSignatureData, "certification data size: expected %d bytes, which is the rest of the signature data, got %d", len(inner.rest), certificationSize)
	case certificationSize < certificationFixed:
		return formatError(codeSignatureData, "certification data size: expected at least %d bytes, got %d", certificationFixed, certificationSize)
	}
	return q.certificationData(inner)
}

func (q *Quote) certificationData(r *reader) *FormatError {
	q.QEReport = r.bytes(qeReportSize, "QE report")
	copy(q.QEReportSignature[:], r.bytes(64, "QE report signature"))
	authSize := int(r.u16("QE authentication data size"))
	if room := len(r.rest) - 2 - 4; authSize > room {
		return formatError(codeSignatureData, "QE authentication data size: expected at most %d bytes, which is the rest of the certification data, got %d", room, authSize)
	}
	q.AuthData = r.bytes(authSize, "QE authentication data")
	kind, size := r.u16("PCK certification data type"), r.u32("PCK certification data size")
	switch {
	case r.err != nil:
		return r.err
	case kind != certificationPCKChain:
		return formatError(codeCertificationType, "PCK certification data type: expected 5 (PCK certificate chain in PEM), got %d%s", kind, certificationName(kind))
	case uint64(size) != uint64(len(r.rest)):
		return formatError(codeSignatureData, "PCK certification data size: expected %d bytes, which is the rest of the certification data, got %d", len(r.rest), size)
	}
	q.Certificates = r.bytes(int(size), "PCK certificate chain")
	return r.err
}

// certificationName names types of certification data that exist and are not supported.
func certificationName(kind uint16) string {
	switch kind {
	case 1, 2, 3:
		return " (PPID instead of a PCK certificate)"
	case 4:
		return " (PCK certificate without its chain)"
	case 5:
		return " (PCK certificate chain without QE report)"
	case 7:
		return " (platform manifest)"
	default:
		return ""
	}
}
