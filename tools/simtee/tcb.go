//go:build simtee

package simtee

import (
	"bytes"
	"encoding/hex"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// HexBytes are bytes that Intel's documents write as upper-case hex.
type HexBytes []byte

// MarshalText writes upper-case hex.
func (b HexBytes) MarshalText() ([]byte, error) {
	return []byte(strings.ToUpper(hex.EncodeToString(b))), nil
}

func ones(n int) HexBytes { return bytes.Repeat([]byte{0xff}, n) }

// TCBInfo is the object tcbInfo of the PCS API version 4 for TDX, its members in Intel's order.
type TCBInfo struct {
	ID         string           `json:"id"`
	Version    int              `json:"version"`
	IssueDate  time.Time        `json:"issueDate"`
	NextUpdate time.Time        `json:"nextUpdate"`
	FMSPC      string           `json:"fmspc"`
	PCEID      string           `json:"pceId"`
	TCBType    int              `json:"tcbType"`
	Evaluation int              `json:"tcbEvaluationDataNumber"`
	Module     *Module          `json:"tdxModule,omitempty"`
	Identities []ModuleIdentity `json:"tdxModuleIdentities,omitempty"`
	Levels     []Level          `json:"tcbLevels"`
}

// Module is what a TDX module has to be signed by, and which attributes it has to have.
type Module struct {
	Signer         HexBytes `json:"mrsigner"`       // 48 bytes
	Attributes     HexBytes `json:"attributes"`     // 8 bytes
	AttributesMask HexBytes `json:"attributesMask"` // 8 bytes
}

// ModuleIdentity is a Module of one major version, with the levels of its SVN.
type ModuleIdentity struct {
	ID string `json:"id"` // "TDX_" and the major version, two hex digits
	Module
	Levels []SVNLevel `json:"tcbLevels"`
}

// SVNLevel is a level of something that has one SVN: a TDX module, a QE.
type SVNLevel struct {
	TCB        ISVSVN       `json:"tcb"`
	Date       time.Time    `json:"tcbDate"`
	Status     quote.Status `json:"tcbStatus"`
	Advisories []string     `json:"advisoryIDs,omitempty"`
}

// ISVSVN is the SVN of an [SVNLevel].
type ISVSVN struct {
	SVN int `json:"isvsvn"`
}

// Level is a TCB level of the platform.
type Level struct {
	TCB        TCB          `json:"tcb"`
	Date       time.Time    `json:"tcbDate"`
	Status     quote.Status `json:"tcbStatus"`
	Advisories []string     `json:"advisoryIDs,omitempty"`
}

// TCB holds the 16 SVNs of SGX, compared with the PCK certificate, and the 16 of TDX, compared with TEE_TCB_SVN.
type TCB struct {
	SGX    []Component `json:"sgxtcbcomponents"`
	PCESVN int         `json:"pcesvn"`
	TDX    []Component `json:"tdxtcbcomponents,omitempty"`
}

// Component is one SVN.
type Component struct {
	SVN      int    `json:"svn"`
	Category string `json:"category,omitempty"`
	Type     string `json:"type,omitempty"`
}

// QEIdentity is the object enclaveIdentity of the PCS API version 4, its members in Intel's order.
type QEIdentity struct {
	ID             string     `json:"id"`
	Version        int        `json:"version"`
	IssueDate      time.Time  `json:"issueDate"`
	NextUpdate     time.Time  `json:"nextUpdate"`
	Evaluation     int        `json:"tcbEvaluationDataNumber"`
	MiscSelect     HexBytes   `json:"miscselect"`     // 4 bytes, in the order of the report
	MiscSelectMask HexBytes   `json:"miscselectMask"` // 4 bytes, in the order of the report
	Attributes     HexBytes   `json:"attributes"`     // 16 bytes
	AttributesMask HexBytes   `json:"attributesMask"` // 16 bytes
	MRSigner       HexBytes   `json:"mrsigner"`       // 32 bytes
	ProductID      int        `json:"isvprodid"`
	Levels         []SVNLevel `json:"tcbLevels"`
}

// What Intel's TD_QE is, and what therefore stands in every genuine QE identity.
var (
	qeAttributes = [16]byte{0x11}
	qeSigner     = [32]byte([]byte("\xdc\x9e\x2a\x7c\x6f\x94\x8f\x17\x47\x4e\x34\xa7\xfc\x43\xed\x03" +
		"\x0f\x7c\x15\x63\xf1\xba\xbd\xdf\x63\x40\xc8\x2e\x0e\x54\xa8\xc5"))
)

const qeProduct = 2
