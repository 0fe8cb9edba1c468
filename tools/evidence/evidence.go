package evidence

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Bounds in bytes, checked before anything is decoded. A TDX quote with its certificate chain is about 5 KiB, dstack's
// event log 5 to 50 KiB and its vm_config 1 to 10 KiB; the bounds leave an order of magnitude.
const (
	MaxSize     = 2 << 20   // the whole document
	MaxQuote    = 64 << 10  // the quote, decoded
	MaxEventLog = 512 << 10 // the event log text
	MaxVMConfig = 128 << 10 // the vm_config text
)

// Evidence is a quote with everything needed to judge it. Holding one proves nothing: see [Evidence.CheckBinding].
type Evidence struct {
	Claims     Claims
	ReportData [64]byte // an unsigned copy of what the quote should hold
	Quote      []byte   // raw TDX quote, not verified
	EventLog   string   // JSON text as the guest agent gave it, byte for byte
	VMConfig   string   // JSON text as the guest agent gave it; empty before dstack 0.5.4
}

// FormError says which part of an evidence document is not of its form.
type FormError struct {
	Member string // JSON name, empty for the document as a whole
	Reason string
}

func (e *FormError) Error() string {
	if e.Member == "" {
		return "evidence: " + e.Reason
	}
	return "evidence: " + e.Member + ": " + e.Reason
}

// BindingError says that evidence is well formed but belongs to something else: another nonce or other claims.
type BindingError struct {
	Check string // "nonce", "report_data" or "timestamp"
	Want  string
	Got   string
}

func (e *BindingError) Error() string {
	return fmt.Sprintf("evidence: %s: want %s, got %s", e.Check, e.Want, e.Got)
}

// document is the JSON form; pointers tell an absent member from an empty one.
type document struct {
	AgentData  *Claims `json:"agent_data"`
	ReportData *string `json:"report_data"`
	Quote      *string `json:"quote"`
	EventLog   *string `json:"event_log"`
	VMConfig   *string `json:"vm_config"`
}

// New puts together the evidence of an agent from its claims and the guest agent's answer. It returns a [*ClaimError] or a
// [*FormError] when the parts could not be parsed back from the document.
func New(c Claims, quote []byte, eventLog, vmConfig string) (Evidence, error) {
	data, err := ReportData(c)
	if err != nil {
		return Evidence{}, err
	}
	e := Evidence{Claims: c, ReportData: data, Quote: bytes.Clone(quote), EventLog: eventLog, VMConfig: vmConfig}
	return e, e.checkForm()
}

// Parse reads an evidence document strictly: at most [MaxSize] bytes, every member present, none unknown, repeated or
// spelled in another case, nothing after it. The error is a [*FormError] or a [*ClaimError]. A document that parses is not
// yet bound to anything: call [Evidence.CheckBinding].
func Parse(data []byte) (Evidence, error) {
	if len(data) > MaxSize {
		return Evidence{}, &FormError{Reason: fmt.Sprintf("want at most %d bytes, got %d", MaxSize, len(data))}
	}
	var d document
	if err := strictjson.Unmarshal(data, &d); err != nil {
		return Evidence{}, &FormError{Reason: err.Error()}
	}
	for _, m := range []struct {
		name   string
		absent bool
	}{
		{"agent_data", d.AgentData == nil},
		{"report_data", d.ReportData == nil},
		{"quote", d.Quote == nil},
		{"event_log", d.EventLog == nil},
		{"vm_config", d.VMConfig == nil},
	} {
		if m.absent {
			return Evidence{}, &FormError{Member: m.name, Reason: "is missing"}
		}
	}
	e := Evidence{Claims: *d.AgentData, EventLog: *d.EventLog, VMConfig: *d.VMConfig}
	if len(*d.ReportData) != 2*len(e.ReportData) || !consistsOf(*d.ReportData, isHexByte) {
		return Evidence{}, &FormError{
			Member: "report_data",
			Reason: "want 128 lower-case hex digits, got " + shown(*d.ReportData),
		}
	}
	if _, err := hex.Decode(e.ReportData[:], []byte(*d.ReportData)); err != nil {
		return Evidence{}, &FormError{Member: "report_data", Reason: err.Error()}
	}
	if len(*d.Quote) > 2*MaxQuote || len(*d.Quote)%2 != 0 || !consistsOf(*d.Quote, isHexByte) {
		return Evidence{}, &FormError{
			Member: "quote",
			Reason: fmt.Sprintf("want 1 to %d bytes as lower-case hex, got %s", MaxQuote, shown(*d.Quote)),
		}
	}
	quote, err := hex.DecodeString(*d.Quote)
	if err != nil {
		return Evidence{}, &FormError{Member: "quote", Reason: err.Error()}
	}
	e.Quote = quote
	return e, e.checkForm()
}

// checkForm holds for every Evidence that this package hands out.
func (e Evidence) checkForm() error {
	if err := e.Claims.Validate(); err != nil {
		return err
	}
	if len(e.Quote) == 0 || len(e.Quote) > MaxQuote {
		return &FormError{Member: "quote", Reason: fmt.Sprintf("want 1 to %d bytes, got %d", MaxQuote, len(e.Quote))}
	}
	// An empty log can explain no register, so evidence without one could never be accepted.
	if e.EventLog == "" || len(e.EventLog) > MaxEventLog {
		return &FormError{
			Member: "event_log",
			Reason: fmt.Sprintf("want 1 to %d bytes, got %d", MaxEventLog, len(e.EventLog)),
		}
	}
	if len(e.VMConfig) > MaxVMConfig {
		return &FormError{
			Member: "vm_config",
			Reason: fmt.Sprintf("want at most %d bytes, got %d", MaxVMConfig, len(e.VMConfig)),
		}
	}
	return nil
}

// MarshalJSON writes the document that [Parse] reads.
func (e Evidence) MarshalJSON() ([]byte, error) {
	data, quote := hex.EncodeToString(e.ReportData[:]), hex.EncodeToString(e.Quote)
	return json.Marshal(document{
		AgentData: &e.Claims, ReportData: &data, Quote: &quote, EventLog: &e.EventLog, VMConfig: &e.VMConfig,
	})
}

// UnmarshalJSON is [Parse], so that no lax way of reading evidence exists.
func (e *Evidence) UnmarshalJSON(data []byte) error {
	parsed, err := Parse(data)
	if err != nil {
		return err
	}
	*e = parsed
	return nil
}

// CheckBinding reports whether the claims carry the caller's own nonce and hash to the document's report data, all 64
// bytes. The error is a [*BindingError], or a [*ClaimError] when the claims have no valid spelling.
//
// IT DOES NOT VERIFY THE QUOTE. It says nothing about where the evidence comes from: whoever knows the nonce can write a
// document that passes. It is necessary and never sufficient; trust begins when a quote verifier has found the same 64
// bytes inside a quote whose signature chain holds.
func (e Evidence) CheckBinding(nonce string) error {
	if err := CheckNonce(nonce); err != nil {
		return fmt.Errorf("the expected nonce itself: %w", err)
	}
	if e.Claims.Nonce != nonce {
		return &BindingError{Check: "nonce", Want: nonce, Got: shown(e.Claims.Nonce)}
	}
	want, err := ReportData(e.Claims)
	if err != nil {
		return err
	}
	if e.ReportData != want {
		return &BindingError{
			Check: "report_data",
			Want:  hex.EncodeToString(want[:]) + " (the digest of agent_data)",
			Got:   hex.EncodeToString(e.ReportData[:]),
		}
	}
	return nil
}
