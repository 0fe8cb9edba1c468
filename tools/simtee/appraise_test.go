//go:build simtee

package simtee_test

import (
	"bytes"
	"crypto/elliptic"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

// case of an appraisal by our own verifier.
type evidence struct {
	quote      []byte
	collateral quote.Collateral
	root       []byte
}

func appraise(t *testing.T, e evidence, policy quote.Policy) quote.Result {
	t.Helper()
	root, err := quote.ParseTrustRoot(e.root)
	if err != nil {
		t.Fatal(err)
	}
	return quote.NewVerifier(e.collateral, root).Appraise(e.quote, policy, at)
}

func of(p *simtee.Platform, raw []byte) evidence { return evidence{raw, p.Collateral(), p.RootPEM()} }

func failed(r quote.Result) (codes []string) {
	for _, c := range r.Checks {
		if c.Result == quote.Fail {
			codes = append(codes, c.Code)
		}
	}
	return codes
}

// TestOwnVerifierAccepts shows every form of a quote that is in order.
func TestOwnVerifierAccepts(t *testing.T) {
	long := func(d *simtee.Design) { d.Body.Kind = "TD15" }
	for name, build := range map[string]func() evidence{
		"version 4":            func() evidence { p := newPlatform(t); return of(p, p.Quote(4, p.Body())) },
		"version 5":            func() evidence { p := newPlatform(t); return of(p, p.Quote(5, p.Body())) },
		"version 5 of TDX 1.5": func() evidence { p := newPlatform(t, long); return of(p, p.Quote(5, p.Body())) },
		"Processor CA":         func() evidence { p := newPlatform(t, simtee.ProcessorCA); return of(p, p.Quote(4, p.Body())) },
		"no authentication data": func() evidence {
			p := newPlatform(t)
			return of(p, signed(p, 4, func(q *simtee.Parts) { q.AuthData = nil }, nil))
		},
		"no end of string": func() evidence {
			p := newPlatform(t)
			return of(p, signed(p, 4, func(q *simtee.Parts) { q.Certificates = p.PCKChain() }, nil))
		},
		"zeros behind": func() evidence {
			p := newPlatform(t)
			return of(p, signed(p, 4, func(q *simtee.Parts) { q.Trailing = make([]byte, 64) }, nil))
		},
		"other half of s": func() evidence {
			p := newPlatform(t)
			return of(p, signed(p, 4, nil, func(q *simtee.Parts) {
				s := new(big.Int).SetBytes(q.Signature[32:])
				s.Sub(elliptic.P256().Params().N, s).FillBytes(q.Signature[32:])
			}))
		},
		"module of TDX 1.0": func() evidence {
			p := newPlatform(t, func(d *simtee.Design) { d.Body.TEETCBSVN = [16]byte{5, 0, 4}; d.TCBInfo.Identities = nil })
			return of(p, p.Quote(4, p.Body()))
		},
		"trust domain": func() evidence {
			p := newPlatform(t)
			td, err := p.Boot(simtee.Launch{})
			if err != nil {
				t.Fatal(err)
			}
			return of(p, td.Quote([64]byte{1}).Quote)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := build()
			r := appraise(t, e, quote.Policy{})
			if !r.Accepted || !r.Simulated || r.Status != quote.UpToDate {
				t.Errorf("accepted %v, simulated %v, status %s, failed %v", r.Accepted, r.Simulated, r.Status, failed(r))
			}
			if r := quote.NewVerifier(e.collateral, quote.IntelRoot()).Appraise(e.quote, quote.Policy{}, at); r.Accepted || r.Simulated {
				t.Errorf("with Intel's root: accepted %v, simulated %v", r.Accepted, r.Simulated)
			}
		})
	}
}

// signed makes a quote with edits before and after it is signed.
func signed(p *simtee.Platform, version uint16, before, after func(*simtee.Parts)) []byte {
	parts := p.Parts(version, p.Body())
	if before != nil {
		before(parts)
	}
	parts.Sign()
	if after != nil {
		after(parts)
	}
	return parts.Bytes()
}

// TestOwnVerifierRefuses shows that what can be built wrong is refused: one hook each.
func TestOwnVerifierRefuses(t *testing.T) {
	type design = simtee.Design
	parts := func(version uint16, before, after func(*simtee.Parts)) func(*testing.T) evidence {
		return func(t *testing.T) evidence { p := newPlatform(t); return of(p, signed(p, version, before, after)) }
	}
	platform := func(edit func(*design)) func(*testing.T) evidence {
		return func(t *testing.T) evidence { p := newPlatform(t, edit); return of(p, p.Quote(4, p.Body())) }
	}
	long := func(edit func(*design)) func(*testing.T) evidence {
		return func(t *testing.T) evidence {
			p := newPlatform(t, edit, func(d *design) { d.Body.Kind = "TD15" })
			return of(p, p.Quote(5, p.Body()))
		}
	}
	collateral := func(edit func(*quote.Collateral, *simtee.Platform)) func(*testing.T) evidence {
		return func(t *testing.T) evidence {
			p := newPlatform(t)
			e := of(p, p.Quote(4, p.Body()))
			edit(&e.collateral, p)
			return e
		}
	}
	other := func(t *testing.T) *simtee.Platform {
		return newPlatform(t, func(d *design) { d.PCK.Key, d.PCK.Serial = "pck of another machine", big.NewInt(7) })
	}
	// The reason is the code of a check that must not pass, and for tcb.status the status.
	tests := map[string]struct {
		reason string
		build  func(*testing.T) evidence
	}{
		// The quote.
		"authentication data": {"qe.report_data", parts(4, nil, func(q *simtee.Parts) { q.AuthData[0] ^= 1 })},
		"foreign attestation key": {"qe.report_data", parts(4, nil, func(q *simtee.Parts) {
			q.AttestationSigner, q.AttestationKey = "x", simtee.Seed{1, 2, 3}.Public("x")
			q.SignBody()
		})},
		"tail of QE report data": {"qe.report_data", parts(4, nil, func(q *simtee.Parts) { q.QE.ReportData[63] = 1; q.SignQE() })},
		"QE report":              {"qe.report_signature", parts(4, nil, func(q *simtee.Parts) { q.QE.SVN++ })},
		"QE report's signature":  {"qe.report_signature", parts(4, nil, func(q *simtee.Parts) { q.QESignature[0] ^= 1 })},
		"body":                   {"quote.signature", parts(4, nil, func(q *simtee.Parts) { q.Body[500] ^= 1 })},
		"signature of zeros":     {"quote.signature", parts(4, nil, func(q *simtee.Parts) { q.Signature = [64]byte{} })},
		"key off its curve":      {"quote.attestation_key", parts(4, nil, func(q *simtee.Parts) { q.AttestationKey[0] ^= 1; q.Bind(); q.SignQE() })},
		"key type":               {"quote.key_type", parts(4, func(q *simtee.Parts) { q.KeyType = 3 }, nil)},
		"TEE type":               {"quote.tee_type", parts(4, func(q *simtee.Parts) { q.TEEType = 0 }, nil)},
		"vendor":                 {"quote.vendor", parts(4, func(q *simtee.Parts) { q.VendorID[0] ^= 1 }, nil)},
		"version":                {"quote.version", parts(4, func(q *simtee.Parts) { q.Version = 6 }, nil)},
		"body type 1":            {"quote.body_type", parts(5, func(q *simtee.Parts) { q.BodyType = 1 }, nil)},
		"body type 4":            {"quote.body_type", parts(5, func(q *simtee.Parts) { q.BodyType = 4 }, nil)},
		"body size":              {"quote.body_type", parts(5, func(q *simtee.Parts) { q.Body = append(q.Body, make([]byte, 64)...) }, nil)},
		"relabelled":             {"quote.signature", parts(5, nil, func(q *simtee.Parts) { q.Version = 4 })},
		"certification 1":        {"quote.certification_type", parts(4, func(q *simtee.Parts) { q.InnerType = 1 }, nil)},
		"certification 4":        {"quote.certification_type", parts(4, func(q *simtee.Parts) { q.InnerType = 4 }, nil)},
		"no QE report":           {"quote.certification_type", parts(4, func(q *simtee.Parts) { q.OuterType = simtee.CertificationPCKChain }, nil)},
		"bytes behind":           {"quote.trailing", parts(4, func(q *simtee.Parts) { q.Trailing = []byte{1} }, nil)},
		"chain in DER": {"pck.chain", func(t *testing.T) evidence {
			p := newPlatform(t)
			return of(p, signed(p, 4, func(q *simtee.Parts) { q.Certificates = slices.Concat(p.CertificatesDER()...) }, nil))
		}},
		"chain of another": {"qe.report_signature", func(t *testing.T) evidence {
			p := newPlatform(t)
			return of(p, signed(p, 4, func(q *simtee.Parts) { q.Certificates = other(t).PCKChain() }, nil))
		}},
		"chain in another order": {"qe.report_signature", func(t *testing.T) evidence {
			p := newPlatform(t)
			c := p.CertificatesDER()
			return of(p, signed(p, 4, func(q *simtee.Parts) { q.Certificates = simtee.PEM(c[2], c[1], c[0]) }, nil))
		}},
		"two certificates": {"pck.chain", func(t *testing.T) evidence {
			p := newPlatform(t)
			return of(p, signed(p, 4, func(q *simtee.Parts) { q.Certificates = simtee.PEM(p.CertificatesDER()[:2]...) }, nil))
		}},
		// Certificates.
		"foreign root": {"pck.root", func(t *testing.T) evidence {
			p := newPlatform(t)
			fake, err := simtee.New(simtee.Seed{66}, at)
			if err != nil {
				t.Fatal(err)
			}
			return evidence{fake.Quote(4, fake.Body()), fake.Collateral(), p.RootPEM()}
		}},
		"leaf's name":          {"pck.leaf", platform(func(d *design) { d.PCK.Name = simtee.NameTCBSigning })},
		"leaf's issuer":        {"pck.leaf", platform(func(d *design) { d.PCK.Issuer = simtee.NameProcessorCA })},
		"leaf's signer":        {"pck.leaf", platform(func(d *design) { d.PCK.Signer = "x" })},
		"leaf of the root":     {"pck.leaf", platform(func(d *design) { d.PCK.Issuer, d.PCK.Signer = simtee.NameRoot, simtee.KeyRoot })},
		"leaf expired":         {"pck.validity", platform(func(d *design) { d.PCK.NotAfter = at.Add(-time.Second) })},
		"leaf to come":         {"pck.validity", platform(func(d *design) { d.PCK.NotBefore = at.Add(time.Second) })},
		"CA without the bit":   {"pck.intermediate", platform(func(d *design) { d.PCKCA.CA = false })},
		"CA's name":            {"pck.intermediate", platform(func(d *design) { d.PCKCA.Name, d.PCK.Issuer = "Intel SGX PCK Other CA", "Intel SGX PCK Other CA" })},
		"CA expired":           {"pck.validity", platform(func(d *design) { d.PCKCA.NotAfter = at.Add(-time.Second) })},
		"signer's name":        {"tcb_info.chain", platform(func(d *design) { d.TCBSigning.Name = simtee.NamePCK })},
		"signer expired":       {"tcb_info.chain_validity", platform(func(d *design) { d.TCBSigning.NotAfter = at.Add(-time.Second) })},
		"signer to come":       {"tcb_info.chain_validity", platform(func(d *design) { d.TCBSigning.NotBefore = at.Add(time.Second) })},
		"leaf revoked":         {"revocation.pck", platform(simtee.RevokePCK)},
		"CA revoked":           {"revocation.intermediate", platform(simtee.RevokePCKCA)},
		"signer revoked":       {"revocation.tcb_info_signer", platform(simtee.RevokeTCBSigning)},
		"extension without":    {"pck.extension", platform(func(d *design) { d.SGX.Edit = func(e []simtee.Entry) []simtee.Entry { return e[:3] } })},
		"extension twice":      {"pck.extension", platform(func(d *design) { d.SGX.Edit = func(e []simtee.Entry) []simtee.Entry { return append(e, e[3]) } })},
		"FMSPC of five bytes":  {"pck.extension", platform(func(d *design) { d.SGX.FMSPC = d.SGX.FMSPC[:5] })},
		"SVN of 256":           {"pck.extension", platform(func(d *design) { d.SGX.SVNs[3] = 256 })},
		"PCESVN below nothing": {"pck.extension", platform(func(d *design) { d.SGX.PCESVN = -1 })},
		// Revocation lists.
		"list of the other CA": {"pck_crl.issuer", collateral(func(c *quote.Collateral, _ *simtee.Platform) {
			processor := newPlatform(t, simtee.ProcessorCA).Collateral()
			c.PCKCRL, c.PCKCRLChain = processor.PCKCRL, processor.PCKCRLChain
		})},
		"no list":             {"pck_crl.signature", collateral(func(c *quote.Collateral, _ *simtee.Platform) { c.PCKCRL = nil })},
		"no root list":        {"root_crl.signature", collateral(func(c *quote.Collateral, _ *simtee.Platform) { c.RootCRL = nil })},
		"stale list":          {"pck_crl.validity", platform(func(d *design) { d.PCKCRL.NextUpdate = at.Add(-time.Second) })},
		"list to come":        {"pck_crl.validity", platform(func(d *design) { d.PCKCRL.ThisUpdate = at.Add(time.Second) })},
		"list's signer":       {"pck_crl.signature", platform(func(d *design) { d.PCKCRL.Signer = "x" })},
		"stale root list":     {"root_crl.validity", platform(func(d *design) { d.RootCRL.NextUpdate = at.Add(-time.Second) })},
		"root list to come":   {"root_crl.validity", platform(func(d *design) { d.RootCRL.ThisUpdate = at.Add(time.Second) })},
		"root list's signer":  {"root_crl.signature", platform(func(d *design) { d.RootCRL.Signer = simtee.KeyPlatformCA })},
		"lists in each place": {"root_crl.signature", collateral(func(c *quote.Collateral, _ *simtee.Platform) { c.PCKCRL, c.RootCRL = c.RootCRL, c.PCKCRL })},
		// TCB info and QE identity.
		"TCB info's signer":    {"tcb_info.signature", platform(func(d *design) { d.TCBInfoSigner = simtee.KeyPCK })},
		"identity's signer":    {"qe_identity.signature", platform(func(d *design) { d.QEIdentitySigner = simtee.KeyPCK })},
		"TCB info expired":     {"tcb_info.validity", platform(func(d *design) { d.TCBInfo.NextUpdate = at.Add(-time.Second) })},
		"TCB info to come":     {"tcb_info.validity", platform(func(d *design) { d.TCBInfo.IssueDate = at.Add(time.Second) })},
		"identity expired":     {"qe_identity.validity", platform(func(d *design) { d.QEIdentity.NextUpdate = at.Add(-time.Second) })},
		"identity to come":     {"qe_identity.validity", platform(func(d *design) { d.QEIdentity.IssueDate = at.Add(time.Second) })},
		"FMSPC":                {"tcb_info.fmspc", platform(func(d *design) { d.TCBInfo.FMSPC = "00806F050000" })},
		"PCEID":                {"tcb_info.pceid", platform(func(d *design) { d.TCBInfo.PCEID = "0001" })},
		"SGX TCB info":         {"tcb_info.id", platform(func(d *design) { d.TCBInfo.ID = "SGX" })},
		"SGX QE identity":      {"qe_identity.id", platform(func(d *design) { d.QEIdentity.ID = "QE" })},
		"TCB info's version":   {"tcb_info.id", platform(func(d *design) { d.TCBInfo.Version = 2 })},
		"identity's version":   {"qe_identity.id", platform(func(d *design) { d.QEIdentity.Version = 1 })},
		"member twice, signed": {"tcb_info.form", platform(func(d *design) { d.EditTCBInfo = insert(`"tcbType":0,`, `"tcbType":0,"tcbType":0,`) })},
		"member's case, signed": {"tcb_info.form", platform(func(d *design) {
			d.EditTCBInfo = insert(`"tcbType":0,`, `"tcbType":0,"TcbType":0,`)
		})},
		"sibling, unsigned": {"tcb_info.form", collateral(func(c *quote.Collateral, _ *simtee.Platform) {
			c.TCBInfo = insert(`,"signature"`, `,"TCBINFO":{},"signature"`)(c.TCBInfo)
		})},
		"reformatted": {"qe_identity.signature", collateral(func(c *quote.Collateral, _ *simtee.Platform) {
			c.QEIdentity = bytes.ReplaceAll(c.QEIdentity, []byte(`,"`), []byte(`, "`))
		})},
		"second object": {"tcb_info.form", collateral(func(c *quote.Collateral, _ *simtee.Platform) { c.TCBInfo = slices.Concat(c.TCBInfo, c.TCBInfo) })},
		"QE's signer":   {"qe_identity.mrsigner", platform(func(d *design) { d.QE.MRSigner[0] ^= 1 })},
		"QE's product":  {"qe_identity.isvprodid", platform(func(d *design) { d.QE.ProductID = 1 })},
		"QE's select":   {"qe_identity.miscselect", platform(func(d *design) { d.QE.MiscSelect = 1 })},
		"QE debug":      {"qe_identity.attributes", platform(func(d *design) { d.QE.Attributes[0] |= 2 })},
		// Levels.
		"platform out of date": {"tcb.status=OutOfDate", platform(func(d *design) { d.TCBInfo.Levels[0].Status = quote.OutOfDate })},
		"platform revoked":     {"tcb.status=Revoked", platform(func(d *design) { d.TCBInfo.Levels[0].Status = quote.Revoked })},
		"configuration":        {"tcb.status=ConfigurationNeeded", platform(func(d *design) { d.TCBInfo.Levels[0].Status = quote.ConfigurationNeeded })},
		"unknown status":       {"tcb_info.form", platform(func(d *design) { d.TCBInfo.Levels[0].Status = "Fine" })},
		"below all levels":     {"tcb.status=NotSupported", platform(func(d *design) { d.SGX.PCESVN = 4 })},
		"below the level":      {"tcb.status=OutOfDate", platform(func(d *design) { d.SGX.SVNs[0] = 3 })},
		"microcode":            {"tcb.status=OutOfDate", platform(func(d *design) { d.Body.TEETCBSVN[2] = 3 })},
		"module out of date":   {"tcb.status=OutOfDate", platform(func(d *design) { d.Body.TEETCBSVN[0] = 4 })},
		"module below all":     {"tcb.status=NotSupported", platform(func(d *design) { d.Body.TEETCBSVN[0] = 3 })},
		"module revoked":       {"tcb.status=Revoked", platform(func(d *design) { d.TCBInfo.Identities[0].Levels[0].Status = quote.Revoked })},
		"module unknown":       {"tcb.module", platform(func(d *design) { d.TCBInfo.Identities[0].ID = "TDX_02" })},
		"module's signer":      {"tcb.module", platform(func(d *design) { d.Body.MRSIGNERSEAM[0] = 1 })},
		"module's attributes":  {"tcb.module", platform(func(d *design) { d.Body.SEAMAttributes[0] = 1 })},
		"QE out of date":       {"tcb.status=OutOfDate", platform(func(d *design) { d.QEIdentity.Levels[0].Status = quote.OutOfDate })},
		"QE below all":         {"tcb.status=NotSupported", platform(func(d *design) { d.QE.SVN = 3 })},
		"relaunch": {"tcb.status=TDRelaunchAdvised", long(func(d *design) {
			d.TCBInfo.Identities[0].Levels = slices.Insert(d.TCBInfo.Identities[0].Levels, 0, simtee.SVNLevel{TCB: simtee.ISVSVN{SVN: 12}, Date: at, Status: quote.UpToDate})
			d.TCBInfo.Identities[0].Levels[1].Status = quote.OutOfDate
			d.Body.TEETCBSVN2[0] = 12
		})},
		// The trust domain.
		"debug":            {"td.debug", platform(func(d *design) { d.Body.TDAttributes[0] = 1 })},
		"reserved":         {"td.attributes", platform(func(d *design) { d.Body.TDAttributes[1] = 1 })},
		"migratable":       {"td.migratable", platform(func(d *design) { d.Body.TDAttributes[3] |= 0x20 })},
		"XFAM without x87": {"td.xfam", platform(func(d *design) { d.Body.XFAM[0] &^= 1 })},
		"XFAM beyond":      {"td.xfam", platform(func(d *design) { d.Body.XFAM[7] = 0x80 })},
		"service TD":       {"td.service_td", long(func(d *design) { d.Body.MRSERVICETD[0] = 1 })},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := appraise(t, tt.build(t), quote.Policy{})
			code, status, _ := strings.Cut(tt.reason, "=")
			refused := slices.ContainsFunc(r.Checks, func(c quote.Check) bool { return c.Code == code && c.Result != quote.Pass })
			if r.Accepted || !refused || status != "" && string(r.Status) != status {
				t.Errorf("accepted %v, status %s, failed %v, want %s", r.Accepted, r.Status, failed(r), tt.reason)
			}
		})
	}
	if _, err := quote.ParseTrustRoot(newPlatform(t, func(d *design) { d.Root.PathLen = 0 }).RootPEM()); err == nil {
		t.Error("accepted a root that allows no CA below it")
	}
	p := newPlatform(t)
	if r := appraise(t, of(p, p.Quote(4, p.Body())), quote.Policy{MinEvaluation: 19}); r.Accepted {
		t.Error("accepted evaluation 18 where 19 is the least")
	}
}

// insert replaces a text that is there once.
func insert(old, replacement string) func([]byte) []byte {
	return func(text []byte) []byte { return bytes.Replace(text, []byte(old), []byte(replacement), 1) }
}
