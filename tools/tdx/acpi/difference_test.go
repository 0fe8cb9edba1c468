package acpi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// difference tells where generated files differ from those of QEMU: the table, the offset, the AML objects around it and the
// bytes. It is empty when they are equal.
func difference(got Tables, tables, loader, rsdp []byte) string {
	var b strings.Builder
	if !bytes.Equal(got.Tables, tables) {
		at := firstDifference(got.Tables, tables)
		fmt.Fprintf(&b, "tables differ at %#x (%d bytes generated, %d wanted)\n", at, len(got.Tables), len(tables))
		fmt.Fprintf(&b, "  generated: %s\n  wanted:    %s\n", describe(got.Tables, at), describe(tables, at))
	}
	if !bytes.Equal(got.Loader, loader) {
		at := firstDifference(got.Loader, loader)
		fmt.Fprintf(&b, "table-loader differs at %#x, command %d\n  generated: %x\n  wanted:    %x\n", at, at/entrySize, around(got.Loader, at), around(loader, at))
	}
	if !bytes.Equal(got.RSDP, rsdp) {
		fmt.Fprintf(&b, "rsdp: generated %x, wanted %x\n", got.RSDP, rsdp)
	}
	return b.String()
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func around(b []byte, at int) []byte { return b[max(0, at-16):min(len(b), at+32)] }

// describe names the table at an offset, its lengths, and in the DSDT the objects that the offset is in.
func describe(tables []byte, at int) string {
	for o := 0; o+8 <= len(tables); {
		n := int(binary.LittleEndian.Uint32(tables[o+4:]))
		if n == 0 {
			break
		}
		if at < o+n || (string(tables[o:o+4]) == "RSDT") {
			return fmt.Sprintf("%s (length %d) +%#x in %s: % x", tables[o:o+4], n, at-o, strings.Join(enclosing(tables[o:min(o+n, len(tables))], at-o), " "), around(tables, at))
		}
		o += n
	}
	return fmt.Sprintf("after the tables: % x", around(tables, at))
}

// enclosing guesses the scopes, devices, processors and methods around an offset from the lengths that precede their names.
func enclosing(aml []byte, at int) []string {
	var path []string
	for i := headerSize; i < at && i+8 < len(aml); i++ {
		var kind string
		p := i + 1
		switch {
		case aml[i] == 0x10:
			kind = "Scope"
		case aml[i] == 0x14:
			kind = "Method"
		case aml[i] == 0x5b && aml[i+1] == 0x82:
			kind, p = "Device", i+2
		case aml[i] == 0x5b && aml[i+1] == 0x83:
			kind, p = "Processor", i+2
		default:
			continue
		}
		extra := int(aml[p] >> 6)
		length := int(aml[p] & 0x3f)
		if extra > 0 {
			length = int(aml[p] & 0xf)
			for k := range extra {
				length |= int(aml[p+1+k]) << (4 + 8*k)
			}
		}
		name := aml[p+1+extra : min(len(aml), p+1+extra+16)]
		if p+length <= at || p+length > len(aml) || !strings.ContainsRune(`\^_ABCDEFGHIJKLMNOPQRSTUVWXYZ`, rune(name[0])) && name[0] != 0x2e {
			continue
		}
		path = append(path, fmt.Sprintf("%s(%s)", kind, strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return -1
			}
			return r
		}, string(name[:min(9, len(name))]))))
	}
	return path
}
