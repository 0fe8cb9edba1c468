//go:build acceptance

package release_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
	"github.com/boardroom-tee/boardroom/tools/gobuild"
	"github.com/boardroom-tee/boardroom/tools/release"
)

// TestCreateAgents makes the release of this repository's last commit: of all agents, with the digests that "image build" gives them, and
// twice the same from two clones.
func TestCreateAgents(t *testing.T) {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	o := release.CreateOptions{Name: "board", Version: "1.2.3", Repository: "registry.example/board", Cache: filepath.Join(cache, "boardroom"), Progress: os.Stderr}
	if named := os.Getenv("BOARDROOM_CACHE"); named != "" {
		o.Cache = named
	}
	clone := func() string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "clone")
		if out, err := exec.Command("git", "clone", "--quiet", "../..", dir).CombinedOutput(); err != nil {
			t.Fatalf("git clone: %v\n%s", err, out)
		}
		return dir
	}
	o.Source = clone()
	start := time.Now()
	d, to := create(t, o)
	t.Logf("created in %s", time.Since(start))
	first := contents(t, to)

	definitions, err := agentimage.LoadAll(filepath.Join(o.Source, "images", "agents"))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Release.Images) != len(definitions) || len(d.Release.Applications) != len(definitions) {
		t.Errorf("got %d images and %d applications, want %d", len(d.Release.Images), len(d.Release.Applications), len(definitions))
	}
	bundle, err := agentimage.LoadCABundle(filepath.Join(o.Source, "images", "ca-certificates"))
	if err != nil {
		t.Fatal(err)
	}
	builder, err := gobuild.New(t.Context(), o.Source, o.Cache, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range d.Release.Images {
		definition, err := agentimage.Named(definitions, m.Name)
		if err != nil {
			t.Fatal(err)
		}
		program, err := builder.Program(t.Context(), definition.Program)
		if err != nil {
			t.Fatal(err)
		}
		img, err := agentimage.Assemble(definition, agentimage.Inputs{Program: program, CABundle: bundle, Epoch: time.Unix(0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		if digest, err := img.Digest(); err != nil || digest.String() != m.Digest.String() {
			t.Errorf("%s: got %s, want %s, %v", m.Name, m.Digest, digest, err)
		}
	}

	o.Source = clone()
	_, to = create(t, o)
	if names := differences(first, contents(t, to)); len(names) > 0 {
		t.Errorf("two runs differ in %v", names)
	}
}
