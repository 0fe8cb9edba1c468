package acpi

import (
	"encoding/binary"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Sizes to which QEMU pads the files (hw/i386/acpi-build.c, ACPI_BUILD_TABLE_SIZE and ACPI_BUILD_ALIGN_SIZE).
const (
	tablesUnit = 0x20000
	loaderUnit = 0x1000
)

// Header of a table (ACPI 5.2.6).
const (
	headerSize     = 36
	lengthOffset   = 4
	checksumOffset = 9
)

// Offsets in the FADT, RSDP and TPM2 table at which the loader puts addresses.
const (
	fadtFACS  = 36
	fadtDSDT  = 40
	fadtXDSDT = 140
	tpmLogAt  = 68
	rsdpRSDT  = 16
	rsdpSum   = 8
	rsdpSize  = 20
)

// Tables are the files as firmware gets them, before it relocates and checksums anything.
type Tables struct {
	// Tables is etc/acpi/tables.
	Tables []byte
	// Loader is etc/table-loader.
	Loader []byte
	// RSDP is etc/acpi/rsdp.
	RSDP []byte
	// TPMLog is etc/tpm/log, nil without a TPM.
	TPMLog []byte
	// List says where each table is in Tables.
	List []Table
}

// Table is the place of a table.
type Table struct {
	Signature string
	Offset    int
	Length    int
}

// Build makes the tables of a machine.
func Build(m machine.Machine) (Tables, error) {
	if err := m.Validate(); err != nil {
		return Tables{}, err
	}
	devices, err := m.Devices()
	if err != nil {
		return Tables{}, err
	}
	b := &builder{out: make([]byte, 0, tablesUnit)}
	b.loader.commands = make([]byte, 0, loaderUnit)
	b.loader.allocate(fileTables, 64, zoneHigh)
	b.place("FACS", facs)
	b.table("DSDT", 1, dsdt(&m, rootBus(&m, devices))...)
	b.fadt(&m)
	madtRevision := uint8(1)
	if m.Has(machine.MADTRevision3) {
		madtRevision = 3
	}
	b.listed("APIC", madtRevision, madt(&m))
	if m.HPET {
		b.listed("HPET", 1, hpet())
	}
	if m.TPM != machine.TPMNone {
		b.loader.allocate(fileTPMLog, 1, zoneHigh)
		b.loader.pointer(fileTables, len(b.out)+tpmLogAt, 8, fileTPMLog)
		b.listed("TPM2", 4, tpm2(m.TPM))
	}
	if len(m.NUMA) > 0 {
		b.listed("SRAT", 1, srat(&m))
	}
	b.listed("MCFG", 1, mcfg())
	b.listed("WAET", 1, waet())
	return b.finish(m.TPM != machine.TPMNone), nil
}

// builder appends tables to the file and commands to the loader.
type builder struct {
	out    []byte
	loader loader
	list   []Table
	// roots are the offsets of the tables that the RSDT lists.
	roots []int
}

// place appends data as it is.
func (b *builder) place(signature string, data ...term) {
	at := len(b.out)
	for _, t := range data {
		b.out = append(b.out, t...)
	}
	b.list = append(b.list, Table{signature, at, len(b.out) - at})
}

// table appends a table with its header and has it checksummed.
func (b *builder) table(signature string, revision uint8, body ...term) {
	at := len(b.out)
	header := concat(term(signature), u32(0), u8(revision), u8(0), "BOCHS ", "BXPC    ", u32(1), "BXPC", u32(1))
	b.place(signature, append([]term{header}, body...)...)
	length := len(b.out) - at
	binary.LittleEndian.PutUint32(b.out[at+lengthOffset:], uint32(length))
	b.loader.checksum(fileTables, at+checksumOffset, at, length)
}

// listed appends a table that the RSDT lists.
func (b *builder) listed(signature string, revision uint8, body term) {
	b.roots = append(b.roots, len(b.out))
	b.table(signature, revision, body)
}

// fadt appends the FADT, whose pointers are offsets of FACS and DSDT until firmware relocates them.
func (b *builder) fadt(m *machine.Machine) {
	at := len(b.out)
	facs, dsdt := b.list[0].Offset, b.list[1].Offset
	b.loader.pointer(fileTables, at+fadtFACS, 4, fileTables)
	b.loader.pointer(fileTables, at+fadtDSDT, 4, fileTables)
	b.loader.pointer(fileTables, at+fadtXDSDT, 8, fileTables)
	b.listed("FACP", 3, fadt(m))
	binary.LittleEndian.PutUint32(b.out[at+fadtFACS:], uint32(facs))
	binary.LittleEndian.PutUint32(b.out[at+fadtDSDT:], uint32(dsdt))
	binary.LittleEndian.PutUint64(b.out[at+fadtXDSDT:], uint64(dsdt))
}

// finish appends the RSDT and pads the files.
func (b *builder) finish(tpm bool) Tables {
	rsdt := len(b.out)
	var body term
	for i, at := range b.roots {
		b.loader.pointer(fileTables, rsdt+headerSize+4*i, 4, fileTables)
		body += u32(uint32(at))
	}
	b.table("RSDT", 1, body)

	b.loader.allocate(fileRSDP, 16, zoneFSeg)
	b.loader.pointer(fileRSDP, rsdpRSDT, 4, fileTables)
	b.loader.checksum(fileRSDP, rsdpSum, 0, rsdpSize)
	t := Tables{
		Tables: padded(b.out, tablesUnit),
		Loader: padded(append(b.loader.allocations, b.loader.commands...), loaderUnit),
		RSDP:   []byte("RSD PTR \x00BOCHS \x00" + u32(uint32(rsdt))),
		List:   b.list,
	}
	if tpm {
		t.TPMLog = make([]byte, tpmLogSize)
	}
	return t
}

// padded is b with zeros up to a multiple of unit.
func padded(b []byte, unit int) []byte {
	n := len(b)
	b = slices.Grow(b, (unit-n%unit)%unit)[:(n+unit-1)/unit*unit]
	clear(b[n:])
	return b
}
