package appraisal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Evidence is what a machine says about itself. Nothing in it is believed before it was appraised.
type Evidence struct {
	Quote    []byte // raw
	EventLog []byte // as in package eventlog, any kind; empty: none
	// Stripped says that the log comes from a certificate or another place where dstack keeps the events of RTMR3 only, so that
	// RTMR0 to RTMR2 can not be replayed and are left to reference values. The asker knows that from where it asked.
	Stripped   bool
	VMConfig   string           // dstack's, from the host; empty: none
	Claims     *evidence.Claims // what REPORTDATA is the digest of; nil: not known
	ReportData *[64]byte        // an unsigned copy beside the quote; nil: none
}

// FormError says why a file is no evidence.
type FormError struct {
	Member string // JSON name, empty for the file as a whole
	Reason string
}

func (e *FormError) Error() string {
	if e.Member == "" {
		return "evidence: " + e.Reason
	}
	return "evidence: " + e.Member + ": " + e.Reason
}

// ReadEvidence finds out what a file is, and reads it: a raw quote; a quote as hexadecimal text, with or without 0x and white space;
// the answer of dstack's guest agent to GetQuote, TdxQuote or RawQuote, or the request to its verifier, which has the same members;
// or boardroom's evidence document (package evidence). Whether the bytes are a TDX quote at all is left to the appraisal. The error
// is a [*FormError], or one of package evidence for its document.
func ReadEvidence(file []byte) (Evidence, error) {
	if len(file) > eventlog.MaxDocument {
		return Evidence{}, &FormError{Reason: fmt.Sprintf("expected at most %d bytes, got %d", eventlog.MaxDocument, len(file))}
	}
	text := bytes.TrimSpace(file)
	switch {
	case len(text) == 0:
		return Evidence{}, &FormError{Reason: "expected a quote, got nothing"}
	case text[0] == '{' && isText(text):
		return readDocument(text)
	case isText(text):
		return readHex(text)
	default:
		return Evidence{Quote: file}, nil
	}
}

// isText tells text from a quote, whose header has zero bytes.
func isText(data []byte) bool {
	return utf8.Valid(data) && !bytes.ContainsFunc(data, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' && r != '\n' })
}

func readHex(text []byte) (Evidence, error) {
	digits := strings.Join(strings.Fields(string(text)), "")
	raw, err := decodeQuote(digits)
	if err != nil {
		return Evidence{}, &FormError{Reason: "expected a raw quote, hexadecimal text of one, an answer to GetQuote or an evidence document, got text: " + err.Error()}
	}
	return Evidence{Quote: raw}, nil
}

// decodeQuote takes 0x because some releases of dstack's tools print it.
func decodeQuote(digits string) ([]byte, error) {
	digits = strings.TrimPrefix(digits, "0x")
	if digits == "" || len(digits) > 2*quote.MaxSize {
		return nil, fmt.Errorf("expected 1 to %d bytes in hexadecimal, got %d digits", quote.MaxSize, len(digits))
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("expected hexadecimal: %w", err)
	}
	return raw, nil
}

// answer is GetQuoteResponse (dstack guest-agent/rpc/proto/agent_rpc.proto), TdxQuoteResponse (tappd_rpc.proto) and
// VerificationRequest (verifier/src/types.rs). A member may be null. Other members are read past, because each release of dstack adds
// some: attestation repeats quote and log in another form; pccs_url would let who is judged choose where collateral comes from;
// hash_algorithm and prefix say how REPORTDATA came about, which the asker has to know.
type answer struct {
	Quote      *string
	EventLog   json.RawMessage
	ReportData *string
	VMConfig   *string
}

func readAnswer(members map[string]json.RawMessage) (answer, error) {
	var a answer
	known := map[string]any{"quote": &a.Quote, "event_log": &a.EventLog, "report_data": &a.ReportData, "vm_config": &a.VMConfig}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if to, ok := known[name]; ok {
			if err := strictjson.Unmarshal(members[name], to); err != nil {
				return a, &FormError{Member: name, Reason: err.Error()}
			}
			continue
		}
		// A reader that does not tell capitals apart would take it for the member that is judged.
		for meant := range known {
			if strings.EqualFold(name, meant) {
				return a, &FormError{Member: meant, Reason: fmt.Sprintf("expected the name in lower case, got %q", name)}
			}
		}
	}
	return a, nil
}

func readDocument(text []byte) (Evidence, error) {
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(text, &members); err != nil {
		return Evidence{}, &FormError{Reason: err.Error()}
	}
	if _, ok := members["agent_data"]; ok {
		return readOwn(text)
	}
	if _, ok := members["quote"]; !ok {
		return Evidence{}, &FormError{Member: "quote", Reason: "expected a quote in an answer to GetQuote, or agent_data beside it in an evidence document, got neither"}
	}
	a, err := readAnswer(members)
	if err != nil {
		return Evidence{}, err
	}
	return a.evidence()
}

func readOwn(text []byte) (Evidence, error) {
	e, err := evidence.Parse(text)
	if err != nil {
		return Evidence{}, err
	}
	return FromDocument(e), nil
}

// FromDocument takes over boardroom's evidence document.
func FromDocument(e evidence.Evidence) Evidence {
	return Evidence{Quote: e.Quote, EventLog: []byte(e.EventLog), VMConfig: e.VMConfig, Claims: &e.Claims, ReportData: &e.ReportData}
}

func (a *answer) evidence() (Evidence, error) {
	var e Evidence
	if a.Quote == nil {
		return e, &FormError{Member: "quote", Reason: "expected hexadecimal, got null"}
	}
	raw, err := decodeQuote(*a.Quote)
	if err != nil {
		return e, &FormError{Member: "quote", Reason: err.Error()}
	}
	e.Quote = raw
	if e.EventLog, err = logText(a.EventLog); err != nil {
		return Evidence{}, &FormError{Member: "event_log", Reason: err.Error()}
	}
	if a.VMConfig != nil {
		e.VMConfig = *a.VMConfig
	}
	if a.ReportData != nil && *a.ReportData != "" {
		data, err := hex.DecodeString(strings.TrimPrefix(*a.ReportData, "0x"))
		if err != nil || len(data) != len(e.ReportData) {
			return Evidence{}, &FormError{Member: "report_data", Reason: fmt.Sprintf("expected %d bytes in hexadecimal, got %d characters", len(e.ReportData), len(*a.ReportData))}
		}
		e.ReportData = (*[64]byte)(data)
	}
	return e, nil
}

// logText takes the log as text, as the guest agent gives it, or as the array itself.
func logText(member json.RawMessage) ([]byte, error) {
	switch {
	case len(member) == 0 || member[0] == 'n':
		return nil, nil
	case member[0] == '[':
		return member, nil
	}
	var text string
	if err := strictjson.Unmarshal(member, &text); err != nil {
		return nil, fmt.Errorf("expected text or an array: %w", err)
	}
	return []byte(text), nil
}
