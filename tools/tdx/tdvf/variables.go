package tdvf

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// Variable is an authenticated UEFI variable from the store in the CFV.
type Variable struct {
	Vendor GUID
	Name   string
	Data   []byte
}

// Vendors of the secure boot variables (UEFI 2.10 section 32.3 and 32.4).
var (
	GlobalVariable        = mustGUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
	ImageSecurityDatabase = mustGUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")

	authenticatedStoreGUID = mustGUID("aaf32c78-947b-439a-a180-2e144ec37792")
)

// Layout of the store (edk2 MdeModulePkg/Include/Guid/VariableFormat.h).
const (
	fvLengthOffset       = 32
	fvHeaderLengthOffset = 48
	storeHeaderSize      = 28
	storeFormatted       = 0x5A
	storeHealthy         = 0xFE
	variableStart        = 0x55AA
	variableHeaderSize   = 60
	variableAdded        = 0x3F // states are written by clearing bits, so that flash needs no erase
	variableInTransition = 0x3E // being replaced; valid while there is no added one
	maxVariableName      = 1024 // bytes; the longest known name has about 40 characters
	maxVariables         = 4096
)

// Variables reads the variable store of the CFV. Deleted and half-written variables are left out. Errors wrap [ErrVariables]
// or [ErrImage].
func (im *Image) Variables() ([]Variable, error) {
	cfv, err := im.cfv()
	if err != nil {
		return nil, err
	}
	return parseVariableStore(cfv)
}

func parseVariableStore(fv []byte) ([]Variable, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrVariables, fmt.Sprintf(format, args...))
	}
	if len(fv) < fvHeaderMin || string(fv[40:44]) != fvSignature || GUID(fv[16:32]) != nvramGUID {
		return nil, bad("the CFV does not begin with the header of a variable volume")
	}
	if length := binary.LittleEndian.Uint64(fv[fvLengthOffset:]); length > uint64(len(fv)) {
		return nil, bad("volume of %d bytes in a CFV of %d", length, len(fv))
	}
	header := int(binary.LittleEndian.Uint16(fv[fvHeaderLengthOffset:]))
	if header < fvHeaderMin || len(fv)-header < storeHeaderSize {
		return nil, bad("volume header of %d bytes", header)
	}
	store := fv[header:]
	if guid := GUID(store[:16]); guid != authenticatedStoreGUID {
		return nil, bad("store %s, only authenticated variables are read", guid)
	}
	size := binary.LittleEndian.Uint32(store[16:])
	if store[20] != storeFormatted || store[21] != storeHealthy || size < storeHeaderSize || uint64(size) > uint64(len(store)) {
		return nil, bad("store of %d bytes, format 0x%02x, state 0x%02x", size, store[20], store[21])
	}
	return parseVariables(store[:size], bad)
}

func parseVariables(store []byte, bad func(string, ...any) error) ([]Variable, error) {
	var added, transition []Variable
	for at := storeHeaderSize; len(store)-at >= variableHeaderSize; {
		h := store[at:]
		if binary.LittleEndian.Uint16(h) != variableStart {
			break
		}
		nameSize, dataSize := uint64(binary.LittleEndian.Uint32(h[36:])), uint64(binary.LittleEndian.Uint32(h[40:]))
		end := variableHeaderSize + nameSize + dataSize
		if len(added)+len(transition) == maxVariables {
			return nil, bad("more than %d variables", maxVariables)
		}
		if end > uint64(len(h)) || nameSize > maxVariableName || nameSize%2 != 0 {
			return nil, bad("variable at byte %d with a name of %d and data of %d bytes", at, nameSize, dataSize)
		}
		v := Variable{
			Vendor: GUID(h[44:60]),
			Name:   utf16Name(h[variableHeaderSize : variableHeaderSize+nameSize]),
			Data:   h[variableHeaderSize+nameSize : end : end],
		}
		switch h[2] {
		case variableAdded:
			added = append(added, v)
		case variableInTransition:
			transition = append(transition, v)
		}
		at += int((end + 3) &^ 3)
	}
	for _, v := range transition {
		if _, replaced := Lookup(added, v.Vendor, v.Name); !replaced {
			added = append(added, v)
		}
	}
	return added, nil
}

// Lookup finds a variable by vendor and name.
func Lookup(variables []Variable, vendor GUID, name string) (Variable, bool) {
	for _, v := range variables {
		if v.Vendor == vendor && v.Name == name {
			return v, true
		}
	}
	return Variable{}, false
}

func utf16Name(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
