package quote

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// maxMember bounds each part of collateral, in bytes. The largest real one, a TCB info, has some 10 KiB.
const maxMember = 1 << 20

// Collateral is what Intel publishes about a platform, byte for byte as its service (PCS, API v4) sent it.
type Collateral struct {
	TCBInfo         []byte // body of /tdx/certification/v4/tcb
	TCBInfoChain    []byte // PEM, signer first, then root
	QEIdentity      []byte // body of /tdx/certification/v4/qe/identity
	QEIdentityChain []byte // PEM
	PCKCRL          []byte // DER, of the CA that issued the PCK certificate
	PCKCRLChain     []byte // PEM
	RootCRL         []byte // DER
}

// A document of collateral is {"NAME":OBJECT,"signature":"HEX"}. The signature is over the exact characters of OBJECT.
//
// Members that are not known are refused, outside the object because nobody signed them, inside because a member that Intel
// adds could narrow what the others say, and a reader that skips it could accept what Intel does not vouch for. Intel counts
// "version" up for such changes; should a member come without that, this fails closed until the member is known here.
type tcbInfoEnvelope struct {
	TCBInfo   json.RawMessage `json:"tcbInfo"`
	Signature string          `json:"signature"`
}

type identityEnvelope struct {
	EnclaveIdentity json.RawMessage `json:"enclaveIdentity"`
	Signature       string          `json:"signature"`
}

// signedObject is the bytes that are signed, and the signature in raw form.
type signedObject struct {
	bytes     []byte
	signature []byte
}

// cutDocument takes a document in the compact form, in which Intel's service sends it, apart: {"MEMBER":OBJECT,"signature":"HEX"}.
// What it calls the object is JSON only if the signature over it is Intel's.
func cutDocument(data []byte, member string) (signedObject, bool) {
	const between, digits, end = `,"signature":"`, 128, `"}`
	rest, starts := bytes.CutPrefix(data, []byte(`{"`+member+`":`))
	rest, ends := bytes.CutSuffix(rest, []byte(end))
	if !starts || !ends || len(data) > maxMember || len(rest) < len(between)+digits {
		return signedObject{}, false
	}
	text := rest[len(rest)-digits:]
	object, is := bytes.CutSuffix(rest[:len(rest)-digits], []byte(between))
	signature, err := hex.DecodeString(string(text))
	return signedObject{object, signature}, is && err == nil && bytes.Equal(text, bytes.ToLower(text))
}

// openDocument takes a document in any form of JSON apart without reading what is signed.
func openDocument(envelope any, data []byte, parts func() (object json.RawMessage, signature string)) (signedObject, error) {
	if len(data) > maxMember {
		return signedObject{}, fmt.Errorf("expected at most %d bytes, got %d", maxMember, len(data))
	}
	if err := strictjson.Unmarshal(data, envelope); err != nil {
		return signedObject{}, err
	}
	object, text := parts()
	if len(object) == 0 {
		return signedObject{}, errors.New("expected the signed object, got none")
	}
	// Intel writes lower case; with one form there is one text.
	signature, err := hex.DecodeString(text)
	if err != nil || len(signature) != 64 || strings.ToLower(text) != text {
		return signedObject{}, fmt.Errorf("signature: expected 128 lower-case hex digits, got %.140q", text)
	}
	return signedObject{object, signature}, nil
}

func openTCBInfo(data []byte) (signedObject, error) {
	var e tcbInfoEnvelope
	return openDocument(&e, data, func() (json.RawMessage, string) { return e.TCBInfo, e.Signature })
}

func openIdentity(data []byte) (signedObject, error) {
	var e identityEnvelope
	return openDocument(&e, data, func() (json.RawMessage, string) { return e.EnclaveIdentity, e.Signature })
}

// hexBytes is a JSON string of hex digits in either case; Intel uses both.
type hexBytes []byte

func (h *hexBytes) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	raw, err := hex.DecodeString(text)
	if err != nil {
		return fmt.Errorf("expected hex digits, got %.100q", text)
	}
	*h = raw
	return nil
}

// date is a JSON string such as 2026-01-02T15:04:05Z.
type date struct{ time.Time }

func (d *date) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	const layout = "2006-01-02T15:04:05Z"
	t, err := time.Parse(layout, text)
	if err != nil || t.Format(layout) != text {
		return fmt.Errorf("expected a time as 2026-01-02T15:04:05Z, got %.40q", text)
	}
	d.Time = t
	return nil
}

// The JSON of TCB info v3 and enclave identity v2 (Intel PCS API v4). Members are pointers or have a length, so that one that
// is missing is seen.
type tcbInfoJSON struct {
	ID                      *string        `json:"id"`
	Version                 *uint32        `json:"version"`
	IssueDate               *date          `json:"issueDate"`
	NextUpdate              *date          `json:"nextUpdate"`
	FMSPC                   hexBytes       `json:"fmspc"`
	PCEID                   hexBytes       `json:"pceId"`
	TCBType                 *uint32        `json:"tcbType"`
	TCBEvaluationDataNumber *uint32        `json:"tcbEvaluationDataNumber"`
	TDXModule               *moduleJSON    `json:"tdxModule"`
	TDXModuleIdentities     []identityJSON `json:"tdxModuleIdentities"`
	TCBLevels               []struct {
		TCB *struct {
			SGXTCBComponents []componentJSON `json:"sgxtcbcomponents"`
			PCESVN           *uint16         `json:"pcesvn"`
			TDXTCBComponents []componentJSON `json:"tdxtcbcomponents"`
		} `json:"tcb"`
		levelJSON
	} `json:"tcbLevels"`
}

type componentJSON struct {
	// SVN should fit a byte. Samples of Intel's have larger ones, which no platform reaches.
	SVN      *uint32 `json:"svn"`
	Category string  `json:"category"`
	Type     string  `json:"type"`
}

type levelJSON struct {
	TCBDate     *date    `json:"tcbDate"`
	TCBStatus   *Status  `json:"tcbStatus"`
	AdvisoryIDs []string `json:"advisoryIDs"`
}

type moduleJSON struct {
	MRSIGNER       hexBytes `json:"mrsigner"`
	Attributes     hexBytes `json:"attributes"`
	AttributesMask hexBytes `json:"attributesMask"`
}

type identityJSON struct {
	ID *string `json:"id"`
	moduleJSON
	TCBLevels []enclaveLevelJSON `json:"tcbLevels"`
}

type enclaveLevelJSON struct {
	TCB *struct {
		ISVSVN *uint16 `json:"isvsvn"`
	} `json:"tcb"`
	levelJSON
}

type enclaveIdentityJSON struct {
	ID                      *string            `json:"id"`
	Version                 *uint32            `json:"version"`
	IssueDate               *date              `json:"issueDate"`
	NextUpdate              *date              `json:"nextUpdate"`
	TCBEvaluationDataNumber *uint32            `json:"tcbEvaluationDataNumber"`
	MISCSELECT              hexBytes           `json:"miscselect"`
	MISCSELECTMask          hexBytes           `json:"miscselectMask"`
	Attributes              hexBytes           `json:"attributes"`
	AttributesMask          hexBytes           `json:"attributesMask"`
	MRSIGNER                hexBytes           `json:"mrsigner"`
	ISVPRODID               *uint16            `json:"isvprodid"`
	TCBLevels               []enclaveLevelJSON `json:"tcbLevels"`
}

// level is what Intel says of a TCB level.
type level struct {
	status     Status
	date       time.Time
	advisories []string
}

func (l levelJSON) level(known func(Status) bool) (level, error) {
	switch {
	case l.TCBDate == nil:
		return level{}, missing("tcbDate")
	case l.TCBStatus == nil:
		return level{}, missing("tcbStatus")
	case !known(*l.TCBStatus):
		return level{}, fmt.Errorf("tcbStatus: expected a status that Intel's API has here, got %.60q", *l.TCBStatus)
	}
	return level{*l.TCBStatus, l.TCBDate.Time, l.AdvisoryIDs}, nil
}

func missing(member string) error { return fmt.Errorf("%s: expected the member, got none", member) }

// platformLevel is a TCB level of the platform.
type platformLevel struct {
	sgx, tdx [16]uint32
	pcesvn   uint16
	level
}

// order sorts levels as Intel's library does (AttestationParsers, TcbLevel::operator>): the highest stands first.
func (p *platformLevel) order(other *platformLevel) int {
	if o := slices.Compare(other.sgx[:], p.sgx[:]); o != 0 {
		return o
	}
	if p.pcesvn != other.pcesvn {
		return int(other.pcesvn) - int(p.pcesvn)
	}
	return slices.Compare(other.tdx[:], p.tdx[:])
}

// enclaveLevel is a TCB level of the TDX module or the QE.
type enclaveLevel struct {
	isvsvn uint16
	level
}

// module is the identity of a TDX module of one major version.
type module struct {
	id         string // upper case, such as TDX_01; empty for the modules of version 0
	mrsigner   [48]byte
	attributes [8]byte
	levels     []enclaveLevel // the highest first
}

// issue is what documents of collateral have in common.
type issue struct {
	issued, next time.Time
	evaluation   uint32
}

type tcbInfo struct {
	issue
	id            string
	version, kind uint32
	fmspc         [6]byte
	pceid         [2]byte
	module        module
	modules       []module
	levels        []platformLevel // the highest first
}

type qeIdentity struct {
	issue
	id                         string
	version                    uint32
	miscselect, miscselectMask [4]byte
	attributes, attributesMask [16]byte
	mrsigner                   [32]byte
	isvprodid                  uint16
	levels                     []enclaveLevel // the highest first
}

func newIssue(issued, next *date, evaluation *uint32) (issue, error) {
	switch {
	case issued == nil:
		return issue{}, missing("issueDate")
	case next == nil:
		return issue{}, missing("nextUpdate")
	case evaluation == nil:
		return issue{}, missing("tcbEvaluationDataNumber")
	}
	return issue{issued.Time, next.Time, *evaluation}, nil
}

func (i issue) span(what string) span { return span{what, i.issued, i.next} }

func fill(into []byte, from hexBytes, member string) error {
	if len(from) != len(into) {
		return fmt.Errorf("%s: expected %d hex digits, got %d", member, 2*len(into), 2*len(from))
	}
	copy(into, from)
	return nil
}

// parseTCBInfo reads the signed object of TCB info. Of one for another TEE or of another version only that is read.
func parseTCBInfo(object []byte) (*tcbInfo, error) {
	var j tcbInfoJSON
	if err := strictjson.Unmarshal(object, &j); err != nil {
		return nil, err
	}
	switch {
	case j.ID == nil:
		return nil, missing("id")
	case j.Version == nil:
		return nil, missing("version")
	case j.TCBType == nil:
		return nil, missing("tcbType")
	}
	t := &tcbInfo{id: *j.ID, version: *j.Version, kind: *j.TCBType}
	if !t.forTDX() {
		return t, nil
	}
	var err error
	if t.issue, err = newIssue(j.IssueDate, j.NextUpdate, j.TCBEvaluationDataNumber); err != nil {
		return nil, err
	}
	if err := errors.Join(fill(t.fmspc[:], j.FMSPC, "fmspc"), fill(t.pceid[:], j.PCEID, "pceId")); err != nil {
		return nil, err
	}
	if j.TDXModule == nil {
		return nil, missing("tdxModule")
	}
	if t.module, err = j.TDXModule.module(); err != nil {
		return nil, fmt.Errorf("tdxModule: %w", err)
	}
	if err := t.readModules(j.TDXModuleIdentities); err != nil {
		return nil, err
	}
	if err := t.readLevels(&j); err != nil {
		return nil, err
	}
	return t, nil
}

// forTDX reports whether the TCB info is of the kind that is understood.
func (t *tcbInfo) forTDX() bool { return t.id == "TDX" && t.version == 3 && t.kind == 0 }

func (j *moduleJSON) module() (module, error) {
	var m module
	err := errors.Join(
		fill(m.mrsigner[:], j.MRSIGNER, "mrsigner"), fill(m.attributes[:], j.Attributes, "attributes"), fill(make([]byte, 8), j.AttributesMask, "attributesMask"),
	)
	return m, err
}

func (t *tcbInfo) readModules(identities []identityJSON) error {
	for i := range identities {
		j := &identities[i]
		where := fmt.Sprintf("tdxModuleIdentities[%d]", i)
		if j.ID == nil {
			return fmt.Errorf("%s.%w", where, missing("id"))
		}
		m, err := j.module()
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		m.id = strings.ToUpper(*j.ID)
		if version, err := hex.DecodeString(strings.TrimPrefix(m.id, "TDX_")); err != nil || len(version) != 1 || !strings.HasPrefix(m.id, "TDX_") {
			return fmt.Errorf("%s.id: expected TDX_ and two hex digits, got %.40q", where, *j.ID)
		}
		if t.moduleNamed(m.id) != nil {
			return fmt.Errorf("%s.id: expected each once, got %s again", where, m.id)
		}
		if m.levels, err = readEnclaveLevels(j.TCBLevels); err != nil {
			return fmt.Errorf("%s.%w", where, err)
		}
		t.modules = append(t.modules, m)
	}
	return nil
}

func (t *tcbInfo) moduleNamed(id string) *module {
	for i := range t.modules {
		if t.modules[i].id == id {
			return &t.modules[i]
		}
	}
	return nil
}

func readEnclaveLevels(list []enclaveLevelJSON) ([]enclaveLevel, error) {
	if len(list) == 0 {
		return nil, errors.New("tcbLevels: expected at least one, got none")
	}
	levels := make([]enclaveLevel, 0, len(list))
	for i := range list {
		j := &list[i]
		where := fmt.Sprintf("tcbLevels[%d]", i)
		if j.TCB == nil || j.TCB.ISVSVN == nil {
			return nil, fmt.Errorf("%s.%w", where, missing("tcb.isvsvn"))
		}
		l, err := j.level(Status.ofEnclave)
		if err != nil {
			return nil, fmt.Errorf("%s.%w", where, err)
		}
		levels = append(levels, enclaveLevel{*j.TCB.ISVSVN, l})
	}
	slices.SortFunc(levels, func(a, b enclaveLevel) int { return int(b.isvsvn) - int(a.isvsvn) })
	for i := 1; i < len(levels); i++ {
		if levels[i].isvsvn == levels[i-1].isvsvn {
			return nil, fmt.Errorf("tcbLevels: expected each isvsvn once, got %d again", levels[i].isvsvn)
		}
	}
	return levels, nil
}

func components(into *[16]uint32, list []componentJSON, member string) error {
	if len(list) != len(into) {
		return fmt.Errorf("%s: expected %d components, got %d", member, len(into), len(list))
	}
	for i, c := range list {
		if c.SVN == nil {
			return fmt.Errorf("%s[%d].%w", member, i, missing("svn"))
		}
		into[i] = *c.SVN
	}
	return nil
}

func (t *tcbInfo) readLevels(j *tcbInfoJSON) error {
	if len(j.TCBLevels) == 0 {
		return errors.New("tcbLevels: expected at least one, got none")
	}
	for i := range j.TCBLevels {
		entry := &j.TCBLevels[i]
		where := fmt.Sprintf("tcbLevels[%d]", i)
		if entry.TCB == nil || entry.TCB.PCESVN == nil {
			return fmt.Errorf("%s.%w", where, missing("tcb.pcesvn"))
		}
		l := platformLevel{pcesvn: *entry.TCB.PCESVN}
		var err error
		if l.level, err = entry.level(Status.ofPlatform); err != nil {
			return fmt.Errorf("%s.%w", where, err)
		}
		if err := components(&l.sgx, entry.TCB.SGXTCBComponents, "sgxtcbcomponents"); err != nil {
			return fmt.Errorf("%s.tcb.%w", where, err)
		}
		if err := components(&l.tdx, entry.TCB.TDXTCBComponents, "tdxtcbcomponents"); err != nil {
			return fmt.Errorf("%s.tcb.%w", where, err)
		}
		t.levels = append(t.levels, l)
	}
	slices.SortFunc(t.levels, func(a, b platformLevel) int { return a.order(&b) })
	for i := 1; i < len(t.levels); i++ {
		if t.levels[i].order(&t.levels[i-1]) == 0 {
			return errors.New("tcbLevels: expected each level once, got one again")
		}
	}
	return nil
}

// parseIdentity reads the signed object of a QE identity.
func parseIdentity(object []byte) (*qeIdentity, error) {
	var j enclaveIdentityJSON
	if err := strictjson.Unmarshal(object, &j); err != nil {
		return nil, err
	}
	switch {
	case j.ID == nil:
		return nil, missing("id")
	case j.Version == nil:
		return nil, missing("version")
	case j.ISVPRODID == nil:
		return nil, missing("isvprodid")
	}
	q := &qeIdentity{id: *j.ID, version: *j.Version, isvprodid: *j.ISVPRODID}
	var err error
	if q.issue, err = newIssue(j.IssueDate, j.NextUpdate, j.TCBEvaluationDataNumber); err != nil {
		return nil, err
	}
	if q.levels, err = readEnclaveLevels(j.TCBLevels); err != nil {
		return nil, err
	}
	err = errors.Join(
		fill(q.miscselect[:], j.MISCSELECT, "miscselect"), fill(q.miscselectMask[:], j.MISCSELECTMask, "miscselectMask"),
		fill(q.attributes[:], j.Attributes, "attributes"), fill(q.attributesMask[:], j.AttributesMask, "attributesMask"),
		fill(q.mrsigner[:], j.MRSIGNER, "mrsigner"),
	)
	if err != nil {
		return nil, err
	}
	return q, nil
}
