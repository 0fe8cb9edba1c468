package release

import (
	"fmt"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
)

// NoStep is what a signer did who has no link: one without a key of its own has none, and nobody has to have one.
const NoStep = "none"

// Link is what whoever did a step signs.
func (r *Release) Link(step string) (in_toto.Link, error) {
	if step != BuildStep && step != RebuildStep {
		return in_toto.Link{}, fmt.Errorf("link: expected the step %s or %s, got %q", BuildStep, RebuildStep, step)
	}
	products, err := r.Products()
	if err != nil {
		return in_toto.Link{}, err
	}
	return layout.NewLink(step, r.Materials(), products), nil
}

// Functionaries are who may do a step, and how many of them have to.
type Functionaries struct {
	Keys      []provenance.Key
	Threshold int
}

// NewLayout makes the in-toto layout of releases: what rebuilders make has to be what builders made, from the same source. Where no
// rebuilder has a key, there is no such step.
func NewLayout(expires time.Time, builders, rebuilders Functionaries) (in_toto.Layout, error) {
	nothingElse := []string{"DISALLOW", "*"}
	steps := []layout.Step{
		{
			Name: BuildStep, Who: builders.Keys, Threshold: builders.Threshold,
			Materials: [][]string{{"REQUIRE", SourceMaterial}, {"ALLOW", SourceMaterial}, nothingElse},
			Products:  [][]string{{"REQUIRE", ManifestFile}, {"ALLOW", ManifestFile}, {"ALLOW", ImagesFolder + "/*"}, {"ALLOW", GuestsFolder + "/*"}, nothingElse},
		},
		{
			Name: RebuildStep, Who: rebuilders.Keys, Threshold: rebuilders.Threshold,
			Materials: [][]string{{"REQUIRE", SourceMaterial}, {"MATCH", SourceMaterial, "WITH", "MATERIALS", "FROM", BuildStep}, nothingElse},
			Products:  [][]string{{"REQUIRE", ManifestFile}, {"MATCH", "*", "WITH", "PRODUCTS", "FROM", BuildStep}, nothingElse},
		},
	}
	if len(rebuilders.Keys) == 0 {
		steps = steps[:1]
	}
	return layout.New(expires, "Releases are built, and built again by somebody else; both have to be the same.", steps...)
}
