package quote

import (
	"encoding/hex"
	"strconv"
)

// Outcome is what became of a check.
type Outcome string

// The outcomes. NotChecked is never a pass.
const (
	Pass       Outcome = "pass"
	Fail       Outcome = "fail"
	NotChecked Outcome = "not_checked"
)

// Check is one thing that was looked at.
type Check struct {
	Code     string  `json:"code"` // stable, such as "quote.signature"
	Result   Outcome `json:"result"`
	Expected string  `json:"expected,omitempty"`
	Actual   string  `json:"actual,omitempty"`
}

// code is a check that every appraisal makes, or says that it did not make.
type code int

// The checks, in the order in which a result has them.
const (
	codeSize code = iota
	codeVersion
	codeTEEType
	codeKeyType
	codeBodyType
	codeTruncated
	codeSignatureData
	codeCertificationType
	codeTrailing
	codeVendor
	codeAttestationKey
	codeSignature

	codeQEReportData
	codeQEReportSignature
	codeQEDebug

	codePCKChain
	codePCKRoot
	codePCKIntermediate
	codePCKLeaf
	codePCKValidity
	codePCKExtension

	codeTCBInfoForm
	codeTCBInfoChain
	codeTCBInfoChainValidity
	codeTCBInfoSignature
	codeTCBInfoID
	codeTCBInfoValidity
	codeTCBInfoFMSPC
	codeTCBInfoPCEID

	codeIdentityForm
	codeIdentityChain
	codeIdentityChainValidity
	codeIdentitySignature
	codeIdentityID
	codeIdentityValidity
	codeIdentityMRSIGNER
	codeIdentityISVPRODID
	codeIdentityMISCSELECT
	codeIdentityAttributes

	codeRootCRLForm
	codeRootCRLSignature
	codeRootCRLValidity
	codePCKCRLForm
	codePCKCRLChain
	codePCKCRLChainValidity
	codePCKCRLIssuer
	codePCKCRLSignature
	codePCKCRLValidity
	codeRevokedPCK
	codeRevokedIntermediate
	codeRevokedTCBSigner
	codeRevokedIdentitySigner

	codeModule
	codeStatus
	codeAdvisories
	codeEvaluation
	codeMinimumSVN

	codeTDDebug
	codeTDUntrusted
	codeTDMigratable
	codeTDReserved
	codeTDSEPTVE
	codeTDXFAM
	codeTDSEAMAttributes
	codeTDServiceTD
	codeTDReport

	codeNotBefore
	codePlatform

	codeCount
)

// codes names each check and says when it passes. CODES.md is written from it.
var codes = [codeCount]struct{ name, meaning string }{
	codeSize:              {"quote.size", "the quote has at least one byte and at most 64 KiB"},
	codeVersion:           {"quote.version", "the quote's version is 4 or 5"},
	codeTEEType:           {"quote.tee_type", "the TEE type is 0x81, TDX"},
	codeKeyType:           {"quote.key_type", "the attestation key type is 2, ECDSA P-256"},
	codeBodyType:          {"quote.body_type", "version 5: the body's type is 2 (TDX 1.0) or 3 (TDX 1.5) and its size the one of that type"},
	codeTruncated:         {"quote.truncated", "every declared part lies within the bytes"},
	codeSignatureData:     {"quote.signature_data", "each size in the signature data accounts for exactly the bytes that it is about"},
	codeCertificationType: {"quote.certification_type", "the certification data is a QE report (type 6) with a PCK certificate chain (type 5)"},
	codeTrailing:          {"quote.trailing", "what follows the quote is zero bytes or nothing"},
	codeVendor:            {"quote.vendor", "the QE vendor id is Intel's, 939a7233f79c4ca9940a0db3957f0607"},
	codeAttestationKey:    {"quote.attestation_key", "the attestation key is a point on P-256"},
	codeSignature:         {"quote.signature", "the attestation key signed header and body"},

	codeQEReportData:      {"qe.report_data", "REPORTDATA of the QE report is SHA-256 of attestation key and authentication data, and 32 zero bytes"},
	codeQEReportSignature: {"qe.report_signature", "the key of the PCK certificate signed the QE report"},
	codeQEDebug:           {"qe.debug", "the QE is not a debug enclave"},

	codePCKChain:        {"pck.chain", "the certification data is three certificates in canonical PEM, and nothing but zero bytes after them"},
	codePCKRoot:         {"pck.root", "the third certificate is the trust root, byte for byte"},
	codePCKIntermediate: {"pck.intermediate", "the second is a PCK Platform or Processor CA, signed by the root, fit for it in names, constraints, usage and key"},
	codePCKLeaf:         {"pck.leaf", "the first is a PCK certificate, signed by the second, fit for it in names, constraints, usage and key"},
	codePCKValidity:     {"pck.validity", "the three certificates are valid at the time of appraisal"},
	codePCKExtension:    {"pck.extension", "the PCK certificate's SGX extension has each of its fields once, in its form"},

	codeTCBInfoForm:          {"tcb_info.form", "the TCB info is strict JSON with the known members, each once"},
	codeTCBInfoChain:         {"tcb_info.chain", "its issuer chain is an Intel SGX TCB Signing certificate, signed by the root, and the trust root"},
	codeTCBInfoChainValidity: {"tcb_info.chain_validity", "both are valid at the time of appraisal"},
	codeTCBInfoSignature:     {"tcb_info.signature", "the TCB signing key signed the very bytes that are read"},
	codeTCBInfoID:            {"tcb_info.id", "it is TCB info for TDX, version 3, TCB type 0"},
	codeTCBInfoValidity:      {"tcb_info.validity", "the time of appraisal is not before issueDate and not after nextUpdate"},
	codeTCBInfoFMSPC:         {"tcb_info.fmspc", "its FMSPC is that of the PCK certificate"},
	codeTCBInfoPCEID:         {"tcb_info.pceid", "its PCE id is that of the PCK certificate"},

	codeIdentityForm:          {"qe_identity.form", "the QE identity is strict JSON with the known members, each once"},
	codeIdentityChain:         {"qe_identity.chain", "its issuer chain is an Intel SGX TCB Signing certificate, signed by the root, and the trust root"},
	codeIdentityChainValidity: {"qe_identity.chain_validity", "both are valid at the time of appraisal"},
	codeIdentitySignature:     {"qe_identity.signature", "the TCB signing key signed the very bytes that are read"},
	codeIdentityID:            {"qe_identity.id", "it is the identity TD_QE, version 2"},
	codeIdentityValidity:      {"qe_identity.validity", "the time of appraisal is not before issueDate and not after nextUpdate"},
	codeIdentityMRSIGNER:      {"qe_identity.mrsigner", "the QE's MRSIGNER is the one of the identity"},
	codeIdentityISVPRODID:     {"qe_identity.isvprodid", "the QE's ISVPRODID is the one of the identity"},
	codeIdentityMISCSELECT:    {"qe_identity.miscselect", "the QE's MISCSELECT under the identity's mask is the one of the identity"},
	codeIdentityAttributes:    {"qe_identity.attributes", "the QE's ATTRIBUTES under the identity's mask are those of the identity"},

	codeRootCRLForm:           {"root_crl.form", "the root's revocation list is a complete X.509 v2 list with a number, of the trust root"},
	codeRootCRLSignature:      {"root_crl.signature", "the root signed it"},
	codeRootCRLValidity:       {"root_crl.validity", "the time of appraisal is not before thisUpdate and not after nextUpdate"},
	codePCKCRLForm:            {"pck_crl.form", "the PCK revocation list is a complete X.509 v2 list with a number"},
	codePCKCRLChain:           {"pck_crl.chain", "its issuer chain is a PCK Platform or Processor CA, signed by the root, and the trust root"},
	codePCKCRLChainValidity:   {"pck_crl.chain_validity", "both are valid at the time of appraisal"},
	codePCKCRLIssuer:          {"pck_crl.issuer", "its issuer has name and key of the CA that issued the PCK certificate"},
	codePCKCRLSignature:       {"pck_crl.signature", "its issuer signed it"},
	codePCKCRLValidity:        {"pck_crl.validity", "the time of appraisal is not before thisUpdate and not after nextUpdate"},
	codeRevokedPCK:            {"revocation.pck", "the PCK certificate is not revoked"},
	codeRevokedIntermediate:   {"revocation.intermediate", "the PCK CA is not revoked"},
	codeRevokedTCBSigner:      {"revocation.tcb_info_signer", "the signer of the TCB info is not revoked"},
	codeRevokedIdentitySigner: {"revocation.qe_identity_signer", "the signer of the QE identity is not revoked"},

	codeModule:     {"tcb.module", "the TDX module's signer and attributes are those that TCB info has for its version"},
	codeStatus:     {"tcb.status", "the status of platform, TDX module and QE, merged, is acceptable to the policy"},
	codeAdvisories: {"tcb.advisories", "none of the advisories is denied by the policy"},
	codeEvaluation: {"tcb.evaluation", "tcbEvaluationDataNumber of TCB info and QE identity is at least the policy's"},
	codeMinimumSVN: {"tcb.minimum_svn", "each component of TEE_TCB_SVN is at least the policy's"},

	codeTDDebug:          {"td.debug", "TDATTRIBUTES.DEBUG is 0: the host can not read the TD's memory"},
	codeTDUntrusted:      {"td.untrusted", "the other bits of TDATTRIBUTES.TUD, which make a TD untrusted, are 0"},
	codeTDMigratable:     {"td.migratable", "TDATTRIBUTES.MIGRATABLE is 0"},
	codeTDReserved:       {"td.attributes", "TDATTRIBUTES has no bits but known ones"},
	codeTDSEPTVE:         {"td.sept_ve_disable", "TDATTRIBUTES.SEPT_VE_DISABLE is 1, if the policy requires it"},
	codeTDXFAM:           {"td.xfam", "XFAM has x87 and SSE, and no bits but known ones"},
	codeTDSEAMAttributes: {"td.seam_attributes", "SEAMATTRIBUTES is zero"},
	codeTDServiceTD:      {"td.service_td", "MRSERVICETD is the policy's, zero unless it says otherwise; the report of TDX 1.0 has none, and stands for zero"},
	codeTDReport:         {"td.report", "the TD report is that of TDX 1.5, which names a service TD and the module that runs now, if the policy requires it"},

	codeNotBefore: {"policy.not_before", "the time of appraisal is not before the policy's NotBefore"},
	codePlatform:  {"policy.platform", "the platform is one of the policy's, if it has any"},
}

func (c code) String() string { return codes[c].name }

// CodeMeaning says when the check with a code passes.
type CodeMeaning struct {
	Code    string
	Meaning string
}

// Codes are the checks of every appraisal, in the order of [Result].Checks.
func Codes() []CodeMeaning {
	all := make([]CodeMeaning, 0, codeCount)
	for _, c := range codes {
		all = append(all, CodeMeaning{c.name, c.meaning})
	}
	return all
}

// ledger has the state of every check of an appraisal. Each starts as not checked.
type ledger [codeCount]Check

func newLedger() ledger {
	var l ledger
	for c := range l {
		l[c] = Check{Code: codes[c].name, Result: NotChecked}
	}
	return l
}

// pass notes a check that holds. One that failed before stays failed.
func (l *ledger) pass(c code, actual string) { l.note(c, true, actual, actual) }

// note notes the outcome of a check, and returns whether it holds.
func (l *ledger) note(c code, holds bool, expected, actual string) bool {
	if l[c].Result == Fail {
		return false
	}
	l[c].Expected, l[c].Actual = expected, actual
	l[c].Result = Fail
	if holds {
		l[c].Result = Pass
	}
	return holds
}

// unchecked says why a check could not be made. It does not undo one that was.
func (l *ledger) unchecked(c code, reason string) {
	if l[c].Result == NotChecked {
		l[c].Actual = reason
	}
}

// close gives a reason to each check that was not made and has none.
func (l *ledger) close() []Check {
	for c := range l {
		if l[c].Result == NotChecked && l[c].Actual == "" {
			l[c].Actual = "rests on what failed or is missing"
		}
	}
	return l[:]
}

// accepted reports whether every check passed. There is no other way to be accepted.
func (l *ledger) accepted() bool {
	for i := range l {
		if l[i].Result != Pass {
			return false
		}
	}
	return true
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func decimal(n uint16) string { return strconv.Itoa(int(n)) }
