package acpi

import (
	"crypto/sha512"
	"fmt"
)

// Part is a file or a table in one, with its place and digest.
type Part struct {
	// File is the fw_cfg file.
	File string
	// Table is the signature of the table, empty for the file as a whole.
	Table string
	// Offset and Length say where it is in the file.
	Offset, Length int
	// Digest is the SHA-384 of its bytes. That of a file is what firmware measures.
	Digest [sha512.Size384]byte
}

func (p Part) String() string {
	name := p.File
	if p.Table != "" {
		name += " " + p.Table
	}
	return fmt.Sprintf("%s: %d bytes at %#x, SHA-384 %x", name, p.Length, p.Offset, p.Digest)
}

// Describe gives the files in the order in which firmware measures them, each with the tables in it.
func (t *Tables) Describe() []Part {
	whole := func(file string, data []byte) Part {
		return Part{File: file, Length: len(data), Digest: sha512.Sum384(data)}
	}
	parts := []Part{whole(fileLoader, t.Loader), whole(fileRSDP, t.RSDP)}
	if t.TPMLog != nil {
		parts = append(parts, whole(fileTPMLog, t.TPMLog))
	}
	parts = append(parts, whole(fileTables, t.Tables))
	for _, x := range t.List {
		parts = append(parts, Part{fileTables, x.Signature, x.Offset, x.Length, sha512.Sum384(t.Tables[x.Offset : x.Offset+x.Length])})
	}
	return parts
}
