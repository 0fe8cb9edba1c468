//go:build simtee

package simtee

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// EnclaveReport is the report of the quoting enclave, 384 bytes (Intel SDM volume 3D, table "REPORT").
type EnclaveReport struct {
	CPUSVN     [16]byte
	MiscSelect uint32
	Attributes [16]byte
	MREnclave  [32]byte
	MRSigner   [32]byte
	ProductID  uint16
	SVN        uint16
	ReportData [64]byte
}

const enclaveReportSize = 384

// Bytes encodes the report; reserved bytes are zero.
func (r EnclaveReport) Bytes() []byte {
	b := make([]byte, enclaveReportSize)
	copy(b, r.CPUSVN[:])
	binary.LittleEndian.PutUint32(b[16:], r.MiscSelect)
	copy(b[48:], r.Attributes[:])
	copy(b[64:], r.MREnclave[:])
	copy(b[128:], r.MRSigner[:])
	binary.LittleEndian.PutUint16(b[256:], r.ProductID)
	binary.LittleEndian.PutUint16(b[258:], r.SVN)
	copy(b[320:], r.ReportData[:])
	return b
}

// Types of a version 5 quote's body, and of certification data.
const (
	BodyTD10 = 2
	BodyTD15 = 3

	CertificationPCKChain = 5 // PEM: leaf, CA, root
	CertificationQEReport = 6 // the QE report, and certification data about who signed it
)

// vendorIntel is the QE vendor id of Intel's quoting enclaves.
var vendorIntel = [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

// Parts is a quote in parts. [Platform.Parts] fills all but the signatures, the caller edits, [Parts.Sign] signs, the caller may
// edit again, and [Parts.Bytes] puts the parts together. Sizes follow from the parts.
type Parts struct {
	Version  uint16
	KeyType  uint16 // 2: ECDSA P-256
	TEEType  uint32 // 0x81: TDX
	Reserved [4]byte
	VendorID [16]byte
	UserData [20]byte
	BodyType uint16 // version 5 only
	Body     []byte // a TD report as [EncodeBody] makes it

	QE           EnclaveReport
	AuthData     []byte
	OuterType    uint16
	InnerType    uint16
	Certificates []byte
	Trailing     []byte // after the quote

	// AttestationSigner signs the quote, QESigner the QE report.
	AttestationSigner, QESigner Key

	AttestationKey [64]byte // filled with the public half of AttestationSigner
	Signature      [64]byte // filled by SignBody
	QESignature    [64]byte // filled by SignQE

	seed Seed
}

// Body is a TD report body with the platform's part in it and the simulated MRTD; the caller fills the rest. Its Kind is TD10;
// TD15 gives the longer form of TDX 1.5.
func (p *Platform) Body() quote.Body { return p.design.Body }

// Parts returns a quote before it is signed: version 4 or 5, over a body.
func (p *Platform) Parts(version uint16, body quote.Body) *Parts {
	d := &p.design
	parts := &Parts{
		Version: version, KeyType: 2, TEEType: 0x81, VendorID: vendorIntel, BodyType: BodyTD10, Body: EncodeBody(body),
		QE: d.QE, AuthData: make([]byte, 32), OuterType: CertificationQEReport, InnerType: CertificationPCKChain,
		Certificates:      append(p.PCKChain(), 0), // Intel's quoting library counts the C string's end
		AttestationSigner: KeyAttestation, QESigner: d.PCK.Key, AttestationKey: d.Seed.Public(KeyAttestation), seed: d.Seed,
	}
	if body.Kind == "TD15" {
		parts.BodyType = BodyTD15
	}
	copy(parts.UserData[:], d.Seed.bytes("qe id", 16))
	for i := range parts.AuthData {
		parts.AuthData[i] = byte(i)
	}
	return parts
}

// Quote returns a signed quote, version 4 or 5. Version 4 has no room for a body of kind TD15, and gets its first 584 bytes.
func (p *Platform) Quote(version uint16, body quote.Body) []byte {
	if version == 4 {
		body.Kind = "TD10"
	}
	parts := p.Parts(version, body)
	parts.Sign()
	return parts.Bytes()
}

// EncodeBody encodes a TD report body: 584 bytes, and 648 for kind TD15.
func EncodeBody(b quote.Body) []byte {
	fields := [][]byte{
		b.TEETCBSVN[:], b.MRSEAM[:], b.MRSIGNERSEAM[:], b.SEAMAttributes[:], b.TDAttributes[:], b.XFAM[:], b.MRTD[:], b.MRCONFIGID[:],
		b.MROWNER[:], b.MROWNERCONFIG[:], b.RTMR[0][:], b.RTMR[1][:], b.RTMR[2][:], b.RTMR[3][:], b.ReportData[:],
	}
	if b.Kind == "TD15" {
		fields = append(fields, b.TEETCBSVN2[:], b.MRSERVICETD[:])
	}
	return slices.Concat(fields...)
}

// Signed is what the attestation key signs: header, body descriptor in version 5, body.
func (q *Parts) Signed() []byte {
	b := binary.LittleEndian.AppendUint16(nil, q.Version)
	b = binary.LittleEndian.AppendUint16(b, q.KeyType)
	b = binary.LittleEndian.AppendUint32(b, q.TEEType)
	b = append(b, q.Reserved[:]...)
	b = append(b, q.VendorID[:]...)
	b = append(b, q.UserData[:]...)
	if q.Version == 5 {
		b = binary.LittleEndian.AppendUint16(b, q.BodyType)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(q.Body)))
	}
	return append(b, q.Body...)
}

// Bind writes the hash of attestation key and authentication data to the QE report: SHA-256 and 32 zero bytes.
func (q *Parts) Bind() {
	hash := sha256.Sum256(slices.Concat(q.AttestationKey[:], q.AuthData))
	q.QE.ReportData = [64]byte{}
	copy(q.QE.ReportData[:], hash[:])
}

// SignQE signs the QE report as it stands.
func (q *Parts) SignQE() { q.QESignature = q.seed.Sign(q.QESigner, q.QE.Bytes()) }

// SignBody signs header and body as they stand.
func (q *Parts) SignBody() { q.Signature = q.seed.Sign(q.AttestationSigner, q.Signed()) }

// Sign binds the attestation key and signs both.
func (q *Parts) Sign() {
	q.Bind()
	q.SignQE()
	q.SignBody()
}

// Bytes encodes the quote.
func (q *Parts) Bytes() []byte {
	inner := certificationData(q.InnerType, q.Certificates)
	auth := append(binary.LittleEndian.AppendUint16(nil, uint16(len(q.AuthData))), q.AuthData...)
	outer := certificationData(q.OuterType, slices.Concat(q.QE.Bytes(), q.QESignature[:], auth, inner))
	signature := slices.Concat(q.Signature[:], q.AttestationKey[:], outer)
	var b bytes.Buffer
	b.Write(q.Signed())
	b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(signature))))
	b.Write(signature)
	b.Write(q.Trailing)
	return b.Bytes()
}

func certificationData(kind uint16, data []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}
