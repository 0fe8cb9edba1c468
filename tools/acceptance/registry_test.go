//go:build acceptance

package acceptance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/oci/registry/registrytest"
)

// registry starts an empty registry and returns its host.
func registry(t testing.TB) string {
	t.Helper()
	need(t, "docker-registry")
	return registrytest.New(t)
}

func TestPush(t *testing.T) {
	host, layouts := registry(t), plain(t).layouts
	ours, other := layouts["finance-agent"], layouts["hub"]
	ref := host + "/boardroom/finance-boardroom-tee:v1"
	present := func() string {
		return at{}.must(t, "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://"+ref)
	}
	push := func(layout string, flags ...string) outcome {
		return at{}.try(t, append([]string{boardroom, "image", "push", layout, ref}, flags...)...)
	}

	push(ours).ended(t, 0)
	if got, want := present(), digest(t, ours); got != want {
		t.Errorf("pushed %s, the registry has %s", want, got)
	}

	again := push(ours, "--output", "json")
	again.ended(t, 0)
	var pushed struct{ Reference, Digest string }
	check(t, json.Unmarshal([]byte(again.stdout), &pushed))
	if want := digest(t, ours); pushed.Digest != want || pushed.Reference != host+"/boardroom/finance-boardroom-tee@"+want {
		t.Errorf("pushed again: %+v", pushed)
	}

	push(other).ended(t, 1, digest(t, ours), digest(t, other))
	if got, want := present(), digest(t, ours); got != want {
		t.Errorf("a refused push moved the tag from %s to %s", want, got)
	}

	push(other, "--move-tag").ended(t, 0)
	if got, want := present(), digest(t, other); got != want {
		t.Errorf("the tag names %s, want %s", got, want)
	}

	// The image came through whole.
	copied := filepath.Join(fresh(t), "copied")
	at{}.must(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+ref, "oci:"+copied+":hub")
	if got, want := digest(t, copied), digest(t, other); got != want {
		t.Errorf("pulled %s, want %s", got, want)
	}
}

func TestPushWithoutRegistry(t *testing.T) {
	layout := plain(t).layouts["hub"]
	// Nothing listens on port 1.
	at{}.try(t, boardroom, "image", "push", layout, "127.0.0.1:1/hub:v1").ended(t, 3, "127.0.0.1:1")
	at{}.try(t, boardroom, "image", "push", layout, "not a reference").ended(t, 2, "not a reference")
	at{}.try(t, boardroom, "image", "push", filepath.Join(fresh(t), "none"), "127.0.0.1:1/hub:v1").ended(t, 3)
}

func TestTamperedImageIsNotPushed(t *testing.T) {
	host := registry(t)
	dir := filepath.Join(fresh(t), "layout")
	check(t, os.CopyFS(dir, os.DirFS(plain(t).layouts["hub"])))
	config := readManifest(t, dir).Config.Digest
	edit(t, blob(dir, config), flip)
	ref := host + "/hub:v1"
	at{}.try(t, boardroom, "image", "push", dir, ref).ended(t, 1, config)
	at{}.try(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+ref).failed(t)
}
