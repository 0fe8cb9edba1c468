package collateral

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// ErrState means that what was seen can not be read or kept. Nothing is taken for new then.
var ErrState = errors.New("what was seen of collateral")

// RollbackError is a verdict: genuine collateral, or the clock, is older than what was seen before.
type RollbackError struct {
	What string // such as "tcb_info/standard/90c06f000000", "qe_identity/default", "crl/platform" or "clock"
	Got  string
	Seen string
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("collateral is older than what was seen before: %s: expected at least %s, got %s", e.What, e.Seen, e.Got)
}

const (
	stateFormat = "boardroom-collateral-seen/v1"
	maxState    = 1 << 20 // bytes
	// maxDocuments bounds how much is remembered under one root. Intel has some dozens of FMSPCs, and there are three channels. Nothing is forgotten to make room,
	// because that would be a way to make it be forgotten.
	maxDocuments = 4096
)

// state is what was seen under one trust root.
type state struct {
	Format string `json:"format"`
	// Documents are named as in RollbackError.What.
	Documents map[string]observation `json:"documents"`
}

func newState() state { return state{Format: stateFormat, Documents: map[string]observation{}} }

// observation is the newest of one document. Date and number are apart: each only grows.
type observation struct {
	Issued instant `json:"issued"` // issueDate or thisUpdate
	Number number  `json:"number"` // tcbEvaluationDataNumber or cRLNumber
}

// instant is a time of whole seconds in UTC, the form in which Intel writes dates.
type instant struct{ time.Time }

func (i instant) MarshalJSON() ([]byte, error) { return json.Marshal(i.String()) }

func (i instant) String() string { return i.UTC().Format(time.RFC3339) }

func (i *instant) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	t, err := time.Parse("2006-01-02T15:04:05Z", text)
	if err != nil || t.Format(time.RFC3339) != text {
		return fmt.Errorf("expected a time as 2026-01-02T15:04:05Z, got %.40q", text)
	}
	i.Time = t
	return nil
}

// number is not negative. One of a revocation list has up to 20 bytes (RFC 5280, 5.2.3), so it is decimal text in JSON.
type number struct{ *big.Int }

func (n number) MarshalJSON() ([]byte, error) { return json.Marshal(n.String()) }

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,48})$`)

func (n *number) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	if !decimal.MatchString(text) {
		return fmt.Errorf("expected a decimal number as text, got %.60q", text)
	}
	n.Int, _ = new(big.Int).SetString(text, 10)
	return nil
}

var documentName = regexp.MustCompile(`^(tcb_info/(early|standard|default)/[0-9a-f]{12}|qe_identity/(early|standard|default)|crl/(root|platform|processor))$`)

// parseState reads the file of a state, strictly.
func parseState(data []byte) (state, error) {
	if len(data) > maxState {
		return state{}, fmt.Errorf("expected at most %d bytes, got more", maxState)
	}
	var s state
	if err := strictjson.Unmarshal(data, &s); err != nil {
		return state{}, err
	}
	if s.Format != stateFormat {
		return state{}, fmt.Errorf("format: expected %q, got %.60q", stateFormat, s.Format)
	}
	if s.Documents == nil || len(s.Documents) > maxDocuments {
		return state{}, fmt.Errorf("documents: expected an object of at most %d members, got %d", maxDocuments, len(s.Documents))
	}
	for name, seen := range s.Documents {
		if !documentName.MatchString(name) {
			return state{}, fmt.Errorf("documents: expected the name of a document, got %.60q", name)
		}
		if seen.Number.Int == nil || seen.Issued.IsZero() {
			return state{}, fmt.Errorf("documents.%s: expected issued and number, got less", name)
		}
	}
	return s, nil
}

func (s state) marshal() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	err := enc.Encode(s)
	return out.Bytes(), err
}

// part is a dated part of collateral, with its name as in RollbackError.What.
type part struct {
	name string
	quote.Issue
}

// partsOf names documents by the channel that was asked for: the early one is ahead of the standard one for months, and who saw it would
// refuse the other. Revocation lists have no channels.
func partsOf(update Update, f quote.Facts) []part {
	return []part{
		{fmt.Sprintf("tcb_info/%s/%x", update.channel(), f.FMSPC), f.TCBInfo}, {"qe_identity/" + update.channel(), f.QEIdentity},
		{"crl/" + f.CA, f.PCKCRL}, {"crl/root", f.RootCRL},
	}
}

// rootName names a trust root in file names.
func rootName(root quote.TrustRoot) string {
	fingerprint := root.Fingerprint()
	return hex.EncodeToString(fingerprint[:])
}

// refuses returns a RollbackError if a part of collateral is older than what was seen of it.
func (s state) refuses(update Update, f quote.Facts) error {
	for _, p := range partsOf(update, f) {
		seen, is := s.Documents[p.name]
		if !is {
			continue
		}
		if p.Number.Cmp(seen.Number.Int) < 0 {
			return &RollbackError{p.name, fmt.Sprintf("number %s of %s", p.Number, instant{p.Issued}), fmt.Sprintf("number %s", seen.Number)}
		}
		if p.Issued.Before(seen.Issued.Time) {
			return &RollbackError{p.name, fmt.Sprintf("%s (number %s)", instant{p.Issued}, p.Number), seen.Issued.String()}
		}
	}
	return nil
}

// add raises what was seen to what collateral has, and reports whether that changed anything.
func (s state) add(update Update, f quote.Facts) bool {
	changed := false
	for _, p := range partsOf(update, f) {
		seen, is := s.Documents[p.name]
		if !is || p.Number.Cmp(seen.Number.Int) > 0 || p.Issued.After(seen.Issued.Time) {
			s.Documents[p.name] = observation{instant{p.Issued.UTC()}, number{p.Number}}
			changed = true
		}
	}
	return changed
}

// newest is the newest date in it; zero if nothing was seen.
func (s state) newest() time.Time {
	var newest time.Time
	for _, seen := range s.Documents {
		if seen.Issued.After(newest) {
			newest = seen.Issued.Time
		}
	}
	return newest
}

func (c *Cache) statePath(root quote.TrustRoot) string { return statePrefix + rootName(root) + suffix }

// readState reads what was seen under a root. A state that is not there is empty; one that is malformed is an error, because
// whoever could replace it by nothing could make everything old new again.
func (c *Cache) readState(root quote.TrustRoot) (state, error) {
	name := c.statePath(root)
	fault := func(err error) (state, error) {
		return state{}, fmt.Errorf("%w: %s: %w; if that file was damaged, remove it, and nothing counts as seen", ErrState, filepath.Join(c.dir, name), err)
	}
	dir, err := os.OpenRoot(c.dir)
	if err != nil {
		return fault(err)
	}
	defer dir.Close()
	data, err := readFile(dir, name, maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(), nil
	}
	if err != nil {
		return fault(err)
	}
	s, err := parseState(data)
	if err != nil {
		return fault(err)
	}
	return s, nil
}

// advance refuses verified collateral that is older than what was seen under its root, and otherwise remembers it.
func (c *Cache) advance(ctx context.Context, root quote.TrustRoot, update Update, f quote.Facts) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	defer unlock()
	s, err := c.readState(root)
	if err != nil {
		return err
	}
	if err := s.refuses(update, f); err != nil {
		return err
	}
	if !s.add(update, f) {
		return nil
	}
	if len(s.Documents) > maxDocuments {
		return fmt.Errorf("%w: %s: expected at most %d documents, got more", ErrState, filepath.Join(c.dir, c.statePath(root)), maxDocuments)
	}
	data, err := s.marshal()
	if err != nil {
		return err
	}
	if err := c.replace(c.statePath(root), data); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

// Floor is the newest issue date that was seen under a root: no later moment can be earlier. It is zero if nothing was seen.
func (c *Cache) Floor(root quote.TrustRoot) (time.Time, error) {
	s, err := c.readState(root)
	return s.newest(), err
}

// checkClock refuses a clock that shows a time before what was issued already.
func checkClock(r record, root quote.TrustRoot, now time.Time) error {
	floor, err := r.Floor(root)
	if err != nil {
		return err
	}
	if now.Before(floor) {
		return &RollbackError{"clock", instant{now}.String(), instant{floor}.String()}
	}
	return nil
}
