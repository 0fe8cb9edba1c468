package guestimage_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/guest/agent"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/guestimage/guestimagetest"
)

// golden is the digest of the production image of guestimagetest. A new one means that hosts and verifiers are to take another image.
const golden = "f1fefe0e3abc1d55329632c4093d7963f9443ed3622aff44995f7cbed6092485"

// variables is the variable store of Debian's firmware.
func variables(t *testing.T) []byte {
	t.Helper()
	f, err := os.Open("../tdx/testdata/firmware/OVMF_VARS_4M.fd.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func source(t *testing.T) *guestimagetest.Source {
	t.Helper()
	s, err := guestimagetest.New(variables(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// build builds the image of a source in a folder of its own.
func build(t *testing.T, s *guestimagetest.Source, flavour guestimage.Flavour) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	d, in, err := guestimagetest.Open(t.Context(), dir, flavour)
	for _, tree := range []io.Closer{in.Packages, in.Firmware} {
		if err == nil {
			t.Cleanup(func() { tree.Close() })
		}
	}
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "image")
	return to, guestimage.Build(t.Context(), d, in, to)
}

// built is an image that has to be.
func built(t *testing.T, flavour guestimage.Flavour) string {
	t.Helper()
	dir, err := build(t, source(t), flavour)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = info.Mode().String() + string(data)
	}
	return all
}

func TestGolden(t *testing.T) {
	im, err := guestimage.Inspect(built(t, guestimage.Production), guestimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if im.Digest.String() != golden {
		t.Errorf("got %s, want %s", im.Digest, golden)
	}
	if im.IsDev || im.Version != "0.5.11" || im.Layout != "B" || im.Contents.Kernel != guestimagetest.Release {
		t.Errorf("got %+v", im)
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	first := contents(t, built(t, guestimage.Development))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	t.Setenv("TZ", "Asia/Tokyo")
	if second := contents(t, built(t, guestimage.Development)); !maps.Equal(first, second) {
		for name := range first {
			if first[name] != second[name] {
				t.Errorf("%s differs", name)
			}
		}
	}
}

func TestFlavoursDiffer(t *testing.T) {
	production, development := contents(t, built(t, guestimage.Production)), contents(t, built(t, guestimage.Development))
	if production["digest.txt"] == development["digest.txt"] {
		t.Error("both flavours have one digest")
	}
	if !strings.Contains(development["metadata.json"], `"is_dev": true`) || !strings.Contains(production["metadata.json"], `"is_dev": false`) {
		t.Error("metadata.json does not tell the flavours apart")
	}
}

// TestContents holds the list to what was kept and left out.
func TestContents(t *testing.T) {
	im, err := guestimage.Inspect(built(t, guestimage.Production), guestimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, x := range im.Contents.Executables {
		paths = append(paths, x.Path)
	}
	if want := []string{"usr/bin/oci", "usr/bin/runc", "usr/sbin/init"}; !slices.Equal(paths, want) {
		t.Errorf("executables: got %v, want %v", paths, want)
	}
	if len(im.Contents.Units) != 0 || len(im.Contents.Setuid) != 0 || len(im.Contents.Ports) != 1 || len(im.Contents.Packages) != 1 {
		t.Errorf("got %+v", im.Contents)
	}
}

func TestBuildRefuses(t *testing.T) {
	add := func(e debtest.Entry) func(*guestimagetest.Source) {
		return func(s *guestimagetest.Source) { s.Packages.Entries = append(s.Packages.Entries, e) }
	}
	set := func(member string, value any) func(*guestimagetest.Source) {
		return func(s *guestimagetest.Source) { s.Definition[member] = value }
	}
	named := func(name string) func(*guestimagetest.Source) {
		return set("executables", map[string]string{"usr/bin/runc": "makes containers", name: "somebody wants it"})
	}
	config := func(old, changed string) func(*guestimagetest.Source) {
		return func(s *guestimagetest.Source) {
			for i, e := range s.Packages.Entries {
				if strings.Contains(e.Name, "config-") {
					s.Packages.Entries[i] = debtest.File(e.Name, strings.Replace(e.Data, old, changed, 1))
				}
			}
		}
	}
	script := debtest.File("./etc/start", "#!/bin/sh\n")
	setuid := guestimagetest.Program("./usr/lib/helper")
	setuid.Mode = 0o4755
	for name, tt := range map[string]struct {
		change func(*guestimagetest.Source)
		want   string
	}{
		"shell":              {named("usr/bin/bash"), "usr/bin/bash is a shell"},
		"sshd":               {named("usr/sbin/sshd"), "usr/sbin/sshd is a remote login"},
		"script":             {add(script), "etc/start is a script for /bin/sh"},
		"setuid":             {add(setuid), "usr/lib/helper has a setuid or setgid bit"},
		"unnamed program":    {add(guestimagetest.Program("./usr/lib/helper")), "usr/lib/helper is a program that the definition gives no reason for"},
		"unit":               {add(debtest.File("./etc/systemd/system/x.service", "[Service]")), "etc/systemd/system/x.service would be started"},
		"link named a shell": {set("links", map[string]string{"usr/bin/sh": "runc"}), "usr/bin/sh is a shell"},
		"dangling link":      {set("links", map[string]string{"usr/bin/oci": "crun"}), "usr/bin/oci leads to usr/bin/crun, which is not there"},
		"link to itself":     {set("links", map[string]string{"usr/bin/oci": "oci"}), "usr/bin/oci leads to"},
		"unknown executable": {named("usr/bin/crun"), "executables: usr/bin/crun: no package has it"},
		"unknown exclusion":  {set("exclude", map[string]string{"etc/cron.d": "x", "etc/none": "x"}), "exclude: etc/none: no package has it"},
		"file twice":         {set("folders", map[string]string{"etc/passwd": "0755"}), "etc/passwd: a package has it, or it stands twice"},
		"kernel option off":  {config("CONFIG_DM_VERITY=m", "# CONFIG_DM_VERITY is not set"), "CONFIG_DM_VERITY: expected y or m, got n (checks the root file system)"},
		"kernel option on":   {config("# a comment", "CONFIG_DEVKMEM=y"), "CONFIG_DEVKMEM: expected n, got y"},
		"kernel of old":      {config("CONFIG_TSM_MEASUREMENTS=y", ""), "CONFIG_TSM_MEASUREMENTS: expected y, got n (extends RTMR3)"},
		"kernel config":      {config("# a comment", "junk"), "line 1: expected CONFIG_NAME=VALUE"},
		"two kernels":        {add(debtest.File("./usr/lib/modules/9/modules.builtin", "")), "expected the modules of one kernel"},
		"firmware": {func(s *guestimagetest.Source) {
			s.Firmware.Entries = []debtest.Entry{debtest.File("./usr/share/ovmf/OVMF.fd", strings.Repeat("x", 1<<20))}
		}, "OVMF.fd"},
		"other layout": {set("firmware", map[string]any{
			"set": "firmware.json", "lock": "firmware.lock.json", "file": "usr/share/ovmf/OVMF.fd", "layout": "A",
		}), "expected firmware of layout A, got B"},
		"no firmware": {set("firmware", map[string]any{
			"set": "firmware.json", "lock": "firmware.lock.json", "file": "usr/share/ovmf/none.fd", "layout": "B",
		}), "expected a file usr/share/ovmf/none.fd"},
	} {
		t.Run(name, func(t *testing.T) {
			s := source(t)
			tt.change(s)
			to, err := build(t, s, guestimage.Production)
			var refused *guestimage.RefusedError
			var kernel *guestimage.KernelError
			if err == nil || !strings.Contains(err.Error(), tt.want) || name != "kernel config" && !errors.As(err, &refused) && !errors.As(err, &kernel) {
				t.Fatalf("got %v, want a refusal with %q", err, tt.want)
			}
			entries, err := os.ReadDir(filepath.Dir(to))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if strings.Contains(e.Name(), "image") && e.Name() != guestimage.DefinitionFile {
					t.Errorf("%s is left", e.Name())
				}
			}
		})
	}
}

// TestDevelopmentIsLessStrict: what only production asks for does not stop a development image.
func TestDevelopmentIsLessStrict(t *testing.T) {
	s := source(t)
	for i, e := range s.Packages.Entries {
		if strings.Contains(e.Name, "config-") {
			s.Packages.Entries[i] = debtest.File(e.Name, "CONFIG_DM_VERITY=y\n")
		}
	}
	s.Packages.Entries = append(s.Packages.Entries, debtest.File("./etc/start", "#!/bin/sh\n"))
	if _, err := build(t, s, guestimage.Development); err != nil {
		t.Error(err)
	}
}

func TestBuildWritesOverNothing(t *testing.T) {
	dir := built(t, guestimage.Production)
	before := contents(t, dir)
	d, in, err := guestimagetest.Open(t.Context(), filepath.Dir(dir), guestimage.Production)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Packages.Close()
	defer in.Firmware.Close()
	var place *guestimage.PlaceError
	if err := guestimage.Build(t.Context(), d, in, dir); !errors.As(err, &place) {
		t.Errorf("got %v, want a PlaceError", err)
	}
	if !maps.Equal(before, contents(t, dir)) {
		t.Error("the image changed")
	}
}

func TestLoadRefuses(t *testing.T) {
	requirement := func(changes ...any) []any {
		r := map[string]any{"option": "CONFIG_X", "values": []string{"y"}, "reason": "it is needed"}
		for i := 0; i < len(changes); i += 2 {
			r[changes[i].(string)] = changes[i+1]
		}
		return []any{r}
	}
	for _, tt := range []struct {
		member string
		value  any
		want   string
	}{
		{"name", "Guest", "name: "}, {"version", "0.5", "version: "}, {"version", "v0.5.11", "version: "}, {"unknown", 1, "unknown"},
		{"cmdline", "console=ttyS0", "cmdline: "},
		{"cmdline", "dstack.rootfs_hash={rootfs_hash} dstack.rootfs_size={rootfs_size} dstack.rootfs_device=/dev/vdb", "cmdline: "},
		{"cmdline", "dstack.rootfs_hash={rootfs_hash} dstack.rootfs_size={rootfs_size}\n", "cmdline: "},
		{"program", "../guest", "program: "}, {"packages", map[string]any{"set": "../x", "lock": "y"}, "packages.set: "},
		{"kernel_config", []any{}, "kernel_config: "}, {"kernel_config", requirement("option", "X"), "kernel_config[0].option: "},
		{"kernel_config", requirement("values", []string{"yes"}), "kernel_config[0].values: "}, {"kernel_config", requirement("reason", ""), "kernel_config[0].reason: "},
		{"kernel_config", requirement("flavour", "test"), "kernel_config[0].flavour: "},
		{"executables", map[string]string{"/usr/bin/runc": "x"}, "executables: "}, {"executables", map[string]string{"usr/bin/runc": ""}, "executables: "},
		{"links", map[string]string{"a/../b": "x"}, "links: "}, {"links", map[string]string{"a": ""}, "links: "},
		{"folders", map[string]string{"mnt": "755"}, "folders: "}, {"folders", map[string]string{"mnt": "4755"}, "folders: "},
		{"files", []any{map[string]any{"from": "../x", "to": "etc/x"}}, "files[0].from: "},
		{"files", []any{map[string]any{"from": "none", "to": "etc/x"}}, "files[0].from: "},
		{"files", []any{map[string]any{"from": "files/passwd", "to": "/etc/x"}}, "files[0].to: "},
		{"ports", []any{map[string]any{"port": 0, "protocol": "tcp", "purpose": "x"}}, "ports[0]: "},
	} {
		s := source(t)
		s.Definition[tt.member] = tt.value
		dir := t.TempDir()
		if err := s.Write(dir); err != nil {
			t.Fatal(err)
		}
		_, err := guestimage.Load(filepath.Join(dir, guestimage.DefinitionFile))
		var malformed *guestimage.DefinitionError
		if !errors.As(err, &malformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %v: got %v, want a DefinitionError with %q", tt.member, tt.value, err, tt.want)
		}
	}
}

// TestOwnDefinition holds the repository's definition to what else says the same.
func TestOwnDefinition(t *testing.T) {
	d, err := guestimage.Load("../../images/guest/" + guestimage.DefinitionFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Locks(); err != nil {
		t.Error(err)
	}
	if want := agent.Release.String(); d.Version != want {
		t.Errorf("version: got %s, want %s, which the guest's program says", d.Version, want)
	}
	if _, err := os.Stat(filepath.Join("../..", d.Program)); err != nil {
		t.Error(err)
	}
}

// archive is a release as somebody else may make it.
func archive(t *testing.T, headers []tar.Header, data map[string]string) string {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	a := tar.NewWriter(w)
	for _, h := range headers {
		content := data[filepath.Base(h.Name)]
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		} else {
			content = ""
		}
		h.Mode = 0o644
		if err := a.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(a, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(a.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "image.tar.gz")
	if err := os.WriteFile(name, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPackAndImport(t *testing.T) {
	dir := built(t, guestimage.Production)
	im, err := guestimage.Inspect(dir, guestimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, second := t.TempDir(), t.TempDir()
	packed, err := guestimage.Pack(dir, "", first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := guestimage.Pack(dir, "", second); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(contents(t, first), contents(t, second)) {
		t.Error("packed twice, the archives differ")
	}
	if filepath.Base(packed.Release) != "test-guest-0.5.11.tar.gz" || filepath.Base(packed.Measurement) != "mr_"+im.Digest.String()+".tar.gz" {
		t.Errorf("got %+v", packed)
	}
	to := filepath.Join(t.TempDir(), "imported")
	if _, err := guestimage.Import(packed.Release, guestimage.Options{Digest: &im.Digest}, to); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(contents(t, dir), contents(t, to)) {
		t.Error("what was packed and imported is not what was built")
	}
	only := filepath.Join(t.TempDir(), "measurement")
	got, err := guestimage.Import(packed.Measurement, guestimage.Options{Digest: &im.Digest, MeasurementOnly: true}, only)
	if err != nil {
		t.Fatal(err)
	}
	if got.Root != nil {
		t.Errorf("a bundle without a root file system has %+v", got.Root)
	}
	if _, err := guestimage.Import(packed.Measurement, guestimage.Options{Digest: &im.Digest}, filepath.Join(t.TempDir(), "x")); err == nil {
		t.Error("a bundle without a root file system was taken for an image")
	}
	// A folder with something beside the image: it is left out.
	if err := os.WriteFile(filepath.Join(to, "extra"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "again")
	if _, err := guestimage.Import(to, guestimage.Options{Digest: &im.Digest}, again); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(contents(t, dir), contents(t, again)) {
		t.Error("what was imported from a folder is not what was built")
	}
}

// TestOfficial: the definitions of this repository are sound, and about images for production.
func TestOfficial(t *testing.T) {
	dir := filepath.Join("..", "..", "images", "guest", guestimage.OfficialFolder)
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no definition in %s: %v", dir, err)
	}
	for _, file := range files {
		o, err := guestimage.LoadOfficial(dir, strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			t.Fatal(err)
		}
		if o.Name != "dstack-"+o.Version || !strings.HasPrefix(o.Source, "https://github.com/Dstack-TEE/") || !strings.HasSuffix(o.Source, "v"+o.Version) {
			t.Errorf("%s: got %+v", file, o)
		}
	}
}

func TestImportRefuses(t *testing.T) {
	dir := built(t, guestimage.Production)
	im, err := guestimage.Inspect(dir, guestimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	data := make(map[string]string)
	var good []tar.Header
	for name, content := range contents(t, dir) {
		data[name] = content[len("-rw-r--r--"):]
		good = append(good, tar.Header{Typeflag: tar.TypeReg, Name: name})
	}
	other := dstack.ImageHash{1}
	for name, tt := range map[string]struct {
		headers []tar.Header
		digest  *dstack.ImageHash
		want    string
	}{
		"no digest":        {good, nil, "expected the digest"},
		"other digest":     {good, &other, "expected the image with digest"},
		"absolute":         {[]tar.Header{{Typeflag: tar.TypeReg, Name: "/etc/digest.txt"}}, &im.Digest, "at most one folder"},
		"dot dot":          {[]tar.Header{{Typeflag: tar.TypeReg, Name: "../digest.txt"}}, &im.Digest, "at most one folder"},
		"dot dot inside":   {[]tar.Header{{Typeflag: tar.TypeReg, Name: "a/.."}}, &im.Digest, "at most one folder"},
		"deep":             {[]tar.Header{{Typeflag: tar.TypeReg, Name: "a/b/digest.txt"}}, &im.Digest, "at most one folder"},
		"symbolic link":    {[]tar.Header{{Typeflag: tar.TypeSymlink, Name: "digest.txt", Linkname: "/etc/passwd"}}, &im.Digest, "regular file"},
		"hard link":        {[]tar.Header{{Typeflag: tar.TypeLink, Name: "digest.txt", Linkname: "bzImage"}}, &im.Digest, "regular file"},
		"device":           {[]tar.Header{{Typeflag: tar.TypeBlock, Name: "digest.txt"}}, &im.Digest, "regular file"},
		"twice":            {append(slices.Clone(good), tar.Header{Typeflag: tar.TypeReg, Name: "./digest.txt"}), &im.Digest, "digest.txt stands twice"},
		"two folders":      {[]tar.Header{{Typeflag: tar.TypeReg, Name: "a/digest.txt"}, {Typeflag: tar.TypeReg, Name: "b/bzImage"}}, &im.Digest, "one folder"},
		"nothing":          {nil, &im.Digest, "sha256sum.txt: expected a file, got none"},
		"too many":         {slices.Repeat([]tar.Header{{Typeflag: tar.TypeReg, Name: "x"}}, 1), &im.Digest, "sha256sum.txt"},
		"without rootfs":   {slices.DeleteFunc(slices.Clone(good), func(h tar.Header) bool { return strings.HasPrefix(h.Name, "rootfs") }), &im.Digest, "rootfs.img.parted.verity: expected a file, got none"},
		"without a kernel": {slices.DeleteFunc(slices.Clone(good), func(h tar.Header) bool { return h.Name == "bzImage" }), &im.Digest, "bzImage: expected a file, got none"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			_, err := guestimage.Import(archive(t, tt.headers, data), guestimage.Options{Digest: tt.digest}, filepath.Join(parent, "to"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want an error with %q", err, tt.want)
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
				t.Errorf("%v is left (%v)", left, err)
			}
		})
	}
}

// TestBuildStops: a build that is given up leaves nothing.
func TestBuildStops(t *testing.T) {
	dir := t.TempDir()
	if err := source(t).Write(dir); err != nil {
		t.Fatal(err)
	}
	d, in, err := guestimagetest.Open(t.Context(), dir, guestimage.Production)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Packages.Close()
	defer in.Firmware.Close()
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := guestimage.Build(ctx, d, in, filepath.Join(parent, "image")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}
