package eventlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// maxDescribed bounds the text taken from the data of one event, in characters.
const maxDescribed = 160

// Describe says in one line, in printable characters, what the event data says about the event. It is for people: the data of
// many types is not covered by the digest.
func (e *Event) Describe() string {
	if e.Name != "" {
		return describeDstack(e)
	}
	switch e.Type {
	case EvSeparator:
		return describeSeparator(e.Data)
	case EvEFIAction, EvAction:
		return printable(string(e.Data))
	case EvSCRTMVersion:
		return "firmware version " + printable(utf16String(e.Data))
	case EvEFIVariableDriverConfig, EvEFIVariableBoot, EvEFIVariableBoot2, EvEFIVariableAuthority:
		if v, ok := parseVariable(e.Data); ok {
			return fmt.Sprintf("variable %s, %d bytes", printable(v.name), len(v.data))
		}
	case EvEventTag:
		return describeTag(e.Data)
	case EvPlatformConfigFlags:
		return describeConfig(e.Data)
	case EvEFIPlatformFirmwareBlob2, EvEFIHandoffTables2:
		// UEFI_PLATFORM_FIRMWARE_BLOB2 and UEFI_HANDOFF_TABLE_POINTERS2 begin with a counted description (PFP 10.2.2, 10.2.5).
		if len(e.Data) > 0 && len(e.Data) > int(e.Data[0]) {
			return printable(strings.TrimRight(string(e.Data[1:1+int(e.Data[0])]), "\x00"))
		}
	case EvEFIHandoffTables:
		return "configuration tables"
	case EvEFIPlatformFirmwareBlob:
		if len(e.Data) == 16 {
			return fmt.Sprintf("firmware volume at 0x%x, %d bytes", binary.LittleEndian.Uint64(e.Data), binary.LittleEndian.Uint64(e.Data[8:]))
		}
	case EvEFIBootServicesApplication, EvEFIBootServicesDriver, EvEFIRuntimeServicesDriver:
		return describeImage(e.Data)
	case EvEFIGPTEvent:
		// UEFI_GPT_DATA: the 92-byte header, then u64 partition count (PFP 10.2.4).
		if len(e.Data) >= 100 {
			return fmt.Sprintf("partition table with %d partitions", binary.LittleEndian.Uint64(e.Data[92:]))
		}
	case EvIPL:
		return describeIPL(e.Data)
	case EvNoAction:
		return printable(strings.TrimRight(string(e.Data[:min(len(e.Data), 16)]), "\x00"))
	}
	return fmt.Sprintf("%d bytes of data", len(e.Data))
}

func describeDstack(e *Event) string {
	name := printable(e.Name)
	switch {
	case !e.Runtime():
		return name
	case len(e.Data) == 0:
		return name + " (empty)"
	case isPrintable(e.Data):
		return name + " " + printable(string(e.Data))
	default:
		return name + " " + printable(hex.EncodeToString(e.Data))
	}
}

func describeSeparator(data []byte) string {
	if bytes.Equal(data, []byte{0, 0, 0, 0}) {
		return "end of firmware phase"
	}
	return fmt.Sprintf("separator %x, an error was recorded", data[:min(len(data), 16)])
}

// describeTag reads TCG_PCClientTaggedEvent: u32 tag, u32 size, data (PFP 1.06 section 10.4.2.1).
func describeTag(data []byte) string {
	if len(data) < 8 {
		return fmt.Sprintf("%d bytes of data", len(data))
	}
	text := printable(strings.TrimRight(string(data[8:]), "\x00"))
	switch binary.LittleEndian.Uint32(data) {
	case TagLoadOptions:
		return "kernel command line (" + text + ")"
	case TagInitrd:
		return "initial RAM disk (" + text + ")"
	default:
		return fmt.Sprintf("tag 0x%08x %s", binary.LittleEndian.Uint32(data), text)
	}
}

// describeConfig reads the data of OVMF's configuration events: "ACPI DATA", or "QEMU FW CFG", NUL and the name of an item
// (OvmfPkg/Library/PlatformInitLib and OvmfPkg/AcpiPlatformDxe).
func describeConfig(data []byte) string {
	text := strings.TrimRight(string(data), "\x00")
	if name, ok := strings.CutPrefix(text, "QEMU FW CFG\x00"); ok {
		return "fw_cfg item " + printable(name)
	}
	return printable(text)
}

// describeImage finds the file name in UEFI_IMAGE_LOAD_EVENT (PFP 1.06 section 10.2.3): four u64, the last being the length of the
// device path that follows; node type 4 subtype 4 holds a file path.
func describeImage(data []byte) string {
	const head = 32
	name := ""
	if len(data) >= head {
		for path := data[head:]; len(path) >= 4; {
			size := int(binary.LittleEndian.Uint16(path[2:]))
			if size < 4 || size > len(path) {
				break
			}
			if path[0] == 4 && path[1] == 4 {
				name = " " + printable(utf16String(path[4:size]))
			}
			path = path[size:]
		}
	}
	return "image" + name
}

// describeIPL shows ASCII (GRUB, shim) or UTF-16 (systemd-stub) text.
func describeIPL(data []byte) string {
	if len(data) >= 2 && data[1] == 0 {
		return printable(utf16String(data))
	}
	return printable(strings.TrimRight(string(data), "\x00"))
}

// utf16String decodes little-endian UTF-16 up to the first NUL; an odd last byte is ignored.
func utf16String(b []byte) string {
	units := make([]uint16, 0, min(len(b)/2, maxDescribed))
	for ; len(b) >= 2 && len(units) < maxDescribed; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

func isPrintable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7E {
			return false
		}
	}
	return true
}

// printable replaces what a terminal could interpret and cuts long text.
func printable(s string) string {
	var out strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > maxDescribed {
			out.WriteString("...")
			break
		}
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			r = '.'
		}
		out.WriteRune(r)
	}
	return out.String()
}
