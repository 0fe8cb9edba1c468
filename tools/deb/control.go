package deb

import (
	"errors"
	"fmt"
	"strings"
)

// maxFields bounds the fields of a paragraph; those of trixie's indices have at most 40.
const maxFields = 256

// paragraph holds the fields of a control paragraph (Policy 5.1) in their order.
type paragraph []field

type field struct {
	name string
	// value is without the space around it; the lines of a value are kept, each with its leading space.
	value string
}

// get returns the value of a field, or "". Names are the same in any case.
func (p paragraph) get(name string) string {
	for i := range p {
		if len(p[i].name) == len(name) && strings.EqualFold(p[i].name, name) {
			return p[i].value
		}
	}
	return ""
}

// paragraphs calls each with every paragraph of a control document. The paragraph is overwritten by the next one; its strings
// are parts of text.
func paragraphs(text string, each func(paragraph) error) error {
	var (
		p      paragraph
		number int
		begin  int // where the value of the last field begins
	)
	emit := func() error {
		if len(p) == 0 {
			return nil
		}
		err := each(p)
		p = p[:0]
		return err
	}
	for at := 0; at < len(text); {
		number++
		end := strings.IndexByte(text[at:], '\n')
		if end < 0 {
			end = len(text)
		} else {
			end += at
		}
		line := text[at:end]
		switch {
		case strings.Trim(line, " \t\r") == "":
			if err := emit(); err != nil {
				return err
			}
		case line[0] == ' ' || line[0] == '\t':
			if len(p) == 0 {
				return fmt.Errorf("line %d: expected a field, got the continuation of one", number)
			}
			p[len(p)-1].value = strings.Trim(text[begin:end], " \t\r")
		default:
			name, _, found := strings.Cut(line, ":")
			if !found || !fieldName(name) {
				return fmt.Errorf("line %d: expected \"Name: value\", got %.60q", number, line)
			}
			if p.has(name) {
				return fmt.Errorf("line %d: field %s stands twice in one paragraph", number, name)
			}
			if len(p) == maxFields {
				return fmt.Errorf("line %d: more than %d fields in one paragraph", number, maxFields)
			}
			begin = at + len(name) + 1
			p = append(p, field{name: name, value: strings.Trim(text[begin:end], " \t\r")})
		}
		at = end + 1
	}
	return emit()
}

func (p paragraph) has(name string) bool {
	for i := range p {
		if len(p[i].name) == len(name) && strings.EqualFold(p[i].name, name) {
			return true
		}
	}
	return false
}

// fieldName holds for printable ASCII without space and colon that begins with neither "#" nor "-".
func fieldName(s string) bool {
	if s == "" || s[0] == '#' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// single reads a document of exactly one paragraph.
func single(text string) (paragraph, error) {
	var one paragraph
	err := paragraphs(text, func(p paragraph) error {
		if one != nil {
			return fmt.Errorf("expected one paragraph, got a second one that begins with %s", p[0].name)
		}
		one = append(one, p...)
		return nil
	})
	if err == nil && one == nil {
		err = errors.New("expected a paragraph, got nothing")
	}
	return one, err
}
