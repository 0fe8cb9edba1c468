package guestimage

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/guest/modules"
	"github.com/boardroom-tee/boardroom/tools/guest/modules/depmod"
)

// Places in the image.
const (
	initPath   = "usr/sbin/init"
	bundlePath = "etc/ssl/certs/ca-certificates.crt"
	// modulesPath is where the kernel's modules are, in the packages and in the image.
	modulesPath = "usr/lib/modules"
)

// maxKernelFile bounds what is read of a kernel package into memory, in bytes.
const maxKernelFile = 128 << 20

// kernel is what the packages have of the kernel.
type kernel struct {
	release string
	image   []byte
	config  []byte
	modules *treeFS
}

// kernelPlaces are where packages have the kernel and its configuration, each a folder with what the release stands before or behind: Debian's
// up to Linux 6.19, and those that came after.
var kernelPlaces = []struct{ prefix, image, config string }{
	{"boot/", "vmlinuz-%s", "config-%s"},
	{modulesPath + "/", "%s/vmlinuz", "%s/config"},
}

// findKernel finds the one kernel of the packages.
func findKernel(tree *deb.Tree) (*kernel, error) {
	var found []string
	for _, e := range tree.Entries() {
		if dir, release := path.Split(e.Path); dir == modulesPath+"/" {
			found = append(found, release)
		}
	}
	if len(found) != 1 {
		return nil, refuse("packages", "expected the modules of one kernel in %s, got those of %d: %v", modulesPath, len(found), found)
	}
	k := &kernel{release: found[0], modules: newTreeFS(tree, modulesPath+"/"+found[0])}
	for _, place := range kernelPlaces {
		name := place.prefix + fmt.Sprintf(place.image, k.release)
		if _, there := tree.Find(name); !there {
			continue
		}
		var err error
		if k.image, err = readTree(tree, name); err != nil {
			return nil, err
		}
		k.config, err = readTree(tree, place.prefix+fmt.Sprintf(place.config, k.release))
		return k, err
	}
	return nil, refuse("packages", "expected the kernel %s, got its modules only", k.release)
}

// readTree reads a file of the packages.
func readTree(tree *deb.Tree, name string) ([]byte, error) {
	e, found := tree.Find(name)
	if !found || e.Type != deb.File {
		return nil, refuse("packages", "expected a file %s, got none", name)
	}
	if e.Size > maxKernelFile {
		return nil, refuse("packages", "%s: expected at most %d bytes, got %d", name, maxKernelFile, e.Size)
	}
	data := make([]byte, e.Size)
	if _, err := io.ReadFull(tree.Open(e), data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// rootModules are the modules that the guest loads once its root file system is there.
func rootModules(f Flavour) []string {
	if f == Development {
		return slices.Concat(modules.Root(), modules.Simulated())
	}
	return slices.Concat(modules.Root(), modules.TDX())
}

// moduleEntries are the named modules and what they need, uncompressed and with their index. The guest has no others: after it has loaded
// its own it forbids the kernel to take more.
func (k *kernel) moduleEntries(names []string) ([]disk.Entry, error) {
	set, err := depmod.Select(k.modules, names...)
	if err != nil {
		return nil, fmt.Errorf("modules of kernel %s: %w", k.release, err)
	}
	base := modulesPath + "/" + k.release
	entries := []disk.Entry{file(base+"/modules.dep", 0o644, set.Dep), file(base+"/modules.builtin", 0o644, set.Builtin)}
	for _, name := range slices.Sorted(maps.Keys(set.Files)) {
		entries = append(entries, file(path.Join(base, name), 0o644, set.Files[name]))
	}
	return entries, nil
}

// root puts the root file system together.
func (b *builder) root() (*disk.Tree, error) {
	entries := make(map[string]disk.Entry)
	kept := make(map[string]bool)
	for _, e := range b.Packages.Entries() {
		if b.leavesOut(e) {
			kept[e.Path] = false
			continue
		}
		kept[e.Path] = true
		entries[e.Path] = b.entry(e)
	}
	for member, reasons := range map[string]map[string]string{"executables": b.definition.Executables, "exclude": b.definition.Exclude} {
		for _, name := range slices.Sorted(maps.Keys(reasons)) {
			if _, there := kept[name]; !there {
				return nil, refuse("definition", "%s: %s: no package has it", member, name)
			}
		}
	}
	put := func(member string, added ...disk.Entry) error {
		for _, e := range added {
			if _, taken := entries[e.Path]; taken {
				return refuse("definition", "%s: %s: a package has it, or it stands twice", member, e.Path)
			}
			entries[e.Path] = e
		}
		return nil
	}
	added, err := b.kernel.moduleEntries(rootModules(b.Flavour))
	if err != nil {
		return nil, err
	}
	if err := put("modules", added...); err != nil {
		return nil, err
	}
	if err := put("program", file(initPath, 0o755, b.Program), file(bundlePath, 0o644, b.CABundle)); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(b.definition.Links)) {
		if err := put("links", disk.Entry{Path: name, Mode: disk.Symlink | 0o777, Target: b.definition.Links[name]}); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.definition.modes)) {
		if err := put("folders", folder(name, b.definition.modes[name])); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.definition.files)) {
		if err := put("files", file(name, 0o644, b.definition.files[name])); err != nil {
			return nil, err
		}
	}
	tree, err := disk.NewTree(slices.Collect(maps.Values(entries)))
	if err != nil {
		return nil, err
	}
	return tree, checkLinks(tree)
}

// programFolders are where programs are that a PATH leads to.
var programFolders = []string{"usr/bin", "usr/sbin", "usr/libexec", "usr/local"}

// leavesOut tells whether something of the packages is not in the image: the kernel and its modules, which are put there otherwise; what
// the definition excludes; and every program that it does not name.
func (b *builder) leavesOut(e deb.Entry) bool {
	if within(e.Path, "boot") && e.Path != "boot" || within(e.Path, modulesPath) {
		return true
	}
	for name := range b.definition.Exclude {
		if within(e.Path, name) {
			return true
		}
	}
	if e.Type == deb.Folder {
		return false
	}
	_, named := b.definition.Executables[e.Path]
	return !named && slices.ContainsFunc(programFolders, func(f string) bool { return within(e.Path, f) })
}

// within tells whether a path is a folder or in it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

func (b *builder) entry(e deb.Entry) disk.Entry {
	out := disk.Entry{Path: e.Path, UID: uint32(e.UID), GID: uint32(e.GID)}
	switch e.Type {
	case deb.Folder:
		out.Mode = disk.Folder | e.Mode
	case deb.Symlink:
		out.Mode, out.Target = disk.Symlink|0o777, e.Target
	default:
		out.Mode, out.Size = disk.File|e.Mode, e.Size
		out.Open = func() (io.ReadCloser, error) { return io.NopCloser(b.Packages.Open(e)), nil }
	}
	return out
}

// runtime are folders that are filled while the guest runs.
var runtime = []string{"dev", "proc", "run", "sys", "tmp", "var"}

// checkLinks refuses links that lead nowhere: something was left out that something else needs.
func checkLinks(tree *disk.Tree) error {
	byPath := make(map[string]*disk.Entry)
	for _, e := range tree.Entries() {
		byPath[e.Path] = &e
	}
	for _, e := range tree.Entries() {
		if e.Type() != disk.Symlink {
			continue
		}
		if target, found := follow(byPath, e.Path); !found {
			return refuse("root file system", "%s leads to %s, which is not there", e.Path, target)
		}
	}
	return nil
}

// maxLinks is how many links Linux follows (include/linux/namei.h MAXSYMLINKS).
const maxLinks = 40

// follow resolves a path as the guest would, and returns where it ended and whether something is or will be there.
func follow(entries map[string]*disk.Entry, name string) (string, bool) {
	rest := strings.Split(name, "/")
	at := "."
	for links := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		if strings.HasPrefix(next, "..") {
			next = "."
		}
		if next != "." && slices.ContainsFunc(runtime, func(f string) bool { return within(next, f) }) {
			return next, true
		}
		e, found := entries[next]
		if !found {
			return next, false
		}
		if e.Type() != disk.Symlink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return next, false
		}
		target := e.Target
		if path.IsAbs(target) {
			at = "."
		}
		rest = append(strings.FieldsFunc(target, func(r rune) bool { return r == '/' }), rest...)
	}
	return at, true
}

// initramfs is the program and the modules that lead to the root file system.
func (b *builder) initramfs() (*disk.Tree, error) {
	entries, err := b.kernel.moduleEntries(modules.Initramfs())
	if err != nil {
		return nil, err
	}
	// The kernel opens the console before init mounts anything (init/main.c console_on_rootfs).
	entries = append(entries, file("init", 0o755, b.Program), disk.Entry{Path: "dev/console", Mode: disk.Char | 0o600, Major: 5, Minor: 1})
	return disk.NewTree(entries)
}

// readEntry reads the content of an entry.
func readEntry(e *disk.Entry) ([]byte, error) {
	var b bytes.Buffer
	err := e.Copy(&b)
	return b.Bytes(), err
}
