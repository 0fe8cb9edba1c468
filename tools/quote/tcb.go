package quote

import (
	"fmt"
	"slices"
	"time"
)

// evaluation is what TCB info and QE identity say of a platform.
type evaluation struct {
	status     Status // empty: could not be told
	advisories []string
	date       time.Time
	parts      string // in words
}

// moduleOf finds the identity of the TDX module of a TD report: TEE_TCB_SVN has the module's ISVSVN at 0 and its major version
// at 1. For version 0 it is the member tdxModule, which has no levels (QuoteVerifier.cpp, 4.1.2.4.11). The error says why the
// module is none that Intel knows.
func (t *tcbInfo) moduleOf(b *Body) (*module, error) {
	m := &t.module
	if version := b.TEETCBSVN[1]; version > 0 {
		id := moduleID(version)
		if m = t.moduleNamed(id); m == nil {
			return nil, fmt.Errorf("TDX module: expected an identity %s in TCB info, got none", id)
		}
	}
	if m.mrsigner != b.MRSIGNERSEAM {
		return nil, fmt.Errorf("MRSIGNERSEAM: expected %x, got %x", m.mrsigner, b.MRSIGNERSEAM)
	}
	// The mask is Intel's to widen; its library compares all bits and wants them zero.
	if b.SEAMAttributes != m.attributes || b.SEAMAttributes != [8]byte{} {
		return nil, fmt.Errorf("SEAMATTRIBUTES: expected zero and %x, got %x", m.attributes, b.SEAMAttributes)
	}
	return m, nil
}

func moduleID(version uint8) string { return fmt.Sprintf("TDX_%02X", version) }

func masked(value, mask []byte) []byte {
	out := make([]byte, len(value))
	for i := range value {
		out[i] = value[i] & mask[i]
	}
	return out
}

// matchLevels returns the first level of the platform that its SGX SVNs reach, and the first of those that TEE_TCB_SVN reaches
// too. Components 0 and 1 are the module's, and are left to its identity if it has one (TcbLevelCheck.cpp, matchTcbLevels).
func (t *tcbInfo) matchLevels(p *Platform, b *Body) (sgx, tdx *platformLevel) {
	first := 0
	if b.TEETCBSVN[1] > 0 {
		first = 2
	}
	for i := range t.levels {
		l := &t.levels[i]
		if !reaches(p.SGXSVNs[:], l.sgx[:]) || p.PCESVN < l.pcesvn {
			continue
		}
		if sgx == nil {
			sgx = l
		}
		if reaches(b.TEETCBSVN[first:], l.tdx[first:]) {
			return sgx, l
		}
	}
	return sgx, nil
}

// reaches reports whether every SVN is at least that of a level.
func reaches(svns []uint8, level []uint32) bool {
	for i := range svns {
		if uint32(svns[i]) < level[i] {
			return false
		}
	}
	return true
}

func matchEnclave(levels []enclaveLevel, isvsvn uint16) *enclaveLevel {
	for i := range levels {
		if levels[i].isvsvn <= isvsvn {
			return &levels[i]
		}
	}
	return nil
}

// evaluate finds the levels of platform, TDX module and QE and merges them (TcbLevelCheck.cpp, checkTcbLevel).
func evaluate(t *tcbInfo, q *qeIdentity, p *Platform, b *Body, qeISVSVN uint16) evaluation {
	m, err := t.moduleOf(b)
	if err != nil {
		return evaluation{status: TDXModuleMismatch, parts: err.Error()}
	}
	if q == nil || p == nil {
		return evaluation{}
	}
	sgx, tdx := t.matchLevels(p, b)
	qe := matchEnclave(q.levels, qeISVSVN)
	moduleLevel := &enclaveLevel{level: level{status: UpToDate}} // of a module of version 0, the platform's level says it
	if b.TEETCBSVN[1] > 0 {
		moduleLevel = matchEnclave(m.levels, uint16(b.TEETCBSVN[0]))
	}
	e := evaluation{parts: fmt.Sprintf("SGX %s, TDX %s, TDX module %s, QE %s", sgx.name(), tdx.name(), moduleLevel.name(), qe.name())}
	for _, l := range []*level{tdx.said(), moduleLevel.said(), qe.said()} {
		if l != nil {
			e.add(l)
		}
	}
	slices.Sort(e.advisories)
	e.advisories = slices.Compact(e.advisories)
	e.status = mergeLevels(t, sgx, tdx, moduleLevel, qe, b)
	return e
}

func mergeLevels(t *tcbInfo, sgx, tdx *platformLevel, moduleLevel, qe *enclaveLevel, b *Body) Status {
	if sgx == nil || tdx == nil || moduleLevel == nil {
		return NotSupported
	}
	status := tdx.status.merge(moduleLevel.status)
	switch {
	case status == Revoked:
		return Revoked
	case qe == nil:
		return NotSupported
	case b.Kind == TD15 && qe.status == UpToDate && !sgx.status.outOfDate() && sgx.status != Revoked && status.outOfDate() && moduleLevel.status == OutOfDate:
		status = t.relaunch(status, sgx.status, b)
	}
	if status == TDXModuleMismatch {
		return status
	}
	return status.merge(qe.status)
}

// relaunch says whether the TD would be up to date if only it were started again, because the TDX module was updated after it
// was: TEE_TCB_SVN_2 is of the module that runs now (TDRelaunchCheck.cpp).
func (t *tcbInfo) relaunch(status, sgx Status, b *Body) Status {
	latest, now := &t.levels[0], b.TEETCBSVN2
	want := latest.tdx[0]
	if now[1] > 0 {
		m := t.moduleNamed(moduleID(now[1]))
		if m == nil {
			return TDXModuleMismatch
		}
		want = uint32(m.levels[0].isvsvn)
	}
	switch {
	case uint32(now[0]) < want || uint32(now[2]) < latest.tdx[2]:
		return status
	case sgx.configurationNeeded() || status.configurationNeeded():
		return TDRelaunchAdvisedConfigurationNeeded
	default:
		return TDRelaunchAdvised
	}
}

func (e *evaluation) add(l *level) {
	e.advisories = append(e.advisories, l.advisories...)
	if !l.date.IsZero() && (e.date.IsZero() || l.date.Before(e.date)) {
		e.date = l.date
	}
}

func (p *platformLevel) said() *level {
	if p == nil {
		return nil
	}
	return &p.level
}

func (p *enclaveLevel) said() *level {
	if p == nil {
		return nil
	}
	return &p.level
}

func (p *platformLevel) name() string { return p.said().name() }
func (p *enclaveLevel) name() string  { return p.said().name() }

func (l *level) name() string {
	if l == nil {
		return string(NotSupported)
	}
	return string(l.status)
}

// The attributes of a TD report (Intel TDX Module Base Architecture Specification, TD attributes and XFAM).
const (
	attributeDebug         = 1 << 0
	attributesUntrusted    = 0xff &^ attributeDebug // group TUD
	attributeSEPTVEDisable = 1 << 28
	attributeMigratable    = 1 << 29
	// attributesKnown are LASS, SEPT_VE_DISABLE, PKS, KL and PERFMON.
	attributesKnown = 1<<27 | attributeSEPTVEDisable | 1<<30 | 1<<31 | 1<<63
	// xfamRequired is x87 and SSE; xfamKnown adds AVX, AVX-512 (3 bits), PT, PKRU, CET (2), ULI, LBR and AMX (2).
	xfamRequired = 0x3
	xfamKnown    = 0x6dbe7
)
