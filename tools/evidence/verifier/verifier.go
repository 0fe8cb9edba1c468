package verifier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/collateral"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Verifier judges peers. It is safe for concurrent use.
type Verifier struct {
	values  values
	digest  [sha256.Size]byte
	root    quote.TrustRoot
	source  *collateral.Source
	now     func() time.Time
	log     *slog.Logger
	results results
}

// Load reads reference values and what they name. They are a file, or given themselves: a JSON object, as an environment that was
// encrypted to the machine can carry it. The error is one sentence that begins with the path of the file at fault. now and log may be
// nil.
func Load(values string, now func() time.Time, log *slog.Logger) (*Verifier, error) {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	path, data := "the given values", []byte(values)
	var err error
	if !strings.HasPrefix(values, "{") {
		path = values
		if data, err = readFile(path, maxValues); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	v := &Verifier{digest: sha256.Sum256(data), root: quote.IntelRoot(), now: now, log: log}
	if v.values, err = parse(data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if v.values.TrustRoot != "" {
		pem, err := readFile(v.values.TrustRoot, maxRoot)
		if err != nil {
			return nil, fmt.Errorf("%s: trust_root: %w", path, err)
		}
		if v.root, err = quote.ParseTrustRoot(pem); err != nil {
			return nil, fmt.Errorf("%s: trust_root: %s: %w", path, v.values.TrustRoot, err)
		}
	}
	if v.source, err = v.openCollateral(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if v.root.Simulated() {
		log.Warn("SIMULATED: the trust root is not Intel's; what is accepted under it is no hardware, never use this with real data",
			"reference_values", path, "trust_root", v.values.TrustRoot)
	}
	return v, nil
}

// maxRoot bounds a certificate in PEM, in bytes.
const maxRoot = 64 << 10

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("want at most %d bytes, got more", limit)
	}
	return data, nil
}

func (v *Verifier) openCollateral() (*collateral.Source, error) {
	options := collateral.Options{
		Root: v.root, Now: v.now, Note: func(text string) { v.log.Warn("collateral", "note", text) },
	}
	if dir := v.values.CollateralCache; dir != "" {
		var err error
		if options.Cache, err = collateral.OpenCache(dir); err != nil {
			return nil, fmt.Errorf("collateral_cache: %w", err)
		}
	}
	source, err := collateral.Open(v.values.Collateral, options)
	if err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	return source, nil
}

// Simulated says whether the trust root is another than Intel's.
func (v *Verifier) Simulated() bool { return v.root.Simulated() }

// Digest is the SHA-256 of the reference values as they were read, in lower-case hex.
func (v *Verifier) Digest() string { return hex.EncodeToString(v.digest[:]) }

// Refusal is a verdict against a peer.
type Refusal struct {
	Codes  []string // of the checks that failed
	Reason string   // one sentence
}

func (e *Refusal) Error() string { return e.Reason }

// Codes of refusals that come before an appraisal.
const (
	codePeer       = "reference_values.peer"
	codeClaims     = "evidence.claims"
	codeCollateral = "collateral.rollback"
)

// Appraise judges the evidence of a peer for the nonce that was made for this exchange. The error is a [*Refusal] for "no",
// and any other for "could not tell"; only a nil error lets a peer in. Whatever comes of it is kept for [Verifier.Results].
func (v *Verifier) Appraise(ctx context.Context, e appraisal.Evidence, nonce string) (Result, error) {
	result, err := v.appraise(ctx, e, nonce)
	result.Accepted = err == nil
	if err != nil {
		result.Reason = err.Error()
	}
	if result.AgentID != "" {
		v.results.keep(result)
	}
	return result, err
}

func (v *Verifier) appraise(ctx context.Context, e appraisal.Evidence, nonce string) (Result, error) {
	at := v.now()
	result := Result{At: at.UTC().Format(time.RFC3339), Simulated: v.root.Simulated(), AdvisoryIDs: []string{}, Checks: []quote.Check{}}
	if e.Claims == nil {
		return result, &Refusal{[]string{codeClaims}, "evidence: want claims that say who it is of, got none"}
	}
	result.AgentID, result.AgentType, result.PublicKey = e.Claims.AgentID, e.Claims.AgentType, e.Claims.PublicKey
	want, err := evidence.ReportData(*e.Claims)
	if err != nil {
		return result, &Refusal{[]string{codeClaims}, err.Error()}
	}
	challenge, err := hex.DecodeString(nonce)
	if err != nil || evidence.CheckNonce(nonce) != nil {
		return result, fmt.Errorf("the expected nonce itself: want 16 to 64 bytes in lower-case hex, got %.80q", nonce)
	}
	entries := v.values.entriesFor(e.Claims.AgentType, e.Claims.AgentID)
	if len(entries) == 0 {
		return result, &Refusal{[]string{codePeer}, fmt.Sprintf("reference values: want an entry for the agent %s of type %s, and there is none",
			e.Claims.AgentID, e.Claims.AgentType)}
	}
	request := appraisal.Request{
		Evidence: e, Verifier: quote.NewVerifier(quote.Collateral{}, v.root), Policy: v.values.policy, At: at,
		ReportData: &want, Nonce: challenge, MaxAge: evidence.MaxAge,
	}
	for _, entry := range entries {
		request.Expect = append(request.Expect, entry.expect)
	}
	// What needs no collateral comes first: nobody makes this machine ask for collateral with a quote that is none.
	if report := appraisal.Appraise(request); len(report.Failures()) > 0 {
		result.take(report)
		return result, refusal(report)
	}
	if request.Verifier, err = v.verifierFor(ctx, e.Quote); err != nil {
		return result, err
	}
	report := appraisal.Appraise(request)
	result.take(report)
	if !report.Accepted {
		return result, refusal(report)
	}
	matched, ok := report.Matched()
	if !ok {
		return result, errors.New("the evidence is accepted by all reference values together and by none of them alone")
	}
	result.Reference = entries[matched].name
	return result, nil
}

// verifierFor obtains the collateral for a quote. A quote that is none is refused, and so is collateral that is older than what
// was seen.
func (v *Verifier) verifierFor(ctx context.Context, raw []byte) (*quote.Verifier, error) {
	q, err := quote.Parse(raw)
	if err != nil {
		var form *quote.FormatError
		if errors.As(err, &form) {
			return nil, &Refusal{[]string{form.Code}, form.Error()}
		}
		return nil, err
	}
	c, err := v.source.For(ctx, q)
	if err != nil {
		var rollback *collateral.RollbackError
		if errors.As(err, &rollback) {
			return nil, &Refusal{[]string{codeCollateral}, rollback.Error()}
		}
		return nil, fmt.Errorf("collateral: %w", err)
	}
	return quote.NewVerifier(c, v.root), nil
}

// refusal says what failed first, and the codes of all that failed.
func refusal(r appraisal.Report) *Refusal {
	e := &Refusal{Codes: r.Failures(), Reason: "the appraisal did not accept the evidence"}
	for _, c := range r.Checks {
		if c.Result == quote.Fail {
			e.Reason = fmt.Sprintf("%s: want %s, got %s", c.Code, shown(c.Expected), shown(c.Actual))
			break
		}
	}
	if len(e.Codes) > 1 {
		e.Reason += " (and " + shown(strings.Join(e.Codes[1:], ", ")) + ")"
	}
	return e
}

// shown cuts what came from outside to a length fit for a log.
func shown(s string) string {
	const limit = 200
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}
