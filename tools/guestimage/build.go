package guestimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/cpio"
	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
	"github.com/boardroom-tee/boardroom/tools/disk/squashfs"
	"github.com/boardroom-tee/boardroom/tools/disk/verity"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// Names of the files of an image that we build, as dstack's have them.
const (
	firmwareFile  = "ovmf.fd"
	kernelFile    = "bzImage"
	initramfsFile = "initramfs.cpio.gz"
	rootFile      = "rootfs.img.parted.verity"
)

// The partition of the root file system and the GUIDs of dstack's disks (os/image, its partitioning script).
const rootPartition = "dstack-rootfs"

var (
	diskGUID = gpt.MustGUID("d5acc000-0000-4000-8000-000000000000")
	rootGUID = gpt.MustGUID("d5acc000-0000-4000-8000-000000000001")
)

// MaxRoot is how large the compressed root file system may be, in bytes: what a host downloads, and reads at each boot.
const MaxRoot = 120 << 20

// rootBlock is the block size of the root file system. The largest compresses best; a page of it costs reading a mebibyte once.
const rootBlock = 1 << 20

// Inputs are what an image is built from besides its definition.
type Inputs struct {
	Flavour Flavour
	// Packages and Firmware are the unpacked packages of the definition's locks.
	Packages, Firmware *deb.Tree
	// Lock is that of Packages.
	Lock *deb.Lock
	// Program is the guest's static binary.
	Program []byte
	// CABundle is PEM.
	CABundle []byte
	// Epoch is every time in the image, in seconds since 1970; see SOURCE_DATE_EPOCH.
	Epoch int64
	// Progress takes lines for people; nil drops them.
	Progress io.Writer
}

type builder struct {
	Inputs
	definition *Definition
	kernel     *kernel
}

// metadata is metadata.json, in the order of dstack's producer. ContentsSHA256 is ours; dstack's readers pass over what they do not know.
type metadata struct {
	BIOS           string     `json:"bios"`
	Kernel         string     `json:"kernel"`
	Cmdline        string     `json:"cmdline"`
	Initrd         string     `json:"initrd"`
	Rootfs         string     `json:"rootfs"`
	Version        string     `json:"version"`
	SharedRO       bool       `json:"shared_ro"`
	IsDev          bool       `json:"is_dev"`
	OVMFVariant    string     `json:"ovmf_variant,omitempty"`
	ContentsSHA256 deb.Digest `json:"guest_contents_sha256"`
}

// Build writes an image to a folder, which must not exist. The folder appears when all of the image is there. What the image is made of is
// refused with a *RefusedError or a *KernelError.
func Build(ctx context.Context, d *Definition, in Inputs, to string) error {
	if in.Flavour != Production && in.Flavour != Development {
		return fmt.Errorf("flavour: expected %s or %s, got %q", Production, Development, in.Flavour)
	}
	if in.Epoch < 0 || in.Epoch > math.MaxUint32 {
		return fmt.Errorf("epoch: expected 0 to %d, got %d", uint32(math.MaxUint32), in.Epoch)
	}
	if in.Progress == nil {
		in.Progress = io.Discard
	}
	b := &builder{Inputs: in, definition: d}
	return atomically(to, func(dir string) error { return b.build(ctx, dir) })
}

func (b *builder) build(ctx context.Context, dir string) (err error) {
	if b.kernel, err = findKernel(b.Packages); err != nil {
		return err
	}
	if err := checkKernel(b.kernel.release, b.kernel.config, b.definition.KernelConfig, b.Flavour); err != nil {
		return err
	}
	firmware, err := b.firmware()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	tree, err := b.root()
	if err != nil {
		return err
	}
	contents, err := b.contents(tree)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.Progress, "root file system: %d entries, %d programs, %d kernel modules; compressing\n", len(tree.Entries()), len(contents.Executables), len(contents.Modules))
	hash, size, err := writeRoot(filepath.Join(dir, rootFile), tree, b.Epoch)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if size > MaxRoot {
		return refuse("root file system", "expected at most %d bytes compressed, got %d", MaxRoot, size)
	}
	fmt.Fprintf(b.Progress, "root file system: %.1f MiB, root hash %s\n", float64(size)/(1<<20), hash)
	contents.RootHash = hash.String()
	list, err := contents.bytes()
	if err != nil {
		return err
	}
	inside, err := b.initramfs()
	if err != nil {
		return err
	}
	var initramfs bytes.Buffer
	if err := cpio.Gzip(&initramfs, inside, b.Epoch); err != nil {
		return err
	}
	m := metadata{
		BIOS: firmwareFile, Kernel: kernelFile, Initrd: initramfsFile, Rootfs: rootFile, Version: b.definition.Version, SharedRO: true,
		IsDev: b.Flavour == Development, OVMFVariant: dstack.OVMFPre202505, ContentsSHA256: sha256.Sum256(list),
		Cmdline: strings.NewReplacer(rootHashPlace, hash.String(), rootSizePlace, strconv.FormatInt(size, 10)).Replace(b.definition.Cmdline),
	}
	return finish(dir, m, map[string][]byte{firmwareFile: firmware, kernelFile: b.kernel.image, initramfsFile: initramfs.Bytes(), ContentsFile: list})
}

// firmware takes the firmware out of its package, and refuses one whose measurements can not be predicted, or are not of the layout that
// the definition says.
func (b *builder) firmware() ([]byte, error) {
	name := b.definition.Firmware.File
	data, err := readTree(b.Firmware, name)
	if err != nil {
		return nil, err
	}
	parsed, err := tdvf.Parse(data)
	if err != nil {
		return nil, refuse(name, "%w", err)
	}
	profile, err := parsed.Profile()
	if err != nil {
		return nil, refuse(name, "%w", err)
	}
	if profile.Layout != b.definition.Firmware.Layout {
		return nil, refuse(name, "expected firmware of layout %s, got %s", b.definition.Firmware.Layout, profile.Layout)
	}
	return data, nil
}

// finish writes the files of an image that follow from the others.
func finish(dir string, m metadata, files map[string][]byte) error {
	document, err := json.MarshalIndent(m, "", "    ")
	if err != nil {
		return err
	}
	document = append(document, '\n')
	measurement, err := measure(&image.Image{
		Metadata:     image.Metadata{Cmdline: m.Cmdline},
		FirmwareData: files[firmwareFile], KernelData: files[kernelFile], InitrdData: files[initramfsFile],
	})
	if err != nil {
		return err
	}
	cbor, err := measurement.Bytes()
	if err != nil {
		return err
	}
	files[image.MetadataFile], files[dstack.TDXMeasurementFile] = document, cbor
	var sums []dstack.FileSum
	for _, name := range []string{firmwareFile, kernelFile, initramfsFile, image.MetadataFile, dstack.TDXMeasurementFile} {
		sums = append(sums, dstack.FileSum{Name: name, Sum: sha256.Sum256(files[name])})
	}
	checksums, err := dstack.WriteChecksums(sums)
	if err != nil {
		return err
	}
	files[dstack.ChecksumFile], files[dstack.DigestFile] = checksums, dstack.WriteDigestFile(dstack.ImageHashOf(checksums))
	for name, data := range files {
		if err := writeFile(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a file whose mode does not depend on the caller's umask.
func writeFile(name string, data []byte) error {
	if err := os.WriteFile(name, data, 0o644); err != nil {
		return err
	}
	return os.Chmod(name, 0o644)
}

// atomically makes a folder that is there when everything in it is.
func atomically(to string, fill func(dir string) error) (err error) {
	to = filepath.Clean(to)
	if _, err := os.Lstat(to); err == nil {
		return &PlaceError{to}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(to), "."+filepath.Base(to)+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := fill(dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	// Rename takes no other folder's place, not even that of an empty one that appeared meanwhile.
	return os.Rename(dir, to)
}

// PlaceError says that there is something where an image was to go.
type PlaceError struct{ Path string }

func (e *PlaceError) Error() string {
	return e.Path + ": expected a folder that does not exist, and something is there"
}

// contents lists the root file system and, for production, checks the list.
func (b *builder) contents(tree *disk.Tree) (*Contents, error) {
	purposes := map[string]string{initPath: "the guest's init, built from this repository"}
	for name, purpose := range b.definition.Executables {
		purposes[name] = purpose
	}
	for name, target := range b.definition.Links {
		purposes[name] = "a link to " + target
	}
	c, err := listContents(tree, purposes)
	if err != nil {
		return nil, err
	}
	c.Image, c.Version, c.Flavour, c.Kernel = b.definition.ImageName(b.Flavour), b.definition.Version, b.Flavour, b.kernel.release
	for _, p := range b.Lock.Packages {
		c.Packages = append(c.Packages, Package{p.Name, p.Version})
	}
	c.Ports = append(c.Ports, b.definition.Ports...)
	if b.Flavour == Production {
		err = c.check()
	}
	return c, err
}

// writeRoot writes the disk: one partition with the file system and, behind it, the superblock and the hash tree. It returns the root
// hash and where the tree begins in the partition, which is the size of the file system.
func writeRoot(name string, tree *disk.Tree, epoch int64) (root verity.Digest, size int64, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return root, 0, err
	}
	defer func() { err = errors.Join(err, f.Chmod(0o644), f.Close()) }()
	part := &section{f, gpt.Alignment}
	if size, err = squashfs.Write(part, tree, squashfs.Options{Epoch: epoch, BlockSize: rootBlock}); err != nil {
		return root, 0, err
	}
	root, end, err := verity.Format(part, size, verity.Default())
	if err != nil {
		return root, 0, err
	}
	table := gpt.Layout(diskGUID, gpt.Partition{Type: gpt.LinuxFilesystem, GUID: rootGUID, Name: rootPartition, Size: end})
	if got := table.Partitions[0].Offset; got != gpt.Alignment {
		return root, 0, fmt.Errorf("%s: expected its partition at %d, got %d", rootFile, gpt.Alignment, got)
	}
	if err := f.Truncate(table.Size); err != nil {
		return root, 0, err
	}
	return root, size, table.Write(f)
}

// section is a part of a file from an offset on.
type section struct {
	f      *os.File
	offset int64
}

// ReadAt reads from the part.
func (s *section) ReadAt(p []byte, at int64) (int, error) { return s.f.ReadAt(p, s.offset+at) }

// WriteAt writes to the part.
func (s *section) WriteAt(p []byte, at int64) (int, error) { return s.f.WriteAt(p, s.offset+at) }
