package quote

// Reread is a verifier in which one part of the collateral, by the name of its field, was replaced by that of c. What does not
// depend on the part is not verified again.
func Reread(v *Verifier, c Collateral, part string) *Verifier {
	n := *v
	forget := func(from, to code) {
		fresh := newLedger()
		copy(n.collateral[from:to+1], fresh[from:to+1])
	}
	info := func() {
		forget(codeTCBInfoForm, codeTCBInfoPCEID)
		forget(codeRevokedTCBSigner, codeRevokedTCBSigner)
		n.info, n.infoChain = nil, n.signers(codeTCBInfoChain, c.TCBInfoChain, roleTCBSigning)
		n.readTCBInfo(c.TCBInfo)
		n.revoked(codeRevokedTCBSigner, n.rootCRL, n.infoChain)
	}
	identity := func() {
		forget(codeIdentityForm, codeIdentityAttributes)
		forget(codeRevokedIdentitySigner, codeRevokedIdentitySigner)
		n.identity, n.idChain = nil, n.signers(codeIdentityChain, c.QEIdentityChain, roleTCBSigning)
		n.readIdentity(c.QEIdentity)
		n.revoked(codeRevokedIdentitySigner, n.rootCRL, n.idChain)
	}
	switch part {
	case "TCBInfo", "TCBInfoChain":
		info()
	case "QEIdentity", "QEIdentityChain":
		identity()
	case "PCKCRL", "PCKCRLChain":
		forget(codePCKCRLForm, codePCKCRLValidity)
		n.pckCA, n.pckCAText, n.pckCRL = nil, nil, nil
		n.readPCKCRL(c.PCKCRL, c.PCKCRLChain)
	case "RootCRL":
		forget(codeRootCRLForm, codeRootCRLValidity)
		forget(codeRevokedTCBSigner, codeRevokedIdentitySigner)
		n.readRootCRL(c.RootCRL)
		n.revoked(codeRevokedTCBSigner, n.rootCRL, n.infoChain)
		n.revoked(codeRevokedIdentitySigner, n.rootCRL, n.idChain)
	default:
		panic("no part of collateral: " + part)
	}
	return &n
}
