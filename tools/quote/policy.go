package quote

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy says what of a genuine quote is acceptable. The zero value is the strictest about status: UpToDate only, no service TD.
// Signatures, collateral, revocation lists and the absence of DEBUG, migratable and reserved attributes are not up to policy.
type Policy struct {
	AcceptStatus         []Status   // besides UpToDate; Revoked, NotSupported and TdxModuleMismatch can not be accepted
	DeniedAdvisories     []string   // refused whatever the status
	MinEvaluation        uint32     // tcbEvaluationDataNumber of TCB info and QE identity
	ServiceTD            [48]byte   // MRSERVICETD must be this; zero: none bound
	NotBefore            time.Time  // newest time known to be past, such as an issue date seen; an earlier time of appraisal is refused
	MinTEETCBSVN         [16]byte   // each component of TEE_TCB_SVN at least this
	Platforms            [][16]byte // PPIDs that are acceptable; empty: any
	RequireTD15          bool       // the report of TDX 1.5 (quote v5); that of 1.0 does not say which service TD is bound
	RequireSEPTVEDisable bool       // SEPT_VE_DISABLE must be set; for guests whose kernel does not see to it
}

// body judges the TD report.
func (p *Policy) body(l *ledger, b *Body) {
	attributes := binary.LittleEndian.Uint64(b.TDAttributes[:])
	clear := func(c code, bits uint64, name string) {
		l.note(c, attributes&bits == 0, name+" 0", fmt.Sprintf("%#x", attributes&bits))
	}
	clear(codeTDDebug, attributeDebug, "DEBUG")
	clear(codeTDUntrusted, attributesUntrusted, "bits 1 to 7")
	clear(codeTDMigratable, attributeMigratable, "MIGRATABLE")
	clear(codeTDReserved, ^uint64(attributeDebug|attributesUntrusted|attributeMigratable|attributesKnown), "other bits")
	septVE := "any"
	if p.RequireSEPTVEDisable {
		septVE = "SEPT_VE_DISABLE 1"
	}
	l.note(codeTDSEPTVE, !p.RequireSEPTVEDisable || attributes&attributeSEPTVEDisable != 0, septVE, fmt.Sprintf("%#x", attributes&attributeSEPTVEDisable))
	xfam := binary.LittleEndian.Uint64(b.XFAM[:])
	l.note(codeTDXFAM, xfam&xfamRequired == xfamRequired && xfam&^xfamKnown == 0, fmt.Sprintf("%#x and none outside %#x", xfamRequired, xfamKnown), fmt.Sprintf("%#x", xfam))
	l.note(codeTDSEAMAttributes, b.SEAMAttributes == [8]byte{}, hexOf(make([]byte, 8)), hexOf(b.SEAMAttributes[:]))
	serviceTD := hexOf(b.MRSERVICETD[:])
	if b.Kind == TD10 {
		serviceTD = "the TD report of TDX 1.0 does not say"
	}
	l.note(codeTDServiceTD, b.MRSERVICETD == p.ServiceTD, hexOf(p.ServiceTD[:]), serviceTD)
	report := "any"
	if p.RequireTD15 {
		report = TD15
	}
	l.note(codeTDReport, !p.RequireTD15 || b.Kind == TD15, report, b.Kind)
	reached := true
	for i, minimum := range p.MinTEETCBSVN {
		reached = reached && b.TEETCBSVN[i] >= minimum
	}
	l.note(codeMinimumSVN, reached, "at least "+hexOf(p.MinTEETCBSVN[:]), hexOf(b.TEETCBSVN[:]))
}

func (p *Policy) platform(l *ledger, platform *Platform) {
	expected := "any"
	if len(p.Platforms) > 0 {
		expected = fmt.Sprintf("one of %d PPIDs", len(p.Platforms))
	}
	l.note(codePlatform, len(p.Platforms) == 0 || slices.Contains(p.Platforms, platform.PPID), expected, hexOf(platform.PPID[:]))
}

func (p *Policy) accepts(s Status) bool {
	return s == UpToDate || (s.Acceptable() && slices.Contains(p.AcceptStatus, s))
}

func (p *Policy) evaluation(l *ledger, e *evaluation) {
	accepted := []string{string(UpToDate)}
	for _, s := range p.AcceptStatus {
		if s != UpToDate && s.Acceptable() {
			accepted = append(accepted, string(s))
		}
	}
	l.note(codeStatus, p.accepts(e.status), strings.Join(accepted, " or "), fmt.Sprintf("%s (%s)", e.status, e.parts))
	var denied []string
	for _, id := range e.advisories {
		if slices.ContainsFunc(p.DeniedAdvisories, func(d string) bool { return strings.EqualFold(d, id) }) {
			denied = append(denied, id)
		}
	}
	actual := e.advisories
	if len(denied) > 0 {
		actual = denied
	}
	l.note(codeAdvisories, len(denied) == 0, "none of "+listed(p.DeniedAdvisories), listed(actual))
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (p *Policy) evaluationNumbers(l *ledger, info, identity uint32) {
	l.note(codeEvaluation, info >= p.MinEvaluation && identity >= p.MinEvaluation, fmt.Sprintf("at least %d", p.MinEvaluation),
		fmt.Sprintf("TCB info %d, QE identity %d", info, identity))
}

func (p *Policy) time(l *ledger, at time.Time) {
	expected := "any"
	if !p.NotBefore.IsZero() {
		expected = "not before " + stamp(p.NotBefore)
	}
	l.note(codeNotBefore, !at.Before(p.NotBefore), expected, stamp(at))
}
