//go:build simtee

package quote_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

// TestFurtherAttacks are those of the numbered list that [attacks] does not have, by number and each with all codes that fail.
func TestFurtherAttacks(t *testing.T) {
	type parts = simtee.Parts
	rogue := another(func(d *simtee.Design) { d.PCK.Issuer, d.PCK.Signer, d.PCK.Key = simtee.NamePCK, simtee.KeyPCK, "rogue" })
	genuine := (&attack{}).platform(t).CertificatesDER()
	renewed := another(func(d *simtee.Design) { d.Root.Serial = big.NewInt(2) })
	relabelled := func(version byte) func([]byte) []byte {
		return func(b []byte) []byte { b[0] = version; return b }
	}
	for _, a := range []attack{
		{name: "14 version 5 relabelled as 4", fails: []string{"quote.signature_data"}, raw: relabelled(4)},
		{name: "14 version 4 relabelled as 5", fails: []string{"quote.body_type"}, version: 4, raw: relabelled(5)},
		{
			name: "14 TD report of version 5 under a header of version 4", fails: []string{"quote.signature"}, design: func(d *simtee.Design) { d.Body.Kind = quote.TD10 },
			after: func(p *parts) { p.Version = 4 },
		},
		{name: "14 TD report of version 4 under a header of version 5", fails: []string{"quote.signature"}, version: 4, after: func(p *parts) { p.Version = 5 }},
		{name: "16 four certificates", fails: []string{"pck.chain"}, after: func(p *parts) { p.Certificates = simtee.PEM(append(slices.Clone(genuine), genuine[2])...) }},
		{
			name: "16 root before CA", fails: []string{"pck.root", "pck.intermediate", "pck.leaf", "pck_crl.issuer"},
			after: func(p *parts) { p.Certificates = simtee.PEM(genuine[0], genuine[2], genuine[1]) },
		},
		{
			name: "20 another root of the same name and key", fails: []string{"pck.root"}, unchecked: "pck.validity",
			after: func(p *parts) { p.Certificates = simtee.PEM(genuine[0], genuine[1], renewed.CertificatesDER()[2]) },
		},
		{
			name: "20 TCB signer under another root of the same name and key", fails: []string{"tcb_info.chain"},
			collateral: func(c *quote.Collateral, _ *simtee.Platform) { c.TCBInfoChain = renewed.Collateral().TCBInfoChain },
		},
		{
			name: "24 PCK certificate that issues another", fails: []string{"pck.intermediate", "pck.extension", "pck_crl.issuer"}, before: func(p *parts) {
				p.Certificates, p.QESigner = simtee.PEM(rogue.CertificatesDER()[0], genuine[0], genuine[2]), "rogue"
			},
		},
		{name: "24 PCK certificate signed over SHA-384", fails: []string{"pck.leaf"}, reason: "signature algorithm", design: func(d *simtee.Design) {
			d.PCK.Edit = func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA384 }
		}},
		{name: "28 list without a number", fails: []string{"pck_crl.form"}, unchecked: "revocation.pck", collateral: func(c *quote.Collateral, _ *simtee.Platform) {
			c.PCKCRL = withoutNumber(t, c.PCKCRL)
		}},
		{
			name: "36 service that signs its own TCB info", fails: []string{"tcb_info.chain"}, unchecked: "tcb.status",
			collateral: func(c *quote.Collateral, _ *simtee.Platform) {
				c.TCBInfo, c.TCBInfoChain = foreign().Collateral().TCBInfo, foreign().Collateral().TCBInfoChain
			},
		},
		{
			name: "44 TD older than its module, where out of date is accepted", fails: []string{"tcb.status"}, status: quote.TDRelaunchAdvised,
			design: func(d *simtee.Design) { d.Body.TEETCBSVN[0] = 10 },
			policy: func(p *quote.Policy) { p.AcceptStatus = []quote.Status{quote.OutOfDate} },
		},
		{name: "54 denied advisory of the module", fails: []string{"tcb.advisories"}, version: 4, design: func(d *simtee.Design) { d.Body.TEETCBSVN[0] = 4 }, policy: func(p *quote.Policy) {
			everyStatus(p)
			p.DeniedAdvisories = []string{"INTEL-SA-01192"}
		}},
		{name: "54 denied advisory of the QE", fails: []string{"tcb.advisories"}, design: func(d *simtee.Design) {
			d.QEIdentity.Levels[0].Advisories = []string{"INTEL-SA-00615"}
		}, policy: func(p *quote.Policy) { p.DeniedAdvisories = []string{"INTEL-SA-00615"} }},
	} {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			r := a.run(t)
			failed := codesOf(r, quote.Fail)
			slices.Sort(a.fails)
			slices.Sort(failed)
			if r.Accepted || !slices.Equal(failed, a.fails) || (a.status != "" && r.Status != a.status) {
				t.Errorf("accepted %t with status %s, failed %v, want %v", r.Accepted, r.Status, failed, a.fails)
			}
			if a.unchecked != "" && !slices.Contains(codesOf(r, quote.NotChecked), a.unchecked) {
				t.Errorf("%s is not among what is not checked: %v", a.unchecked, codesOf(r, quote.NotChecked))
			}
			if !slices.ContainsFunc(r.Checks, func(c quote.Check) bool {
				return c.Result == quote.Fail && bytes.Contains([]byte(c.Actual), []byte(a.reason))
			}) {
				t.Errorf("no failed check says %q", a.reason)
			}
		})
	}
}

// withoutNumber signs a list of the Platform CA anew, without the extension that numbers it.
func withoutNumber(t *testing.T, der []byte) []byte {
	t.Helper()
	var list pkix.CertificateList
	if rest, err := asn1.Unmarshal(der, &list); err != nil || len(rest) > 0 {
		t.Fatalf("the list: %v, %d bytes more", err, len(rest))
	}
	tbs := &list.TBSCertList
	tbs.Raw = nil
	tbs.Extensions = slices.DeleteFunc(tbs.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 20}) })
	signed, err := asn1.Marshal(*tbs)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(signed)
	signature, err := ecdsa.SignASN1(rand.Reader, attackSeed.Private(simtee.KeyPlatformCA), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	list.SignatureValue = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	der, err = asn1.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestHeaderBits is attack 1 in full: each bit of the header. What has one right value is refused by name, and the signature is over
// all of it.
func TestHeaderBits(t *testing.T) {
	p := (&attack{}).platform(t)
	body := p.Body()
	body.Kind = quote.TD10
	raw := p.Quote(4, body)
	root, err := quote.ParseTrustRoot(p.RootPEM())
	if err != nil {
		t.Fatal(err)
	}
	v := quote.NewVerifier(p.Collateral(), root)
	for bit := range 48 * 8 {
		want := []string{"quote.signature"}
		switch i := bit / 8; {
		case bit == 0:
			want = []string{"quote.body_type"} // version 5, which has a descriptor where version 4 has its TD report
		case i < 2:
			want = []string{"quote.version"}
		case i < 4:
			want = []string{"quote.key_type"}
		case i < 8:
			want = []string{"quote.tee_type"}
		case i >= 12 && i < 28:
			want = []string{"quote.vendor", "quote.signature"}
		}
		flipped := bytes.Clone(raw)
		flipped[bit/8] ^= 1 << (bit % 8)
		if got := codesOf(v.Appraise(flipped, quote.Policy{}, attackTime), quote.Fail); !slices.Equal(got, want) {
			t.Errorf("bit %d of byte %d: failed %v, want %v", bit%8, bit/8, got, want)
		}
	}
}

// TestMalleatedTwin is attack 18. A quote has a twin, with n-s for s, that is as good, so that nobody may tell quotes by their bytes.
// The nonce, which makes evidence fresh, is the same in both.
func TestMalleatedTwin(t *testing.T) {
	var twins [][]byte
	for _, twin := range []bool{false, true} {
		a := attack{
			after: func(p *simtee.Parts) {
				if s := new(big.Int).SetBytes(p.Signature[32:]); twin {
					s.Sub(elliptic.P256().Params().N, s).FillBytes(p.Signature[32:])
				}
			},
			raw: func(b []byte) []byte { twins = append(twins, b); return b },
		}
		if r := a.run(t); !r.Accepted || r.Quote.Body.ReportData != [64]byte{} {
			t.Errorf("twin %t: accepted %t, failed %v", twin, r.Accepted, codesOf(r, quote.Fail))
		}
	}
	if bytes.Equal(twins[0], twins[1]) {
		t.Error("the twins are one quote")
	}
}
