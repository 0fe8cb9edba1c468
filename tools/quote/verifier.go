package quote

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Verifier is collateral whose signatures were checked once, for many quotes. It does not change, and is safe for concurrent use.
type Verifier struct {
	root       TrustRoot
	collateral ledger // what holds of the collateral whatever the quote and the time

	// What follows is nil or empty where it could not be verified.
	info               *tcbInfo
	identity           *qeIdentity
	infoChain, idChain []*x509.Certificate // signer and root
	pckCA              *x509.Certificate   // of pckCRL
	pckCAText          []byte              // pckCA and the root in canonical PEM
	pckCRL, rootCRL    *revocations
}

// NewVerifier checks the signatures of the collateral against the root. What fails becomes a failed check of every appraisal.
func NewVerifier(c Collateral, root TrustRoot) *Verifier {
	v := &Verifier{root: root, collateral: newLedger()}
	l := &v.collateral
	if root.cert == nil {
		for c := codeTCBInfoForm; c <= codeRevokedIdentitySigner; c++ {
			l.unchecked(c, "no trust root")
		}
		return v
	}
	v.infoChain = v.signers(codeTCBInfoChain, c.TCBInfoChain, roleTCBSigning)
	if bytes.Equal(c.TCBInfoChain, c.QEIdentityChain) && v.infoChain != nil {
		v.idChain = v.infoChain
		l.pass(codeIdentityChain, l[codeTCBInfoChain].Actual)
	} else {
		v.idChain = v.signers(codeIdentityChain, c.QEIdentityChain, roleTCBSigning)
	}
	v.readTCBInfo(c.TCBInfo)
	v.readIdentity(c.QEIdentity)
	v.readRootCRL(c.RootCRL)
	v.readPCKCRL(c.PCKCRL, c.PCKCRLChain)
	v.revoked(codeRevokedTCBSigner, v.rootCRL, v.infoChain)
	v.revoked(codeRevokedIdentitySigner, v.rootCRL, v.idChain)
	return v
}

// signers reads an issuer chain: a certificate in a role, and the trust root.
func (v *Verifier) signers(c code, chain []byte, r role) []*x509.Certificate {
	l := &v.collateral
	if len(chain) == 0 {
		l.unchecked(c, "no issuer chain")
		return nil
	}
	certs, err := v.readSigners(chain, r)
	if err != nil {
		l.note(c, false, strings.Join(r.names, " or ")+" under the trust root", err.Error())
		return nil
	}
	l.pass(c, certs[0].Subject.CommonName+", "+certs[1].Subject.CommonName)
	return certs
}

func (v *Verifier) readSigners(chain []byte, r role) ([]*x509.Certificate, error) {
	if len(chain) > maxMember {
		return nil, fmt.Errorf("issuer chain: expected at most %d bytes, got %d", maxMember, len(chain))
	}
	ders, err := splitPEM(chain, 2)
	if err != nil {
		return nil, fmt.Errorf("issuer chain: %w", err)
	}
	// Intel's service has the root last, samples of its verification library have it first.
	signer := 1 - slices.IndexFunc(ders, func(der []byte) bool { return bytes.Equal(der, v.root.cert.Raw) })
	if signer > 1 {
		return nil, errNotRoot
	}
	cert, err := x509.ParseCertificate(ders[signer])
	if err != nil {
		return nil, fmt.Errorf("issuer chain: %w", err)
	}
	if err := r.check(cert, v.root.cert); err != nil {
		return nil, err
	}
	return []*x509.Certificate{cert, v.root.cert}, nil
}

var errNotRoot = errors.New("issuer chain: expected the trust root in it, got two other certificates")

// verifyDocument opens a document, verifies its signature, and only then hands out what is signed.
func (v *Verifier) verifyDocument(data []byte, member string, open func([]byte) (signedObject, error), chain []*x509.Certificate, form, signature code) []byte {
	l := &v.collateral
	if len(data) == 0 {
		l.unchecked(form, "no document")
		return nil
	}
	const expected = "one by the TCB signing key"
	var key *ecdsa.PublicKey
	if chain != nil {
		key, _ = p256(chain[0]) // its role asks for one
	}
	if object, is := cutDocument(data, member); is && key != nil && verifyRaw(key, object.bytes, object.signature) {
		l.pass(signature, expected)
		return object.bytes
	}
	object, err := open(data)
	switch {
	case err != nil:
		l.note(form, false, "strict JSON of a signed document", err.Error())
		return nil
	case key == nil:
		l.unchecked(signature, "no issuer chain that leads to the trust root")
		l.unchecked(form, "not read, because the signature is not verified")
		return nil
	case !verifyRaw(key, object.bytes, object.signature):
		l.note(signature, false, expected, "another")
		l.unchecked(form, "not read, because the signature is not verified")
		return nil
	}
	l.pass(signature, expected)
	return object.bytes
}

func (v *Verifier) readTCBInfo(data []byte) {
	l := &v.collateral
	object := v.verifyDocument(data, "tcbInfo", openTCBInfo, v.infoChain, codeTCBInfoForm, codeTCBInfoSignature)
	if object == nil {
		return
	}
	info, err := parseTCBInfo(object)
	if err != nil {
		l.note(codeTCBInfoForm, false, "TCB info of PCS API v4", err.Error())
		return
	}
	if !l.note(codeTCBInfoID, info.forTDX(), "TDX, version 3, TCB type 0", fmt.Sprintf("%.20s, version %d, TCB type %d", info.id, info.version, info.kind)) {
		return
	}
	l.pass(codeTCBInfoForm, "TCB info of PCS API v4")
	v.info = info
}

func (v *Verifier) readIdentity(data []byte) {
	l := &v.collateral
	object := v.verifyDocument(data, "enclaveIdentity", openIdentity, v.idChain, codeIdentityForm, codeIdentitySignature)
	if object == nil {
		return
	}
	identity, err := parseIdentity(object)
	if err != nil {
		l.note(codeIdentityForm, false, "enclave identity of PCS API v4", err.Error())
		return
	}
	l.pass(codeIdentityForm, "enclave identity of PCS API v4")
	l.note(codeIdentityID, identity.id == "TD_QE" && identity.version == 2, "TD_QE, version 2", fmt.Sprintf("%.20s, version %d", identity.id, identity.version))
	v.identity = identity
}

// readCRL reads a list and verifies its signature.
func (v *Verifier) readCRL(data []byte, issuer *x509.Certificate, form, signature code) *revocations {
	l := &v.collateral
	const wellFormed = "a complete X.509 v2 revocation list with a number"
	switch {
	case len(data) == 0:
		l.unchecked(form, "no revocation list")
		return nil
	case len(data) > maxMember:
		l.note(form, false, fmt.Sprintf("at most %d bytes", maxMember), strconv.Itoa(len(data)))
		return nil
	}
	list, err := parseRevocations(data)
	if err != nil {
		l.note(form, false, wellFormed, err.Error())
		return nil
	}
	l.pass(form, wellFormed)
	if issuer == nil {
		l.unchecked(signature, "no issuer that leads to the trust root")
		return nil
	}
	if err := list.checkSignature(issuer); err != nil {
		l.note(signature, false, "one by "+issuer.Subject.CommonName, err.Error())
		return nil
	}
	l.pass(signature, "one by "+issuer.Subject.CommonName)
	return list
}

func (v *Verifier) readRootCRL(data []byte) {
	v.rootCRL = v.readCRL(data, v.root.cert, codeRootCRLForm, codeRootCRLSignature)
}

func (v *Verifier) readPCKCRL(data, chain []byte) {
	if signers := v.signers(codePCKCRLChain, chain, rolePCKCA); signers != nil {
		v.pckCA = signers[0]
		v.pckCAText = append(encodePEM(v.pckCA.Raw), encodePEM(v.root.cert.Raw)...)
	}
	v.pckCRL = v.readCRL(data, v.pckCA, codePCKCRLForm, codePCKCRLSignature)
}

func (l *ledger) revocation(c code, list *revocations, certs ...*x509.Certificate) {
	if list == nil || len(certs) == 0 {
		l.unchecked(c, "no verified revocation list, or no verified certificate")
		return
	}
	for _, cert := range certs {
		if list.has(cert) {
			l.note(c, false, "not revoked", fmt.Sprintf("%s, serial number %x, is revoked by list %s", cert.Subject.CommonName, cert.SerialNumber, list.list.Number))
			return
		}
	}
	l.pass(c, "not revoked")
}

// revoked judges the first certificate of a chain. The root is not judged by its own list: it is trusted by being pinned.
func (v *Verifier) revoked(c code, list *revocations, chain []*x509.Certificate) {
	if chain == nil {
		v.collateral.revocation(c, list)
		return
	}
	v.collateral.revocation(c, list, chain[0])
}

// times judges the validity of collateral.
func (v *Verifier) times(l *ledger, at time.Time) {
	chain := func(c code, certs []*x509.Certificate) {
		if certs == nil {
			l.unchecked(c, "no issuer chain that leads to the trust root")
			return
		}
		l.spans(c, at, spanOf(certs[0]), spanOf(certs[1]))
	}
	chain(codeTCBInfoChainValidity, v.infoChain)
	chain(codeIdentityChainValidity, v.idChain)
	if v.pckCA == nil {
		chain(codePCKCRLChainValidity, nil)
	} else {
		chain(codePCKCRLChainValidity, []*x509.Certificate{v.pckCA, v.root.cert})
	}
	if v.info == nil {
		l.unchecked(codeTCBInfoValidity, "no verified TCB info")
	} else {
		l.spans(codeTCBInfoValidity, at, v.info.span("TCB info"))
	}
	if v.identity == nil {
		l.unchecked(codeIdentityValidity, "no verified QE identity")
	} else {
		l.spans(codeIdentityValidity, at, v.identity.span("QE identity"))
	}
	if v.rootCRL == nil {
		l.unchecked(codeRootCRLValidity, "no verified revocation list")
	} else {
		l.spans(codeRootCRLValidity, at, v.rootCRL.span("root revocation list"))
	}
	if v.pckCRL == nil {
		l.unchecked(codePCKCRLValidity, "no verified revocation list")
	} else {
		l.spans(codePCKCRLValidity, at, v.pckCRL.span("PCK revocation list"))
	}
}

// Issue is when a part of collateral was issued, until when it holds, and the number by which a later one is told.
type Issue struct {
	Issued time.Time // issueDate or thisUpdate
	Next   time.Time // nextUpdate
	Number *big.Int  // tcbEvaluationDataNumber or cRLNumber
}

// Facts is what is known of collateral that was verified.
type Facts struct {
	FMSPC      [6]byte
	CA         string // PlatformCA or ProcessorCA, whose PCK certificates PCKCRL is about
	TCBInfo    Issue
	QEIdentity Issue
	PCKCRL     Issue
	RootCRL    Issue
}

// Facts verifies the collateral by itself for a time: that it is complete, genuine, of the right kinds, in force, and signed by
// nobody who was revoked. The error names the first check that failed, or could not be made, and why.
func (v *Verifier) Facts(at time.Time) (Facts, error) {
	if v == nil {
		v = new(Verifier)
	}
	l := v.ledger()
	v.times(&l, at)
	if v.pckCA != nil {
		l.revocation(codeRevokedIntermediate, v.rootCRL, v.pckCA)
	}
	var unchecked *Check
	for c := codeTCBInfoForm; c <= codeRevokedIdentitySigner; c++ {
		switch c {
		case codeTCBInfoFMSPC, codeTCBInfoPCEID, codeIdentityMRSIGNER, codeIdentityISVPRODID, codeIdentityMISCSELECT, codeIdentityAttributes,
			codePCKCRLIssuer, codeRevokedPCK:
			continue // about a quote
		}
		switch l[c].Result {
		case Pass:
		case Fail:
			return Facts{}, fmt.Errorf("collateral: %s: expected %s, got %s", l[c].Code, l[c].Expected, l[c].Actual)
		default:
			if unchecked == nil {
				unchecked = &l[c]
			}
		}
	}
	l.close()
	if unchecked != nil {
		return Facts{}, fmt.Errorf("collateral: %s: could not be checked: %s", unchecked.Code, unchecked.Actual)
	}
	document := func(i issue) Issue { return Issue{i.issued, i.next, big.NewInt(int64(i.evaluation))} }
	list := func(r *revocations) Issue { return Issue{r.list.ThisUpdate, r.list.NextUpdate, r.list.Number} }
	f := Facts{
		FMSPC: v.info.fmspc, CA: PlatformCA, TCBInfo: document(v.info.issue), QEIdentity: document(v.identity.issue),
		PCKCRL: list(v.pckCRL), RootCRL: list(v.rootCRL),
	}
	if v.pckCA.Subject.CommonName == nameProcessorCA {
		f.CA = ProcessorCA
	}
	return f, nil
}

// ledger starts an appraisal. A Verifier that NewVerifier did not make knows nothing.
func (v *Verifier) ledger() ledger {
	if v == nil || v.root.cert == nil {
		return NewVerifier(Collateral{}, TrustRoot{}).collateral
	}
	return v.collateral
}

// Result is the verdict about a quote.
type Result struct {
	Accepted     bool   // every check passed
	Simulated    bool   // the root is not Intel's
	Status       Status // empty: could not be evaluated. It is told for refused quotes too, and then vouches for nothing
	AdvisoryIDs  []string
	TCBDate      time.Time // the oldest of platform, module and QE
	TCBInfoEval  uint32    // tcbEvaluationDataNumber
	IdentityEval uint32
	Checks       []Check   // each of [Codes] once, in that order
	Quote        *Quote    // nil if it could not be parsed
	Platform     *Platform // nil if the PCK certificate could not be read
}

// Appraise judges one quote at one time. Every check is made that can be, also after one failed.
func (v *Verifier) Appraise(raw []byte, p Policy, at time.Time) Result {
	if v == nil {
		v = new(Verifier)
	}
	l := v.ledger()
	r := Result{Simulated: v.root.Simulated()}
	v.times(&l, at)
	p.time(&l, at)
	q, err := parse(raw)
	if err != nil {
		l.note(err.check, false, codes[err.check].meaning, err.Reason)
		r.Checks = l.close()
		return r
	}
	r.Quote = q
	l.format(q)
	p.body(&l, &q.Body)
	leaf := v.chain(&l, q, at)
	l.qe(q, leaf)
	if leaf != nil {
		if platform, err := platformOf(leaf); err != nil {
			l.note(codePCKExtension, false, "the fields of Intel's specification", err.Error())
		} else {
			l.pass(codePCKExtension, "FMSPC "+hexOf(platform.FMSPC[:]))
			r.Platform = &platform
			p.platform(&l, &platform)
		}
	}
	v.match(&l, q, &r, &p)
	r.Accepted = l.accepted()
	r.Checks = l.close()
	return r
}

// intelQE is the QE vendor id of Intel (Quoting Library API, A.3.1).
var intelQE = [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

// format notes what parsing found, and judges the fields that parsing left.
func (l *ledger) format(q *Quote) {
	end := len(q.Signed) + 4 + signatureFixed + certificationFixed + len(q.AuthData) + len(q.Certificates)
	l.pass(codeSize, fmt.Sprintf("%d bytes", end+len(q.Trailing)))
	l.pass(codeVersion, decimal(q.Version))
	l.pass(codeTEEType, fmt.Sprintf("%#x", q.TEEType))
	l.pass(codeKeyType, decimal(q.AttestationKeyType))
	l.pass(codeBodyType, q.Body.Kind)
	l.pass(codeTruncated, fmt.Sprintf("%d bytes", end))
	l.pass(codeSignatureData, fmt.Sprintf("%d bytes", end-len(q.Signed)-4))
	l.pass(codeCertificationType, "6 with 5")
	other := len(bytes.TrimLeft(q.Trailing, "\x00"))
	l.note(codeTrailing, other == 0, "zero bytes only", fmt.Sprintf("%d bytes, of which %d from the first that is not zero", len(q.Trailing), other))
	l.note(codeVendor, q.QEVendorID == intelQE, hexOf(intelQE[:]), hexOf(q.QEVendorID[:]))
	// SEC 1, 2.3.4: an uncompressed point.
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, q.AttestationKey[:]...))
	if err != nil {
		l.note(codeAttestationKey, false, "a point on P-256", hexOf(q.AttestationKey[:]))
		l.unchecked(codeSignature, "no attestation key")
		return
	}
	l.pass(codeAttestationKey, hexOf(q.AttestationKey[:]))
	l.signature(codeSignature, verifyRaw(key, q.Signed, q.Signature[:]), "one by the attestation key")
}

func (l *ledger) signature(c code, verified bool, expected string) {
	if !verified {
		l.note(c, false, expected, "another")
		return
	}
	l.pass(c, expected)
}

// The QE report is an SGX report (Intel SDM volume 3D, 36.15): offsets of its fields.
const (
	qeMISCSELECT = 16 // 4
	qeAttributes = 48 // 16
	qeMRSIGNER   = 128
	qeISVPRODID  = 256
	qeISVSVN     = 258
	qeReportData = 320 // 64
	// qeAttributeDebug is a bit of the first byte of ATTRIBUTES.
	qeAttributeDebug = 1 << 1
)

// qe judges what the QE report says of the attestation key, and whether the platform vouches for the report.
func (l *ledger) qe(q *Quote, leaf *x509.Certificate) {
	var want [64]byte
	digest := sha256.Sum256(append(bytes.Clone(q.AttestationKey[:]), q.AuthData...))
	copy(want[:], digest[:])
	got := q.QEReport[qeReportData : qeReportData+64]
	l.note(codeQEReportData, bytes.Equal(got, want[:]), hexOf(want[:]), hexOf(got))
	attributes := q.QEReport[qeAttributes : qeAttributes+16]
	l.note(codeQEDebug, attributes[0]&qeAttributeDebug == 0, "DEBUG 0", hexOf(attributes))
	if leaf == nil {
		l.unchecked(codeQEReportSignature, "no PCK certificate")
		return
	}
	key, err := p256(leaf)
	if err != nil {
		l.note(codeQEReportSignature, false, "one by the PCK key", err.Error())
		return
	}
	l.signature(codeQEReportSignature, verifyRaw(key, q.QEReport, q.QEReportSignature[:]), "one by the PCK key")
}

// chain judges the PCK certificate chain and returns the PCK certificate, nil if it can not be read.
func (v *Verifier) chain(l *ledger, q *Quote, at time.Time) *x509.Certificate {
	ders, err := v.certificates(q)
	if err != nil {
		l.note(codePCKChain, false, "three certificates in PEM", err.Error())
		return nil
	}
	leaf, err := x509.ParseCertificate(ders[0])
	if err != nil {
		l.note(codePCKChain, false, "three certificates in PEM", err.Error())
		return nil
	}
	ca := v.pckCA
	known := ca != nil && bytes.Equal(ders[1], ca.Raw)
	if !known {
		if ca, err = x509.ParseCertificate(ders[1]); err != nil {
			l.note(codePCKChain, false, "three certificates in PEM", err.Error())
			return leaf
		}
	}
	l.pass(codePCKChain, "three certificates in PEM")
	root := v.root.cert
	rooted := root != nil && bytes.Equal(ders[2], root.Raw)
	if rooted {
		l.pass(codePCKRoot, "the trust root")
	} else {
		l.note(codePCKRoot, false, "the trust root", "another certificate")
	}
	if root == nil {
		l.unchecked(codePCKIntermediate, "no trust root")
	} else if err := v.checkCA(ca, known); err != nil {
		l.note(codePCKIntermediate, false, namePlatformCA+" or "+nameProcessorCA+" under the trust root", err.Error())
	} else {
		l.pass(codePCKIntermediate, ca.Subject.CommonName)
	}
	if err := rolePCK.check(leaf, ca); err != nil {
		l.note(codePCKLeaf, false, namePCK+" under its CA", err.Error())
	} else {
		l.pass(codePCKLeaf, leaf.Subject.CommonName)
	}
	if rooted {
		l.spans(codePCKValidity, at, spanOf(leaf), spanOf(ca), spanOf(root))
	} else {
		l.unchecked(codePCKValidity, "the chain does not end in the trust root")
	}
	v.pckRevocation(l, leaf, ca)
	return leaf
}

// certificates are those of the quote. CA and root are not decoded where they stand as they were verified.
func (v *Verifier) certificates(q *Quote) ([][]byte, error) {
	text := bytes.TrimRight(q.Certificates, "\x00")
	if first, known := bytes.CutSuffix(text, v.pckCAText); known && v.pckCA != nil && bytes.HasSuffix(first, []byte("\n")) {
		if ders, err := splitPEM(first, 1); err == nil {
			return append(ders, v.pckCA.Raw, v.root.cert.Raw), nil
		}
	}
	return q.certificates()
}

// checkCA says why a certificate is no PCK CA. One that is byte for byte the verified issuer of the revocation list is known.
func (v *Verifier) checkCA(ca *x509.Certificate, known bool) error {
	if known {
		return nil
	}
	return rolePCKCA.check(ca, v.root.cert)
}

func (v *Verifier) pckRevocation(l *ledger, leaf, ca *x509.Certificate) {
	if l[codePCKIntermediate].Result == Pass {
		l.revocation(codeRevokedIntermediate, v.rootCRL, ca)
	}
	if v.pckCA == nil {
		l.unchecked(codePCKCRLIssuer, "no issuer that leads to the trust root")
		l.unchecked(codeRevokedPCK, "no verified revocation list")
		return
	}
	l.revocation(codeRevokedIntermediate, v.rootCRL, v.pckCA)
	same := bytes.Equal(v.pckCA.RawSubject, ca.RawSubject) && bytes.Equal(v.pckCA.RawSubjectPublicKeyInfo, ca.RawSubjectPublicKeyInfo)
	if !same {
		l.note(codePCKCRLIssuer, false, ca.Subject.CommonName+", the PCK certificate's issuer", v.pckCA.Subject.CommonName+", with another name or key")
		l.unchecked(codeRevokedPCK, "the revocation list is of another issuer")
		return
	}
	l.pass(codePCKCRLIssuer, ca.Subject.CommonName)
	if l[codePCKLeaf].Result != Pass || l[codePCKIntermediate].Result != Pass {
		l.unchecked(codeRevokedPCK, "the PCK certificate is not verified")
		return
	}
	l.revocation(codeRevokedPCK, v.pckCRL, leaf)
}

// match compares the quote with TCB info and QE identity.
func (v *Verifier) match(l *ledger, q *Quote, r *Result, p *Policy) {
	if v.identity != nil {
		r.IdentityEval = v.identity.evaluation
		l.identity(q.QEReport, v.identity)
	}
	if v.info == nil {
		for _, c := range []code{codeTCBInfoFMSPC, codeTCBInfoPCEID, codeModule, codeStatus, codeAdvisories, codeEvaluation} {
			l.unchecked(c, "no verified TCB info")
		}
		return
	}
	r.TCBInfoEval = v.info.evaluation
	if v.identity != nil {
		p.evaluationNumbers(l, v.info.evaluation, v.identity.evaluation)
	}
	if r.Platform != nil {
		l.note(codeTCBInfoFMSPC, v.info.fmspc == r.Platform.FMSPC, hexOf(r.Platform.FMSPC[:]), hexOf(v.info.fmspc[:]))
		l.note(codeTCBInfoPCEID, v.info.pceid == r.Platform.PCEID, hexOf(r.Platform.PCEID[:]), hexOf(v.info.pceid[:]))
	}
	if _, err := v.info.moduleOf(&q.Body); err != nil {
		l.note(codeModule, false, "the TDX module of TCB info", err.Error())
	} else {
		l.pass(codeModule, "the TDX module of TCB info")
	}
	e := evaluate(v.info, v.identity, r.Platform, &q.Body, binary.LittleEndian.Uint16(q.QEReport[qeISVSVN:]))
	if e.status == "" {
		l.unchecked(codeStatus, "no verified QE identity, or no PCK certificate that can be read")
		l.unchecked(codeAdvisories, "no TCB status")
		return
	}
	r.Status, r.AdvisoryIDs, r.TCBDate = e.status, e.advisories, e.date
	p.evaluation(l, &e)
}

// identity compares the QE report with the QE identity, both in the byte order of the report (EnclaveReportVerifier.cpp).
func (l *ledger) identity(report []byte, id *qeIdentity) {
	compare := func(c code, want, got []byte) { l.note(c, bytes.Equal(want, got), hexOf(want), hexOf(got)) }
	compare(codeIdentityMRSIGNER, id.mrsigner[:], report[qeMRSIGNER:qeMRSIGNER+32])
	prodID := binary.LittleEndian.Uint16(report[qeISVPRODID:])
	l.note(codeIdentityISVPRODID, prodID == id.isvprodid, decimal(id.isvprodid), decimal(prodID))
	compare(codeIdentityMISCSELECT, id.miscselect[:], masked(report[qeMISCSELECT:qeMISCSELECT+4], id.miscselectMask[:]))
	compare(codeIdentityAttributes, id.attributes[:], masked(report[qeAttributes:qeAttributes+16], id.attributesMask[:]))
}
