package quote_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tdx-guest/abi"
	pb "github.com/google/go-tdx-guest/proto/tdx"
	"github.com/google/go-tdx-guest/verify"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// getter answers go-tdx-guest from the files of a vector.
type getter quote.Collateral

func (g getter) Get(address string) (map[string][]string, []byte, error) {
	chain := func(name string, pem []byte) map[string][]string {
		return map[string][]string{name: {url.QueryEscape(string(pem))}}
	}
	switch {
	case strings.Contains(address, "/tcb?"):
		return chain("Tcb-Info-Issuer-Chain", g.TCBInfoChain), g.TCBInfo, nil
	case strings.Contains(address, "/qe/identity"):
		return chain("Sgx-Enclave-Identity-Issuer-Chain", g.QEIdentityChain), g.QEIdentity, nil
	case strings.Contains(address, "/pckcrl"):
		return chain("Sgx-Pck-Crl-Issuer-Chain", g.PCKCRLChain), g.PCKCRL, nil
	case strings.Contains(address, "IntelSGXRootCA"):
		return nil, g.RootCRL, nil
	}
	return nil, nil, fmt.Errorf("no answer for %s", address)
}

// google is the verdict of go-tdx-guest, which panics on some input.
func google(raw []byte, c quote.Collateral, rootPEM []byte, at time.Time) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	options := &verify.Options{
		CheckRevocations: true, GetCollateral: true, Getter: getter(c),
		Now: &verify.TimeSet{PckCertChain: at, TcbInfo: at, QeIdentity: at, PckCrl: at, RootCaCrl: at},
	}
	if rootPEM != nil {
		options.TrustedRoots = x509.NewCertPool()
		options.TrustedRoots.AppendCertsFromPEM(rootPEM)
	}
	return verify.RawTdxQuote(raw, options)
}

// Why go-tdx-guest at 91f9a52 says otherwise.
const (
	platformDropped = "accepts: returns the level of the TDX module, and never looks at the level of the platform that it matched"
	policyLeft      = "accepts: leaves debug, migration, service TDs and reserved attributes to its validate package"
	trailingIgnored = "accepts: ignores bytes after the quote"
	noNotBefore     = "accepts: compares dates with the end of validity only"
	noProcessorCA   = "refuses: wants the Platform CA in every chain"
)

// disagreements are the vectors on which the verdicts differ. On all others they are the same.
var disagreements = map[string]string{
	"automata-dcap-attestation-v4-4b23198a-202501-outofdate":  platformDropped,
	"automata-dcap-attestation-v4-4b23198a-upstream-trailing": platformDropped,
	"private-ml-sdk-v4-afb2d8f7-202601-outofdate":             platformDropped,
	"syn-v4-outofdate-config":                                 platformDropped,
	"automata-dcap-attestation-v5-d0010db6-202506-uptodate":   policyLeft,
	"syn-v5-debug-td":                     policyLeft,
	"syn-v5-mrservicetd-nonzero":          policyLeft,
	"trustee-v4-12b401a8-202306-uptodate": policyLeft,
	"composed-tcbinfo-not-yet-valid":      noNotBefore,
	"syn-v4-trailing-nonzero":             trailingIgnored,
	"syn-v4-processor-ca":                 noProcessorCA,
}

// TestSecondOpinion compares verdicts with go-tdx-guest, given collateral and revocation lists.
func TestSecondOpinion(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range allVectors(t) {
		c, raw, at := v.collateral(t), v.quote(t), v.at(t)
		r := v.appraise(t, quote.Policy{})
		err := google(raw, c, v.file(t, "root_ca"), at)
		why, differs := disagreements[v.ID]
		seen[v.ID] = true
		if r.Accepted == (err == nil) == differs {
			t.Errorf("%s: accepted %t, failed %v; go-tdx-guest: %v; expected %q", v.ID, r.Accepted, codesOf(r, quote.Fail), err, why)
			continue
		}
		if differs && strings.HasPrefix(why, "accepts") != (err == nil) {
			t.Errorf("%s: go-tdx-guest: %v, expected %s", v.ID, err, why)
		}
	}
	for id := range disagreements {
		if !seen[id] {
			t.Errorf("no vector %s", id)
		}
	}
}

// protoBody is what the bodies of both versions have in common.
type protoBody interface {
	GetTeeTcbSvn() []byte
	GetMrSeam() []byte
	GetMrSignerSeam() []byte
	GetSeamAttributes() []byte
	GetTdAttributes() []byte
	GetXfam() []byte
	GetMrTd() []byte
	GetMrConfigId() []byte
	GetMrOwner() []byte
	GetMrOwnerConfig() []byte
	GetRtmrs() [][]byte
	GetReportData() []byte
}

type protoQuote interface {
	GetHeader() *pb.Header
	GetSignedData() *pb.Ecdsa256BitQuoteV4AuthData
	GetExtraBytes() []byte
}

// TestFieldsEqualGoogles compares every parsed field with go-tdx-guest's.
func TestFieldsEqualGoogles(t *testing.T) {
	compared := 0
	for _, v := range allVectors(t) {
		raw := v.quote(t)
		q, err := quote.Parse(raw)
		message, theirs := abi.QuoteToProto(raw)
		if err != nil {
			if v.Version != 3 {
				t.Errorf("%s: %v", v.ID, err)
			}
			continue
		}
		if theirs != nil {
			t.Errorf("%s: go-tdx-guest: %v", v.ID, theirs)
			continue
		}
		compared++
		var body protoBody
		switch m := message.(type) {
		case *pb.QuoteV4:
			body = m.GetTdQuoteBody()
		case *pb.QuoteV5:
			body = m.GetTdQuoteBodyDescriptor().GetTdQuoteBodyV5()
			b := m.GetTdQuoteBodyDescriptor().GetTdQuoteBodyV5()
			if q.Body.Kind == quote.TD15 && (!bytes.Equal(b.GetTeeTcbSvn2(), q.Body.TEETCBSVN2[:]) || !bytes.Equal(b.GetMrServiceTd(), q.Body.MRSERVICETD[:])) {
				t.Errorf("%s: fields of TDX 1.5 differ", v.ID)
			}
		}
		compareProto(t, v.ID, q, message.(protoQuote), body)
	}
	if compared < 60 {
		t.Errorf("compared %d quotes", compared)
	}
}

func compareProto(t *testing.T, id string, q *quote.Quote, m protoQuote, body protoBody) {
	signed := m.GetSignedData()
	certification := signed.GetCertificationData().GetQeReportCertificationData()
	report, err := abi.EnclaveReportToAbiBytes(certification.GetQeReport())
	if err != nil {
		t.Errorf("%s: %v", id, err)
	}
	h, b := m.GetHeader(), &q.Body
	if h.GetVersion() != uint32(q.Version) || h.GetAttestationKeyType() != uint32(q.AttestationKeyType) || h.GetTeeType() != q.TEEType {
		t.Errorf("%s: header %+v", id, h)
	}
	for _, f := range []struct {
		name         string
		ours, theirs []byte
	}{
		{"vendor", q.QEVendorID[:], h.GetQeVendorId()}, {"user data", q.UserData[:], h.GetUserData()},
		{"TEE_TCB_SVN", b.TEETCBSVN[:], body.GetTeeTcbSvn()}, {"MRSEAM", b.MRSEAM[:], body.GetMrSeam()},
		{"MRSIGNERSEAM", b.MRSIGNERSEAM[:], body.GetMrSignerSeam()}, {"SEAMATTRIBUTES", b.SEAMAttributes[:], body.GetSeamAttributes()},
		{"TDATTRIBUTES", b.TDAttributes[:], body.GetTdAttributes()}, {"XFAM", b.XFAM[:], body.GetXfam()}, {"MRTD", b.MRTD[:], body.GetMrTd()},
		{"MRCONFIGID", b.MRCONFIGID[:], body.GetMrConfigId()}, {"MROWNER", b.MROWNER[:], body.GetMrOwner()},
		{"MROWNERCONFIG", b.MROWNERCONFIG[:], body.GetMrOwnerConfig()}, {"REPORTDATA", b.ReportData[:], body.GetReportData()},
		{"RTMR0", b.RTMR[0][:], body.GetRtmrs()[0]}, {"RTMR1", b.RTMR[1][:], body.GetRtmrs()[1]},
		{"RTMR2", b.RTMR[2][:], body.GetRtmrs()[2]}, {"RTMR3", b.RTMR[3][:], body.GetRtmrs()[3]},
		{"signature", q.Signature[:], signed.GetSignature()}, {"attestation key", q.AttestationKey[:], signed.GetEcdsaAttestationKey()},
		{"QE report", q.QEReport, report}, {"QE report signature", q.QEReportSignature[:], certification.GetQeReportSignature()},
		{"authentication data", q.AuthData, certification.GetQeAuthData().GetData()},
		{"certificates", q.Certificates, certification.GetPckCertificateChainData().GetPckCertChain()}, {"trailing", q.Trailing, m.GetExtraBytes()},
	} {
		if !bytes.Equal(f.ours, f.theirs) {
			t.Errorf("%s: %s: %x, go-tdx-guest %x", id, f.name, f.ours, f.theirs)
		}
	}
}

// BenchmarkGoTDXGuest is the same verdict by go-tdx-guest, with collateral in memory.
func BenchmarkGoTDXGuest(b *testing.B) {
	vector := vectorNamed(b, benchmarked)
	c, raw, at := vector.collateral(b), vector.quote(b), vector.at(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := google(raw, c, nil, at); err != nil {
			b.Fatal(err)
		}
	}
}
