package deflate

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestHermetic checks the source for what could let the output move without a
// change here: a foreign compressor, floating point, or map order.
func TestHermetic(t *testing.T) {
	allowed := map[string]bool{
		"encoding/binary": true, "errors": true, "hash/crc32": true, "io": true,
		"math/bits": true, "runtime": true, "slices": true, "sync": true,
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		files++
		fset := gotoken.NewFileSet()
		f, err := parser.ParseFile(fset, e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			if path, _ := strconv.Unquote(imp.Path.Value); !allowed[path] {
				t.Errorf("%s imports %s", fset.Position(imp.Pos()), path)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.MapType:
				t.Errorf("%s: map", fset.Position(n.Pos()))
			case *ast.BasicLit:
				if n.Kind == gotoken.FLOAT {
					t.Errorf("%s: floating point", fset.Position(n.Pos()))
				}
			case *ast.Ident:
				if n.Name == "float32" || n.Name == "float64" {
					t.Errorf("%s: floating point", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if files == 0 {
		t.Error("no source files found")
	}
}
