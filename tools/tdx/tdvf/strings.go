package tdvf

import (
	"bytes"
	"regexp"
	"unicode/utf16"
)

// smbiosTemplate is the fixed part of OVMF's SMBIOS type 0 structure; GCC places the firmware's strings behind it
// (OvmfPkg/SmbiosPlatformDxe/SmbiosPlatformDxe.c).
var smbiosTemplate = []byte{0x00, 0x1A, 0x00, 0x00, 0x01, 0x02, 0x00, 0xE8, 0x03, 0x00, 0x08, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x1C, 0x00, 0x00, 0xFF, 0xFF}

var datePattern = regexp.MustCompile(`^[01][0-9]/[0-3][0-9]/20[0-9]{2}$`)

const (
	stringAlign  = 8   // arrays of that size, and the template, are aligned at least so
	stringWindow = 512 // bytes in which the three strings are looked for
	minString    = 5   // characters; shorter runs are padding instructions
)

// findStrings looks for release date, version and vendor in the SMBIOS driver. Builds that set none of them have the vendor "EDK
// II" only, and the driver falls back to fixed text for the others. Where anything else is found the result is nil.
func findStrings(driver []byte) *Strings {
	at := bytes.Index(driver, smbiosTemplate)
	if at < 0 {
		return nil
	}
	window := driver[at:]
	window = window[:min(len(window), stringWindow)]
	var found []string
	for off := 0; off < len(window)-1; {
		s := asciiUTF16(window[off:])
		if len(s) >= minString {
			found = append(found, s)
		}
		off = align(off+2*(len(s)+1), stringAlign)
	}
	switch {
	case len(found) == 3 && datePattern.MatchString(found[0]):
		return &Strings{Vendor: found[2], Version: found[1], ReleaseDate: found[0]}
	case len(found) == 1 && found[0] == "EDK II":
		return &Strings{Vendor: found[0], Version: "unknown", ReleaseDate: "02/02/2022"}
	default:
		return nil
	}
}

// asciiUTF16 returns the printable ASCII text that b begins with in UTF-16, if NUL ends it.
func asciiUTF16(b []byte) string {
	var s []byte
	for ; len(b) >= 2 && b[1] == 0; b = b[2:] {
		if b[0] == 0 {
			return string(s)
		}
		if b[0] < 0x20 || b[0] > 0x7E {
			return ""
		}
		s = append(s, b[0])
	}
	return ""
}

func utf16Bytes(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}
