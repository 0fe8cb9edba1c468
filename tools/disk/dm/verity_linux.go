package dm

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"github.com/boardroom-tee/boardroom/tools/disk/verity"
)

const controlPath = "/dev/mapper/control"

// Requests: _IOWR(0xfd, number, struct dm_ioctl).
const (
	headerSize = 312 // sizeof(struct dm_ioctl)
	request    = 3<<30 | headerSize<<16 | 0xfd<<8

	create    = request | 3
	remove    = request | 4
	suspend   = request | 6 // resumes without flagSuspend
	loadTable = request | 9
)

// Places in struct dm_ioctl. Numbers have the byte order of the machine.
const (
	versionAt   = 0
	dataSizeAt  = 12
	dataStartAt = 16
	targetsAt   = 20
	flagsAt     = 28
	deviceAt    = 40
	nameAt      = 48
	nameSize    = 128

	flagReadOnly = 1
)

// Places in struct dm_target_spec, after which its parameters stand.
const (
	lengthAt   = 8
	nextAt     = 20
	typeAt     = 24
	targetSize = 40

	sector = 512
	// maxBlock is the page size, which no block of a verity device may be larger than.
	maxBlock = 4096
)

// OnCorruption is what Linux does when somebody reads a block that does not belong to the root hash.
type OnCorruption string

// Fail gives an I/O error to who reads. Panic stops the machine (Documentation/admin-guide/device-mapper/verity.rst, since Linux 5.9).
const (
	Fail  OnCorruption = ""
	Panic OnCorruption = "panic_on_corruption"
)

// OpenVerity makes the read-only device name from the first dataSize bytes of the block device at path and the tree behind them, and
// returns its path. The superblock is held to dataSize, and to nothing else: of what it says, all that matters is in the root hash.
func OpenVerity(name, path string, dataSize int64, root verity.Digest, corrupt OnCorruption) (string, error) {
	device, err := openVerity(name, path, dataSize, root, corrupt)
	if err != nil {
		return "", fmt.Errorf("verity device %s on %s: %w", name, path, err)
	}
	return device, nil
}

func openVerity(name, path string, dataSize int64, root verity.Digest, corrupt OnCorruption) (device string, err error) {
	table, err := verityTable(path, dataSize, root, corrupt)
	if err != nil {
		return "", err
	}
	control, err := os.OpenFile(controlPath, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer control.Close()
	made, err := call(control, create, name, 0, nil)
	if err != nil {
		return "", fmt.Errorf("create: %w", err)
	}
	defer func() {
		if err != nil {
			_, undone := call(control, remove, name, 0, nil)
			err = errors.Join(err, undone)
		}
	}()
	if _, err := call(control, loadTable, name, flagReadOnly, target(dataSize, table)); err != nil {
		return "", fmt.Errorf("load table %q: %w", table, err)
	}
	if _, err := call(control, suspend, name, flagReadOnly, nil); err != nil {
		return "", fmt.Errorf("resume: %w", err)
	}
	// The kernel's huge_encode_dev: the minor number has its low eight bits below the major number, and the others above it.
	number := binary.NativeEndian.Uint64(made[deviceAt:])
	return fmt.Sprintf("/dev/dm-%d", number&0xFF|number>>12&^0xFF), nil
}

// verityTable is the line that describes the device: version, both devices, sizes of blocks, their number, where the tree begins in
// hash blocks, hash, root hash, salt, and the number of options with them where there are any.
func verityTable(path string, dataSize int64, root verity.Digest, corrupt OnCorruption) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	s, err := verity.ReadSuperblock(f, dataSize)
	if err != nil {
		return "", err
	}
	if s.DataBlock > maxBlock || s.HashBlock > maxBlock {
		return "", fmt.Errorf("blocks of %d and %d bytes: expected at most %d", s.DataBlock, s.HashBlock, maxBlock)
	}
	salt := hex.EncodeToString(s.Salt)
	if salt == "" {
		salt = "-"
	}
	if strings.ContainsAny(path, " \\\x00") {
		return "", errors.New("expected a path without blanks")
	}
	table := fmt.Sprintf("1 %s %s %d %d %d %d sha256 %s %s", path, path, s.DataBlock, s.HashBlock, s.Blocks, s.TreeOffset(dataSize)/int64(s.HashBlock), root, salt)
	if corrupt != Fail {
		table += " 1 " + string(corrupt)
	}
	return table, nil
}

// target is struct dm_target_spec for all of a device, and its parameters.
func target(size int64, parameters string) []byte {
	b := make([]byte, targetSize, targetSize+len(parameters)+8)
	binary.NativeEndian.PutUint64(b[lengthAt:], uint64(size/sector))
	copy(b[typeAt:], "verity")
	b = append(b, parameters...)
	b = append(b, 0)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	binary.NativeEndian.PutUint32(b[nextAt:], uint32(len(b)))
	return b
}

// call makes a request about a device and returns what the kernel answers.
func call(control *os.File, request uintptr, name string, flags uint32, target []byte) ([]byte, error) {
	if name == "" || len(name) >= nameSize || strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("name %.200q: expected 1 to %d bytes without slashes", name, nameSize-1)
	}
	b := make([]byte, headerSize, headerSize+len(target))
	binary.NativeEndian.PutUint32(b[versionAt:], 4) // version 4.0.0 of the interface; the kernel takes any minor one below its own
	binary.NativeEndian.PutUint32(b[dataSizeAt:], uint32(headerSize+len(target)))
	binary.NativeEndian.PutUint32(b[dataStartAt:], headerSize)
	if target != nil {
		binary.NativeEndian.PutUint32(b[targetsAt:], 1)
	}
	binary.NativeEndian.PutUint32(b[flagsAt:], flags)
	copy(b[nameAt:], name)
	b = append(b, target...)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, control.Fd(), request, uintptr(unsafe.Pointer(&b[0]))) //nolint:gosec // the interface
	runtime.KeepAlive(b)
	if errno != 0 {
		return nil, errno
	}
	return b, nil
}
