//go:build acceptance

package acceptance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// registry starts an empty registry and returns its host.
func registry(t testing.TB) string {
	t.Helper()
	need(t, "docker-registry")
	dir := fresh(t)
	config := filepath.Join(dir, "config.yml")
	check(t, os.WriteFile(config, fmt.Appendf(nil, `
version: 0.1
storage:
  filesystem:
    rootdirectory: %s
http:
  addr: 127.0.0.1:0
`, filepath.Join(dir, "storage")), 0o644))
	cmd := exec.CommandContext(context.Background(), "docker-registry", "serve", config)
	log, err := cmd.StderrPipe()
	check(t, err)
	check(t, cmd.Start())
	host, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				host <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		check(t, cmd.Process.Kill())
		<-ended
		_ = cmd.Wait() // it was killed
	})
	select {
	case h := <-host:
		return h
	case <-ended:
		t.Fatal("docker-registry ended before it listened")
	case <-time.After(patience):
		t.Fatal("docker-registry does not listen")
	}
	return ""
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
