package quote

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// Platform is what the PCK certificate says of the machine.
type Platform struct {
	FMSPC              [6]byte // family, model, stepping, platform, custom SKU
	PCEID              [2]byte
	PPID               [16]byte
	PlatformInstanceID *[16]byte // Platform CA only
	PCESVN             uint16
	CPUSVN             [16]byte
	SGXSVNs            [16]uint8
	CA                 string // "platform" or "processor"
	SerialNumber       string // of the PCK certificate, lower-case hex without leading zeros
}

// The values of Platform.CA, as Intel's PCS API has them.
const (
	PlatformCA  = "platform"
	ProcessorCA = "processor"
)

// Platform reads the PCK certificate in a quote. What it says is not verified: it tells which collateral to ask for.
func (q *Quote) Platform() (Platform, error) {
	ders, err := q.certificates()
	if err != nil {
		return Platform{}, err
	}
	leaf, err := x509.ParseCertificate(ders[0])
	if err != nil {
		return Platform{}, fmt.Errorf("PCK certificate: %w", err)
	}
	return platformOf(leaf)
}

// certificates are the PCK certificate, its CA and the root, in DER. Quotes in the field end them with one zero byte or none.
func (q *Quote) certificates() ([][]byte, error) {
	ders, err := splitPEM(bytes.TrimRight(q.Certificates, "\x00"), 3)
	if err != nil {
		return nil, fmt.Errorf("PCK certificate chain: %w", err)
	}
	return ders, nil
}

var oidSGX = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

// platformOf reads the SGX extension of a PCK certificate (Intel SGX PCK Certificate and CRL Profile Specification, 1.3.5).
// The arcs have to stand in the order of the specification, each once.
func platformOf(leaf *x509.Certificate) (Platform, error) {
	p := Platform{SerialNumber: leaf.SerialNumber.Text(16)}
	switch leaf.Issuer.CommonName {
	case namePlatformCA:
		p.CA = PlatformCA
	case nameProcessorCA:
		p.CA = ProcessorCA
	default:
		return Platform{}, fmt.Errorf("PCK certificate: issuer: expected %s or %s, got %.100q", namePlatformCA, nameProcessorCA, leaf.Issuer.CommonName)
	}
	for _, extension := range leaf.Extensions {
		// crypto/x509 refuses a certificate that has an extension twice.
		if extension.Id.Equal(oidSGX) {
			if err := p.readExtension(extension.Value); err != nil {
				return Platform{}, fmt.Errorf("SGX extension of the PCK certificate: %w", err)
			}
			return p, nil
		}
	}
	return Platform{}, errors.New("PCK certificate: expected the SGX extension 1.2.840.113741.1.13.1, got none")
}

// DER tags of the types in the extension (ITU-T X.690).
const (
	tagBoolean     = 0x01
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagOID         = 0x06
	tagEnumerated  = 0x0a
	tagSequence    = 0x30
)

// oidSGXBody is the encoded body of oidSGX; an arc below it adds a byte, all of them being less than 128.
var oidSGXBody = []byte{0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01}

// element is a DER value that is read from its front. After the first offence it is empty and err is set.
type element struct {
	rest []byte
	err  error
}

// next takes one value with a tag. Lengths are minimal, and of two bytes at most.
func (e *element) next(tag byte, what string) []byte {
	if e.err != nil {
		return nil
	}
	d := e.rest
	fault := func(format string, args ...any) []byte {
		e.err, e.rest = fmt.Errorf("%s: "+format, append([]any{what}, args...)...), nil
		return nil
	}
	if len(d) < 2 {
		return fault("expected a value, got %d bytes", len(d))
	}
	if d[0] != tag {
		return fault("expected DER tag %#02x, got %#02x", tag, d[0])
	}
	size, head := int(d[1]), 2
	switch {
	case d[1] == 0x81 && len(d) > 2 && d[2] >= 0x80:
		size, head = int(d[2]), 3
	case d[1] == 0x82 && len(d) > 3 && d[2] > 0:
		size, head = int(d[2])<<8|int(d[3]), 4
	case d[1] >= 0x80:
		return fault("expected a length in DER of at most 65535, got another form")
	}
	if size > len(d)-head {
		return fault("expected %d bytes, got %d", size, len(d)-head)
	}
	e.rest = d[head+size:]
	return d[head : head+size]
}

// end says that nothing may follow.
func (e *element) end(what string) {
	if e.err == nil && len(e.rest) > 0 {
		e.err = fmt.Errorf("%s: expected nothing after the last member, got %d bytes", what, len(e.rest))
	}
}

// member enters SEQUENCE { OID, value } for an arc below the extension's OID and returns what is left of it after the OID.
func (e *element) member(what string, arc ...byte) *element {
	m := &element{rest: e.next(tagSequence, what), err: e.err}
	id := m.next(tagOID, what)
	if below, is := bytes.CutPrefix(id, oidSGXBody); m.err == nil && (!is || !bytes.Equal(below, arc)) {
		m.err = fmt.Errorf("%s: expected the object identifier with arc %v, got %x", what, arc, id)
	}
	return m
}

// close ends a member and hands its offence on.
func (e *element) close(m *element, what string) {
	m.end(what)
	if e.err == nil {
		e.err = m.err
	}
}

func (e *element) octets(into []byte, what string, arc ...byte) {
	m := e.member(what, arc...)
	value := m.next(tagOctetString, what)
	if m.err == nil && len(value) != len(into) {
		m.err = fmt.Errorf("%s: expected %d bytes, got %d", what, len(into), len(value))
	}
	copy(into, value)
	e.close(m, what)
}

// number reads a whole number, not negative, of at most max.
func (e *element) number(tag byte, max int, what string, arc ...byte) int {
	m := e.member(what, arc...)
	value := m.next(tag, what)
	n := 0
	switch {
	case m.err != nil:
	case len(value) == 0 || len(value) > 3 || value[0] >= 0x80 || (len(value) > 1 && value[0] == 0 && value[1] < 0x80):
		m.err = fmt.Errorf("%s: expected a number from 0 to %d in DER, got %x", what, max, value)
	default:
		for _, b := range value {
			n = n<<8 | int(b)
		}
		if n > max {
			m.err = fmt.Errorf("%s: expected a number from 0 to %d, got %d", what, max, n)
		}
	}
	e.close(m, what)
	return n
}

func (e *element) boolean(what string, arc ...byte) {
	m := e.member(what, arc...)
	value := m.next(tagBoolean, what)
	if m.err == nil && (len(value) != 1 || (value[0] != 0 && value[0] != 0xff)) {
		m.err = fmt.Errorf("%s: expected 00 or ff, got %x", what, value)
	}
	e.close(m, what)
}

func (p *Platform) readExtension(value []byte) error {
	outer := &element{rest: value}
	e := &element{rest: outer.next(tagSequence, "extension")}
	outer.end("extension")
	if outer.err != nil {
		return outer.err
	}
	e.octets(p.PPID[:], "PPID", 1)
	tcb := e.member("TCB", 2)
	svns := &element{rest: tcb.next(tagSequence, "TCB"), err: tcb.err}
	for i := range p.SGXSVNs {
		p.SGXSVNs[i] = uint8(svns.number(tagInteger, 0xff, fmt.Sprintf("TCB component %d", i+1), 2, byte(i+1)))
	}
	p.PCESVN = uint16(svns.number(tagInteger, 0xffff, "PCESVN", 2, 17))
	svns.octets(p.CPUSVN[:], "CPUSVN", 2, 18)
	tcb.close(svns, "TCB")
	e.close(tcb, "TCB")
	e.octets(p.PCEID[:], "PCEID", 3)
	e.octets(p.FMSPC[:], "FMSPC", 4)
	// Standard, scalable, scalable with integrity.
	e.number(tagEnumerated, 2, "SGX type", 5)
	if e.err == nil && len(e.rest) > 0 {
		p.PlatformInstanceID = new([16]byte)
		e.octets(p.PlatformInstanceID[:], "platform instance id", 6)
		configuration := e.member("configuration", 7)
		flags := &element{rest: configuration.next(tagSequence, "configuration"), err: configuration.err}
		flags.boolean("dynamic platform", 7, 1)
		flags.boolean("cached keys", 7, 2)
		flags.boolean("SMT enabled", 7, 3)
		configuration.close(flags, "configuration")
		e.close(configuration, "configuration")
	}
	e.end("extension")
	return e.err
}
