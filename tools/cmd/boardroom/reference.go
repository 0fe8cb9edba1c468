package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/corim"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// statement says which values the files lead to on a machine.
type statement struct {
	Type          string             `json:"_type"`
	Subject       []statementSubject `json:"subject"`
	PredicateType string             `json:"predicateType"`
	Predicate     referenceValues    `json:"predicate"`
}

type statementSubject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type referenceValues struct {
	Machine machine.Machine `json:"machine"`
	Cmdline string          `json:"cmdline"`
	Layout  tdvf.Layout     `json:"layout"`
	Values  values          `json:"values"`
	Notes   []string        `json:"notes"`
}

type values struct {
	MRTD  eventlog.Digest `json:"mrtd"`
	RTMR0 eventlog.Digest `json:"rtmr0"`
	RTMR1 eventlog.Digest `json:"rtmr1"`
	RTMR2 eventlog.Digest `json:"rtmr2"`
}

func newStatement(subjects []subject, cmdline string, p *tdx.Prediction) statement {
	r := p.Report(false)
	s := statement{Type: appraisal.StatementType, PredicateType: appraisal.ReferenceValuesType, Predicate: referenceValues{
		Machine: *p.Machine, Cmdline: cmdline, Layout: r.Layout, Values: values{r.MRTD, r.RTMR0, r.RTMR1, r.RTMR2}, Notes: r.Notes,
	}}
	for _, f := range subjects {
		sum := sha256.Sum256(f.data)
		s.Subject = append(s.Subject, statementSubject{f.name, map[string]string{"sha256": hex.EncodeToString(sum[:])}})
	}
	return s
}

// rvps is the payload of a message of type "sample" to Trustee's reference value provider: for each name the values that are
// accepted, under the names that its policies for TDX ask for.
type rvps struct {
	MRTD  []eventlog.Digest `json:"mr_td"`
	RTMR0 []eventlog.Digest `json:"rtmr_0"`
	RTMR1 []eventlog.Digest `json:"rtmr_1"`
	RTMR2 []eventlog.Digest `json:"rtmr_2"`
}

func newRVPS(p *tdx.Prediction) rvps {
	return rvps{[]eventlog.Digest{p.MRTD}, []eventlog.Digest{p.RTMR0}, []eventlog.Digest{p.RTMR1}, []eventlog.Digest{p.RTMR2}}
}

// printJSON prints what has no form but JSON.
func printJSON(c *cli.Context, v any) error {
	enc := json.NewEncoder(c.App.Writer)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printNotes says on stderr what a format has no place for.
func printNotes(c *cli.Context, notes []string) { writeNotes(c.App.ErrWriter, notes) }

// manifest is a CoRIM that was written.
type manifest struct {
	Path   string `json:"path"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

func (m manifest) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s  %s\n", m.SHA256, m.Path)
	return err
}

// printCoRIM prints the manifest as it is, or with --to what was written.
func printCoRIM(c *cli.Context, p *tdx.Prediction) error {
	data, err := corim.Encode(corim.Values{MRTD: p.MRTD, RTMR0: p.RTMR0, RTMR1: p.RTMR1, RTMR2: p.RTMR2})
	if err != nil {
		return err
	}
	to := c.String("to")
	if to == "" {
		_, err := c.App.Writer.Write(data)
		return err
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	return cmdline.Print(c, manifest{Path: to, Size: len(data), SHA256: hex.EncodeToString(sum[:])})
}
