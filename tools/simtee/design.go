//go:build simtee

package simtee

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Design is all of a platform before anything is signed. [NewDesign] gives one that is in order; what is to be wrong with it is
// edited. The fields do not follow each other: who changes the SVNs of the certificate changes the TCB levels as well, or not.
type Design struct {
	Seed                         Seed
	Root, PCKCA, PCK, TCBSigning Certificate
	// SGX is the extension of the PCK certificate.
	SGX SGXExtension
	// RootCRL lists CAs and TCB signers, PCKCRL the platforms.
	RootCRL, PCKCRL CRL
	TCBInfo         TCBInfo
	QEIdentity      QEIdentity
	// TCBInfoSigner and QEIdentitySigner sign the two documents; the chain beside them is always TCBSigning and Root.
	TCBInfoSigner, QEIdentitySigner Key
	// EditTCBInfo and EditQEIdentity change the text that is signed.
	EditTCBInfo, EditQEIdentity func(object []byte) []byte
	// QE is the quoting enclave's report; [Parts.Bind] fills its REPORTDATA.
	QE EnclaveReport
	// Body is what the platform puts in each TD report: TEE_TCB_SVN, MRSEAM, MRSIGNERSEAM, attributes.
	Body quote.Body
}

// FMSPC is the family of all simulated platforms, the text "SIM": no processor has it.
const FMSPC = "53494D000000"

// What the platform's hardware says of itself. The TDX module has major version 1 and SVN 11, as TDX 1.5.
var (
	sgxSVNs       = [16]int{4, 4, 2, 2, 4, 1, 0, 5}
	teeTCBSVN     = [16]byte{11, 1, 4}
	sgxComponents = []Component{
		{4, "BIOS", "Early Microcode Update"}, {4, "OS/VMM", "SGX Late Microcode Update"}, {2, "OS/VMM", "TXT SINIT"}, {2, "BIOS", ""},
		{4, "BIOS", ""}, {1, "BIOS", ""}, {0, "", ""}, {5, "OS/VMM", "SEAMLDR ACM"}, {}, {}, {}, {}, {}, {}, {}, {},
	}
	tdxComponents = []Component{
		{5, "OS/VMM", "TDX Module"}, {0, "OS/VMM", "TDX Module"}, {4, "OS/VMM", "TDX Late Microcode Update"},
		{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {},
	}
)

const (
	pceSVN    = 13
	oldPCESVN = 5
	moduleSVN = 11
	qeSVN     = 4
	// evaluation is the tcbEvaluationDataNumber.
	evaluation = 18
)

// Texts that stand in measurements, padded with zeros, where nothing else was asked for. Whoever meets one in hex can read it.
const (
	textMRSEAM    = "SIMULATED MRSEAM"
	textMRTD      = "SIMULATED MRTD"
	textMRENCLAVE = "SIMULATED QE MRENCLAVE"
)

// Lifetimes of what Intel signs. The root does not depend on the time, so that one seed has one root for good.
var (
	rootNotBefore = time.Date(2018, 5, 21, 10, 45, 10, 0, time.UTC)
	rootNotAfter  = time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC)
)

const (
	day         = 24 * time.Hour
	year        = 365 * day
	caLifetime  = 15 * year
	lifetime    = 7 * year // of PCK and TCB signing certificates
	documentAge = day      // of TCB info, QE identity and revocation lists at the given time
	documentTTL = 30 * day // of the same
	rootCRLTTL  = year
)

// NewDesign is an up-to-date platform of the Platform CA whose documents are a day old at the given time.
func NewDesign(s Seed, at time.Time) *Design {
	at = at.UTC().Truncate(time.Second)
	issued, levelDate := at.Add(-documentAge), at.Truncate(day).Add(-180*day)
	signs := x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	certifies := x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	d := &Design{
		Seed: s,
		Root: Certificate{
			Name: NameRoot, Issuer: NameRoot, Serial: s.serial("root"), Key: KeyRoot, Signer: KeyRoot, NotBefore: rootNotBefore,
			NotAfter: rootNotAfter, CA: true, PathLen: 1, Usage: certifies, CRLAddress: rootCRLAddress,
		},
		PCKCA: Certificate{
			Name: NamePlatformCA, Issuer: NameRoot, Serial: s.serial("pck platform ca"), Key: KeyPlatformCA, Signer: KeyRoot,
			NotBefore: at.Add(-year), NotAfter: at.Add(caLifetime - year), CA: true, PathLen: 0, Usage: certifies, CRLAddress: rootCRLAddress,
		},
		PCK: Certificate{
			Name: NamePCK, Issuer: NamePlatformCA, Serial: s.serial("pck"), Key: KeyPCK, Signer: KeyPlatformCA,
			NotBefore: at.Add(-30 * day), NotAfter: at.Add(lifetime - 30*day), PathLen: -1, Usage: signs,
			CRLAddress: fmt.Sprintf(pckCRLAddress, "platform"),
		},
		TCBSigning: Certificate{
			Name: NameTCBSigning, Issuer: NameRoot, Serial: s.serial("tcb signing"), Key: KeyTCBSigning, Signer: KeyRoot,
			NotBefore: at.Add(-year), NotAfter: at.Add(lifetime - year), PathLen: -1, Usage: signs, CRLAddress: rootCRLAddress,
		},
		SGX: SGXExtension{
			PPID: s.bytes("ppid", 16), SVNs: sgxSVNs, PCESVN: pceSVN, CPUSVN: make([]byte, 16), PCEID: make([]byte, 2),
			FMSPC: []byte{'S', 'I', 'M', 0, 0, 0}, Type: 1, InstanceID: s.bytes("platform instance", 16),
			DynamicPlatform: true, CachedKeys: true, SMTInUse: true,
		},
		RootCRL: CRL{Issuer: NameRoot, Signer: KeyRoot, Number: 1, ThisUpdate: issued, NextUpdate: issued.Add(rootCRLTTL)},
		PCKCRL:  CRL{Issuer: NamePlatformCA, Signer: KeyPlatformCA, Number: 1, ThisUpdate: issued, NextUpdate: issued.Add(documentTTL)},
		TCBInfo: TCBInfo{
			ID: "TDX", Version: 3, IssueDate: issued, NextUpdate: issued.Add(documentTTL), FMSPC: FMSPC, PCEID: "0000", Evaluation: evaluation,
			Module: &Module{Signer: HexBytes(make([]byte, 48)), Attributes: HexBytes(make([]byte, 8)), AttributesMask: ones(8)},
			Identities: []ModuleIdentity{{
				ID: "TDX_01", Module: Module{Signer: HexBytes(make([]byte, 48)), Attributes: HexBytes(make([]byte, 8)), AttributesMask: ones(8)},
				Levels: []SVNLevel{
					{TCB: ISVSVN{moduleSVN}, Date: levelDate, Status: quote.UpToDate},
					{TCB: ISVSVN{4}, Date: time.Date(2024, 3, 13, 0, 0, 0, 0, time.UTC), Status: quote.OutOfDate, Advisories: []string{"INTEL-SA-01192"}},
				},
			}},
			Levels: []Level{
				{TCB: TCB{SGX: sgxComponents, PCESVN: pceSVN, TDX: tdxComponents}, Date: levelDate, Status: quote.UpToDate},
				{
					TCB:  TCB{SGX: make([]Component, 16), PCESVN: oldPCESVN, TDX: make([]Component, 16)},
					Date: time.Date(2018, 1, 4, 0, 0, 0, 0, time.UTC), Status: quote.OutOfDate, Advisories: []string{"INTEL-SA-00106"},
				},
			},
		},
		QEIdentity: QEIdentity{
			ID: "TD_QE", Version: 2, IssueDate: issued, NextUpdate: issued.Add(documentTTL), Evaluation: evaluation,
			MiscSelect: HexBytes(make([]byte, 4)), MiscSelectMask: ones(4),
			Attributes: qeAttributes[:], AttributesMask: HexBytes("\xfb\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"),
			MRSigner: qeSigner[:], ProductID: qeProduct,
			Levels: []SVNLevel{
				{TCB: ISVSVN{qeSVN}, Date: levelDate, Status: quote.UpToDate},
			},
		},
		TCBInfoSigner: KeyTCBSigning, QEIdentitySigner: KeyTCBSigning,
		QE: EnclaveReport{Attributes: qeAttributes, MRSigner: qeSigner, ProductID: qeProduct, SVN: qeSVN},
		Body: quote.Body{
			Kind: "TD10", TEETCBSVN: teeTCBSVN, TEETCBSVN2: teeTCBSVN,
			TDAttributes: [8]byte{3: 0x10},             // SEPT_VE_DISABLE, bit 28, as dstack's guests have
			XFAM:         [8]byte{0xe7, 0x02, 0x06, 0}, // x87, SSE, AVX, AVX-512, PKU, CET, AMX
		},
	}
	// The tables above are shared by all designs, and a design is there to be edited.
	for i := range d.TCBInfo.Levels {
		tcb := &d.TCBInfo.Levels[i].TCB
		tcb.SGX, tcb.TDX = append([]Component{}, tcb.SGX...), append([]Component{}, tcb.TDX...)
	}
	d.QEIdentity.Attributes = append(HexBytes{}, d.QEIdentity.Attributes...)
	d.QEIdentity.MRSigner = append(HexBytes{}, d.QEIdentity.MRSigner...)
	copy(d.QE.MREnclave[:], textMRENCLAVE)
	copy(d.Body.MRSEAM[:], textMRSEAM)
	copy(d.Body.MRTD[:], textMRTD)
	return d
}

// ProcessorCA makes the PCK certificate one of the Processor CA, as machines with one processor have.
func ProcessorCA(d *Design) {
	d.PCKCA.Name, d.PCKCA.Key, d.PCKCA.Serial = NameProcessorCA, KeyProcessorCA, d.Seed.serial("pck processor ca")
	d.PCK.Issuer, d.PCK.Signer, d.PCK.CRLAddress = NameProcessorCA, KeyProcessorCA, fmt.Sprintf(pckCRLAddress, "processor")
	d.PCKCRL.Issuer, d.PCKCRL.Signer = NameProcessorCA, KeyProcessorCA
	d.SGX.InstanceID, d.SGX.Type = nil, 0
}

// RevokePCK puts the platform on its CA's list.
func RevokePCK(d *Design) { d.PCKCRL.Revoked = append(d.PCKCRL.Revoked, d.PCK.Serial) }

// RevokePCKCA puts the CA of the platform on the root's list.
func RevokePCKCA(d *Design) { d.RootCRL.Revoked = append(d.RootCRL.Revoked, d.PCKCA.Serial) }

// RevokeTCBSigning puts the signer of TCB info and QE identity on the root's list.
func RevokeTCBSigning(d *Design) { d.RootCRL.Revoked = append(d.RootCRL.Revoked, d.TCBSigning.Serial) }

// Platform is a machine that signs, and what its manufacturer publishes about it.
type Platform struct {
	design     Design
	root       []byte // DER, as the others
	pckCA      []byte
	pck        []byte
	tcbSigning []byte
	collateral quote.Collateral
}

// New builds a platform from [NewDesign] after the edits, in order. The error is that of a design that can not be encoded.
func New(s Seed, at time.Time, edits ...func(*Design)) (*Platform, error) {
	d := NewDesign(s, at)
	for _, edit := range edits {
		edit(d)
	}
	p := &Platform{design: *d}
	if err := p.certify(); err != nil {
		return nil, fmt.Errorf("simulated platform: %w", err)
	}
	if err := p.publish(); err != nil {
		return nil, fmt.Errorf("simulated platform: %w", err)
	}
	return p, nil
}

func (p *Platform) certify() error {
	d := &p.design
	sgx, err := d.SGX.extension()
	if err != nil {
		return fmt.Errorf("SGX extension: %w", err)
	}
	pck := d.PCK
	pck.Extensions = append([]pkix.Extension{sgx}, pck.Extensions...)
	for _, certificate := range []struct {
		of Certificate
		to *[]byte
	}{{d.Root, &p.root}, {d.PCKCA, &p.pckCA}, {pck, &p.pck}, {d.TCBSigning, &p.tcbSigning}} {
		if *certificate.to, err = d.Seed.certificate(certificate.of); err != nil {
			return err
		}
	}
	return nil
}

func (p *Platform) publish() error {
	d := &p.design
	rootCRL, err := d.Seed.crl(d.RootCRL)
	if err != nil {
		return err
	}
	pckCRL, err := d.Seed.crl(d.PCKCRL)
	if err != nil {
		return err
	}
	tcbInfo, err := signedDocument(d, "tcbInfo", d.TCBInfo, d.EditTCBInfo, d.TCBInfoSigner)
	if err != nil {
		return err
	}
	identity, err := signedDocument(d, "enclaveIdentity", d.QEIdentity, d.EditQEIdentity, d.QEIdentitySigner)
	if err != nil {
		return err
	}
	signing := PEM(p.tcbSigning, p.root)
	p.collateral = quote.Collateral{
		TCBInfo: tcbInfo, TCBInfoChain: signing, QEIdentity: identity, QEIdentityChain: signing,
		PCKCRL: pckCRL, PCKCRLChain: PEM(p.pckCA, p.root), RootCRL: rootCRL,
	}
	return nil
}

// signedDocument is the body of a PCS answer: the object, and the signature over its text.
func signedDocument(d *Design, member string, object any, edit func([]byte) []byte, by Key) ([]byte, error) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", member, err)
	}
	if edit != nil {
		text = edit(text)
	}
	return fmt.Appendf(nil, `{"%s":%s,"signature":"%x"}`, member, text, d.Seed.Sign(by, text)), nil
}
