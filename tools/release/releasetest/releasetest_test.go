package releasetest_test

import (
	"testing"

	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
)

func TestNew(t *testing.T) {
	f := releasetest.New(t)
	f.Sign(t)
	d := f.Open(t)
	if n := len(d.Bundles); n != 9 {
		t.Errorf("got %d bundles, want 9: of the builder about 7 statements and the release, and of the rebuilder", n)
	}
	if n := len(d.Links); n != 2 {
		t.Errorf("got %d links, want 2", n)
	}
}
