package collateral

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Contents is what collateral says of itself. It is as true as the collateral is, and package quote tells that.
type Contents struct {
	FMSPC      string     `json:"fmspc,omitempty"` // lower-case hex, of the TCB info
	CA         string     `json:"ca,omitempty"`    // that issued the PCK revocation list
	TCBInfo    *Document  `json:"tcb_info,omitempty"`
	QEIdentity *Document  `json:"qe_identity,omitempty"`
	PCKCRL     *CRL       `json:"pck_crl,omitempty"`
	RootCRL    *CRL       `json:"root_ca_crl,omitempty"`
	NextUpdate *time.Time `json:"next_update,omitempty"` // of the part that has it first
}

// Document is a signed JSON document.
type Document struct {
	ID         string    `json:"id"` // TDX or SGX, TD_QE or QE
	IssueDate  time.Time `json:"issue_date"`
	NextUpdate time.Time `json:"next_update"`
	Evaluation uint32    `json:"tcb_evaluation_data_number"`
	Levels     int       `json:"tcb_levels"`
	Signer     *Signer   `json:"signer,omitempty"` // nil if there is no chain
}

// CRL is a revocation list.
type CRL struct {
	Issuer     string    `json:"issuer"` // common name
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update"`
	Number     string    `json:"crl_number"` // decimal; up to 20 bytes, more than JSON numbers hold
	Entries    int       `json:"entries"`
}

// Signer is the first certificate of a chain.
type Signer struct {
	Name      string    `json:"name"`   // common name
	Serial    string    `json:"serial"` // lower-case hex
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// Inspect reads what collateral says of itself, and verifies nothing of it. Members that are missing are left out. The error names the
// member that is malformed.
func Inspect(c quote.Collateral) (Contents, error) {
	var contents Contents
	for _, part := range []struct {
		member string
		data   []byte
		read   func() (next time.Time, err error)
	}{
		{"tcb_info", c.TCBInfo, func() (time.Time, error) {
			d, fmspc, err := inspectDocument(c.TCBInfo, "tcbInfo", c.TCBInfoChain)
			contents.TCBInfo, contents.FMSPC = &d, fmspc
			return d.NextUpdate, err
		}},
		{"qe_identity", c.QEIdentity, func() (time.Time, error) {
			d, _, err := inspectDocument(c.QEIdentity, "enclaveIdentity", c.QEIdentityChain)
			contents.QEIdentity = &d
			return d.NextUpdate, err
		}},
		{"pck_crl", c.PCKCRL, func() (time.Time, error) {
			l, err := inspectCRL(c.PCKCRL)
			contents.PCKCRL, contents.CA = &l, caOf(l.Issuer)
			return l.NextUpdate, err
		}},
		{"root_ca_crl", c.RootCRL, func() (time.Time, error) {
			l, err := inspectCRL(c.RootCRL)
			contents.RootCRL = &l
			return l.NextUpdate, err
		}},
	} {
		if len(part.data) == 0 {
			continue
		}
		next, err := part.read()
		if err != nil {
			return Contents{}, fmt.Errorf("%s: %w", part.member, err)
		}
		if contents.NextUpdate == nil || next.Before(*contents.NextUpdate) {
			contents.NextUpdate = &next
		}
	}
	return contents, nil
}

// caOf recognises a CA by its common name (Intel, "SGX PCK Certificate and Certificate Revocation List Profile Specification", 1.5).
func caOf(commonName string) string {
	switch commonName {
	case "Intel SGX PCK Platform CA":
		return quote.PlatformCA
	case "Intel SGX PCK Processor CA":
		return quote.ProcessorCA
	default:
		return ""
	}
}

// inspectDocument reads the members that TCB info and QE identity share, and the FMSPC that only TCB info has.
func inspectDocument(data []byte, name string, chain []byte) (Document, string, error) {
	var outer, inner map[string]json.RawMessage
	if err := strictjson.Unmarshal(data, &outer); err != nil {
		return Document{}, "", err
	}
	if _, is := outer[name]; !is {
		return Document{}, "", fmt.Errorf("%s: expected an object, and it is missing", name)
	}
	if err := strictjson.Unmarshal(outer[name], &inner); err != nil {
		return Document{}, "", fmt.Errorf("%s: %w", name, err)
	}
	var (
		d      Document
		fmspc  string
		levels []json.RawMessage
	)
	read := []struct {
		member string
		to     any
	}{
		{"id", &d.ID}, {"issueDate", &d.IssueDate}, {"nextUpdate", &d.NextUpdate}, {"tcbEvaluationDataNumber", &d.Evaluation}, {"tcbLevels", &levels},
		{"fmspc", &fmspc},
	}
	if name != "tcbInfo" {
		read = read[:len(read)-1] // only TCB info is about an FMSPC
	}
	for _, r := range read {
		raw, is := inner[r.member]
		if !is {
			return Document{}, "", fmt.Errorf("%s.%s: expected a value, and it is missing", name, r.member)
		}
		if err := json.Unmarshal(raw, r.to); err != nil {
			return Document{}, "", fmt.Errorf("%s.%s: %w", name, r.member, err)
		}
	}
	d.Levels = len(levels)
	if name == "tcbInfo" {
		// Intel signs documents with digits of either case.
		raw, err := hex.DecodeString(fmspc)
		if err != nil || len(raw) != 6 {
			return Document{}, "", fmt.Errorf("%s.fmspc: expected 12 hex digits, got %.40q", name, fmspc)
		}
		fmspc = hex.EncodeToString(raw)
	}
	if len(chain) > 0 {
		block, _ := pem.Decode(chain)
		if block == nil {
			return Document{}, "", errors.New("issuer chain: expected PEM certificates, got none")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Document{}, "", fmt.Errorf("issuer chain: %w", err)
		}
		d.Signer = &Signer{cert.Subject.CommonName, cert.SerialNumber.Text(16), cert.NotBefore, cert.NotAfter}
	}
	return d, fmspc, nil
}

func inspectCRL(der []byte) (CRL, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return CRL{}, err
	}
	if list.Number == nil || list.Number.Sign() < 0 {
		return CRL{}, errors.New("expected a CRL number, got none")
	}
	return CRL{list.Issuer.CommonName, list.ThisUpdate, list.NextUpdate, list.Number.String(), len(list.RevokedCertificateEntries)}, nil
}
