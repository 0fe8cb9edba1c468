//go:build acceptance

package disk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ulikunitz/xz"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
	"github.com/boardroom-tee/boardroom/tools/deb/mirror"
	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/cpio"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest/listing"
	"github.com/boardroom-tee/boardroom/tools/disk/fat"
	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
	"github.com/boardroom-tee/boardroom/tools/disk/squashfs"
	"github.com/boardroom-tee/boardroom/tools/disk/uki"
	"github.com/boardroom-tee/boardroom/tools/disk/verity"
)

const (
	epoch   = 1700000000
	console = "console=ttyS0 loglevel=1 panic=-1 init=/init"
	// patience is how long a boot may take. It takes some ten seconds; this is for a hanging guest to be told from a slow machine.
	patience = 10 * time.Minute
)

// TestKernel has the kernel of trixie unpack our initramfs, find our partition, open it through dm-verity and read all of our root,
// and then the same with one byte of the data, of the tree and of the superblock changed.
func TestKernel(t *testing.T) {
	k := trixieKernel(t, trixie(t, "linux-image-"))
	tree := disktest.Tree(t, disktest.Entries())
	dir := t.TempDir()
	kernel, initramfs := filepath.Join(dir, "kernel"), filepath.Join(dir, "initramfs")
	for name, data := range map[string][]byte{kernel: k.image, initramfs: initrd(t, k)} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmdline := console
	args := []string{"-kernel", kernel, "-initrd", initramfs}
	add := func(name string, content []byte, size int64, root verity.Digest) {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		cmdline += fmt.Sprintf(" open=%s,/dev/vd%c1,%d,%s", name, 'a'+len(args)/2-2, size, root)
		args = append(args, "-drive", "if=virtio,format=raw,readonly=on,file="+file)
	}
	content, size, root := image(t, dir, tree)
	add("good", content, size, root)
	// Listing a large folder takes long here, so what is changed has none. A third into the data is content of files; behind the
	// superblock and the block at the top are the digests of data.
	rest := disktest.Tree(t, small())
	content, size, root = image(t, dir, rest)
	changed := []string{"data", "tree", "superblock"}
	for i, at := range []int64{size / 3, size + 4096 + 4096 + 5, size + 80} {
		content[gpt.Alignment+at] ^= 1
		add(changed[i], content, size, root)
		content[gpt.Alignment+at] ^= 1
	}
	reports := boot(t, append(args, "-append", cmdline), filepath.Join(dir, "serial"))

	if diff := listing.Diff(reports["good"], listing.OfTree(tree, epoch)); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
	if diff := listing.Diff(reports["initramfs"], initramfsListing(t)); diff != "" {
		t.Errorf("the kernel unpacked (+), want (-):\n%s", diff)
	}
	for _, name := range changed[:2] {
		if got := reports[name]; !strings.Contains(got, syscall.EIO.Error()) {
			t.Errorf("%s changed: no I/O error:\n%.2000s", name, got)
		}
	}
	wanted := make(map[string]bool)
	for line := range strings.Lines(listing.OfTree(rest, epoch)) {
		wanted[line] = true
	}
	for _, name := range changed[:2] {
		for line := range strings.Lines(reports[name]) {
			if !wanted[line] && !strings.Contains(line, syscall.EIO.Error()) {
				t.Errorf("%s changed: what is read is neither an error nor what was written: %s", name, line)
			}
		}
	}
	if got := reports["superblock"]; !strings.HasPrefix(got, "refused: ") {
		t.Errorf("superblock changed: %.2000s", got)
	}
}

// image is a disk with one partition: the root and its hash tree.
func image(t *testing.T, dir string, tree *disk.Tree) (content []byte, dataSize int64, root verity.Digest) {
	t.Helper()
	f, dataSize, end, root := rootfs(t, dir, tree)
	table := gpt.Layout(gpt.GUID{1}, gpt.Partition{Type: gpt.LinuxFilesystem, GUID: gpt.GUID{2}, Name: "dstack-rootfs", Size: end})
	name := filepath.Join(dir, "disk")
	d := partitioned(t, name, table)
	if _, err := io.Copy(io.NewOffsetWriter(d, table.Partitions[0].Offset), io.NewSectionReader(f, 0, end)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content, dataSize, root
}

// rootfs is the root and its hash tree, which ends at end.
func rootfs(t *testing.T, dir string, tree *disk.Tree) (f *os.File, dataSize, end int64, root verity.Digest) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if dataSize, err = squashfs.Write(f, tree, squashfs.Options{Epoch: epoch}); err != nil {
		t.Fatal(err)
	}
	if root, end, err = verity.Format(f, dataSize, verity.Default()); err != nil {
		t.Fatal(err)
	}
	return f, dataSize, end, root
}

func partitioned(t *testing.T, name string, table gpt.Table) *os.File {
	t.Helper()
	d, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Truncate(table.Size); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestFirmware has trixie's firmware start a UKI from our EFI system partition, and that open the root on the partition behind it.
func TestFirmware(t *testing.T) {
	packages := trixie(t, "linux-image-", "ovmf", "systemd-boot-efi")
	k := trixieKernel(t, packages)
	tree := disktest.Tree(t, small())
	dir := t.TempDir()
	f, size, end, root := rootfs(t, dir, tree)
	program, err := uki.Build(content(t, packages, "usr/lib/systemd/boot/efi/linuxx64.efi.stub"), uki.Image{
		OSRelease: "ID=test\n", Cmdline: fmt.Sprintf("%s open=root,/dev/vda2,%d,%s", console, size, root), Kernel: k.image, Initrd: initrd(t, k),
	})
	if err != nil {
		t.Fatal(err)
	}
	table := gpt.Layout(gpt.GUID{1},
		gpt.Partition{Type: gpt.EFISystem, GUID: gpt.GUID{2}, Name: "EFI System Partition", Size: 64 << 20},
		gpt.Partition{Type: gpt.LinuxFilesystem, GUID: gpt.GUID{3}, Name: "dstack-rootfs", Size: end})
	name := filepath.Join(dir, "disk")
	d := partitioned(t, name, table)
	loader := disk.Entry{Path: "EFI/BOOT/BOOTX64.EFI", Mode: disk.File | 0o644, Size: int64(len(program)), Open: disk.Content(program)}
	if err := fat.Write(io.NewOffsetWriter(d, table.Partitions[0].Offset), disktest.Tree(t, []disk.Entry{loader}),
		fat.Options{Size: table.Partitions[0].Size, Label: "DSTACKEFI", Epoch: epoch}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.NewOffsetWriter(d, table.Partitions[1].Offset), io.NewSectionReader(f, 0, end)); err != nil {
		t.Fatal(err)
	}
	code, vars := filepath.Join(dir, "code"), filepath.Join(dir, "vars")
	for name, path := range map[string]string{code: "usr/share/OVMF/OVMF_CODE_4M.fd", vars: "usr/share/OVMF/OVMF_VARS_4M.fd"} {
		if err := os.WriteFile(name, content(t, packages, path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reports := boot(t, []string{
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + code, "-drive", "if=pflash,format=raw,unit=1,file=" + vars,
		"-drive", "if=virtio,format=raw,readonly=on,file=" + name,
	}, filepath.Join(dir, "serial"))
	if diff := listing.Diff(reports["root"], listing.OfTree(tree, epoch)); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
}

// initrd is an initramfs for the guest.
func initrd(t *testing.T, k kernel) []byte {
	t.Helper()
	var packed bytes.Buffer
	if err := cpio.Gzip(&packed, disktest.Tree(t, initramfsEntries(t, k)), epoch); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// initramfsEntries are the init, the modules in the order in which they are loaded, and a tree that the kernel should unpack.
func initramfsEntries(t *testing.T, k kernel) []disk.Entry {
	t.Helper()
	program := filepath.Join(t.TempDir(), "init")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./internal/guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	entries := []disk.Entry{
		{Path: "init", Mode: disk.File | 0o755, Size: int64(len(data)), Open: disk.Content(data)},
		{Path: "dev/console", Mode: disk.Char | 0o600, Major: 5, Minor: 1},
	}
	for _, folder := range []string{"proc", "sys", "mnt"} {
		entries = append(entries, disk.Entry{Path: folder, Mode: disk.Folder | 0o755})
	}
	for i, m := range k.modules {
		entries = append(entries, disk.Entry{Path: fmt.Sprintf("modules/%02d-%s", i, m.name), Mode: disk.File | 0o644, Size: int64(len(m.data)), Open: disk.Content(m.data)})
	}
	for _, e := range small() {
		e.Path = path.Join("initramfs", e.Path)
		entries = append(entries, e)
	}
	return entries
}

// small is what of the synthetic tree is put into the initramfs.
func small() []disk.Entry {
	return slices.DeleteFunc(disktest.Entries(), func(e disk.Entry) bool { return strings.HasPrefix(e.Path, "large/") })
}

// initramfsListing has everything belong to root.
func initramfsListing(t *testing.T) string {
	t.Helper()
	entries := small()
	for i := range entries {
		entries[i].UID, entries[i].GID = 0, 0
	}
	return listing.OfTree(disktest.Tree(t, entries), epoch)
}

func boot(t *testing.T, args []string, serial string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	begun := time.Now()
	args = append(args, "-machine", "q35", "-accel", "tcg", "-smp", "2", "-m", "1G", "-nodefaults", "-no-user-config", "-display", "none",
		"-monitor", "none", "-no-reboot", "-serial", "file:"+serial)
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := qemu.CombinedOutput()
	t.Logf("the guest took %v", time.Since(begun).Round(time.Second/10))
	console, readErr := os.ReadFile(serial)
	tail := console[max(0, len(console)-4000):]
	if err = errors.Join(err, readErr, ctx.Err()); err != nil {
		t.Fatalf("qemu: %v\n%s\nserial port: %s", err, out, tail)
	}
	reports := make(map[string]string)
	done := false
	for line := range strings.Lines(string(console)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "@error":
			t.Fatal(line)
		case name == "@done":
			done = true
		case strings.HasPrefix(name, "@"):
			packed, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			reports[name[1:]] = string(data)
		}
	}
	if !done {
		t.Fatalf("the guest ended before it reported all:\n%s", tail)
	}
	return reports
}

type kernel struct {
	image []byte
	// modules in an order in which they can be loaded.
	modules []module
}

type module struct {
	name string
	data []byte
}

// trixie unpacks packages of trixie, without those that they depend on.
func trixie(t *testing.T, prefixes ...string) *deb.Tree {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	c := &mirror.Client{Mirror: debtest.Mirror(t), Cache: filepath.Join(cache, "boardroom-test", "deb")}
	set, err := deb.ParseSet([]byte(`{"include": ["linux-image-cloud-amd64", "ovmf", "systemd-boot-efi"], "files": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := os.ReadFile("/usr/share/keyrings/debian-archive-keyring.gpg")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := deb.ReadKeyring(ring)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := c.Lock(t.Context(), set, mirror.LockOptions{Keyring: keys, Now: time.Now(), AcceptExpired: true})
	if err != nil {
		t.Fatal(err)
	}
	lock.Packages = slices.DeleteFunc(lock.Packages, func(p deb.LockedPackage) bool {
		return !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(p.Name, prefix) })
	})
	if _, err := c.Fetch(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	tree, err := deb.Unpack(t.Context(), lock, c.File, deb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree
}

func content(t *testing.T, tree *deb.Tree, name string) []byte {
	t.Helper()
	e, found := tree.Find(name)
	if !found {
		t.Fatalf("no %s", name)
	}
	data, err := io.ReadAll(tree.Open(e))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// trixieKernel takes the kernel for virtual machines, with the modules that the guest needs.
func trixieKernel(t *testing.T, tree *deb.Tree) kernel {
	t.Helper()
	var k kernel
	packed := make(map[string]deb.Entry)
	for _, e := range tree.Entries() {
		if strings.HasPrefix(e.Path, "boot/vmlinuz-") {
			k.image = content(t, tree, e.Path)
		}
		if name, ok := strings.CutSuffix(path.Base(e.Path), ".ko.xz"); ok {
			packed[strings.ReplaceAll(name, "-", "_")] = e
		}
	}
	var add func(name string)
	add = func(name string) {
		e, found := packed[name]
		if !found || slices.ContainsFunc(k.modules, func(m module) bool { return m.name == name }) {
			return // in the kernel, or had
		}
		r, err := xz.NewReader(tree.Open(e))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range depends.FindAllSubmatch(data, -1) {
			for name := range strings.SplitSeq(string(list[1]), ",") {
				add(strings.ReplaceAll(name, "-", "_"))
			}
		}
		k.modules = append(k.modules, module{name, data})
	}
	for _, name := range []string{"virtio_pci", "virtio_blk", "dm_mod", "dm_verity", "squashfs"} {
		add(name)
	}
	return k
}

// depends is the field of a module's section .modinfo that names the modules it needs.
var depends = regexp.MustCompile(`\x00depends=([a-z0-9A-Z_,-]+)\x00`)
