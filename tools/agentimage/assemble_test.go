package agentimage_test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
)

var update = flag.Bool("update", false, "write the golden files anew")

func load(t *testing.T, text string) *agentimage.Definition {
	t.Helper()
	d, err := agentimage.Load(writeDefinition(t, t.TempDir(), "finance", text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func inputs() agentimage.Inputs {
	return agentimage.Inputs{Program: []byte("program"), CABundle: []byte("bundle"), Epoch: time.Unix(0, 0)}
}

func assemble(t *testing.T, text string) v1.Image {
	t.Helper()
	img, err := agentimage.Assemble(load(t, text), inputs())
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Errorf("go-containerregistry finds the image unsound: %v", err)
	}
	return img
}

// The golden files hold manifest and config to the byte, so nothing changes an image's digest unseen: no new release of Go,
// of go-containerregistry, or of package deflate.
func TestGolden(t *testing.T) {
	img := assemble(t, sound)
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"manifest.json": manifest, "config.json": config} {
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is\n%s\nwant (run with -update if that is meant)\n%s", name, got, want)
		}
	}
}

func TestContent(t *testing.T) {
	r := mutate.Extract(assemble(t, sound))
	defer r.Close()
	got := make(map[string]string)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		owner := ""
		if h.Uid != 0 || h.Gid != 0 {
			owner = " of the agent"
			if h.Uid != 10001 || h.Gid != 10002 {
				t.Errorf("%s belongs to %d:%d", h.Name, h.Uid, h.Gid)
			}
		}
		got[h.Name] = h.FileInfo().Mode().String() + owner + " " + string(content)
	}
	want := map[string]string{
		"app":                               "drwxr-xr-x ",
		"app/data":                          "drwxr-x--- of the agent ",
		"etc":                               "drwxr-xr-x ",
		"etc/group":                         "-rw-r--r-- root:x:0:\nagent:x:10002:\n",
		"etc/passwd":                        "-rw-r--r-- root:x:0:0:root:/:/sbin/nologin\nagent:x:10001:10002::/app:/sbin/nologin\n",
		"etc/ssl":                           "drwxr-xr-x ",
		"etc/ssl/certs":                     "drwxr-xr-x ",
		"etc/ssl/certs/ca-certificates.crt": "-rw-r--r-- bundle",
		"usr":                               "drwxr-xr-x ",
		"usr/bin":                           "drwxr-xr-x ",
		"usr/bin/agent":                     "-rwxr-xr-x program",
		"usr/share":                         "drwxr-xr-x ",
		"usr/share/notice":                  "-rw-r--r-- notice\n",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("image holds\n%q\nwant\n%q", got, want)
	}
}

func TestEnvironment(t *testing.T) {
	tests := []struct {
		kind string
		want []string
	}{
		{"finance", []string{
			"AGENT_API_PORT=8081", "AGENT_ATTESTATION_PORT=29344", "AGENT_MAX_MEMORY_MB=7000", "AGENT_MODEL_NAME=a/model",
			"AGENT_TYPE=finance", "EXTRA=value", "PATH=/usr/bin",
		}},
		{"hub", []string{
			"EXTRA=value", "HUB_API_PORT=8081", "HUB_ATTESTATION_PORT=29344", "HUB_MAX_MEMORY_MB=7000", "HUB_MODEL_NAME=a/model", "PATH=/usr/bin",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			config, err := assemble(t, with(t, "type", `"`+tt.kind+`"`)).ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(config.Config.Env, tt.want) {
				t.Errorf("environment is %q, want %q", config.Config.Env, tt.want)
			}
		})
	}
}

// Agents that share program and base share layers: a host stores and measures them once.
func TestLayersAreShared(t *testing.T) {
	a, err := assemble(t, sound).Layers()
	if err != nil {
		t.Fatal(err)
	}
	b, err := assemble(t, strings.NewReplacer("finance", "sales", "8081", "8083", "a/model", "b/model").Replace(sound)).Layers()
	if err != nil {
		t.Fatal(err)
	}
	for i := range a {
		x, errX := a[i].Digest()
		y, errY := b[i].Digest()
		if x != y || errX != nil || errY != nil {
			t.Errorf("layer %d: %v (%v) and %v (%v)", i, x, errX, y, errY)
		}
	}
}

func TestProgramIsTheLastLayer(t *testing.T) {
	d := load(t, sound)
	first, err := agentimage.Assemble(d, inputs())
	if err != nil {
		t.Fatal(err)
	}
	changed := inputs()
	changed.Program = []byte("another")
	second, err := agentimage.Assemble(d, changed)
	if err != nil {
		t.Fatal(err)
	}
	a, err := first.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	b, err := second.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if a.Layers[0].Digest != b.Layers[0].Digest || a.Layers[1].Digest == b.Layers[1].Digest || len(a.Layers) != 2 {
		t.Errorf("another program changes the layers %v to %v, want only the second of two changed", a.Layers, b.Layers)
	}
}

func TestAssembleRefusesFiles(t *testing.T) {
	tests := []struct {
		name, files string
		prepare     func(t *testing.T, folder string)
		want        string
	}{
		{"missing", `[{"from":"absent","to":"/x"}]`, nil, `files[0].from: `},
		{"other content", `[{"from":"files/notice","to":"/x","sha256":"` + strings.Repeat("0", 64) + `"}]`, nil,
			`files/notice: expected sha256 ` + strings.Repeat("0", 64) + `, got 5de37b4c620461f2b695f1cf6b8ee36e7d025da8334a3693c4ed9aa48a5c7d6a`},
		{"link out", `[{"from":"link","to":"/x"}]`, func(t *testing.T, folder string) {
			if err := os.Symlink("/etc/passwd", filepath.Join(folder, "link")); err != nil {
				t.Fatal(err)
			}
		}, `files[0].from: `},
		{"path taken", `[{"from":"files/notice","to":"/etc/passwd"}]`, nil, `/etc/passwd: stands twice`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := writeDefinition(t, t.TempDir(), "finance", with(t, "files", tt.files))
			if tt.prepare != nil {
				tt.prepare(t, filepath.Dir(file))
			}
			d, err := agentimage.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := agentimage.Assemble(d, inputs()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestPinnedFileIsTaken(t *testing.T) {
	assemble(t, with(t, "files", `[{"from":"files/notice","to":"/x","sha256":"5de37b4c620461f2b695f1cf6b8ee36e7d025da8334a3693c4ed9aa48a5c7d6a"}]`))
}

func TestEpoch(t *testing.T) {
	for value, want := range map[string]int64{"": 0, "0": 0, "1700000000": 1700000000, "253402300799": 253402300799} {
		if got, err := agentimage.Epoch(value); err != nil || got.Unix() != want || got.Location() != time.UTC {
			t.Errorf("Epoch(%q) = %v, %v", value, got, err)
		}
	}
	for _, bad := range []string{"-1", "+1", "x", "1.5", " 1", "253402300800", "99999999999999999999"} {
		if _, err := agentimage.Epoch(bad); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH: expected") {
			t.Errorf("Epoch(%q): error is %v", bad, err)
		}
	}
}

func TestEpochReachesEveryTime(t *testing.T) {
	in := inputs()
	in.Epoch = time.Date(2020, 2, 3, 4, 5, 6, 0, time.FixedZone("far", 5*3600))
	img, err := agentimage.Assemble(load(t, sound), in)
	if err != nil {
		t.Fatal(err)
	}
	const want = "2020-02-02T23:05:06Z"
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(raw), want); n != 3 {
		t.Errorf("config has %d times %s, want 3 (created, two of history): %s", n, want, raw)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := manifest.Annotations["org.opencontainers.image.created"]; got != want {
		t.Errorf("annotation created is %q, want %q", got, want)
	}
}
