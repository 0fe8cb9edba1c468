package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// shown is a quote that nobody verified.
type shown struct {
	Verified bool              `json:"verified"` // false, always
	Fields   []appraisal.Field `json:"fields"`
}

func (s shown) Print(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("NOT VERIFIED: anyone can write a quote that reads like this one; see boardroom quote verify.\n")
	part := ""
	for _, f := range s.Fields {
		if f.Part != part {
			part = f.Part
			fmt.Fprintf(&b, "\n%s\n", part)
		}
		value := f.Value
		if value == "" {
			value = "(empty)"
		}
		fmt.Fprintf(&b, "  %s  %s\n    %s\n", f.Name, value, f.Meaning)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func quoteShow(c *cli.Context) error {
	e, err := readEvidence(c)
	if err != nil {
		return err
	}
	q, err := quote.Parse(e.Quote)
	if err != nil {
		return cmdline.Refused(fmt.Errorf("%s: %w", c.Args().First(), err))
	}
	return cmdline.Print(c, shown{Fields: appraisal.Describe(q)})
}
