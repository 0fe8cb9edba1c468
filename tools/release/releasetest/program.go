package releasetest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// The form of a Go program's build information (Go's debug/buildinfo): a magic, padding to 32 bytes, and two texts after their lengths.
const (
	buildMagic  = "\xff Go buildinf:"
	inlineFlag  = 2
	buildHeader = 32
	// modinfoStart and modinfoEnd are around the text that lists modules (Go's cmd/go/internal/modload).
	modinfoStart = "\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6"
	modinfoEnd   = "\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2"
)

// Program is a file that looks like a Go program of the seed: an ELF header and build information, with nothing that could run. The text
// makes it another program.
func Program(goVersion, text string) []byte {
	modinfo := "path\texample.org/" + text + "\nmod\texample.org/" + text + "\t(devel)\t\n" +
		"dep\tgolang.org/x/mod\tv0.30.0\th1:fDEXFVZ/fmCKProc/yAXXUijritrDzahmwwefnjoPFk=\n"
	var info bytes.Buffer
	info.WriteString(buildMagic)
	info.WriteByte(8)
	info.WriteByte(inlineFlag)
	info.Write(make([]byte, buildHeader-info.Len()))
	for _, s := range []string{goVersion, modinfoStart + modinfo + modinfoEnd} {
		info.Write(binary.AppendUvarint(nil, uint64(len(s))))
		info.WriteString(s)
	}
	const headers = 64 + 56
	offset := uint64((headers + 15) / 16 * 16)
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	segment := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Off: offset, Vaddr: 0x10000 + offset,
		Filesz: uint64(info.Len()), Memsz: uint64(info.Len()), Align: 16,
	}
	var b bytes.Buffer
	for _, part := range []any{header, segment} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err) // structs of fixed size to memory
		}
	}
	b.Write(make([]byte, int(offset)-b.Len()))
	b.Write(info.Bytes())
	return b.Bytes()
}
