package collateral

import (
	"encoding/hex"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Target is what collateral is about.
type Target struct {
	FMSPC [6]byte // family, model, stepping, platform, custom SKU
	CA    string  // that issued the PCK certificate: quote.PlatformCA or quote.ProcessorCA
}

// ParseFMSPC reads an FMSPC of 12 hex digits.
func ParseFMSPC(text string) (fmspc [6]byte, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(fmspc) {
		return fmspc, fmt.Errorf("expected 12 hexadecimal digits, got %.40q", text)
	}
	return [6]byte(raw), nil
}

// ParseCA reads the name of a CA that issues PCK certificates, platform or processor.
func ParseCA(text string) (string, error) {
	if text != quote.PlatformCA && text != quote.ProcessorCA {
		return "", fmt.Errorf("expected %s or %s, got %.40q", quote.PlatformCA, quote.ProcessorCA, text)
	}
	return text, nil
}

// Check refuses verified collateral that is about something else. The error names the member.
func (t Target) Check(f quote.Facts) error {
	if f.FMSPC != t.FMSPC {
		return fmt.Errorf("tcb_info: expected the FMSPC %x, got %x", t.FMSPC, f.FMSPC)
	}
	if f.CA != t.CA {
		return fmt.Errorf("pck_crl: expected that of the %s CA, got that of the %s CA", t.CA, f.CA)
	}
	return nil
}

// TargetOf tells which collateral a quote needs, by its PCK certificate. The certificate is not verified, and does not need to be: the
// collateral of another platform makes no quote acceptable. The error is a [*TargetError].
func TargetOf(q *quote.Quote) (Target, error) {
	p, err := q.Platform()
	if err != nil {
		return Target{}, &TargetError{err}
	}
	return Target{p.FMSPC, p.CA}, nil
}

// TargetError says why a quote does not tell which collateral it needs. It is a verdict: package quote refuses such a quote.
type TargetError struct{ Err error }

func (e *TargetError) Error() string { return "which collateral the quote needs: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *TargetError) Unwrap() error { return e.Err }
