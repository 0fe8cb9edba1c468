package audit

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/audit/difference"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
)

// Schema is the version of a report's JSON form.
const Schema = "https://boardroom-tee.github.io/audit/v1"

// Verdict is what an audit comes to.
type Verdict string

// The verdicts. One item that differs decides; then one that was not done.
const (
	Reproduced Verdict = "reproduced"
	Differs    Verdict = "differs"
	Incomplete Verdict = "incomplete"
)

// NotDone is the result of an item, or of a build path, that could not be looked into.
const NotDone Verdict = "not-done"

// Path is a way to build.
type Path string

// The ways.
const (
	Go  Path = "go"
	Nix Path = "nix"
)

// Kind is what an item is about.
type Kind string

// The kinds, in the order of a report.
const (
	Files           Kind = "files"
	Source          Kind = "source"
	Toolchain       Kind = "toolchain"
	Image           Kind = "image"
	Guest           Kind = "guest image"
	GuestArchive    Kind = "guest archive"
	Application     Kind = "application"
	ReferenceValues Kind = "reference values"
	Measurement     Kind = "measurement"
	SBOM            Kind = "bill of materials"
	Provenance      Kind = "provenance"
	Manifest        Kind = "release"
)

// kinds are all of them, in their order.
var kinds = []Kind{Files, Source, Toolchain, Image, Guest, GuestArchive, Application, ReferenceValues, Measurement, SBOM, Provenance, Manifest}

// Report is the result of an audit. Its JSON form is what "audit --output json" prints.
type Report struct {
	Schema  string  `json:"schema"`
	Verdict Verdict `json:"verdict"`
	Release Subject `json:"release"`
	// Auditor is who says that they made the audit; empty if nobody was named. Program is the version of their program.
	Auditor string `json:"auditor,omitempty"`
	Program string `json:"program"`
	// Began is when, in whole seconds of UTC, and Seconds how long it took.
	Began   time.Time `json:"began"`
	Seconds float64   `json:"seconds"`
	// Machine is on what, for people.
	Machine string `json:"machine"`
	// Inputs is the digest of the index of the archive that everything was built from; nil if it came from elsewhere.
	Inputs *provenance.Digest `json:"inputs,omitempty"`
	Paths  []PathReport       `json:"paths"`
	Items  []Item             `json:"items"`
	// Signed are the files that were signed with; empty if nobody asked.
	Signed []string `json:"signed,omitempty"`
}

// Subject is what was audited.
type Subject struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Created time.Time         `json:"created"`
	Digest  provenance.Digest `json:"digest"`
	Source  release.Source    `json:"source"`
}

// PathReport says what became of a way to build.
type PathReport struct {
	Path Path `json:"path"`
	// Asked holds for one that was to be gone.
	Asked bool `json:"asked"`
	// Reason is why it was not done; empty where it was.
	Reason  string  `json:"reason,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Item is one thing that was looked into.
type Item struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// Path is how it was built; empty for what is not built.
	Path Path `json:"path,omitempty"`
	// Result is Reproduced, Differs or NotDone.
	Result Verdict `json:"result"`
	// Expected is what the release has, Got what was found; Reason is why it was not done.
	Expected string `json:"expected"`
	Got      string `json:"got,omitempty"`
	Reason   string `json:"reason,omitempty"`
	// Found are the places that differ.
	Found difference.List `json:"found,omitzero"`
}

// judge decides, and puts items into their order.
func (r *Report) judge() {
	slices.SortStableFunc(r.Items, func(a, b Item) int {
		if n := slices.Index(kinds, a.Kind) - slices.Index(kinds, b.Kind); n != 0 {
			return n
		}
		if n := strings.Compare(a.Name, b.Name); n != 0 {
			return n
		}
		return strings.Compare(string(a.Path), string(b.Path))
	})
	r.Verdict = Reproduced
	for _, i := range r.Items {
		if i.Result == Differs {
			r.Verdict = Differs
			return
		}
	}
	if slices.ContainsFunc(r.Items, func(i Item) bool { return i.Result != Reproduced }) ||
		slices.ContainsFunc(r.Paths, func(p PathReport) bool { return p.Asked && p.Reason != "" }) ||
		!slices.ContainsFunc(r.Items, func(i Item) bool { return i.Path != "" }) {
		r.Verdict = Incomplete
	}
}

// Count is how many items have a result.
func (r *Report) Count(result Verdict) int {
	n := 0
	for _, i := range r.Items {
		if i.Result == result {
			n++
		}
	}
	return n
}

// Sentence says the verdict in words.
func (r *Report) Sentence() string {
	switch r.Verdict {
	case Reproduced:
		return fmt.Sprintf("All %d items were reproduced from the source: %s.", len(r.Items), r.ways())
	case Differs:
		return fmt.Sprintf("%d of %d items differ from what the source leads to.", r.Count(Differs), len(r.Items))
	}
	return fmt.Sprintf("Nothing differs, but %d of %d items could not be looked into: this audit is not complete.", r.Count(NotDone), len(r.Items))
}

// ways are the paths that were gone, in words.
func (r *Report) ways() string {
	words := map[Path]string{Go: "by plain Go", Nix: "by Nix"}
	var done []string
	for _, p := range r.Paths {
		if p.Asked && p.Reason == "" {
			done = append(done, words[p.Path])
		}
	}
	switch len(done) {
	case 0:
		return "by nothing"
	case 1:
		return done[0] + " only, as was asked"
	}
	return strings.Join(done, ", and again ")
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  %s\n\n", strings.ToUpper(string(r.Verdict)), r.Sentence())
	fmt.Fprintf(&b, "release   %s %s\n          %s\n", r.Release.Name, r.Release.Version, r.Release.Digest)
	fmt.Fprintf(&b, "source    %s\n          revision %s\n", r.Release.Source.Repository, r.Release.Source.Revision)
	if r.Auditor != "" {
		fmt.Fprintf(&b, "auditor   %s\n", r.Auditor)
	}
	fmt.Fprintf(&b, "began     %s, took %.0f s\n", r.Began.Format(time.RFC3339), r.Seconds)
	if r.Inputs != nil {
		fmt.Fprintf(&b, "inputs    archive %s\n", *r.Inputs)
	}
	for _, p := range r.Paths {
		switch {
		case !p.Asked:
			fmt.Fprintf(&b, "path %-4s not asked for\n", p.Path)
		case p.Reason != "":
			fmt.Fprintf(&b, "path %-4s NOT DONE: %s\n", p.Path, p.Reason)
		default:
			fmt.Fprintf(&b, "path %-4s done in %.0f s\n", p.Path, p.Seconds)
		}
	}
	fmt.Fprintln(&b)
	for _, i := range r.Items {
		fmt.Fprintf(&b, "%-10s  %-17s %-24s %-4s %s\n", i.Result, i.Kind, i.Name, i.Path, i.Expected)
		if i.Got != "" && i.Got != i.Expected {
			fmt.Fprintf(&b, "            got %s\n", i.Got)
		}
		if i.Reason != "" {
			fmt.Fprintf(&b, "            %s\n", i.Reason)
		}
		for _, d := range i.Found.Differences {
			fmt.Fprintf(&b, "            %s\n", d)
		}
		if i.Found.More > 0 {
			fmt.Fprintf(&b, "            and %d more places\n", i.Found.More)
		}
	}
	for _, file := range r.Signed {
		fmt.Fprintf(&b, "signed    %s\n", file)
	}
	_, err := w.Write(b.Bytes())
	return err
}
