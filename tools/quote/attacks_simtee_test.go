//go:build simtee

package quote_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

var attackTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var attackSeed = simtee.Seed{'q', 'u', 'o', 't', 'e'}

// attack is a platform, quote or collateral that is not in order. Everything that is not edited is.
type attack struct {
	name string
	// fails are the codes that fail, all of them: so each row shows that one check, and no other, refuses it.
	fails []string
	// unchecked is a code that is not checked because of it.
	unchecked string
	// reason stands in what the first failed check says.
	reason     string
	status     quote.Status // empty: any
	version    uint16       // 0: 5 with a TD report of TDX 1.5
	design     func(*simtee.Design)
	before     func(*simtee.Parts) // before the quote is signed
	after      func(*simtee.Parts)
	raw        func([]byte) []byte
	collateral func(*quote.Collateral, *simtee.Platform)
	policy     func(*quote.Policy)
	later      time.Duration // than attackTime
}

func (a *attack) platform(t testing.TB) *simtee.Platform {
	t.Helper()
	p, err := simtee.New(attackSeed, attackTime, func(d *simtee.Design) {
		d.Body.Kind = quote.TD15
		if a.design != nil {
			a.design(d)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (a *attack) run(t testing.TB) quote.Result {
	t.Helper()
	p := a.platform(t)
	root, err := quote.ParseTrustRoot(p.RootPEM())
	if err != nil {
		t.Fatal(err)
	}
	version, body := a.version, p.Body()
	if version == 0 {
		version = 5
	}
	if version == 4 {
		body.Kind = quote.TD10
	}
	parts := p.Parts(version, body)
	if a.before != nil {
		a.before(parts)
	}
	parts.Sign()
	if a.after != nil {
		a.after(parts)
	}
	raw := parts.Bytes()
	if a.raw != nil {
		raw = a.raw(raw)
	}
	c := p.Collateral()
	if a.collateral != nil {
		a.collateral(&c, p)
	}
	var policy quote.Policy
	if a.policy != nil {
		a.policy(&policy)
	}
	return quote.NewVerifier(c, root).Appraise(raw, policy, attackTime.Add(a.later))
}

// replaced edits the text of a document before it is signed.
func replaced(old, text string) func([]byte) []byte {
	return func(b []byte) []byte {
		if !bytes.Contains(b, []byte(old)) {
			panic("no " + old)
		}
		return bytes.Replace(b, []byte(old), []byte(text), 1)
	}
}

func tcbInfo(old, text string) func(*simtee.Design) {
	return func(d *simtee.Design) { d.EditTCBInfo = replaced(old, text) }
}

func identity(old, text string) func(*simtee.Design) {
	return func(d *simtee.Design) { d.EditQEIdentity = replaced(old, text) }
}

// another is a platform of the same root with another key and serial number.
func another(edit func(*simtee.Design)) *simtee.Platform {
	p, err := simtee.New(attackSeed, attackTime, func(d *simtee.Design) {
		d.PCK.Key, d.PCK.Serial = "pck-of-another", big.NewInt(77)
		if edit != nil {
			edit(d)
		}
	})
	if err != nil {
		panic(err)
	}
	return p
}

// foreign is a platform of another root with Intel's names.
func foreign() *simtee.Platform {
	p, err := simtee.New(simtee.Seed{'o', 't', 'h', 'e', 'r'}, attackTime)
	if err != nil {
		panic(err)
	}
	return p
}

func entry(list []simtee.Entry, arcs ...int) int {
	return slices.IndexFunc(list, func(e simtee.Entry) bool { return e.ID.Equal(simtee.SGXArc(arcs...)) })
}

func sgx(edit func([]simtee.Entry) []simtee.Entry) func(*simtee.Design) {
	return func(d *simtee.Design) { d.SGX.Edit = edit }
}

func set(value any, arcs ...int) func([]simtee.Entry) []simtee.Entry {
	return func(list []simtee.Entry) []simtee.Entry {
		list[entry(list, arcs...)] = simtee.NewEntry(value, arcs...)
		return list
	}
}

func without(arcs ...int) func([]simtee.Entry) []simtee.Entry {
	return func(list []simtee.Entry) []simtee.Entry {
		i := entry(list, arcs...)
		return slices.Delete(list, i, i+1)
	}
}

func twice(arcs ...int) func([]simtee.Entry) []simtee.Entry {
	return func(list []simtee.Entry) []simtee.Entry {
		return slices.Insert(list, entry(list, arcs...), list[entry(list, arcs...)])
	}
}

func attribute(bit int) func(*simtee.Design) {
	return func(d *simtee.Design) { d.Body.TDAttributes[bit/8] |= 1 << (bit % 8) }
}

func xfam(bit int) func(*simtee.Design) {
	return func(d *simtee.Design) { d.Body.XFAM[bit/8] ^= 1 << (bit % 8) }
}

const day = 24 * time.Hour

var noRevocation = []string{"revocation.pck", "revocation.intermediate", "revocation.tcb_info_signer", "revocation.qe_identity_signer"}

func attacks() []attack {
	type (
		design = simtee.Design
		parts  = simtee.Parts
	)
	f := func(codes ...string) []string { return codes }
	list := []attack{
		// A. The quote's bytes.
		{name: "header flipped", fails: f("quote.signature"), after: func(p *parts) { p.UserData[0] ^= 1 }},
		{name: "reserved header field flipped", fails: f("quote.signature"), after: func(p *parts) { p.Reserved[0] ^= 1 }},
		{name: "body flipped", fails: f("quote.signature"), after: func(p *parts) { p.Body[528] ^= 1 }},
		{name: "vendor", fails: f("quote.vendor"), before: func(p *parts) { p.VendorID[0] ^= 1 }},
		{name: "QE report flipped", fails: f("qe.report_signature"), after: func(p *parts) { p.QE.CPUSVN[0] ^= 1 }},
		{name: "QE report of another platform", fails: f("qe.report_signature"), before: func(p *parts) { p.QESigner = "x" }},
		{name: "own attestation key", fails: f("qe.report_data"), after: func(p *parts) {
			p.AttestationSigner, p.AttestationKey = "x", attackSeed.Public("x")
			p.SignBody()
		}},
		{name: "authentication data", fails: f("qe.report_data"), after: func(p *parts) { p.AuthData[31] ^= 1 }},
		{name: "authentication data cut", fails: f("qe.report_data"), after: func(p *parts) { p.AuthData = p.AuthData[:31] }},
		{name: "tail of QE REPORTDATA", fails: f("qe.report_data"), after: func(p *parts) { p.QE.ReportData[32] = 1; p.SignQE() }},
		{name: "last byte of QE REPORTDATA", fails: f("qe.report_data"), after: func(p *parts) { p.QE.ReportData[63] = 1; p.SignQE() }},
		{name: "trailing byte", fails: f("quote.trailing"), after: func(p *parts) { p.Trailing = []byte{0, 0, 1} }},
		{name: "second quote", fails: f("quote.trailing"), raw: func(b []byte) []byte { return append(b, b...) }},
		{name: "point off the curve", fails: f("quote.attestation_key"), unchecked: "quote.signature", after: func(p *parts) {
			p.AttestationKey[63] ^= 1
			p.Bind()
			p.SignQE()
		}},
		{name: "coordinates out of range", fails: f("quote.attestation_key"), after: func(p *parts) {
			copy(p.AttestationKey[:], bytes.Repeat([]byte{0xff}, 64))
			p.Bind()
			p.SignQE()
		}},
		{name: "point at infinity", fails: f("quote.attestation_key"), after: func(p *parts) { p.AttestationKey = [64]byte{}; p.Bind(); p.SignQE() }},
		{name: "r is 0", fails: f("quote.signature"), after: func(p *parts) { clear(p.Signature[:32]) }},
		{name: "s is 0", fails: f("quote.signature"), after: func(p *parts) { clear(p.Signature[32:]) }},
		{name: "r and s are n", fails: f("quote.signature"), after: func(p *parts) {
			order(p.Signature[:32])
			order(p.Signature[32:])
		}},
		{name: "r + n", fails: f("qe.report_signature"), after: func(p *parts) { copy(p.QESignature[:32], bytes.Repeat([]byte{0xff}, 32)) }},
		{name: "version 5 called 4", version: 4, fails: f("quote.signature"), after: func(p *parts) { p.Reserved[3] = 1 }},

		// B. Chain and collateral.
		{name: "whole foreign PKI", fails: f("pck.root", "pck.intermediate", "pck_crl.issuer"), after: func(p *parts) {
			other := foreign()
			q := other.Parts(5, other.Body())
			q.Sign()
			p.Certificates, p.QE, p.QESignature = q.Certificates, q.QE, q.QESignature
			p.AttestationSigner, p.AttestationKey, p.Signature, p.AuthData = q.AttestationSigner, q.AttestationKey, q.Signature, q.AuthData
			p.Body, p.BodyType, p.UserData = q.Body, q.BodyType, q.UserData
		}},
		{name: "root of another, named alike", fails: f("pck.root"), unchecked: "pck.validity", after: func(p *parts) {
			p.Certificates = slices.Concat(p.Certificates[:bytes.LastIndex(p.Certificates, []byte("-----BEGIN"))], foreign().RootPEM())
		}},
		{name: "chain of another platform", fails: f("qe.report_signature"), after: func(p *parts) { p.Certificates = another(nil).PCKChain() }},
		{name: "certificates in DER", fails: f("pck.chain"), unchecked: "qe.report_signature", after: func(p *parts) { p.Certificates = bytes.Join(another(nil).CertificatesDER(), nil) }},
		{name: "TCB signing certificate as PCK certificate", fails: f("pck.leaf", "pck.extension", "qe.report_signature"), after: func(p *parts) {
			other := another(nil)
			c := other.CertificatesDER()
			p.Certificates = simtee.PEM(other.TCBSigningDER(), c[1], c[2])
		}},
		{name: "leaf with CA bit", fails: f("pck.leaf"), reason: "basic constraints", design: func(d *design) { d.PCK.CA, d.PCK.PathLen = true, 0 }},
		{name: "leaf without key usage", fails: f("pck.leaf"), reason: "key usage", design: func(d *design) { d.PCK.Usage = 0 }},
		{name: "leaf that may sign certificates", fails: f("pck.leaf"), reason: "key usage", design: func(d *design) { d.PCK.Usage |= x509.KeyUsageCertSign }},
		{name: "leaf with extended key usage", fails: f("pck.leaf"), reason: "extended key usage", design: func(d *design) {
			d.PCK.Edit = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
		}},
		{name: "leaf with a critical extension", fails: f("pck.leaf"), reason: "critical", design: func(d *design) {
			d.PCK.Extensions = append(d.PCK.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}},
		{name: "leaf with another name", fails: f("pck.leaf"), reason: "common name", design: func(d *design) { d.PCK.Name = "Intel SGX PCK Certificate 2" }},
		{name: "leaf signed by another", fails: f("pck.leaf"), reason: "signature", design: func(d *design) { d.PCK.Signer = "x" }},
		{name: "leaf signed by the root", fails: f("pck.leaf", "pck.extension"), reason: "issuer", design: func(d *design) { d.PCK.Issuer, d.PCK.Signer = simtee.NameRoot, simtee.KeyRoot }},
		{name: "leaf of the other CA's name", fails: f("pck.leaf"), reason: "issuer", design: func(d *design) { d.PCK.Issuer = simtee.NameProcessorCA }},
		{name: "leaf expired", fails: f("pck.validity"), design: func(d *design) { d.PCK.NotAfter = attackTime.Add(-time.Second) }},
		{name: "leaf not yet valid", fails: f("pck.validity"), design: func(d *design) { d.PCK.NotBefore = attackTime.Add(time.Second) }},
		{name: "CA without CA bit", fails: f("pck.intermediate", "pck_crl.chain"), design: func(d *design) { d.PCKCA.CA = false }},
		{name: "CA with path length 1", fails: f("pck.intermediate", "pck_crl.chain"), design: func(d *design) { d.PCKCA.PathLen = 1 }},
		{name: "CA without path length", fails: f("pck.intermediate", "pck_crl.chain"), design: func(d *design) { d.PCKCA.PathLen = -1 }},
		{name: "CA that may not sign lists", fails: f("pck.intermediate", "pck_crl.chain"), design: func(d *design) { d.PCKCA.Usage = x509.KeyUsageCertSign }},
		{name: "CA signed by another", fails: f("pck.intermediate", "pck_crl.chain"), design: func(d *design) { d.PCKCA.Signer = "x" }},
		{name: "CA with the root's name", fails: f("pck.intermediate", "pck.extension", "pck_crl.chain"), design: func(d *design) {
			d.PCKCA.Name, d.PCK.Issuer, d.PCKCRL.Issuer = simtee.NameRoot, simtee.NameRoot, simtee.NameRoot
		}},
		{name: "CA expired", fails: f("pck.validity", "pck_crl.chain_validity"), design: func(d *design) { d.PCKCA.NotAfter = attackTime.Add(-time.Second) }},
		{name: "CA not yet valid", fails: f("pck.validity", "pck_crl.chain_validity"), design: func(d *design) { d.PCKCA.NotBefore = attackTime.Add(time.Second) }},
		{
			name: "root expired", fails: f("pck.validity", "tcb_info.chain_validity", "qe_identity.chain_validity", "pck_crl.chain_validity"),
			design: func(d *design) { d.Root.NotAfter = attackTime.Add(-time.Second) },
		},
		{
			name: "root not yet valid", fails: f("pck.validity", "tcb_info.chain_validity", "qe_identity.chain_validity", "pck_crl.chain_validity"),
			design: func(d *design) { d.Root.NotBefore = attackTime.Add(time.Second) },
		},
		{name: "TCB signer expired", fails: f("tcb_info.chain_validity", "qe_identity.chain_validity"), design: func(d *design) { d.TCBSigning.NotAfter = attackTime.Add(-time.Second) }},
		{name: "TCB signer not yet valid", fails: f("tcb_info.chain_validity", "qe_identity.chain_validity"), design: func(d *design) { d.TCBSigning.NotBefore = attackTime.Add(time.Second) }},
		{name: "PCK CA as TCB signer", fails: f("tcb_info.chain"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.TCBInfoChain = c.PCKCRLChain }},
		{name: "PCK CA as signer of the QE identity", fails: f("qe_identity.chain"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.QEIdentityChain = c.PCKCRLChain }},
		{name: "PCK certificate as TCB signer", fails: f("tcb_info.chain"), collateral: func(c *quote.Collateral, p *simtee.Platform) {
			der := p.CertificatesDER()
			c.TCBInfoChain = simtee.PEM(der[0], der[2])
		}},
		{name: "TCB signing certificate as list issuer", fails: f("pck_crl.chain"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.PCKCRLChain = c.TCBInfoChain }},
		{name: "TCB signer of another root", fails: f("tcb_info.chain"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.TCBInfoChain = foreign().Collateral().TCBInfoChain }},
		{name: "TCB signer of another root over this one", fails: f("tcb_info.chain"), collateral: func(c *quote.Collateral, p *simtee.Platform) {
			c.TCBInfoChain = simtee.PEM(foreign().TCBSigningDER(), p.CertificatesDER()[2])
		}},
		{name: "TCB info by another key", fails: f("tcb_info.signature"), unchecked: "tcb.status", design: func(d *design) { d.TCBInfoSigner = "x" }},
		{name: "TCB info by the PCK key", fails: f("tcb_info.signature"), design: func(d *design) { d.TCBInfoSigner = simtee.KeyPCK }},
		{name: "QE identity by another key", fails: f("qe_identity.signature"), unchecked: "qe_identity.mrsigner", design: func(d *design) { d.QEIdentitySigner = "x" }},
		{name: "TCB info changed", fails: f("tcb_info.signature"), collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			c.TCBInfo = replaced(`"OutOfDate"`, `"UpToDate"`)(bytes.Clone(c.TCBInfo))
		}},
		{name: "TCB info reformatted", fails: f("tcb_info.signature"), collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			c.TCBInfo = replaced(`"version":3`, `"version": 3`)(bytes.Clone(c.TCBInfo))
		}},
		{name: "member in another case", fails: f("tcb_info.form"), reason: "unknown member", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			c.TCBInfo = replaced(`,"signature"`, `,"TcbInfo":{},"signature"`)(bytes.Clone(c.TCBInfo))
		}},
		{name: "QE identity in another case", fails: f("qe_identity.form"), reason: "unknown member", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			c.QEIdentity = replaced(`,"signature"`, `,"ENCLAVEIDENTITY":{},"signature"`)(bytes.Clone(c.QEIdentity))
		}},
		{name: "member twice", fails: f("tcb_info.form"), reason: "twice", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			c.TCBInfo = replaced(`,"signature"`, `,"tcbInfo":{},"signature"`)(bytes.Clone(c.TCBInfo))
		}},
		{name: "unsigned member", fails: f("tcb_info.form"), reason: "unknown member", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			c.TCBInfo = replaced(`,"signature"`, `,"note":1,"signature"`)(bytes.Clone(c.TCBInfo))
		}},
		{name: "data after the document", fails: f("qe_identity.form"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.QEIdentity = append(c.QEIdentity, "{}"...) }},
		{name: "signature in upper case", fails: f("tcb_info.form"), reason: "lower-case", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			i := bytes.Index(c.TCBInfo, []byte(`"signature":"`)) + len(`"signature":"`)
			c.TCBInfo = slices.Concat(c.TCBInfo[:i], bytes.ToUpper(c.TCBInfo[i:i+128]), c.TCBInfo[i+128:])
		}},
		{name: "no signature", fails: f("tcb_info.form"), reason: "128 lower-case", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			object, _, _ := bytes.Cut(c.TCBInfo, []byte(`,"signature"`))
			c.TCBInfo = append(bytes.Clone(object), '}')
		}},
		{name: "identity in place of TCB info", fails: f("tcb_info.form"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.TCBInfo = c.QEIdentity }},
		{name: "SGX TCB info", fails: f("tcb_info.id"), reason: "SGX", design: func(d *design) {
			d.TCBInfo.ID, d.TCBInfo.Module, d.TCBInfo.Identities = "SGX", nil, nil
		}},
		{name: "TCB info version 2", fails: f("tcb_info.id"), design: func(d *design) { d.TCBInfo.Version = 2 }},
		{name: "TCB info version 4", fails: f("tcb_info.id"), design: func(d *design) { d.TCBInfo.Version = 4 }},
		{name: "TCB type 1", fails: f("tcb_info.id"), design: func(d *design) { d.TCBInfo.TCBType = 1 }},
		{name: "SGX QE identity", fails: f("qe_identity.id"), design: func(d *design) { d.QEIdentity.ID = "QE" }},
		{name: "QVE identity", fails: f("qe_identity.id"), design: func(d *design) { d.QEIdentity.ID = "QVE" }},
		{name: "QE identity version 3", fails: f("qe_identity.id"), design: func(d *design) { d.QEIdentity.Version = 3 }},
		{name: "TCB info expired", fails: f("tcb_info.validity"), design: func(d *design) { d.TCBInfo.NextUpdate = attackTime.Add(-time.Second) }},
		{name: "TCB info not yet valid", fails: f("tcb_info.validity"), design: func(d *design) { d.TCBInfo.IssueDate = attackTime.Add(time.Second) }},
		{name: "QE identity expired", fails: f("qe_identity.validity"), design: func(d *design) { d.QEIdentity.NextUpdate = attackTime.Add(-time.Second) }},
		{name: "QE identity not yet valid", fails: f("qe_identity.validity"), design: func(d *design) { d.QEIdentity.IssueDate = attackTime.Add(time.Second) }},
		{name: "other FMSPC", fails: f("tcb_info.fmspc"), design: func(d *design) { d.TCBInfo.FMSPC = "53494D000001" }},
		{name: "other PCE id", fails: f("tcb_info.pceid"), design: func(d *design) { d.TCBInfo.PCEID = "0001" }},
		{name: "QE MRSIGNER", fails: f("qe_identity.mrsigner"), before: func(p *parts) { p.QE.MRSigner[31] ^= 1 }},
		{name: "QE ISVPRODID", fails: f("qe_identity.isvprodid"), before: func(p *parts) { p.QE.ProductID = 1 }},
		{name: "QE MISCSELECT", fails: f("qe_identity.miscselect"), before: func(p *parts) { p.QE.MiscSelect = 1 << 31 }},
		{name: "QE ATTRIBUTES", fails: f("qe_identity.attributes"), before: func(p *parts) { p.QE.Attributes[0] |= 1 << 5 }},
		{name: "debug QE", fails: f("qe.debug", "qe_identity.attributes"), before: func(p *parts) { p.QE.Attributes[0] |= 2 }},
		{name: "debug QE that the identity masks out", fails: f("qe.debug"), before: func(p *parts) { p.QE.Attributes[0] |= 2 }, design: func(d *design) {
			d.QEIdentity.AttributesMask = append(simtee.HexBytes{0xf9}, d.QEIdentity.AttributesMask[1:]...)
		}},

		// Revocation.
		{name: "PCK certificate revoked", fails: f("revocation.pck"), design: simtee.RevokePCK, policy: everyStatus},
		{name: "PCK CA revoked", fails: f("revocation.intermediate"), design: simtee.RevokePCKCA, policy: everyStatus},
		{name: "TCB signer revoked", fails: f("revocation.tcb_info_signer", "revocation.qe_identity_signer"), design: simtee.RevokeTCBSigning, policy: everyStatus},
		{name: "root list by another key", fails: f("root_crl.signature"), unchecked: "revocation.intermediate", design: func(d *design) { d.RootCRL.Signer = "x" }},
		{name: "PCK list by another key", fails: f("pck_crl.signature"), unchecked: "revocation.pck", design: func(d *design) { d.PCKCRL.Signer = "x" }},
		{name: "root list of another issuer", fails: f("root_crl.signature"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.RootCRL = c.PCKCRL }},
		{name: "root list of another root", fails: f("root_crl.signature"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.RootCRL = foreign().Collateral().RootCRL }},
		{name: "list of the Processor CA", fails: f("pck_crl.issuer"), unchecked: "revocation.pck", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			other := another(simtee.ProcessorCA).Collateral()
			c.PCKCRL, c.PCKCRLChain = other.PCKCRL, other.PCKCRLChain
		}},
		{name: "list of the Processor CA under this CA's chain", fails: f("pck_crl.signature"), reason: "issuer", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			c.PCKCRL = another(simtee.ProcessorCA).Collateral().PCKCRL
		}},
		{name: "list of the Platform CA for the Processor CA", fails: f("pck_crl.issuer"), design: simtee.ProcessorCA, collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			other := another(nil).Collateral()
			c.PCKCRL, c.PCKCRLChain = other.PCKCRL, other.PCKCRLChain
		}},
		{name: "list of a CA named alike with another key", fails: f("pck_crl.issuer"), collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			other := another(func(d *simtee.Design) { d.PCKCA.Key, d.PCK.Signer, d.PCKCRL.Signer = "y", "y", "y" }).Collateral()
			c.PCKCRL, c.PCKCRLChain = other.PCKCRL, other.PCKCRLChain
		}},
		{name: "list of the other CA with this CA's key", fails: f("pck_crl.issuer"), collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			other := another(func(d *simtee.Design) {
				d.PCKCA.Name, d.PCK.Issuer, d.PCKCRL.Issuer = simtee.NameProcessorCA, simtee.NameProcessorCA, simtee.NameProcessorCA
			}).Collateral()
			c.PCKCRL, c.PCKCRLChain = other.PCKCRL, other.PCKCRLChain
		}},
		{name: "root list stale", fails: f("root_crl.validity"), design: func(d *design) { d.RootCRL.NextUpdate = attackTime.Add(-time.Second) }},
		{name: "root list not yet valid", fails: f("root_crl.validity"), design: func(d *design) { d.RootCRL.ThisUpdate = attackTime.Add(time.Second) }},
		{name: "PCK list stale", fails: f("pck_crl.validity"), design: func(d *design) { d.PCKCRL.NextUpdate = attackTime.Add(-time.Second) }},
		{name: "PCK list not yet valid", fails: f("pck_crl.validity"), design: func(d *design) { d.PCKCRL.ThisUpdate = attackTime.Add(time.Second) }},
		{name: "delta list", fails: f("pck_crl.form"), reason: "2.5.29.27", design: func(d *design) {
			d.PCKCRL.Edit = func(l *x509.RevocationList) {
				l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
			}
		}},
		{name: "root list in PEM", fails: f("root_crl.form"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.RootCRL = simtee.PEM(c.RootCRL) }},
		{name: "bytes after the root list", fails: f("root_crl.form"), collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.RootCRL = append(c.RootCRL, 0) }},
		{name: "entry with a critical extension", fails: f("pck_crl.form"), reason: "critical", design: func(d *design) {
			d.PCKCRL.Edit = func(l *x509.RevocationList) {
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
					SerialNumber: big.NewInt(5), RevocationTime: attackTime.Add(-day),
					ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{48, 0}}},
				})
			}
		}},

		// C. TCB and policy.
		{name: "platform out of date, module current", fails: f("tcb.status"), status: quote.OutOfDate, design: func(d *design) { d.TCBInfo.Levels[0].Status = quote.OutOfDate }},
		{name: "platform revoked", fails: f("tcb.status"), status: quote.Revoked, design: func(d *design) { d.TCBInfo.Levels[0].Status = quote.Revoked }, policy: everyStatus},
		{name: "module out of date", fails: f("tcb.status"), status: quote.OutOfDate, version: 4, design: func(d *design) { d.Body.TEETCBSVN[0] = 10 }},
		{name: "module revoked", fails: f("tcb.status"), status: quote.Revoked, design: func(d *design) { d.TCBInfo.Identities[0].Levels[0].Status = quote.Revoked }, policy: everyStatus},
		{name: "module unknown", fails: f("tcb.module", "tcb.status"), status: quote.TDXModuleMismatch, design: func(d *design) { d.Body.TEETCBSVN[1] = 2 }, policy: everyStatus},
		{name: "module of another signer", fails: f("tcb.module", "tcb.status"), status: quote.TDXModuleMismatch, design: func(d *design) { d.Body.MRSIGNERSEAM[0] = 1 }, policy: everyStatus},
		{name: "QE out of date", fails: f("tcb.status"), status: quote.OutOfDate, design: func(d *design) { d.QEIdentity.Levels[0].Status = quote.OutOfDate }},
		{name: "QE below its lowest level", fails: f("tcb.status"), status: quote.NotSupported, design: func(d *design) { d.QE.SVN = 0 }, policy: everyStatus},
		{name: "platform below every level", fails: f("tcb.status"), status: quote.NotSupported, design: func(d *design) { d.SGX.PCESVN = 0 }, policy: everyStatus},
		{name: "launched before the module was updated", fails: f("tcb.status"), status: quote.TDRelaunchAdvised, design: func(d *design) { d.Body.TEETCBSVN[0] = 10 }},
		{name: "unknown status", fails: f("tcb_info.form"), reason: "tcbStatus", design: func(d *design) { d.TCBInfo.Levels[0].Status = "Fine" }},
		{name: "computed status in a document", fails: f("tcb_info.form"), reason: "tcbStatus", design: func(d *design) { d.TCBInfo.Levels[0].Status = quote.TDRelaunchAdvised }},
		{name: "unknown status of the QE", fails: f("qe_identity.form"), reason: "tcbStatus", design: func(d *design) { d.QEIdentity.Levels[0].Status = "uptodate" }},
		{name: "denied advisory", fails: f("tcb.advisories"), reason: "INTEL-SA-1", design: func(d *design) { d.TCBInfo.Levels[0].Advisories = []string{"INTEL-SA-0", "INTEL-SA-1"} }, policy: func(p *quote.Policy) {
			p.DeniedAdvisories = []string{"intel-sa-1"}
		}},
		{name: "evaluation number of TCB info", fails: f("tcb.evaluation"), policy: func(p *quote.Policy) { p.MinEvaluation = 18 }, design: func(d *design) { d.TCBInfo.Evaluation = 17 }},
		{name: "evaluation number of the QE identity", fails: f("tcb.evaluation"), policy: func(p *quote.Policy) { p.MinEvaluation = 18 }, design: func(d *design) { d.QEIdentity.Evaluation = 17 }},
		{name: "minimum SVN", fails: f("tcb.minimum_svn"), policy: func(p *quote.Policy) { p.MinTEETCBSVN[2] = 5 }},
		{name: "platform not listed", fails: f("policy.platform"), policy: func(p *quote.Policy) { p.Platforms = [][16]byte{{1}} }},
		{name: "clock set back", fails: f("policy.not_before"), policy: func(p *quote.Policy) { p.NotBefore = attackTime.Add(time.Second) }},
		{name: "debug TD", fails: f("td.debug"), design: attribute(0), policy: everyStatus},
		{name: "migratable TD", fails: f("td.migratable"), design: attribute(29), policy: everyStatus},
		{name: "SEPT_VE_DISABLE", fails: f("td.sept_ve_disable"), design: func(d *design) { d.Body.TDAttributes = [8]byte{} }, policy: func(p *quote.Policy) { p.RequireSEPTVEDisable = true }},
		{name: "no x87", fails: f("td.xfam"), design: xfam(0)},
		{name: "no SSE", fails: f("td.xfam"), design: xfam(1)},
		{name: "SEAMATTRIBUTES", fails: f("tcb.module", "tcb.status", "td.seam_attributes"), status: quote.TDXModuleMismatch, design: func(d *design) { d.Body.SEAMAttributes[7] = 1 }},
		{name: "service TD", fails: f("td.service_td"), design: func(d *design) { d.Body.MRSERVICETD[0] = 1 }},
		{name: "another service TD", fails: f("td.service_td"), design: func(d *design) { d.Body.MRSERVICETD[0] = 1 }, policy: func(p *quote.Policy) { p.ServiceTD[0] = 2 }},
		{name: "service TD wanted, none bound", fails: f("td.service_td"), policy: func(p *quote.Policy) { p.ServiceTD[0] = 2 }},
		{name: "report of TDX 1.5 wanted", version: 4, fails: f("td.report"), policy: func(p *quote.Policy) { p.RequireTD15 = true }},
		{name: "service TD wanted of TDX 1.0", version: 4, fails: f("td.service_td"), policy: func(p *quote.Policy) { p.ServiceTD[0] = 2 }},
	}
	for bit := 1; bit < 8; bit++ {
		list = append(list, attack{name: fmt.Sprintf("untrusted attribute bit %d", bit), fails: f("td.untrusted"), design: attribute(bit)})
	}
	for bit := 8; bit < 63; bit++ {
		if bit < 27 || bit > 31 {
			list = append(list, attack{name: fmt.Sprintf("reserved attribute bit %d", bit), fails: f("td.attributes"), design: attribute(bit)})
		}
	}
	for bit := range 64 {
		if bit > 18 || slices.Contains([]int{3, 4, 10, 13, 16}, bit) {
			list = append(list, attack{name: fmt.Sprintf("XFAM bit %d", bit), fails: f("td.xfam"), design: xfam(bit)})
		}
	}
	return append(append(list, extensionAttacks()...), formAttacks()...)
}

// extensionAttacks are PCK certificates that Intel's CA signed and that say less, or more, than they should.
func extensionAttacks() []attack {
	edits := map[string]func(*simtee.Design){
		"all bytes after it": sgx(func(l []simtee.Entry) []simtee.Entry { return append(l, simtee.NewEntry(1, 8)) }),
		"PPID of 15 bytes":   sgx(set(make([]byte, 15), 1)), "FMSPC of 7 bytes": sgx(set(make([]byte, 7), 4)), "FMSPC of 0 bytes": sgx(set([]byte{}, 4)),
		"PCEID of 1 byte": sgx(set([]byte{0}, 3)), "SGX type 3": sgx(set(asn1.Enumerated(3), 5)), "SGX type as a number": sgx(set(1, 5)),
		"instance id of 17 bytes": sgx(set(make([]byte, 17), 6)), "no configuration": sgx(without(7)), "no instance id": sgx(without(6)),
		"other order": sgx(func(l []simtee.Entry) []simtee.Entry { l[2], l[3] = l[3], l[2]; return l }),
		"TCB without component 16": func(d *simtee.Design) {
			d.SGX.EditTCB = without(2, 16)
		},
		"components in another order": func(d *simtee.Design) {
			d.SGX.EditTCB = func(l []simtee.Entry) []simtee.Entry { l[2], l[3] = l[3], l[2]; return l }
		},
		"component 256":       func(d *simtee.Design) { d.SGX.SVNs[3] = 256 },
		"component -1":        func(d *simtee.Design) { d.SGX.SVNs[3] = -1 },
		"PCESVN 65536":        func(d *simtee.Design) { d.SGX.PCESVN = 65536 },
		"component twice":     func(d *simtee.Design) { d.SGX.EditTCB = twice(2, 3) },
		"PCESVN twice":        func(d *simtee.Design) { d.SGX.EditTCB = twice(2, 17) },
		"CPUSVN of 15 bytes":  func(d *simtee.Design) { d.SGX.CPUSVN = make([]byte, 15) },
		"no CPUSVN":           func(d *simtee.Design) { d.SGX.EditTCB = without(2, 18) },
		"component as octets": func(d *simtee.Design) { d.SGX.EditTCB = set([]byte{1}, 2, 1) },
	}
	var list []attack
	for arc := 1; arc <= 5; arc++ {
		edits[fmt.Sprintf("no arc %d", arc)] = sgx(without(arc))
	}
	for arc := 1; arc <= 7; arc++ {
		edits[fmt.Sprintf("arc %d twice", arc)] = sgx(twice(arc))
	}
	for name, edit := range edits {
		list = append(list, attack{name: "SGX extension: " + name, fails: []string{"pck.extension"}, unchecked: "tcb.status", design: edit})
	}
	list = append(list, attack{name: "no SGX extension", fails: []string{"pck.extension"}, design: func(d *simtee.Design) {
		d.PCK.Edit = func(c *x509.Certificate) {
			c.ExtraExtensions = slices.DeleteFunc(c.ExtraExtensions, func(e pkix.Extension) bool { return e.Id.Equal(simtee.SGXArc()) })
		}
	}})
	return list
}

// formAttacks are documents that Intel's key signed and that are not in their form.
func formAttacks() []attack {
	type edit struct{ old, text string }
	var list []attack
	for name, e := range map[string]edit{
		"unknown member":         {`{"id"`, `{"new":1,"id"`},
		"member in another case": {`"fmspc"`, `"FMSPC"`},
		"member twice":           {`"version":3`, `"version":3,"version":3`},
		"no id":                  {`"id":"TDX",`, ``},
		"id null":                {`"id":"TDX"`, `"id":null`},
		"no version":             {`"version":3,`, ``},
		"no issueDate":           {`"issueDate":`, `"nextUpdate":"2026-01-01T00:00:00Z","issuedate":`},
		"no TCB type":            {`"tcbType":0,`, ``},
		"no evaluation number":   {`"tcbEvaluationDataNumber":18,`, ``},
		"evaluation as text":     {`"tcbEvaluationDataNumber":18`, `"tcbEvaluationDataNumber":"18"`},
		"evaluation negative":    {`"tcbEvaluationDataNumber":18`, `"tcbEvaluationDataNumber":-1`},
		"evaluation too large":   {`"tcbEvaluationDataNumber":18`, `"tcbEvaluationDataNumber":4294967296`},
		"FMSPC short":            {`"fmspc":"53494D000000"`, `"fmspc":"53494D0000"`},
		"FMSPC not hex":          {`"fmspc":"53494D000000"`, `"fmspc":"53494D00000X"`},
		"no PCE id":              {`"pceId":"0000",`, ``},
		"no module":              {`"tdxModule":`, `"tdxModuleX":`},
		"module signer short":    {`"mrsigner":"00`, `"mrsigner":"`},
		"module id":              {`"id":"TDX_01"`, `"id":"TDX_1"`},
		"module id of another":   {`"id":"TDX_01"`, `"id":"SGX_01"`},
		"no module levels":       {`"tcbLevels":[{"tcb":{"isvsvn":11}`, `"tcbLevels":[],"x":[{"tcb":{"isvsvn":11}`},
		"module level twice":     {`"tcb":{"isvsvn":4}`, `"tcb":{"isvsvn":11}`},
		"no isvsvn":              {`"tcb":{"isvsvn":4}`, `"tcb":{}`},
		"module level status":    {`"tcbStatus":"OutOfDate"`, `"tcbStatus":"ConfigurationNeeded"`},
		"no pcesvn":              {`"pcesvn":13,`, ``},
		"pcesvn too large":       {`"pcesvn":13`, `"pcesvn":65536`},
		"15 components":          {`"sgxtcbcomponents":[{"svn":4,"category":"BIOS","type":"Early Microcode Update"},`, `"sgxtcbcomponents":[`},
		"17 components":          {`"tdxtcbcomponents":[`, `"tdxtcbcomponents":[{"svn":0},`},
		"component without svn":  {`"tdxtcbcomponents":[{"svn":5,`, `"tdxtcbcomponents":[{`},
		"level twice":            {`"tcbLevels":[{"tcb":{"sgxtcbcomponents"`, `"tcbLevels":[LEVEL,{"tcb":{"sgxtcbcomponents"`},
		"date of another form":   {`T00:00:00Z"`, `T00:00:00+00:00"`},
		"day that is not":        {`"tcbDate":"2024-03-13`, `"tcbDate":"2024-02-30`},
		"no status":              {`"tcbStatus":"UpToDate"`, `"advisoryIDs":[]`},
	} {
		a := attack{name: "TCB info: " + name, fails: []string{"tcb_info.form"}, unchecked: "tcb.status", design: tcbInfo(e.old, e.text)}
		if name == "level twice" {
			a.design = func(d *simtee.Design) { d.TCBInfo.Levels = append(d.TCBInfo.Levels, d.TCBInfo.Levels[0]) }
		}
		list = append(list, a)
	}
	list = append(list, attack{name: "TCB info: module identity twice", fails: []string{"tcb_info.form"}, design: func(d *simtee.Design) {
		again := d.TCBInfo.Identities[0]
		again.ID = "tdx_01"
		d.TCBInfo.Identities = append(d.TCBInfo.Identities, again)
	}}, attack{name: "TCB info: no levels", fails: []string{"tcb_info.form"}, design: func(d *simtee.Design) { d.TCBInfo.Levels = nil }})
	for name, e := range map[string]edit{
		"unknown member":     {`{"id"`, `{"new":1,"id"`},
		"no id":              {`"id":"TD_QE",`, ``},
		"no version":         {`"version":2,`, ``},
		"no product":         {`"isvprodid":2,`, ``},
		"no evaluation":      {`"tcbEvaluationDataNumber":18,`, ``},
		"short MISCSELECT":   {`"miscselect":"00`, `"miscselect":"`},
		"short mask":         {`"attributesMask":"FB`, `"attributesMask":"`},
		"short MRSIGNER":     {`"mrsigner":"DC`, `"mrsigner":"`},
		"no levels":          {`"tcbLevels":[{`, `"tcbLevels":[],"x":[{`},
		"isvsvn negative":    {`"isvsvn":4`, `"isvsvn":-4`},
		"member twice":       {`"version":2`, `"version":2,"version":2`},
		"MISCSELECT missing": {`"miscselect":`, `"Miscselect":`},
	} {
		list = append(list, attack{name: "QE identity: " + name, fails: []string{"qe_identity.form"}, unchecked: "tcb.status", design: identity(e.old, e.text)})
	}
	return list
}

func order(into []byte) {
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	n.FillBytes(into)
}

// everyStatus is the most generous policy there is.
func everyStatus(p *quote.Policy) {
	p.AcceptStatus = []quote.Status{
		quote.SWHardeningNeeded, quote.ConfigurationNeeded, quote.ConfigurationAndSWHardeningNeeded, quote.TDRelaunchAdvised,
		quote.TDRelaunchAdvisedConfigurationNeeded, quote.OutOfDate, quote.OutOfDateConfigurationNeeded, quote.Revoked, quote.NotSupported,
		quote.TDXModuleMismatch,
	}
}

func TestAttacks(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			r := a.run(t)
			failed := codesOf(r, quote.Fail)
			slices.Sort(a.fails)
			slices.Sort(failed)
			if r.Accepted || !slices.Equal(failed, a.fails) {
				t.Errorf("accepted %t, failed %v, want %v", r.Accepted, failed, a.fails)
			}
			var said strings.Builder
			for _, c := range r.Checks {
				if c.Result == quote.Fail {
					said.WriteString(c.Actual + " ")
					if c.Expected == "" || c.Actual == "" {
						t.Errorf("%s does not say what was expected and what came: %+v", c.Code, c)
					}
				}
			}
			if !strings.Contains(said.String(), a.reason) {
				t.Errorf("said %s, want %q in it", said.String(), a.reason)
			}
			if a.status != "" && r.Status != a.status {
				t.Errorf("status %s, want %s", r.Status, a.status)
			}
			if a.unchecked != "" && !slices.Contains(codesOf(r, quote.NotChecked), a.unchecked) {
				t.Errorf("%s is not among what is not checked: %v", a.unchecked, codesOf(r, quote.NotChecked))
			}
		})
	}
}

// TestEveryCheckRefuses holds that each check is what refuses something, of the attacks or of what can not be parsed.
func TestEveryCheckRefuses(t *testing.T) {
	shown := map[string]bool{
		"quote.size": true, "quote.version": true, "quote.tee_type": true, "quote.key_type": true, "quote.body_type": true, "quote.truncated": true,
		"quote.signature_data": true, "quote.certification_type": true, // TestParseRefuses
	}
	for _, a := range attacks() {
		for _, c := range a.fails {
			shown[c] = true
		}
	}
	for _, c := range quote.Codes() {
		if !shown[c.Code] {
			t.Errorf("no attack is refused by %s", c.Code)
		}
	}
}

// TestMissingCollateral leaves out one part at a time. Nothing of it fails, and nothing is accepted.
func TestMissingCollateral(t *testing.T) {
	for name, tt := range map[string]struct {
		leave     func(*quote.Collateral)
		unchecked []string
	}{
		"TCBInfo":         {func(c *quote.Collateral) { c.TCBInfo = nil }, []string{"tcb_info.form", "tcb_info.signature", "tcb.status", "tcb.advisories"}},
		"TCBInfoChain":    {func(c *quote.Collateral) { c.TCBInfoChain = nil }, []string{"tcb_info.chain", "tcb_info.signature", "tcb.status", "revocation.tcb_info_signer"}},
		"QEIdentity":      {func(c *quote.Collateral) { c.QEIdentity = nil }, []string{"qe_identity.form", "qe_identity.mrsigner", "tcb.status", "tcb.evaluation"}},
		"QEIdentityChain": {func(c *quote.Collateral) { c.QEIdentityChain = nil }, []string{"qe_identity.chain", "qe_identity.id", "revocation.qe_identity_signer"}},
		"PCKCRL":          {func(c *quote.Collateral) { c.PCKCRL = nil }, []string{"pck_crl.form", "pck_crl.signature", "revocation.pck"}},
		"PCKCRLChain":     {func(c *quote.Collateral) { c.PCKCRLChain = nil }, []string{"pck_crl.chain", "pck_crl.signature", "pck_crl.issuer", "revocation.pck"}},
		"RootCRL":         {func(c *quote.Collateral) { c.RootCRL = nil }, append([]string{"root_crl.form", "root_crl.validity"}, noRevocation[1:]...)},
		"everything":      {func(c *quote.Collateral) { *c = quote.Collateral{} }, append([]string{"tcb.status"}, noRevocation...)},
	} {
		t.Run(name, func(t *testing.T) {
			a := attack{collateral: func(c *quote.Collateral, _ *simtee.Platform) { tt.leave(c) }}
			r := a.run(t)
			if failed := codesOf(r, quote.Fail); r.Accepted || len(failed) > 0 {
				t.Errorf("accepted %t, failed %v", r.Accepted, failed)
			}
			for _, code := range tt.unchecked {
				if !slices.Contains(codesOf(r, quote.NotChecked), code) {
					t.Errorf("%s was checked", code)
				}
			}
		})
	}
}

// TestGood is what the attacks start from, and what looks odd and is in order.
func TestGood(t *testing.T) {
	ppid := (&attack{}).platform(t).Design().SGX.PPID
	for _, a := range []attack{
		{name: "version 5, TDX 1.5"},
		{name: "version 4", version: 4},
		{name: "version 5, TDX 1.0", design: func(d *simtee.Design) { d.Body.Kind = quote.TD10 }},
		{name: "Processor CA", design: simtee.ProcessorCA},
		{name: "no authentication data", before: func(p *simtee.Parts) { p.AuthData = nil }},
		{name: "twin with n-s", after: func(p *simtee.Parts) {
			n := make([]byte, 32)
			order(n)
			s := new(big.Int).SetBytes(p.Signature[32:])
			new(big.Int).Sub(new(big.Int).SetBytes(n), s).FillBytes(p.Signature[32:])
		}},
		{name: "lower-case FMSPC", design: func(d *simtee.Design) { d.TCBInfo.FMSPC = strings.ToLower(d.TCBInfo.FMSPC) }},
		{name: "levels in another order", design: func(d *simtee.Design) {
			slices.Reverse(d.TCBInfo.Levels)
			slices.Reverse(d.TCBInfo.Identities[0].Levels)
		}},
		{name: "lower-case module identity", design: func(d *simtee.Design) { d.TCBInfo.Identities[0].ID = "tdx_01" }},
		{name: "module identity in lower-case hex", design: func(d *simtee.Design) {
			d.TCBInfo.Identities[0].ID = "TDX_0a"
			d.Body.TEETCBSVN[1], d.Body.TEETCBSVN2[1] = 10, 10
		}},
		{name: "at the first second of TCB info", design: func(d *simtee.Design) { d.TCBInfo.IssueDate = attackTime }},
		{name: "at the last second of TCB info", design: func(d *simtee.Design) { d.TCBInfo.NextUpdate = attackTime }},
		{name: "PCK CA issued again with its key", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			c.PCKCRLChain = another(func(d *simtee.Design) { d.PCKCA.Serial = big.NewInt(4711) }).Collateral().PCKCRLChain
		}},
		{name: "root first in a chain", collateral: func(c *quote.Collateral, p *simtee.Platform) {
			c.TCBInfoChain = simtee.PEM(p.CertificatesDER()[2], p.TCBSigningDER())
		}},
		{name: "white space and order outside of what is signed", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			object, signature, _ := bytes.Cut(bytes.TrimSuffix(bytes.TrimPrefix(c.TCBInfo, []byte(`{"tcbInfo":`)), []byte(`"}`)), []byte(`,"signature":"`))
			c.TCBInfo = fmt.Appendf(nil, "{\n \"signature\": %q,\n \"tcbInfo\": %s\n}\n", signature, object)
		}},
		{name: "accepted status", status: quote.SWHardeningNeeded, design: func(d *simtee.Design) { d.TCBInfo.Levels[0].Status = quote.SWHardeningNeeded }, policy: func(p *quote.Policy) {
			p.AcceptStatus = []quote.Status{quote.SWHardeningNeeded}
		}},
		{name: "all that a policy can ask", design: func(d *simtee.Design) {
			d.Body.MRSERVICETD[5] = 9
			d.TCBInfo.Levels[0].Advisories = []string{"INTEL-SA-0"}
		}, policy: func(p *quote.Policy) {
			p.DeniedAdvisories, p.MinEvaluation, p.NotBefore, p.RequireSEPTVEDisable = []string{"INTEL-SA-00"}, 18, attackTime, true
			p.ServiceTD[5], p.MinTEETCBSVN, p.Platforms = 9, [16]byte{11, 1, 4}, [][16]byte{{}, [16]byte(ppid)}
		}},
		{name: "known attributes", design: func(d *simtee.Design) { d.Body.TDAttributes = [8]byte{3: 0xd8, 7: 0x80} }},
		{name: "known XFAM", design: func(d *simtee.Design) { d.Body.XFAM = [8]byte{0xe7, 0xdb, 0x06} }},
		{name: "least XFAM", design: func(d *simtee.Design) { d.Body.XFAM = [8]byte{3} }},
	} {
		t.Run(a.name, func(t *testing.T) {
			r := a.run(t)
			if !r.Accepted || !r.Simulated || len(codesOf(r, quote.Pass)) != len(quote.Codes()) {
				t.Errorf("accepted %t, simulated %t, failed %v, not checked %v", r.Accepted, r.Simulated, codesOf(r, quote.Fail), codesOf(r, quote.NotChecked))
			}
			if a.status != "" && r.Status != a.status {
				t.Errorf("status %s", r.Status)
			}
		})
	}
}

// TestTimes moves the time of appraisal over the ends of what is valid.
func TestTimes(t *testing.T) {
	for later, want := range map[time.Duration][]string{
		0:                  nil,
		-day - time.Second: {"pck_crl.validity", "qe_identity.validity", "root_crl.validity", "tcb_info.validity"},
		29 * day:           nil,
		29*day + 1:         {"pck_crl.validity", "qe_identity.validity", "tcb_info.validity"},
		-31 * day:          {"pck.validity", "pck_crl.validity", "qe_identity.validity", "root_crl.validity", "tcb_info.validity"},
		-30 * 365 * day:    {"pck.validity", "pck_crl.chain_validity", "pck_crl.validity", "qe_identity.chain_validity", "qe_identity.validity", "root_crl.validity", "tcb_info.chain_validity", "tcb_info.validity"},
		30 * 365 * day:     {"pck.validity", "pck_crl.chain_validity", "pck_crl.validity", "qe_identity.chain_validity", "qe_identity.validity", "root_crl.validity", "tcb_info.chain_validity", "tcb_info.validity"},
	} {
		a := attack{later: later}
		r := a.run(t)
		failed := codesOf(r, quote.Fail)
		slices.Sort(failed)
		if !slices.Equal(failed, want) || r.Accepted != (want == nil) {
			t.Errorf("%v: failed %v, want %v", later, failed, want)
		}
	}
}

// TestFacts is about collateral without a quote.
func TestFacts(t *testing.T) {
	root := func(p *simtee.Platform) quote.TrustRoot {
		r, err := quote.ParseTrustRoot(p.RootPEM())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, edit := range []func(*simtee.Design){func(*simtee.Design) {}, simtee.ProcessorCA, simtee.RevokePCK} {
		p := (&attack{design: edit}).platform(t)
		d := p.Design()
		got, err := quote.NewVerifier(p.Collateral(), root(p)).Facts(attackTime)
		if err != nil {
			t.Fatal(err)
		}
		ca := quote.PlatformCA
		if d.PCKCA.Name == simtee.NameProcessorCA {
			ca = quote.ProcessorCA
		}
		if got.FMSPC != [6]byte{'S', 'I', 'M'} || got.CA != ca || !got.TCBInfo.Issued.Equal(d.TCBInfo.IssueDate) || !got.QEIdentity.Next.Equal(d.QEIdentity.NextUpdate) ||
			got.TCBInfo.Number.Int64() != 18 || got.QEIdentity.Number.Int64() != 18 || got.PCKCRL.Number.Int64() != d.PCKCRL.Number ||
			!got.PCKCRL.Issued.Equal(d.PCKCRL.ThisUpdate) || !got.RootCRL.Next.Equal(d.RootCRL.NextUpdate) || got.RootCRL.Number.Int64() != d.RootCRL.Number {
			t.Errorf("%+v", got)
		}
	}
	for code, edit := range map[string]func(*simtee.Design){
		"tcb_info.signature":         func(d *simtee.Design) { d.TCBInfoSigner = "x" },
		"tcb_info.id":                func(d *simtee.Design) { d.TCBInfo.Version = 4 },
		"tcb_info.validity":          func(d *simtee.Design) { d.TCBInfo.NextUpdate = attackTime.Add(-time.Second) },
		"qe_identity.id":             func(d *simtee.Design) { d.QEIdentity.ID = "QE" },
		"pck_crl.signature":          func(d *simtee.Design) { d.PCKCRL.Signer = "x" },
		"pck_crl.validity":           func(d *simtee.Design) { d.PCKCRL.ThisUpdate = attackTime.Add(time.Second) },
		"pck_crl.chain_validity":     func(d *simtee.Design) { d.PCKCA.NotAfter = attackTime.Add(-time.Second) },
		"revocation.intermediate":    simtee.RevokePCKCA,
		"revocation.tcb_info_signer": simtee.RevokeTCBSigning,
	} {
		p := (&attack{design: edit}).platform(t)
		if _, err := quote.NewVerifier(p.Collateral(), root(p)).Facts(attackTime); err == nil || !strings.Contains(err.Error(), code) {
			t.Errorf("%s: %v", code, err)
		}
	}
	for name, v := range map[string]*quote.Verifier{"nil": nil, "zero": new(quote.Verifier), "none": quote.NewVerifier(quote.Collateral{}, quote.IntelRoot())} {
		if _, err := v.Facts(attackTime); err == nil {
			t.Errorf("%s: facts about nothing", name)
		}
	}
}
