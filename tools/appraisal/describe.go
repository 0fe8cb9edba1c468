package appraisal

import (
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Field is one field of a quote, for a person to read.
type Field struct {
	Part    string `json:"part"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Meaning string `json:"meaning"`
}

// Describe lists every field of a parsed quote in the order of its bytes. Nothing is verified: a quote that anyone made up has the
// same fields.
func Describe(q *quote.Quote) []Field {
	d := &description{}
	d.part = "header"
	d.add("version", decimal(q.Version), "format of the quote: 4, or 5 where the body has a type")
	d.add("attestation_key_type", decimal(q.AttestationKeyType), "2 is ECDSA over P-256")
	d.add("tee_type", fmt.Sprintf("%#x", q.TEEType), "0x81 is a TDX trust domain (TD)")
	d.hex("qe_vendor_id", q.QEVendorID[:], "whose quoting enclave (QE) signed; 939a7233f79c4ca9940a0db3957f0607 is Intel's")
	d.hex("user_data", q.UserData[:], "the first 16 bytes name the QE's installation")
	d.body(&q.Body)
	d.part = "signature"
	d.hex("signature", q.Signature[:], "of the attestation key over header and body")
	d.hex("attestation_key", q.AttestationKey[:], "public key that the QE made, x and y")
	d.qeReport(q.QEReport)
	d.hex("qe_report_signature", q.QEReportSignature[:], "of the platform's PCK key over the QE report")
	d.hex("qe_auth_data", q.AuthData, "what the QE bound together with the attestation key")
	d.certificates(q)
	d.part = "end"
	d.add("trailing_bytes", strconv.Itoa(len(q.Trailing)), "what follows the quote; only zero bytes are acceptable")
	return d.fields
}

type description struct {
	part   string
	fields []Field
}

func (d *description) add(name, value, meaning string) {
	d.fields = append(d.fields, Field{d.part, name, value, meaning})
}

func (d *description) hex(name string, value []byte, meaning string) {
	d.add(name, hex.EncodeToString(value), meaning)
}

func decimal(n uint16) string { return strconv.Itoa(int(n)) }

func (d *description) body(b *quote.Body) {
	d.part = "body"
	d.add("kind", b.Kind, "TD report of TDX 1.0 (TD10) or 1.5 (TD15)")
	d.hex("tee_tcb_svn", b.TEETCBSVN[:], "security versions: TDX module, its major version, SEAM loader")
	d.hex("mrseam", b.MRSEAM[:], "measurement of the TDX module")
	d.hex("mrsignerseam", b.MRSIGNERSEAM[:], "who signed the TDX module; zero is Intel")
	d.hex("seam_attributes", b.SEAMAttributes[:], "attributes of the TDX module; zero for one in production")
	d.hex("td_attributes", b.TDAttributes[:], "attributes of the TD: "+bits(b.TDAttributes, attributeBits))
	d.hex("xfam", b.XFAM[:], "processor state that the TD may use: "+bits(b.XFAM, featureBits))
	d.hex("mrtd", b.MRTD[:], "measurement of the memory that the TD began with: its firmware")
	d.hex("mrconfigid", b.MRCONFIGID[:], "configuration that the host gave the TD at launch; dstack puts the compose hash there")
	d.hex("mrowner", b.MROWNER[:], "owner that the host gave the TD at launch")
	d.hex("mrownerconfig", b.MROWNERCONFIG[:], "owner's configuration that the host gave the TD at launch")
	for i, meaning := range []string{
		"firmware's configuration: TD HOB, variables, ACPI tables", "kernel, and firmware's way to it", "kernel command line and initrd",
		"what runs in the guest; dstack's runtime events",
	} {
		d.hex(fmt.Sprintf("rtmr%d", i), b.RTMR[i][:], meaning)
	}
	d.hex("report_data", b.ReportData[:], "64 bytes that the TD chose, such as a digest of nonce and key")
	if b.Kind == quote.TD15 {
		d.hex("tee_tcb_svn_2", b.TEETCBSVN2[:], "security versions of the TDX module that runs now; the TD may have been launched under another")
		d.hex("mrservicetd", b.MRSERVICETD[:], "service TDs that are bound, which can migrate this one; zero: none")
	}
}

// attributeBits are bits of TDATTRIBUTES (Intel TDX Module ABI Specification, "ATTRIBUTES").
var attributeBits = map[int]string{
	0: "DEBUG", 27: "LASS", 28: "SEPT_VE_DISABLE", 29: "MIGRATABLE", 30: "PKS", 31: "KL", 63: "PERFMON",
}

// featureBits are bits of XFAM, which are those of XCR0 and IA32_XSS (Intel SDM volume 1, section 13.1).
var featureBits = map[int]string{
	0: "x87", 1: "SSE", 2: "AVX", 5: "AVX-512 masks", 6: "AVX-512 ZMM0-15", 7: "AVX-512 ZMM16-31", 8: "PT", 9: "PKRU", 10: "PASID", 11: "CET_U",
	12: "CET_S", 13: "HDC", 14: "UINTR", 15: "LBR", 16: "HWP", 17: "AMX config", 18: "AMX data", 19: "APX",
}

// bits names those that are set in a little-endian field.
func bits(field [8]byte, names map[int]string) string {
	var set []string
	value := binary.LittleEndian.Uint64(field[:])
	for i := range 64 {
		if value>>i&1 == 0 {
			continue
		}
		name, ok := names[i]
		if !ok {
			name = fmt.Sprintf("bit %d", i)
		}
		set = append(set, name)
	}
	if set == nil {
		return "none"
	}
	return strings.Join(set, ", ")
}

// qeReport lists an SGX report body (Intel SDM volume 3D, table 40-21).
func (d *description) qeReport(r []byte) {
	d.part = "qe report"
	d.hex("qe_cpusvn", r[0:16], "security version of the processor that the QE ran on")
	d.hex("qe_miscselect", r[16:20], "extended features of the QE")
	d.hex("qe_attributes", r[48:64], "attributes of the QE; bit 1 of the first byte is DEBUG")
	d.hex("qe_mrenclave", r[64:96], "measurement of the QE")
	d.hex("qe_mrsigner", r[128:160], "who signed the QE")
	d.add("qe_isvprodid", decimal(binary.LittleEndian.Uint16(r[256:])), "product number; 2 is the TD quoting enclave")
	d.add("qe_isvsvn", decimal(binary.LittleEndian.Uint16(r[258:])), "security version of the QE")
	d.hex("qe_report_data", r[320:384], "SHA-256 of attestation key and authentication data, then 32 zero bytes")
}

// printable keeps what a stranger wrote into a certificate from steering a terminal.
func printable(text string) string {
	quoted := strconv.QuoteToGraphic(text)
	return quoted[1 : len(quoted)-1]
}

// certificates lists the chain as it is given, and what the first certificate says of the platform.
func (d *description) certificates(q *quote.Quote) {
	d.part = "certificates"
	rest, n := q.Certificates, 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		n++
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			d.add(fmt.Sprintf("certificate_%d", n), err.Error(), "a certificate that can not be read")
			continue
		}
		d.add(fmt.Sprintf("certificate_%d", n), printable(cert.Subject.String()), fmt.Sprintf("serial number %x, %s to %s, issued by %s", cert.SerialNumber,
			cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339), printable(cert.Issuer.String())))
	}
	d.part = "platform"
	p, err := q.Platform()
	if err != nil {
		d.add("pck_certificate", err.Error(), "it should name the platform")
		return
	}
	d.hex("fmspc", p.FMSPC[:], "family, model, stepping and platform: which TCB info is about it")
	d.hex("pceid", p.PCEID[:], "provisioning certification enclave")
	d.hex("ppid", p.PPID[:], "this very processor package")
	if p.PlatformInstanceID != nil {
		d.hex("platform_instance_id", p.PlatformInstanceID[:], "this very platform, of one or more packages")
	}
	d.hex("cpusvn", p.CPUSVN[:], "security version of the processor")
	d.add("sgx_tcb_svns", strings.Trim(fmt.Sprint(p.SGXSVNs), "[]"), "its 16 components")
	d.add("pcesvn", decimal(p.PCESVN), "security version of the provisioning certification enclave")
	d.add("ca", p.CA, "kind of CA that issued the PCK certificate")
}
