package quote

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Field is one field of a quote, for people.
type Field struct {
	Offset  int    `json:"offset"` // in the quote, bytes
	Size    int    `json:"size"`   // bytes; of what is read out of a certificate, those of the certificate
	Name    string `json:"name"`
	Value   string `json:"value"` // bytes in lower-case hex in their order there, numbers in decimal or with 0x
	Meaning string `json:"meaning,omitempty"`
}

// fieldWriter lists fields that follow each other.
type fieldWriter struct {
	fields []Field
	at     int
}

func (w *fieldWriter) add(name string, size int, value, meaning string) {
	w.fields = append(w.fields, Field{w.at, size, name, value, meaning})
	w.at += size
}

func (w *fieldWriter) bytes(name string, value []byte, meaning string) {
	w.add(name, len(value), hexOf(value), meaning)
}

func (w *fieldWriter) u16(name string, value uint16, meaning string) {
	w.add(name, 2, decimal(value), meaning)
}

// size is a number of bytes, in 4 bytes.
func (w *fieldWriter) size(name string, bytes int) {
	w.add(name, 4, strconv.Itoa(bytes), "bytes")
}

// Describe lists every field with its offset, value and meaning. Nothing of it is verified.
func (q *Quote) Describe() []Field {
	w := new(fieldWriter)
	q.describeHeader(w)
	q.Body.describe(w)
	w.size("signature data size", signatureFixed+certificationFixed+len(q.AuthData)+len(q.Certificates))
	w.bytes("signature", q.Signature[:], "r and s, by the attestation key over all up to here but the size")
	w.bytes("attestation key", q.AttestationKey[:], "x and y on P-256, made by the QE")
	w.u16("certification data type", certificationQE, "QE report")
	w.size("certification data size", certificationFixed+len(q.AuthData)+len(q.Certificates))
	q.describeQEReport(w)
	w.bytes("QE report signature", q.QEReportSignature[:], "r and s, by the PCK key over the QE report")
	w.u16("QE authentication data size", uint16(len(q.AuthData)), "bytes")
	w.bytes("QE authentication data", q.AuthData, "of the QE's choice, bound by its REPORTDATA")
	w.u16("PCK certification data type", certificationPCKChain, "PCK certificate chain in PEM")
	w.size("PCK certification data size", len(q.Certificates))
	q.describeCertificates(w)
	if len(q.Trailing) > 0 {
		meaning := "zero bytes after the quote"
		if len(bytes.Trim(q.Trailing, "\x00")) > 0 {
			meaning = "bytes after the quote that are not zero, which is refused"
		}
		w.add("trailing bytes", len(q.Trailing), fmt.Sprintf("%d bytes", len(q.Trailing)), meaning)
	}
	return w.fields
}

func (q *Quote) describeHeader(w *fieldWriter) {
	w.u16("version", q.Version, "")
	w.u16("attestation key type", q.AttestationKeyType, "ECDSA P-256")
	w.add("TEE type", 4, fmt.Sprintf("%#x", q.TEEType), "TDX")
	w.bytes("reserved", q.Signed[8:12], "two numbers that are 0 in TDX quotes")
	vendor := "not Intel, which is refused"
	if q.QEVendorID == intelQE {
		vendor = "Intel"
	}
	w.bytes("QE vendor id", q.QEVendorID[:], vendor)
	w.bytes("user data", q.UserData[:], "of the QE, commonly its id in the first 16 bytes")
	if q.Version == 5 {
		kind := binary.LittleEndian.Uint16(q.Signed[headerSize:])
		w.u16("body type", kind, map[string]string{TD10: "TD report of TDX 1.0", TD15: "TD report of TDX 1.5"}[q.Body.Kind])
		w.size("body size", len(q.Signed)-headerSize-descriptorSize)
	}
}

func (b *Body) describe(w *fieldWriter) {
	w.bytes("TEE_TCB_SVN", b.TEETCBSVN[:], fmt.Sprintf("TDX module %d.%d (version, ISVSVN), SEAM loader %d", b.TEETCBSVN[1], b.TEETCBSVN[0], b.TEETCBSVN[2]))
	w.bytes("MRSEAM", b.MRSEAM[:], "measurement of the TDX module")
	w.bytes("MRSIGNERSEAM", b.MRSIGNERSEAM[:], "signer of the TDX module; zero is Intel")
	w.bytes("SEAMATTRIBUTES", b.SEAMAttributes[:], "attributes of the TDX module")
	w.bytes("TDATTRIBUTES", b.TDAttributes[:], bitNames(b.TDAttributes, tdAttributeNames))
	w.bytes("XFAM", b.XFAM[:], bitNames(b.XFAM, xfamNames))
	w.bytes("MRTD", b.MRTD[:], "measurement of what the TD was built from")
	w.bytes("MRCONFIGID", b.MRCONFIGID[:], "set by who built the TD: configuration")
	w.bytes("MROWNER", b.MROWNER[:], "set by who built the TD: owner")
	w.bytes("MROWNERCONFIG", b.MROWNERCONFIG[:], "set by who built the TD: configuration by the owner")
	meanings := [4]string{"firmware and its configuration", "kernel and its loader", "command line and initial RAM disk", "application"}
	for i := range b.RTMR {
		w.bytes(fmt.Sprintf("RTMR%d", i), b.RTMR[i][:], "measured while running: "+meanings[i])
	}
	w.bytes("REPORTDATA", b.ReportData[:], "chosen inside the TD")
	if b.Kind == TD15 {
		w.bytes("TEE_TCB_SVN_2", b.TEETCBSVN2[:], fmt.Sprintf("TDX module that runs now %d.%d, SEAM loader %d", b.TEETCBSVN2[1], b.TEETCBSVN2[0], b.TEETCBSVN2[2]))
		w.bytes("MRSERVICETD", b.MRSERVICETD[:], "service TDs bound to this one; zero is none")
	}
}

func (q *Quote) describeQEReport(w *fieldWriter) {
	r := q.QEReport
	for _, f := range []struct {
		name     string
		from, to int
		meaning  string
	}{
		{"QE CPUSVN", 0, qeMISCSELECT, ""},
		{"QE MISCSELECT", qeMISCSELECT, 20, ""},
		{"QE reserved", 20, qeAttributes, ""},
		{"QE ATTRIBUTES", qeAttributes, 64, "flags and XFRM"},
		{"QE MRENCLAVE", 64, 96, "measurement of the QE"},
		{"QE reserved", 96, qeMRSIGNER, ""},
		{"QE MRSIGNER", qeMRSIGNER, 160, "signer of the QE"},
		{"QE reserved", 160, qeISVPRODID, ""},
	} {
		w.bytes(f.name, r[f.from:f.to], f.meaning)
	}
	w.u16("QE ISVPRODID", binary.LittleEndian.Uint16(r[qeISVPRODID:]), "product")
	w.u16("QE ISVSVN", binary.LittleEndian.Uint16(r[qeISVSVN:]), "security version")
	w.bytes("QE reserved", r[260:qeReportData], "")
	w.bytes("QE REPORTDATA", r[qeReportData:], "SHA-256 of attestation key and authentication data, 32 zero bytes")
}

// describeCertificates lists the chain as far as it can be read.
func (q *Quote) describeCertificates(w *fieldWriter) {
	ders, err := q.certificates()
	if err != nil {
		w.add("PCK certificate chain", len(q.Certificates), fmt.Sprintf("%d bytes", len(q.Certificates)), err.Error())
		return
	}
	names := [3]string{"PCK certificate", "PCK CA certificate", "root certificate"}
	text := q.Certificates
	for i, der := range ders {
		size := len(text)
		if next := bytes.Index(text[1:], []byte(beginCertificate)); next >= 0 {
			size = 1 + next
		}
		start := w.at
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			w.add(names[i], size, fmt.Sprintf("%d bytes", size), err.Error())
		} else {
			w.add(names[i], size, cert.Subject.CommonName, fmt.Sprintf("issued by %s, serial number %x, valid from %s to %s", cert.Issuer.CommonName, cert.SerialNumber, stamp(cert.NotBefore), stamp(cert.NotAfter)))
		}
		if i == 0 && err == nil {
			describePlatform(w, Field{Offset: start, Size: size}, cert)
		}
		text = text[size:]
	}
}

func describePlatform(w *fieldWriter, place Field, leaf *x509.Certificate) {
	row := func(name, value, meaning string) {
		w.fields = append(w.fields, Field{place.Offset, place.Size, "PCK certificate: " + name, value, meaning})
	}
	p, err := platformOf(leaf)
	if err != nil {
		row("SGX extension", "", err.Error())
		return
	}
	row("PPID", hexOf(p.PPID[:]), "names the platform")
	row("SGX TCB SVNs", hexOf(p.SGXSVNs[:]), "security versions of the platform's 16 components")
	row("PCESVN", decimal(p.PCESVN), "security version of the provisioning certification enclave")
	row("CPUSVN", hexOf(p.CPUSVN[:]), "")
	row("PCEID", hexOf(p.PCEID[:]), "")
	row("FMSPC", hexOf(p.FMSPC[:]), "family, model, stepping, platform, custom SKU: which TCB info applies")
	if p.PlatformInstanceID != nil {
		row("platform instance id", hexOf(p.PlatformInstanceID[:]), "names the platform with its registration")
	}
}

// bitName is a bit, or some, of a 64-bit field.
type bitName struct {
	mask uint64
	name string
}

// The names are those of the Intel TDX Module Base Architecture Specification.
var (
	tdAttributeNames = []bitName{
		{attributeDebug, "DEBUG: the host can read the TD"}, {attributesUntrusted, "untrusted bits"}, {1 << 27, "LASS"},
		{attributeSEPTVEDisable, "SEPT_VE_DISABLE"}, {attributeMigratable, "MIGRATABLE"}, {1 << 30, "PKS"}, {1 << 31, "KL"}, {1 << 63, "PERFMON"},
	}
	xfamNames = []bitName{
		{1 << 0, "x87"}, {1 << 1, "SSE"}, {1 << 2, "AVX"}, {0xe0, "AVX-512"}, {1 << 8, "PT"}, {1 << 9, "PKRU"}, {0x1800, "CET"},
		{1 << 14, "ULI"}, {1 << 15, "LBR"}, {0x60000, "AMX"},
	}
)

// bitNames names the bits that are set in a little-endian field.
func bitNames(field [8]byte, names []bitName) string {
	value := binary.LittleEndian.Uint64(field[:])
	var set []string
	for _, n := range names {
		if value&n.mask != 0 {
			set = append(set, n.name)
		}
		value &^= n.mask
	}
	if value != 0 {
		set = append(set, fmt.Sprintf("unknown bits %#x", value))
	}
	if len(set) == 0 {
		return "none"
	}
	return strings.Join(set, ", ")
}
