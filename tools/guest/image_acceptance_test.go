//go:build acceptance && simtee

package guest_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/mirror"
	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/cpio"
	"github.com/boardroom-tee/boardroom/tools/disk/squashfs"
	"github.com/boardroom-tee/boardroom/tools/disk/verity"
	"github.com/boardroom-tee/boardroom/tools/guest/modules"
	"github.com/boardroom-tee/boardroom/tools/guest/modules/depmod"
)

// simImage is an image of the guest with just enough in it, made of the packages that images/guest locks.
type simImage struct {
	firmware, kernel, initrd []byte
	// rootfs is the path of file system and hash tree, offset where the latter begins.
	rootfs string
	root   verity.Digest
	offset int64
}

// cmdline is dstack's template.
func (i *simImage) cmdline() string {
	return fmt.Sprintf("console=ttyS0 init=/init panic=1 net.ifnames=0 biosdevname=0 mce=off oops=panic pci=noearly pci=nommconf random.trust_cpu=y "+
		"random.trust_bootloader=n tsc=reliable no-kvmclock dstack.rootfs_hash=%s dstack.rootfs_size=%d dstack.rootfs_device=/dev/vda", i.root, i.offset)
}

// cacheFolder keeps downloads between runs.
func cacheFolder(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("BOARDROOM_CACHE"); dir != "" {
		return filepath.Join(dir, "packages")
	}
	user, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(user, "boardroom", "packages")
}

// unpack unpacks a locked set of images/guest.
func unpack(t *testing.T, name string) *deb.Tree {
	t.Helper()
	lock, err := deb.ReadLock(filepath.Join("../../images/guest", name))
	if err != nil {
		t.Fatal(err)
	}
	client := &mirror.Client{Mirror: os.Getenv("DEBIAN_MIRROR"), Cache: cacheFolder(t)}
	if _, err := client.Fetch(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	tree, err := deb.Unpack(t.Context(), lock, client.File, deb.Options{Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

// compile builds a program, with what the development flavour has.
func compile(t *testing.T, program string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", "simtee", "-ldflags=-s -w", "-o", out, program)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// left are the parts of the packages that the image does not have: the modules are selected, and the kernel is beside the image.
func left(name string) bool {
	return strings.HasPrefix(name, "usr/lib/modules/") || strings.HasPrefix(name, "boot/") || strings.HasPrefix(name, "usr/share/doc/")
}

// buildImage makes an image in a folder of the test.
func buildImage(t *testing.T) *simImage {
	t.Helper()
	image := &simImage{rootfs: filepath.Join(t.TempDir(), "rootfs.img.verity")}
	tree := unpack(t, "packages.lock.json")
	var entries []disk.Entry
	var release string
	for _, e := range tree.Entries() {
		if base, ok := strings.CutPrefix(e.Path, "boot/vmlinuz-"); ok {
			release = base
			image.kernel = readAll(t, tree.Open(e))
		}
		if !left(e.Path) && e.Path != "." {
			entries = append(entries, fromPackage(tree, e))
		}
	}
	program := compile(t, "../cmd/boardroom-guest")
	folder := modulesOf(t, tree, release)
	add := func(list *[]disk.Entry, files map[string][]byte, mode uint32) {
		for name, data := range files {
			*list = append(*list, disk.Entry{Path: name, Mode: disk.File | mode, Size: int64(len(data)), Open: disk.Content(data)})
		}
	}
	add(&entries, selected(t, folder, release, slices.Concat(modules.Root(), modules.Simulated())), 0o644)
	add(&entries, map[string][]byte{"usr/sbin/init": program}, 0o755)
	add(&entries, map[string][]byte{
		"etc/passwd": []byte("root:x:0:0::/root:/usr/sbin/nologin\n"), "etc/group": []byte("root:x:0:\n"), "etc/hosts": []byte("127.0.0.1 localhost dstack\n"),
		"etc/nsswitch.conf": []byte("passwd: files\ngroup: files\nhosts: files dns\n"), "etc/ssl/certs/ca-certificates.crt": nil,
	}, 0o644)
	for name, target := range map[string]string{
		"etc/resolv.conf": "/run/resolv.conf", "usr/sbin/iptables": "xtables-nft-multi", "usr/sbin/ip6tables": "xtables-nft-multi",
	} {
		entries = slices.DeleteFunc(entries, func(e disk.Entry) bool { return e.Path == name })
		entries = append(entries, disk.Entry{Path: name, Mode: disk.Symlink | 0o777, Target: target})
	}
	for _, name := range []string{"proc", "sys", "dev", "run", "tmp", "var", "dstack", "root", "mnt"} {
		entries = slices.DeleteFunc(entries, func(e disk.Entry) bool { return e.Path == name || strings.HasPrefix(e.Path, name+"/") })
		entries = append(entries, disk.Entry{Path: name, Mode: disk.Folder | 0o755})
	}
	image.makeRoot(t, entries)

	var first []disk.Entry
	add(&first, selected(t, folder, release, modules.Initramfs()), 0o644)
	add(&first, map[string][]byte{"init": program}, 0o755)
	for _, name := range []string{"proc", "sys", "dev", "run"} {
		first = append(first, disk.Entry{Path: name, Mode: disk.Folder | 0o755})
	}
	first = append(first, disk.Entry{Path: "dev/console", Mode: disk.Char | 0o600, Major: 5, Minor: 1})
	initial, err := disk.NewTree(first)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := cpio.Gzip(&packed, initial, 0); err != nil {
		t.Fatal(err)
	}
	image.initrd = packed.Bytes()

	firmware := unpack(t, "firmware.lock.json")
	e, found := firmware.Find("usr/share/ovmf/OVMF.fd")
	if !found {
		t.Fatal("the firmware's package has no OVMF.fd")
	}
	image.firmware = readAll(t, firmware.Open(e))
	return image
}

func readAll(t *testing.T, r io.Reader) []byte {
	t.Helper()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func fromPackage(tree *deb.Tree, e deb.Entry) disk.Entry {
	d := disk.Entry{Path: e.Path, Mode: e.Mode, UID: uint32(e.UID), GID: uint32(e.GID)}
	switch e.Type {
	case deb.Folder:
		d.Mode |= disk.Folder
	case deb.File:
		d.Mode |= disk.File
		d.Size = e.Size
		d.Open = func() (io.ReadCloser, error) { return io.NopCloser(tree.Open(e)), nil }
	default:
		d.Mode = disk.Symlink | 0o777
		d.Target = e.Target
	}
	return d
}

// modulesOf writes the kernel's modules to a folder.
func modulesOf(t *testing.T, tree *deb.Tree, release string) fs.FS {
	t.Helper()
	dir := t.TempDir()
	prefix := path.Join("usr/lib/modules", release) + "/"
	for _, e := range tree.Entries() {
		name, ok := strings.CutPrefix(e.Path, prefix)
		if !ok || e.Type != deb.File {
			continue
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, readAll(t, tree.Open(e)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return os.DirFS(dir)
}

// selected are the files of some modules, by their path in the image.
func selected(t *testing.T, folder fs.FS, release string, names []string) map[string][]byte {
	t.Helper()
	set, err := depmod.Select(folder, names...)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"modules.dep": set.Dep, "modules.builtin": set.Builtin}
	maps.Copy(files, set.Files)
	placed := make(map[string][]byte)
	for name, data := range files {
		placed[path.Join("usr/lib/modules", release, name)] = data
	}
	return placed
}

// makeRoot writes the file system with its hash tree.
func (i *simImage) makeRoot(t *testing.T, entries []disk.Entry) {
	t.Helper()
	tree, err := disk.NewTree(entries)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(i.rootfs)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	size, err := squashfs.Write(file, tree, squashfs.Options{Level: squashfs.Fast})
	if err != nil {
		t.Fatal(err)
	}
	const block = 4096
	i.offset = (size + block - 1) / block * block
	if err := file.Truncate(i.offset); err != nil {
		t.Fatal(err)
	}
	root, end, err := verity.Format(file, i.offset, verity.Default())
	if err != nil {
		t.Fatal(err)
	}
	i.root = root
	if err := file.Truncate((end + block - 1) / block * block); err != nil {
		t.Fatal(err)
	}
}
