package acpi

import "encoding/binary"

// Files that the loader's commands name.
const (
	fileTables = "etc/acpi/tables"
	fileLoader = "etc/table-loader"
	fileRSDP   = "etc/acpi/rsdp"
	fileTPMLog = "etc/tpm/log"
)

// Commands of the loader (hw/acpi/bios-linker-loader.c), each in an entry of 128 bytes with file names of 56.
const (
	commandAllocate = 1
	commandPointer  = 2
	commandChecksum = 3

	entrySize    = 128
	fileNameSize = 56

	zoneHigh = 1 // anywhere below 4 GiB
	zoneFSeg = 2 // the segment at 0xf0000
)

// loader collects the commands by which firmware places the tables. Allocations come first, the latest before the earlier ones.
type loader struct{ allocations, commands []byte }

func (l *loader) allocate(file string, align uint32, zone uint8) {
	b := append(entry(make([]byte, 0, entrySize), commandAllocate, file), u32(align)...)
	l.allocations = append(fill(append(b, zone)), l.allocations...)
}

// pointer adds the address of a file to the field of size bytes at an offset in another.
func (l *loader) pointer(file string, at int, size uint8, to string) {
	l.commands = entry(l.commands, commandPointer, file)
	l.commands = append(append(l.commands, to...), make([]byte, fileNameSize-len(to))...)
	l.commands = binary.LittleEndian.AppendUint32(l.commands, uint32(at))
	l.commands = fill(append(l.commands, size))
}

// checksum makes the bytes of a range sum up to 0 by the byte at an offset.
func (l *loader) checksum(file string, at, start, length int) {
	l.commands = entry(l.commands, commandChecksum, file)
	for _, v := range []int{at, start, length} {
		l.commands = binary.LittleEndian.AppendUint32(l.commands, uint32(v))
	}
	l.commands = fill(l.commands)
}

// entry starts an entry after others.
func entry(b []byte, command uint32, file string) []byte {
	b = append(binary.LittleEndian.AppendUint32(b, command), file...)
	return append(b, make([]byte, fileNameSize-len(file))...)
}

// fill fills up the last entry.
func fill(b []byte) []byte { return padded(b, entrySize) }
