package release

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestCodesAreDocumented holds CODES.md to the tables of the program: every check in its order, every code of this package.
func TestCodesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("CODES.md")
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, c := range checks {
		line := fmt.Sprintf("| `%s` | %s |\n", c.name, c.meaning)
		i := bytes.Index(doc[at:], []byte(line))
		if i < 0 {
			t.Fatalf("CODES.md does not have this line, or not in this order:\n%s", line)
		}
		at += i + len(line)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Code" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, text)
		}
		return true
	})
	if len(codes) < 40 {
		t.Fatalf("found %d codes", len(codes))
	}
	for i, code := range codes {
		if slices.Contains(codes[:i], code) {
			t.Errorf("%s stands twice", code)
		}
		if !strings.Contains(string(doc), "\n| `"+code+"` | ") {
			t.Errorf("CODES.md does not explain %s", code)
		}
	}
}

// A report has every check, and without any of them made it is no acceptance.
func TestReportOfNothing(t *testing.T) {
	r := newReport(verificationTime)
	if r.conclude(); r.Accepted || r.Refusal == nil || r.Refusal.Code != CodeUnchecked || len(r.Checks) != len(checks) {
		t.Errorf("got %+v", r)
	}
	for i := range r.Checks {
		r.Checks[i].Result = Pass
	}
	if r.conclude(); !r.Accepted || r.Refusal != nil {
		t.Errorf("all passed: got %+v", r)
	}
	r.Checks[len(r.Checks)-1].Result = Outcome("surprise")
	if r.conclude(); r.Accepted {
		t.Error("an outcome that is not known: accepted")
	}
}
