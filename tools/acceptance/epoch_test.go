//go:build acceptance

package acceptance

import (
	"fmt"
	"path/filepath"
	"testing"
)

// The time of an image is the one that was asked for, by whichever path it is built.
func TestSourceDateEpoch(t *testing.T) {
	const epoch = "1700000000"
	p := plain(t)
	to := filepath.Join(fresh(t), "layout")
	at{dir: p.tree, env: []string{"SOURCE_DATE_EPOCH=" + epoch}}.must(t,
		boardroom, "image", "build", "finance-agent", "--cache", p.cache, "--to", to)
	if digest(t, to) == digest(t, p.layouts["finance-agent"]) {
		t.Error("SOURCE_DATE_EPOCH changes nothing")
	}

	tree := nixClone(t)
	expression := fmt.Sprintf(`
		let tree = %s; in (builtins.getFlake "git+file://${toString tree}").lib.mkAgentImage {
			src = tree;
			definition = tree + "/images/agents/finance";
			folders = (builtins.fromJSON (builtins.readFile (tree + "/nix/programs.json"))).agent;
			sourceDateEpoch = %s;
		}`, tree, epoch)
	// A flake at a path of today can not be evaluated purely.
	at{dir: tree}.must(t, "nix", "build", "--no-link", "--impure", "--expr", expression)
	sameImage(t, at{dir: tree}.must(t, "nix", "eval", "--raw", "--impure", "--expr", "("+expression+").outPath"), to)
}

func TestMalformedSourceDateEpoch(t *testing.T) {
	p := plain(t)
	for _, value := range []string{"yesterday", "-1", "1.5", "0x10", " 1", "253402300800", "99999999999999999999"} {
		at{dir: p.tree, env: []string{"SOURCE_DATE_EPOCH=" + value}}.try(t,
			boardroom, "image", "build", "finance-agent", "--cache", p.cache, "--to", filepath.Join(fresh(t), "layout")).
			ended(t, 2, "SOURCE_DATE_EPOCH", fmt.Sprintf("%q", value))
	}
}
