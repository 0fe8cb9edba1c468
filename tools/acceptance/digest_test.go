//go:build acceptance

package acceptance

import (
	"path/filepath"
	"testing"
)

// Two build paths, two clones, one image.
func TestBothPathsGiveOneDigest(t *testing.T) {
	for _, name := range agents {
		t.Run(name, func(t *testing.T) {
			sameImage(t, nixBuild(t, nixClone(t), name), plain(t).layouts[name])
		})
	}
}

func TestClonesShareOutputs(t *testing.T) {
	one, other := evaluate(t, nixClone(t)), evaluate(t, clone(t, filepath.Join(fresh(t), "somewhere", "else")))
	for name, want := range one {
		if got := other[name]; got != want {
			t.Errorf("%s: %+v in one clone, %+v in another", name, want, got)
		}
	}
}

// Nix builds again what it has and compares.
func TestRebuild(t *testing.T) {
	for _, attribute := range append([]string{"boardroom", "finance-agent.program", "finance-agent.assembler"}, agents...) {
		t.Run(attribute, func(t *testing.T) {
			tree := nixClone(t)
			nixBuild(t, tree, attribute)
			at{dir: tree}.must(t, "nix", "build", "--no-link", "--rebuild", ".#"+attribute)
		})
	}
}
