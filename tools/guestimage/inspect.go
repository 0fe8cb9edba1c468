package guestimage

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
	"github.com/boardroom-tee/boardroom/tools/disk/verity"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// Bounds of what is read, in bytes.
const (
	// MaxDisk bounds a root file system with its hash tree; official ones have up to 2 GiB, those for GPUs more.
	MaxDisk = 16 << 30
	// maxContents bounds guest-contents.json.
	maxContents = 16 << 20
	// maxSmall bounds the files that have some lines.
	maxSmall = 64 << 10
)

// Image says what is in an image of which everything was verified.
type Image struct {
	// Digest is dstack's os_image_hash.
	Digest  dstack.ImageHash `json:"os_image_hash"`
	Version string           `json:"version"`
	IsDev   bool             `json:"is_dev"`
	Cmdline string           `json:"cmdline"`
	// Layout is that of the firmware's events.
	Layout tdvf.Layout `json:"firmware_layout"`
	// Files are those that the digest is about, in the order of sha256sum.txt.
	Files []ImageFile `json:"files"`
	// Root is nil for a measurement-only bundle, which has none.
	Root *Root `json:"root,omitempty"`
	// Contents is nil for images that bring no list.
	Contents *Contents `json:"contents,omitempty"`
}

// ImageFile is a file of the image.
type ImageFile struct {
	Name   string      `json:"name"`
	Size   int64       `json:"size"`
	SHA256 dstack.Hash `json:"sha256"`
}

// Root is the root file system.
type Root struct {
	File string `json:"file"`
	// Size is that of the file, DataSize that of the file system in it, in bytes.
	Size     int64 `json:"size"`
	DataSize int64 `json:"data_size"`
	// Offset is where in the file the file system begins, in bytes.
	Offset   int64  `json:"offset"`
	RootHash string `json:"root_hash"`
}

// Options of Inspect.
type Options struct {
	// Digest is the os_image_hash that the image must have; nil takes any.
	Digest *dstack.ImageHash
	// MeasurementOnly expects an image without its root file system, as dstack's verifier downloads it.
	MeasurementOnly bool
}

// Inspect verifies an image: each file by sha256sum.txt, that by digest.txt and the digest asked for, the root file system block by block
// by the command line, dstack's measurement by computing it again, and that there is nothing else in the folder. What differs gives a
// *RefusedError that names the file.
func Inspect(dir string, o Options) (*Image, error) {
	im, known, err := inspect(dir, o)
	if err != nil {
		return nil, err
	}
	return im, noOthers(dir, known)
}

// inspect verifies an image, and returns the names of all files that something vouches for.
func inspect(dir string, o Options) (im *Image, known []string, err error) {
	im = &Image{}
	if err := im.checksums(dir, o.Digest); err != nil {
		return nil, nil, err
	}
	known = []string{dstack.ChecksumFile, dstack.DigestFile}
	for _, f := range im.Files {
		known = append(known, f.Name)
	}
	extra, err := readMetadata(dir)
	if err != nil {
		return nil, nil, err
	}
	if err := im.parts(dir); err != nil {
		return nil, nil, err
	}
	if extra.Contents != nil {
		known = append(known, ContentsFile)
		if err := im.readContents(dir, *extra.Contents); err != nil {
			return nil, nil, err
		}
	}
	if extra.BIOSSEV != "" {
		// The SEV-SNP measurement, which is listed, commits to it; nothing here starts it.
		known = append(known, extra.BIOSSEV)
	}
	if extra.Rootfs == "" {
		return nil, nil, refuse(image.MetadataFile, "rootfs: expected the name of a file in the folder, got none")
	}
	if !o.MeasurementOnly {
		known = append(known, extra.Rootfs)
		if err := im.verifyRoot(dir, extra.Rootfs); err != nil {
			return nil, nil, err
		}
	}
	return im, known, nil
}

// checksums verifies the files that the digest is about.
func (im *Image) checksums(dir string, want *dstack.ImageHash) error {
	list, err := readRegular(dir, dstack.ChecksumFile, maxSmall)
	if err != nil {
		return err
	}
	sums, err := dstack.ParseChecksums(list)
	if err != nil {
		return &RefusedError{dstack.ChecksumFile, err}
	}
	im.Digest = dstack.ImageHashOf(list)
	text, err := readRegular(dir, dstack.DigestFile, maxSmall)
	if err != nil {
		return err
	}
	said, err := dstack.ParseDigestFile(text)
	if err != nil {
		return &RefusedError{dstack.DigestFile, err}
	}
	for _, s := range sums {
		if s.Name == dstack.ChecksumFile || s.Name == dstack.DigestFile {
			return refuse(dstack.ChecksumFile, "lists %s, which follows from it", s.Name)
		}
		f, err := hashFile(dir, s.Name)
		if err != nil {
			return err
		}
		if f.SHA256 != s.Sum {
			return refuse(s.Name, "expected sha256 %s, as %s says, got %s", s.Sum, dstack.ChecksumFile, f.SHA256)
		}
		im.Files = append(im.Files, f)
	}
	// Last, so that a file that was changed is named itself, and not the list that it does not fit.
	if said != im.Digest {
		return refuse(dstack.DigestFile, "expected %s, which is the sha256 of %s, got %s", im.Digest, dstack.ChecksumFile, said)
	}
	if want != nil && *want != im.Digest {
		return refuse(dstack.ChecksumFile, "expected the image with digest %s, got %s", want, im.Digest)
	}
	return nil
}

// extraMetadata are the members of metadata.json that measuring has no use for.
type extraMetadata struct {
	Rootfs   string
	BIOSSEV  string
	Contents *dstack.Hash
}

func readMetadata(dir string) (*extraMetadata, error) {
	data, err := readRegular(dir, image.MetadataFile, image.MaxMetadata)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(data, &members); err != nil {
		return nil, &RefusedError{image.MetadataFile, err}
	}
	m := &extraMetadata{}
	var contents string
	for _, member := range []struct {
		name string
		to   *string
	}{{"rootfs", &m.Rootfs}, {"bios-sev", &m.BIOSSEV}, {"guest_contents_sha256", &contents}} {
		value, there := members[member.name]
		if !there {
			continue
		}
		if err := strictjson.Unmarshal(value, member.to); err != nil {
			return nil, refuse(image.MetadataFile, "%s: %w", member.name, err)
		}
	}
	for member, name := range map[string]string{"rootfs": m.Rootfs, "bios-sev": m.BIOSSEV} {
		if name != "" && (name != filepath.Base(name) || !filepath.IsLocal(name) || name == ".") {
			return nil, refuse(image.MetadataFile, "%s: expected the name of a file in the folder, got %q", member, name)
		}
	}
	if contents != "" {
		sum, err := dstack.ParseHash(contents)
		if err != nil {
			return nil, refuse(image.MetadataFile, "guest_contents_sha256: %w", err)
		}
		m.Contents = &sum
	}
	return m, nil
}

// parts reads what is measured. Every file has to be among those that the digest is about.
func (im *Image) parts(dir string) error {
	parts, err := image.Read(dir)
	if err != nil {
		var field *image.FieldError
		var size *image.SizeError
		if errors.As(err, &field) || errors.As(err, &size) {
			return &RefusedError{image.MetadataFile, err}
		}
		return err
	}
	for member, name := range map[string]string{"bios": parts.Firmware, "kernel": parts.Kernel, "initrd": parts.Initrd, "metadata": image.MetadataFile} {
		if !slices.ContainsFunc(im.Files, func(f ImageFile) bool { return f.Name == name }) {
			return refuse(dstack.ChecksumFile, "expected a line for %s, the %s, got none", name, member)
		}
	}
	im.Version, im.IsDev, im.Cmdline = parts.Version, parts.IsDev, parts.Cmdline
	firmware, err := tdvf.Parse(parts.FirmwareData)
	if err != nil {
		return &RefusedError{parts.Firmware, err}
	}
	profile, err := firmware.Profile()
	if errors.Is(err, tdvf.ErrLayout) {
		if layout := image.LayoutOf(parts.OVMFVariant, parts.Version); layout != "" {
			profile, err = profile.WithLayout(layout)
		}
	}
	if err != nil {
		return &RefusedError{parts.Firmware, err}
	}
	im.Layout = profile.Layout
	if err := image.CheckVariant(parts.OVMFVariant, profile.Layout); err != nil {
		return &RefusedError{image.MetadataFile, err}
	}
	return im.checkMeasurement(dir, parts)
}

// checkMeasurement computes dstack's measurement again, where the image has it.
func (im *Image) checkMeasurement(dir string, parts *image.Image) error {
	const name = dstack.TDXMeasurementFile
	if !slices.ContainsFunc(im.Files, func(f ImageFile) bool { return f.Name == name }) {
		return nil
	}
	data, err := readRegular(dir, name, maxSmall)
	if err != nil {
		return err
	}
	said, err := dstack.ParseTDXMeasurement(data)
	if err != nil {
		return &RefusedError{name, err}
	}
	got, err := measure(parts)
	if err != nil {
		return err
	}
	if said.Version == dstack.TDXMeasurementVersion && said.Cmdline != got.Cmdline {
		return refuse(name, "cmdline: expected %q, as %s says, got %q", got.Cmdline, image.MetadataFile, said.Cmdline)
	}
	if said.Normalized != got.Normalized {
		return refuse(name, "kernel_header_normalized: expected %t, as %s says, got %t", got.Normalized, image.MetadataFile, said.Normalized)
	}
	for _, value := range []struct {
		member    string
		want, got dstack.Register
	}{
		{"cmdline_sha384", got.CommandLine, said.CommandLine}, {"kernel_authenticode", got.Kernel, said.Kernel}, {"initrd_sha384", got.Initrd, said.Initrd},
		{"mrtd.single_pass", got.MRTDSinglePass, said.MRTDSinglePass}, {"mrtd.two_pass", got.MRTDTwoPass, said.MRTDTwoPass},
	} {
		if value.want != value.got {
			return refuse(name, "%s: expected %s, computed from the files, got %s", value.member, value.want, value.got)
		}
	}
	if got.HOB.HOB != said.HOB.HOB || !slices.Equal(got.HOB.Ranges, said.HOB.Ranges) {
		return refuse(name, "td_hob: expected %+v, read from the firmware, got %+v", got.HOB, said.HOB)
	}
	return nil
}

// readContents reads the list that metadata.json binds.
func (im *Image) readContents(dir string, want dstack.Hash) error {
	data, err := readRegular(dir, ContentsFile, maxContents)
	if err != nil {
		return err
	}
	if got := dstack.Hash(sha256.Sum256(data)); got != want {
		return refuse(ContentsFile, "expected sha256 %s, as %s says, got %s", want, image.MetadataFile, got)
	}
	im.Contents = &Contents{}
	if err := strictjson.Unmarshal(data, im.Contents); err != nil {
		return &RefusedError{ContentsFile, err}
	}
	hash, _, err := rootParameters(im.Cmdline)
	if err != nil {
		return err
	}
	if im.Contents.RootHash != hash.String() {
		return refuse(ContentsFile, "root_hash: expected %s, as the command line says, got %s", hash, im.Contents.RootHash)
	}
	if dev := im.Contents.Flavour != Production; dev != im.IsDev {
		return refuse(ContentsFile, "flavour: expected one for which is_dev is %t, got %s", im.IsDev, im.Contents.Flavour)
	}
	if !im.IsDev {
		return im.Contents.check()
	}
	return nil
}

// rootParameters reads what the command line says about the root file system.
func rootParameters(cmdline string) (hash verity.Digest, size int64, err error) {
	values := make(map[string]string)
	for _, word := range strings.Fields(cmdline) {
		name, value, _ := strings.Cut(word, "=")
		if !strings.HasPrefix(name, "dstack.rootfs_") {
			continue
		}
		if _, twice := values[name]; twice {
			return hash, 0, refuse(image.MetadataFile, "cmdline: %s stands there twice", name)
		}
		values[name] = value
	}
	if hash, err = verity.ParseDigest(values["dstack.rootfs_hash"]); err != nil {
		return hash, 0, refuse(image.MetadataFile, "cmdline: dstack.rootfs_hash: %w", err)
	}
	size, err = strconv.ParseInt(values["dstack.rootfs_size"], 10, 64)
	if err != nil || size <= 0 || size > MaxDisk || strconv.FormatInt(size, 10) != values["dstack.rootfs_size"] {
		return hash, 0, refuse(image.MetadataFile, "cmdline: dstack.rootfs_size: expected a size of up to %d bytes, got %q", int64(MaxDisk), values["dstack.rootfs_size"])
	}
	return hash, size, nil
}

// verifyRoot checks every block of the root file system. Images of dstack 0.6 have it in a partition, older ones have nothing around it.
func (im *Image) verifyRoot(dir, name string) error {
	hash, dataSize, err := rootParameters(im.Cmdline)
	if err != nil {
		return err
	}
	f, size, err := openRegular(dir, name, MaxDisk)
	if err != nil {
		return err
	}
	defer f.Close()
	offset, length := int64(0), size
	if strings.HasSuffix(name, ".parted.verity") {
		table, err := gpt.Read(f, size)
		if err != nil {
			return &RefusedError{name, err}
		}
		if len(table.Partitions) != 1 || table.Partitions[0].Name != rootPartition {
			return refuse(name, "expected one partition, %s, got %d: %+v", rootPartition, len(table.Partitions), table.Partitions)
		}
		offset, length = table.Partitions[0].Offset, table.Partitions[0].Size
	}
	part := io.NewSectionReader(f, offset, length)
	if err := verity.Verify(part, dataSize, hash); err != nil {
		return &RefusedError{name, err}
	}
	if err := im.checkPadding(f, name, size, offset, length, dataSize); err != nil {
		return err
	}
	im.Root = &Root{File: name, Size: size, DataSize: dataSize, Offset: offset, RootHash: hash.String()}
	return nil
}

// checkPadding refuses bytes that nothing vouches for: what the tree does not cover must be zero.
func (im *Image) checkPadding(f *os.File, name string, size, offset, length, dataSize int64) error {
	part := io.NewSectionReader(f, offset, length)
	s, err := verity.ReadSuperblock(part, dataSize)
	if err != nil {
		return &RefusedError{name, err}
	}
	if own := verity.Default(); im.Contents != nil && (s.DataBlock != own.DataBlock || s.HashBlock != own.HashBlock || !slices.Equal(s.Salt, own.Salt) || s.UUID != own.UUID) {
		return refuse(name, "verity superblock: expected the parameters of images that bring a list of contents, %+v, got %+v", own, s.Parameters)
	}
	end := offset + s.TreeOffset(dataSize) + treeSize(s)
	type gap struct{ from, to int64 }
	gaps := []gap{{end, offset + length}, {offset + dataSize + superblockUsed, offset + s.TreeOffset(dataSize)}}
	if offset > 0 {
		gaps = append(gaps, gap{tableSize, offset}, gap{offset + length, size - backupSize})
	}
	for _, g := range gaps {
		if at, err := firstByte(f, g.from, g.to); err != nil {
			return err
		} else if at >= 0 {
			return refuse(name, "byte %d: expected zero, because nothing vouches for it, got something else", at)
		}
	}
	return nil
}

const (
	// superblockUsed is the size of verity's superblock with its salt (cryptsetup, lib/verity/verity.c struct verity_sb).
	superblockUsed = 512
	// tableSize is that of the MBR, the header and 128 entries; backupSize that of their copy at the end.
	tableSize  = 34 * gpt.Sector
	backupSize = 33 * gpt.Sector
)

// treeSize is the size of a hash tree in bytes: on each level, a block has the digests of as many blocks below it as there is room for.
func treeSize(s *verity.Superblock) int64 {
	var blocks int64
	fanOut := int64(s.HashBlock) / sha256.Size
	for n := s.Blocks; n > 1; {
		n = (n + fanOut - 1) / fanOut
		blocks += n
	}
	return blocks * int64(s.HashBlock)
}

// firstByte finds the first byte that is not zero, or returns -1.
func firstByte(r io.ReaderAt, from, to int64) (int64, error) {
	buffer := make([]byte, 1<<20)
	for at := from; at < to; {
		chunk := buffer[:min(int64(len(buffer)), to-at)]
		if _, err := r.ReadAt(chunk, at); err != nil {
			return 0, err
		}
		if i := slices.IndexFunc(chunk, func(b byte) bool { return b != 0 }); i >= 0 {
			return at + int64(i), nil
		}
		at += int64(len(chunk))
	}
	return -1, nil
}

// noOthers refuses files that nothing vouches for.
func noOthers(dir string, known []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(known, e.Name()) {
			return refuse(e.Name(), "is no file of the image, and nothing vouches for it")
		}
	}
	return nil
}

// openRegular opens a file of the image. One that is not there, or is a link, is a verdict about the image.
func openRegular(dir, name string, limit int64) (*os.File, int64, error) {
	full := filepath.Join(dir, name)
	info, err := os.Lstat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, folder := os.Stat(dir); folder != nil {
			return nil, 0, folder
		}
		return nil, 0, refuse(name, "expected a file, got none")
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, refuse(name, "expected a regular file, got %s", info.Mode().Type())
	case info.Size() > limit:
		return nil, 0, refuse(name, "expected at most %d bytes, got %d", limit, info.Size())
	}
	return image.Open(full)
}

func readRegular(dir, name string, limit int64) ([]byte, error) {
	f, size, err := openRegular(dir, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

func hashFile(dir, name string) (ImageFile, error) {
	f, size, err := openRegular(dir, name, image.MaxInitrd)
	if err != nil {
		return ImageFile{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return ImageFile{}, fmt.Errorf("%s: %w", name, err)
	}
	return ImageFile{name, size, dstack.Hash(h.Sum(nil))}, nil
}
