package audit

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/audit/difference"
)

//go:embed page.html.tmpl
var pageText string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(pageStyle) }, //nolint:gosec // a constant of this package
	"policy": func() string {
		// Of a style between its tags, the policy names the hash (Content Security Policy Level 3, section 6.7.3.3).
		sum := sha256.Sum256([]byte(pageStyle))
		return "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	},
	"day":      func(t time.Time) string { return t.Format("2 January 2006, 15:04 UTC") },
	"rfc3339":  func(t time.Time) string { return t.Format(time.RFC3339) },
	"duration": duration,
	"path":     func(p Path) string { return map[Path]string{Go: "plain Go", Nix: "Nix"}[p] },
	"result": func(v Verdict) string {
		return map[Verdict]string{Reproduced: "the same", Differs: "DIFFERS", NotDone: "not done"}[v]
	},
	"mark": func(v Verdict) string {
		return map[Verdict]string{Reproduced: "✓", Differs: "✗", NotDone: "–"}[v]
	},
	"where": func(d difference.Difference) string { return strings.Join(d.Where, " › ") },
	"offset": func(d difference.Difference) string {
		if d.Offset == difference.NoOffset {
			return ""
		}
		return fmt.Sprintf("byte %d (0x%x)", d.Offset, d.Offset)
	},
	"short": func(s string) string {
		if rest, ok := strings.CutPrefix(s, "sha256:"); ok {
			s = rest
		}
		if len(s) > 16 && !strings.Contains(s, " ") {
			return s[:12] + "…"
		}
		return s
	},
}).Parse(pageText))

func duration(seconds float64) string {
	switch n := int(seconds + 0.5); {
	case n < 60:
		return fmt.Sprintf("%d seconds", n)
	case n < 120:
		return fmt.Sprintf("1 minute %d seconds", n-60)
	default:
		return fmt.Sprintf("%d minutes %d seconds", n/60, n%60)
	}
}

// headings are the verdict for somebody who reads nothing else.
var headings = map[Verdict]struct{ Title, Meaning string }{
	Reproduced: {"Reproduced", "Whoever has the published source gets exactly this release. What was published is what the source says, byte for byte."},
	Differs: {"Differs", "Something in this release is not what its source leads to. Do not use this release until it is known why: " +
		"what runs may not be what was reviewed."},
	Incomplete: {"Not complete", "Nothing was found that differs, but not everything could be looked into. This audit vouches for nothing."},
}

// explained says what each kind is, for readers who do not build software.
var explained = map[Kind]string{
	Files:           "The files of the release are undamaged.",
	Source:          "The source code is the one that the release names, computed from its files.",
	Toolchain:       "The compiler is the pinned one.",
	Image:           "What runs as an agent.",
	Guest:           "The operating system around the agents.",
	GuestArchive:    "The whole operating system as it is downloaded.",
	Application:     "What is deployed: which image, with which settings.",
	ReferenceValues: "What genuine hardware has to report.",
	Measurement:     "The same, computed a second time by the auditor's program.",
	SBOM:            "The list of parts of what runs.",
	Provenance:      "The list of everything that it was built from.",
	Manifest:        "The table of contents, which is what gets signed.",
}

// group are the items of one kind.
type group struct {
	Kind    Kind
	Meaning string
	Items   []Item
	Worst   Verdict
}

// HTML writes the report as one page that needs nothing else: no script, no font, no other file.
func (r *Report) HTML(w io.Writer) error {
	var groups []group
	for _, kind := range kinds {
		g := group{Kind: kind, Meaning: explained[kind], Worst: Reproduced}
		for _, i := range r.Items {
			if i.Kind != kind {
				continue
			}
			g.Items = append(g.Items, i)
			if i.Result == Differs || i.Result == NotDone && g.Worst == Reproduced {
				g.Worst = i.Result
			}
		}
		if len(g.Items) > 0 {
			groups = append(groups, g)
		}
	}
	var differing []Item
	for _, i := range r.Items {
		if i.Result == Differs {
			differing = append(differing, i)
		}
	}
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		*Report
		Heading   struct{ Title, Meaning string }
		Groups    []group
		Differing []Item
		Builds    []string
	}{r, headings[r.Verdict], groups, differing, r.builds()})
	if err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// builds says what was done, a sentence for each path.
func (r *Report) builds() []string {
	var all []string
	names := map[Path]string{Go: "with the Go toolchain alone", Nix: "in a sealed Nix sandbox"}
	for _, p := range r.Paths {
		switch {
		case !p.Asked:
			all = append(all, fmt.Sprintf("A build %s was not asked for.", names[p.Path]))
		case p.Reason != "":
			all = append(all, fmt.Sprintf("A build %s was not done: %s", names[p.Path], p.Reason))
		default:
			all = append(all, fmt.Sprintf("Everything was built %s, in %s.", names[p.Path], duration(p.Seconds)))
		}
	}
	return slices.Clip(all)
}
