package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/collateral"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

func verifyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "collateral", Usage: "take collateral from `PLACE`: a directory, a bundle, or the address of a PCS or PCCS (default: Intel's PCS)"},
		&cli.StringFlag{Name: "update", Usage: "ask for the `CHANNEL` of TCB recovery, early or standard (default: the service's)"},
		&cli.StringFlag{Name: "cache", Usage: "keep collateral in `DIR`, and refuse what is older than was seen (default: boardroom/collateral in the user's cache folder; none with --at or a --trust-root)"},
		&cli.BoolFlag{Name: "offline", Usage: "open no connection; collateral comes from files or the cache"},
		&cli.DurationFlag{Name: "timeout", Value: 30 * time.Second, Usage: "give up on a service after `DURATION`"},
		&cli.StringFlag{Name: "at", Usage: "appraise for the time `TIME`, as in 2026-04-24T02:37:51Z (default: now)"},
		&cli.StringFlag{Name: "trust-root", Usage: "trust the root certificate in the PEM `FILE` instead of Intel's; what it vouches for is SIMULATED"},
		&cli.StringFlag{Name: "event-log", Usage: "the event log, a `FILE` as for eventlog show, if FILE has none"},
		&cli.BoolFlag{Name: "runtime-log", Usage: "the event log has the events of RTMR3 only, as dstack's certificates have it"},
		&cli.StringSliceFlag{Name: "expect", Usage: "reference values, a JSON `FILE`: what measure prints, or values by name; an array is a choice; of several files each has to hold"},
		&cli.StringFlag{Name: "nonce", Usage: "the nonce that was asked with, 1 to 64 bytes in `HEX`"},
		&cli.DurationFlag{Name: "max-age", Usage: "the oldest that an agent's claims may be, a `DURATION` such as 5m"},
		&cli.StringSliceFlag{Name: "accept-status", Usage: "accept the TCB status `STATUS` besides UpToDate; may be repeated"},
		&cli.StringSliceFlag{Name: "deny-advisory", Usage: "refuse a platform with the advisory `ID`, as INTEL-SA-00837, whatever its status; may be repeated"},
		&cli.Uint64Flag{Name: "min-evaluation", Usage: "the lowest tcbEvaluationDataNumber of collateral, a `NUMBER`"},
		&cli.StringFlag{Name: "service-td", Usage: "the service TD that is bound, MRSERVICETD in `HEX` (default: none)"},
		&cli.StringSliceFlag{Name: "platform", Usage: "accept only platforms with the PPID `HEX`; may be repeated"},
		&cli.BoolFlag{Name: "require-td15", Usage: "refuse the TD report of TDX 1.0, which does not say whether a service TD is bound"},
		&cli.BoolFlag{Name: "require-sept-ve-disable", Usage: "refuse a TD whose guest is told of EPT violations, SEPT_VE_DISABLE clear"},
	}
}

var advisoryID = regexp.MustCompile(`^INTEL-[A-Z]+-[0-9]+$`)

func quoteVerify(c *cli.Context) error {
	request, err := verifyRequest(c)
	if err != nil {
		return err
	}
	root, err := trustRoot(c)
	if err != nil {
		return err
	}
	source, err := openCollateral(c, root, &request)
	if err != nil {
		return err
	}
	if request.Evidence, err = readEvidence(c); err != nil {
		return err
	}
	if err := addEventLog(c, &request.Evidence); err != nil {
		return err
	}
	request.Evidence.Stripped = c.Bool("runtime-log")
	found, err := obtain(c, source, request.Evidence.Quote)
	if err != nil {
		// What needs no collateral may tell already: a refusal is no "could not tell".
		request.Verifier = quote.NewVerifier(quote.Collateral{}, root)
		if len(appraisal.Appraise(request).Failures()) == 0 {
			return collateralFault(err)
		}
		note(c)(err.Error())
	}
	request.Verifier = quote.NewVerifier(found, root)
	report := appraisal.Appraise(request)
	if err := cmdline.Print(c, appraised{report}); err != nil {
		return err
	}
	if report.Accepted {
		return nil
	}
	return cmdline.Refused(fmt.Errorf("%s: refused: %s", c.Args().First(), refusal(report)))
}

// obtain gets the collateral for a quote. What is no quote is refused without asking anyone about it.
func obtain(c *cli.Context, source *collateral.Source, raw []byte) (quote.Collateral, error) {
	parsed, err := quote.Parse(raw)
	if err != nil {
		return quote.Collateral{}, nil
	}
	ctx, cancel := context.WithTimeoutCause(c.Context, c.Duration("timeout"), fmt.Errorf("gave up after %s", c.Duration("timeout")))
	defer cancel()
	found, err := source.For(ctx, parsed)
	var target *collateral.TargetError
	if errors.As(err, &target) {
		return quote.Collateral{}, nil // the appraisal says what is wrong with the certificate
	}
	return found, err
}

// verifyRequest reads the flags that need no file but those of reference values.
func verifyRequest(c *cli.Context) (appraisal.Request, error) {
	r := appraisal.Request{At: time.Now(), MaxAge: c.Duration("max-age")}
	if err := cmdline.Args(c, "FILE"); err != nil {
		return r, err
	}
	if text := c.String("at"); c.IsSet("at") {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return r, flagError("at", fmt.Errorf("expected a time as in 2026-04-24T02:37:51Z, got %q", text))
		}
		r.At = at
	}
	if c.Duration("timeout") <= 0 {
		return r, flagError("timeout", fmt.Errorf("expected more than nothing, got %s", c.Duration("timeout")))
	}
	if c.IsSet("max-age") && r.MaxAge <= 0 {
		return r, flagError("max-age", fmt.Errorf("expected more than nothing, got %s", r.MaxAge))
	}
	if text := c.String("nonce"); c.IsSet("nonce") {
		nonce, err := hex.DecodeString(text)
		if err != nil || len(nonce) == 0 || len(nonce) > 64 || !slices.ContainsFunc(nonce, func(b byte) bool { return b != 0 }) {
			return r, flagError("nonce", fmt.Errorf("expected 1 to 64 bytes in hexadecimal, not all zero, got %q", text))
		}
		r.Nonce = nonce
	}
	var err error
	if r.Policy, err = verifyPolicy(c); err != nil {
		return r, err
	}
	r.Expect, err = readExpectation(c)
	return r, err
}

func verifyPolicy(c *cli.Context) (quote.Policy, error) {
	p := quote.Policy{DeniedAdvisories: c.StringSlice("deny-advisory"), RequireTD15: c.Bool("require-td15"), RequireSEPTVEDisable: c.Bool("require-sept-ve-disable")}
	for _, text := range c.StringSlice("accept-status") {
		status := quote.Status(text)
		if !status.Acceptable() {
			return p, flagError("accept-status", fmt.Errorf("expected a status that can be accepted, such as %s, got %q", quote.SWHardeningNeeded, text))
		}
		p.AcceptStatus = append(p.AcceptStatus, status)
	}
	// An id that is misspelled would deny nothing.
	for _, id := range p.DeniedAdvisories {
		if !advisoryID.MatchString(id) {
			return p, flagError("deny-advisory", fmt.Errorf("expected an id as INTEL-SA-00837, got %q", id))
		}
	}
	if n := c.Uint64("min-evaluation"); n > math.MaxUint32 {
		return p, flagError("min-evaluation", fmt.Errorf("expected a number of 32 bits, got %d", n))
	}
	p.MinEvaluation = uint32(c.Uint64("min-evaluation"))
	if c.IsSet("service-td") {
		if err := decodeFlag(c.String("service-td"), p.ServiceTD[:]); err != nil {
			return p, flagError("service-td", err)
		}
	}
	for _, text := range c.StringSlice("platform") {
		var ppid [16]byte
		if err := decodeFlag(text, ppid[:]); err != nil {
			return p, flagError("platform", err)
		}
		p.Platforms = append(p.Platforms, ppid)
	}
	return p, nil
}

func decodeFlag(text string, to []byte) error {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(to) {
		return fmt.Errorf("expected %d hexadecimal digits, got %q", 2*len(to), text)
	}
	copy(to, raw)
	return nil
}

// readExpectation joins the files: each of them has to hold.
func readExpectation(c *cli.Context) ([]appraisal.Expectation, error) {
	var all *appraisal.Expectation
	for _, path := range c.StringSlice("expect") {
		data, err := image.ReadFile(path, appraisal.MaxExpectation)
		if err != nil {
			return nil, readFault(err)
		}
		e, err := appraisal.ParseExpectation(data)
		if err == nil && all != nil {
			e, err = all.And(e)
		}
		if err != nil {
			return nil, flagError("expect", fmt.Errorf("%s: %w", path, err))
		}
		all = &e
	}
	if all == nil {
		return nil, nil
	}
	return []appraisal.Expectation{*all}, nil
}

func trustRoot(c *cli.Context) (quote.TrustRoot, error) {
	if !c.IsSet("trust-root") {
		return quote.IntelRoot(), nil
	}
	path := c.String("trust-root")
	data, err := image.ReadFile(path, collateral.MaxMember)
	if err != nil {
		return quote.TrustRoot{}, readFault(err)
	}
	root, err := quote.ParseTrustRoot(data)
	if err != nil {
		return quote.TrustRoot{}, flagError("trust-root", fmt.Errorf("%s: %w", path, err))
	}
	return root, nil
}

// noTransport is that of --offline: a service can still be named, for what the cache has of it.
type noTransport struct{}

var errOffline = errors.New("--offline allows no connection")

func (noTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, errOffline }

// openCollateral finds the place, and lets the cache's memory into the policy.
func openCollateral(c *cli.Context, root quote.TrustRoot, r *appraisal.Request) (*collateral.Source, error) {
	update, err := collateral.ParseUpdate(c.String("update"))
	if err != nil {
		return nil, flagError("update", err)
	}
	options := collateral.Options{Root: root, Update: update, Now: func() time.Time { return r.At }, Note: note(c)}
	if c.Bool("offline") {
		options.Transport = noTransport{}
	}
	// What is simulated leaves no trace that nobody asked for.
	if c.IsSet("cache") || !root.Simulated() {
		if options.Cache, err = collateralCache(c); err != nil {
			return nil, err
		}
	}
	if options.Cache != nil {
		if r.Policy.NotBefore, err = options.Cache.Floor(root); err != nil {
			return nil, err
		}
	}
	source, err := collateral.Open(c.String("collateral"), options)
	if err != nil {
		return nil, collateralFault(err)
	}
	return source, nil
}

// collateralFault gives an error its exit code: only collateral that is older than was seen is a verdict.
func collateralFault(err error) error {
	var rollback *collateral.RollbackError
	switch {
	case errors.As(err, &rollback):
		return cmdline.Refused(err)
	case errors.Is(err, collateral.ErrSpec):
		return flagError("collateral", err)
	default:
		return err
	}
}

// addEventLog takes the log of --event-log. Two logs of one quote have to be the same.
func addEventLog(c *cli.Context, e *appraisal.Evidence) error {
	if !c.IsSet("event-log") {
		return nil
	}
	path := c.String("event-log")
	data, err := image.ReadFile(path, eventlog.MaxDocument)
	if err != nil {
		return readFault(err)
	}
	switch {
	case len(data) == 0:
		return cmdline.Refused(fmt.Errorf("--event-log: %s: expected an event log, got an empty file", path))
	case len(e.EventLog) == 0:
		e.EventLog = data
	case !sameEvents(e.EventLog, data):
		return cmdline.Refused(fmt.Errorf("--event-log: %s: expected the events of the log that %s has, got others", path, c.Args().First()))
	}
	return nil
}

// sameEvents reports whether two logs have the same events in the same order.
func sameEvents(a, b []byte) bool {
	one, errOne := eventlog.Parse(a)
	other, errOther := eventlog.Parse(b)
	return errOne == nil && errOther == nil && reflect.DeepEqual(one, other)
}

// appraised prints a report.
type appraised struct{ appraisal.Report }

func (v appraised) Print(w io.Writer) error {
	var b bytes.Buffer
	if v.Simulated {
		fmt.Fprintf(&b, "SIMULATED: the trust root is not Intel's. None of this is proof of hardware.\n")
	}
	word := "REFUSED"
	if v.Accepted {
		word = "ACCEPTED"
	}
	if v.Simulated {
		word += " (SIMULATED)"
	}
	b.WriteString(word)
	if v.TCBStatus != "" {
		fmt.Fprintf(&b, ", TCB status %s", v.TCBStatus)
	}
	if v.TCBDate != nil {
		fmt.Fprintf(&b, " of %s", v.TCBDate.Format(time.DateOnly))
	}
	b.WriteByte('\n')
	for _, id := range v.AdvisoryIDs {
		fmt.Fprintf(&b, "advisory %s\n", id)
	}
	for _, check := range v.Checks {
		if check.Result == quote.Fail {
			fmt.Fprintf(&b, "%s\n  expected %s\n  got      %s\n", check.Code, check.Expected, check.Actual)
		}
	}
	b.WriteByte('\n')
	width := 0
	for _, check := range v.Checks {
		width = max(width, len(check.Code))
	}
	for _, check := range v.Checks {
		reason := ""
		if check.Result == quote.NotChecked && check.Actual != "" {
			reason = "  " + check.Actual
		}
		fmt.Fprintf(&b, "%-11s  %-*s%s\n", results[check.Result], width*min(1, len(reason)), check.Code, reason)
	}
	printFacts(&b, v.Report)
	_, err := w.Write(b.Bytes())
	return err
}

var results = map[quote.Outcome]string{quote.Pass: "pass", quote.Fail: "FAIL", quote.NotChecked: "not checked"}

// printFacts lists what the evidence says. Under a refusal it is what the evidence claims, and no more.
func printFacts(b *bytes.Buffer, r appraisal.Report) {
	says := "\nWhat the quote says:\n"
	if !r.Accepted {
		says = "\nWhat the quote claims; it was REFUSED:\n"
	}
	if m := r.Measurements; m != nil {
		b.WriteString(says)
		for _, f := range [][2]string{
			{"mrtd", m.MRTD}, {"rtmr0", m.RTMR0}, {"rtmr1", m.RTMR1}, {"rtmr2", m.RTMR2}, {"rtmr3", m.RTMR3}, {"mrconfigid", m.MRCONFIGID},
			{"mrseam", m.MRSEAM}, {"report_data", m.ReportData},
		} {
			fmt.Fprintf(b, "  %-13s  %s\n", f[0], f[1])
		}
	}
	if p := r.Platform; p != nil {
		fmt.Fprintf(b, "  %-13s  %s\n  %-13s  %s\n", "fmspc", p.FMSPC, "ppid", p.PPID)
	}
	if l := r.EventLog; l != nil && l.Boot != nil {
		for _, f := range [][2]string{
			{"app_id", l.AppID}, {"compose_hash", l.ComposeHash}, {"instance_id", l.InstanceID}, {"key_provider", l.KeyProvider.Name + " " + l.KeyProvider.ID},
			{"os_image_hash", l.OSImageHash}, {"storage_fs", l.StorageFS},
		} {
			if f[1] != "" {
				fmt.Fprintf(b, "  %-13s  %s\n", f[0], f[1])
			}
		}
	}
}

// refusal names what failed.
func refusal(r appraisal.Report) string {
	text := strings.Join(r.Failures(), ", ")
	if text == "" {
		text = "not everything that is required could be checked"
		for _, check := range r.Checks {
			required := slices.ContainsFunc(quote.Codes(), func(c quote.CodeMeaning) bool { return c.Code == check.Code })
			if check.Result == quote.NotChecked && required {
				text = fmt.Sprintf("%s could not be checked: %s", check.Code, check.Actual)
				break
			}
		}
	}
	if r.Simulated {
		text += " (SIMULATED)"
	}
	return text
}
