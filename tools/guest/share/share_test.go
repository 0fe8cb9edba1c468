package share_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/guest/share"
)

// simShare is a folder as dstack-vmm makes it.
func simShare(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		share.AppCompose: "{}", share.SysConfig: "{ }", share.UserConfig: "\x00user", ".tee-simulator.json": "unexpected", "other": "unexpected",
	} {
		write(t, dir, name, text)
	}
	return dir
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRead(t *testing.T) {
	dir := simShare(t)
	got, err := share.Read(dir)
	want := share.Files{share.AppCompose: []byte("{}"), share.SysConfig: []byte("{ }"), share.UserConfig: []byte("\x00user")}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	limit := strings.Repeat("x", 128<<10)
	write(t, dir, share.AppCompose, limit)
	if got, err := share.Read(dir); err != nil || string(got[share.AppCompose]) != limit {
		t.Errorf("a file of the largest size: %v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(target string) func(path string) error {
		return func(path string) error { return os.Symlink(target, path) }
	}
	large := func(size int64) func(path string) error {
		return func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, size)
		}
	}
	for name, tt := range map[string]struct {
		file string
		make func(path string) error // nil: there is no such file
		want string
	}{
		"no compose file":         {share.AppCompose, nil, "gave none"},
		"no system configuration": {share.SysConfig, nil, "gave none"},
		"link to outside":         {share.AppCompose, link(outside), "symbolic link"},
		"link to inside":          {share.AppCompose, link("other"), "symbolic link"},
		"link to nowhere":         {share.UserConfig, link("/nonexistent"), "symbolic link"},
		"link to a process":       {share.EncryptedEnv, link("/proc/self/environ"), "symbolic link"},
		"FIFO":                    {share.EncryptedEnv, func(path string) error { return syscall.Mkfifo(path, 0o600) }, "regular file"},
		"folder":                  {share.InstanceInfo, func(path string) error { return os.Mkdir(path, 0o700) }, "regular file"},
		"socket": {share.UserConfig, func(path string) error {
			// The path of a socket has to be short.
			dir, err := os.MkdirTemp("", "share")
			if err != nil {
				return err
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			listener, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				return err
			}
			t.Cleanup(func() { listener.Close() })
			return os.Link(filepath.Join(dir, "s"), path)
		}, "device or address"},
		"large compose file":         {share.AppCompose, large(128<<10 + 1), "131072"},
		"large system configuration": {share.SysConfig, large(32<<10 + 1), "32768"},
		"large instance":             {share.InstanceInfo, large(10<<10 + 1), "10240"},
		"large environment":          {share.EncryptedEnv, large(256<<10 + 1), "262144"},
		"large user configuration":   {share.UserConfig, large(1<<20 + 1), "1048576"},
		"enormous":                   {share.UserConfig, large(1 << 40), "1048576"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := simShare(t)
			path := filepath.Join(dir, tt.file)
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if tt.make != nil {
				if err := tt.make(path); err != nil {
					t.Fatal(err)
				}
			}
			files, err := share.Read(dir)
			var refused *share.FileError
			if !errors.As(err, &refused) || refused.Name != tt.file || !strings.Contains(err.Error(), tt.want) || files != nil {
				t.Errorf("got %d files, %v, want an error about %s with %q", len(files), err, tt.file, tt.want)
			}
		})
	}
	if _, err := share.Read(filepath.Join(t.TempDir(), "absent")); err == nil {
		t.Error("a folder that is not there was read")
	}
	linked := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(simShare(t), linked); err != nil {
		t.Fatal(err)
	}
	if _, err := share.Read(linked); err == nil {
		t.Error("a link to a folder was followed")
	}
}

func TestParseSystem(t *testing.T) {
	const file = `{"kms_urls":["https://kms"],"gateway_urls":[],"pccs_url":"","docker_registry":"https://mirror.example","host_api_url":"vsock://2:10000/api",` +
		`"vm_config":"{\"cpu_count\":2}","mr_config":"{\"version\":3}","new_in_some_release":1}`
	got, err := share.ParseSystem([]byte(file))
	want := share.System{VMConfig: `{"cpu_count":2}`, MRConfig: []byte(`{"version":3}`), Registry: "https://mirror.example", HostAPI: "vsock://2:10000/api"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	got, err = share.ParseSystem([]byte(`{"vm_config":"{}","mr_config":null,"docker_registry":""}`))
	if err != nil || !reflect.DeepEqual(got, share.System{VMConfig: "{}"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for file, want := range map[string]string{
		``: "", `[]`: "", `{}`: "vm_config", `{"vm_config":{}}`: "vm_config", `{"vm_config":"x"}`: "vm_config", `{"vm_config":"[]"}`: "vm_config",
		`{"vm_config":"{}","vm_config":"{}"}`: "vm_config", `{"vm_config":"{}","mr_config":{}}`: "mr_config",
		`{"vm_config":"{\"a\":1,\"a\":2}"}`: "vm_config", `{"vm_config":"{}","docker_registry":"file:///x"}`: "docker_registry",
		`{"vm_config":"{}","docker_registry":"https://u:p@x"}`: "docker_registry", `{"vm_config":"{}","docker_registry":1}`: "docker_registry",
	} {
		if got, err := share.ParseSystem([]byte(file)); err == nil || !strings.Contains(err.Error(), share.SysConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v, want an error with %q", file, got, err, want)
		}
	}
}

func TestParseInstance(t *testing.T) {
	const id = "00112233445566778899aabbccddeeff00112233"
	got, err := share.ParseInstance([]byte(`{"instance_id_seed":"` + id + `","instance_id":"` + id + `","app_id":"` + id + `"}`))
	if err != nil || !bytes.Equal(got.Seed, got.App[:]) || got.App.String() != id {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, file := range []string{"", "\n", "{}", `{"instance_id_seed":"","app_id":""}`} {
		if got, err := share.ParseInstance([]byte(file)); err != nil || !reflect.DeepEqual(got, share.Instance{}) {
			t.Errorf("%q: got %+v, %v", file, got, err)
		}
	}
	for _, file := range []string{"x", "[]", `{"app_id":"00"}`, `{"instance_id_seed":"00"}`, `{"instance_id_seed":"` + id + `","instance_id_seed":""}`, `{"app_id":1}`} {
		if got, err := share.ParseInstance([]byte(file)); err == nil {
			t.Errorf("%q: got %+v", file, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"vm_config":"{}"}`))
	f.Add([]byte(`{"instance_id_seed":"00112233445566778899aabbccddeeff00112233"}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		if s, err := share.ParseSystem(file); err == nil && s.VMConfig == "" {
			t.Error("no vm_config, and no error")
		}
		if i, err := share.ParseInstance(file); err == nil && i.Seed != nil && len(i.Seed) != 20 {
			t.Errorf("a seed of %d bytes", len(i.Seed))
		}
	})
}
