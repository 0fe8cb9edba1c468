//go:build acceptance

package acceptance

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// maxImage is the most that an image may take compressed, in bytes.
const maxImage = 12 << 20

// definition is what an independent reader of images/agents needs of it.
type definition struct {
	Name, Repository, Title, Version, Licenses, Source, Program, Model string
	Type                                                               string
	Ports                                                              struct{ API, Attestation int }
	User                                                               struct {
		Name     string
		UID, GID int
	}
	Volumes []string
}

func definitionOf(t testing.TB, agent string) definition {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(source, "images/agents", strings.TrimSuffix(agent, "-agent"), "image.json"))
	check(t, err)
	var d definition
	check(t, json.Unmarshal(data, &d))
	return d
}

func (d definition) program() string { return "/usr/bin/" + path.Base(d.Program) }

func TestSkopeoReadsImages(t *testing.T) {
	for _, name := range agents {
		t.Run(name, func(t *testing.T) {
			d, layout := definitionOf(t, name), plain(t).layouts[name]
			var image struct {
				Digest, Architecture, Os, Created string
				Env                               []string
			}
			check(t, json.Unmarshal([]byte(at{}.must(t, "skopeo", "inspect", "oci:"+layout+":"+d.Repository)), &image))
			if want := digest(t, layout); image.Digest != want {
				t.Errorf("digest %s, want %s", image.Digest, want)
			}
			if image.Architecture != "amd64" || image.Os != "linux" || image.Created != "1970-01-01T00:00:00Z" {
				t.Errorf("platform and time %+v", image)
			}
			checkConfig(t, d, layout)
			checkAnnotations(t, d, layout)
		})
	}
}

func checkConfig(t *testing.T, d definition, layout string) {
	t.Helper()
	var image struct {
		Config struct {
			User         string
			ExposedPorts map[string]struct{}
			Entrypoint   []string
			Cmd          []string
			Volumes      map[string]struct{}
			Env          []string
		}
	}
	check(t, json.Unmarshal([]byte(at{}.must(t, "skopeo", "inspect", "--config", "oci:"+layout)), &image))
	config := image.Config
	if want := fmt.Sprintf("%d:%d", d.User.UID, d.User.GID); config.User != want || d.User.UID == 0 {
		t.Errorf("user %q, want %s and not root", config.User, want)
	}
	ports := map[string]struct{}{fmt.Sprintf("%d/tcp", d.Ports.API): {}, fmt.Sprintf("%d/tcp", d.Ports.Attestation): {}}
	if !reflect.DeepEqual(config.ExposedPorts, ports) {
		t.Errorf("ports %v, want %v", config.ExposedPorts, ports)
	}
	if !slices.Equal(config.Entrypoint, []string{d.program()}) || config.Cmd != nil {
		t.Errorf("command %q %q, want %s", config.Entrypoint, config.Cmd, d.program())
	}
	for _, volume := range d.Volumes {
		if _, ok := config.Volumes[volume]; !ok {
			t.Errorf("volumes %v lack %s", config.Volumes, volume)
		}
	}
	for _, secret := range []string{"AGENT_PRIVATE_KEY", "HUB_SHARED_SECRET", "CLIENT_ENCRYPTION_KEY"} {
		if slices.ContainsFunc(config.Env, func(e string) bool { return strings.HasPrefix(e, secret) }) {
			t.Errorf("the environment has %s", secret)
		}
	}
}

func checkAnnotations(t *testing.T, d definition, layout string) {
	t.Helper()
	annotations := readManifest(t, layout).Annotations
	for key, want := range map[string]string{
		"title": d.Title, "version": d.Version, "licenses": d.Licenses, "source": d.Source, "created": "1970-01-01T00:00:00Z",
	} {
		if got := annotations["org.opencontainers.image."+key]; got != want {
			t.Errorf("annotation %s is %q, want %q", key, got, want)
		}
	}
}

func TestSkopeoCopiesImages(t *testing.T) {
	layout := plain(t).layouts["finance-agent"]
	dir := fresh(t)
	// The policy is about signatures of other registries' images.
	at{}.must(t, "skopeo", "--insecure-policy", "copy", "oci:"+layout, "dir:"+filepath.Join(dir, "dir"))
	if got, want := "sha256:"+sha256File(t, filepath.Join(dir, "dir", "manifest.json")), digest(t, layout); got != want {
		t.Errorf("copied manifest has digest %s, want %s", got, want)
	}
	archive := filepath.Join(dir, "image.tar")
	at{}.must(t, "skopeo", "--insecure-policy", "copy", "oci:"+layout, "docker-archive:"+archive+":finance:latest")
	// An image's ID, for Docker, is its config's digest.
	config, _ := strings.CutPrefix(readManifest(t, layout).Config.Digest, "sha256:")
	if got, want := sha256Text(at{}.must(t, "skopeo", "inspect", "--raw", "--config", "docker-archive:"+archive)), config; got != want {
		t.Errorf("config in Docker's archive has digest %s, want %s", got, want)
	}
}

func TestImageSize(t *testing.T) {
	for _, name := range agents {
		var size int64
		check(t, filepath.WalkDir(plain(t).layouts[name], func(_ string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			if err == nil {
				size += info.Size()
			}
			return err
		}))
		t.Logf("%s: %.2f MiB", name, float64(size)/(1<<20))
		if size > maxImage {
			t.Errorf("%s: %d bytes, want at most %d", name, size, maxImage)
		}
	}
}

// unpack makes a runtime bundle of an image.
func unpack(t *testing.T, agent string) string {
	t.Helper()
	dir := filepath.Join(fresh(t), "bundle")
	at{}.must(t, "umoci", "unpack", "--image", plain(t).layouts[agent]+":"+definitionOf(t, agent).Repository, dir)
	return dir
}

// What is in an image is known to the file: program, CA bundle, user database, volume folders, and what these stand in.
func TestUmociUnpacksImages(t *testing.T) {
	for _, name := range agents {
		t.Run(name, func(t *testing.T) {
			d, rootfs := definitionOf(t, name), filepath.Join(unpack(t, name), "rootfs")
			want := []string{
				"drwxr-xr-x 0:0 /",
				"drwxr-xr-x 0:0 /app",
				"drwxr-xr-x 0:0 /etc",
				"-rw-r--r-- 0:0 /etc/group",
				"-rw-r--r-- 0:0 /etc/passwd",
				"drwxr-xr-x 0:0 /etc/ssl",
				"drwxr-xr-x 0:0 /etc/ssl/certs",
				"-rw-r--r-- 0:0 /etc/ssl/certs/ca-certificates.crt",
				"drwxr-xr-x 0:0 /usr",
				"drwxr-xr-x 0:0 /usr/bin",
				"-rwxr-xr-x 0:0 " + d.program(),
			}
			for _, volume := range d.Volumes {
				want = append(want, fmt.Sprintf("drwxr-x--- %d:%d %s", d.User.UID, d.User.GID, volume))
			}
			slices.Sort(want)
			if got := owned(t, rootfs); !slices.Equal(got, want) {
				t.Errorf("root file system:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got, want := sha256File(t, filepath.Join(rootfs, "etc/ssl/certs/ca-certificates.crt")), sha256File(t, filepath.Join(source, bundle)); got != want {
				t.Errorf("CA bundle has sha256 %s, want %s", got, want)
			}
			checkStatic(t, filepath.Join(rootfs, d.program()))
		})
	}
}

// owned lists a tree with permissions and owners, sorted.
func owned(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	check(t, filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		owner := info.Sys().(*syscall.Stat_t)
		lines = append(lines, fmt.Sprintf("%s %d:%d %s", info.Mode(), owner.Uid, owner.Gid, path.Join("/", rel)))
		return err
	}))
	slices.Sort(lines)
	return lines
}

func checkStatic(t *testing.T, program string) {
	t.Helper()
	f, err := elf.Open(program)
	check(t, err)
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("%s is not static: it has %s", program, p.Type)
		}
	}
}
