//go:build simtee

package registers

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// Where the simulated TEE finds what it is made of.
const (
	tpmLog = "/sys/kernel/security/tpm0/binary_bios_measurements"
	tpmPCR = "/sys/class/tpm/tpm0/pcr-sha384"
	fwCfg  = "/sys/firmware/qemu_fw_cfg/by_name"
	// Items that whoever starts QEMU sets with -fw_cfg name=…,string=…: the seed of the simulated platform, 64 hex digits, and MRCONFIGID, 96
	// hex digits, which may be left out, as it may for a TD.
	itemSeed     = "opt/boardroom/simtee-seed"
	itemConfigID = "opt/boardroom/mrconfigid"
	// itemEmulated says, with 1, that the processor is emulated; without it or with 0, it is real.
	itemEmulated = "opt/boardroom/emulated"
)

// Simulated is a TEE that is not there, over what the real firmware measured. The values come from these places:
//
//   - RTMR0 to RTMR2: the SHA-384 bank of the TPM, whose log is held to the PCRs, mapped as UEFI 2.10 section 38.4.1 says. What firmware in
//     a TD measures differs from that in known ways (package tdx, [tdx.Diff]): a TD has no separators beyond those of its layout, no option
//     ROMs, and begins RTMR0 with the TD HOB and the configuration volume. The first are left out. The last two are measured here, from
//     the memory map that QEMU hands over and from the firmware as it stands in memory, in place of the TDX module's host and of TDX code
//     in the firmware that did not run.
//   - MRTD: the firmware as it stands in memory below 4 GiB, hashed as the TDX module does.
//   - RTMR3: zero at first, extended by this program.
type Simulated struct {
	platform *simtee.Platform
	events   []eventlog.Event

	mu   sync.Mutex
	body quote.Body
}

// OpenSimulated reads what the firmware measured. at is when the platform's certificates are made.
func OpenSimulated(at time.Time) (*Simulated, error) {
	s, err := openSimulated(at)
	if err != nil {
		return nil, fmt.Errorf("simulated TEE: %w", err)
	}
	return s, nil
}

func openSimulated(at time.Time) (*Simulated, error) {
	seedText, err := item(itemSeed)
	if err != nil {
		return nil, err
	}
	seed, err := simtee.ParseSeed(seedText)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", itemSeed, err)
	}
	platform, err := simtee.New(seed, at)
	if err != nil {
		return nil, err
	}
	s := &Simulated{platform: platform, body: platform.Body()}
	config, err := item(itemConfigID)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		id, err := dstack.ParseConfigID(config)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", itemConfigID, err)
		}
		s.body.MRCONFIGID = id
	}
	rom, err := readROM()
	if err != nil {
		return nil, err
	}
	firmware, err := findFirmware(rom)
	if err != nil {
		return nil, err
	}
	log, err := readTPM()
	if err != nil {
		return nil, err
	}
	ram, err := readRAM()
	if err != nil {
		return nil, err
	}
	return s, s.measure(firmware, log, ram)
}

// Emulated tells whether QEMU says that it emulates the processor.
func Emulated() (bool, error) { return emulated(fwCfg) }

func emulated(dir string) (bool, error) {
	text, err := itemIn(dir, itemEmulated)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case text != "0" && text != "1":
		return false, fmt.Errorf("QEMU's item %s: expected 0 or 1, got %.20q", itemEmulated, text)
	}
	return text == "1", nil
}

// item reads what was given with -fw_cfg.
func item(name string) (string, error) { return itemIn(fwCfg, name) }

func itemIn(dir, name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, name, "raw"))
	if err != nil {
		return "", fmt.Errorf("QEMU's item %s: %w", name, err)
	}
	return strings.TrimSpace(string(data)), nil
}

// romSize is how much of the memory below 4 GiB is looked at for firmware.
const romSize = 16 << 20

// readROM reads the end of the first 4 GiB, where the firmware is.
func readROM() ([]byte, error) {
	file, err := os.Open("/dev/mem")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	mapped, err := unix.Mmap(int(file.Fd()), 1<<32-romSize, romSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the firmware: %w", err)
	}
	defer func() { _ = unix.Munmap(mapped) }()
	return append([]byte{}, mapped...), nil
}

// findFirmware cuts the firmware out. Its metadata is found from its end, and says where in memory its parts are; that is right for one
// size only.
func findFirmware(rom []byte) (*tdvf.Image, error) {
	var failed error
	for size := 1 << 20; size <= len(rom); size <<= 1 {
		image, err := tdvf.Parse(rom[len(rom)-size:])
		if err != nil {
			failed = err
			continue
		}
		for _, section := range image.Sections {
			if section.Attributes&tdvf.AttributeExtend != 0 && section.RawSize > 0 && section.Address == 1<<32-uint64(size)+uint64(section.DataOffset) {
				return image, nil
			}
		}
	}
	return nil, fmt.Errorf("firmware below 4 GiB: expected TDX firmware of 1 to %d MiB, found none: %w", romSize>>20, failed)
}

// imaPCR is what Linux extends with its own measurements, with a TPM and never in a TD (CONFIG_IMA_MEASURE_PCR_IDX).
const imaPCR = 10

// readTPM reads the log and holds it to the registers.
func readTPM() (*eventlog.Log, error) {
	data, err := os.ReadFile(tpmLog)
	if err != nil {
		return nil, fmt.Errorf("event log of the TPM: %w", err)
	}
	log, err := eventlog.ParseTPM(data)
	if err != nil {
		return nil, fmt.Errorf("event log of the TPM: %w", err)
	}
	replayed := log.Replay()
	for n := range 16 {
		if n == imaPCR {
			continue
		}
		text, err := os.ReadFile(filepath.Join(tpmPCR, strconv.Itoa(n)))
		if err != nil {
			return nil, fmt.Errorf("PCR %d: %w", n, err)
		}
		var got eventlog.Digest
		if _, err := hex.Decode(got[:], []byte(strings.TrimSpace(string(text)))); err != nil {
			return nil, fmt.Errorf("PCR %d: %w", n, err)
		}
		if want := replayed[eventlog.PCR(n)]; got != want {
			return nil, fmt.Errorf("event log of the TPM: its events lead to PCR %d %s, the TPM holds %s", n, want, got)
		}
	}
	return log, nil
}

// readRAM reads where the machine has memory: etc/e820, entries of address and length, u64, and type, u32, 1 for memory (QEMU
// hw/i386/e820_memory_layout.h).
func readRAM() ([]tdvf.Range, error) {
	data, err := os.ReadFile(filepath.Join(fwCfg, "etc/e820/raw"))
	if err != nil {
		return nil, fmt.Errorf("QEMU's memory map: %w", err)
	}
	return parseE820(data)
}

func parseE820(data []byte) ([]tdvf.Range, error) {
	const entry = 20
	if len(data)%entry != 0 {
		return nil, fmt.Errorf("QEMU's memory map: expected entries of %d bytes, got %d bytes", entry, len(data))
	}
	var ram []tdvf.Range
	for ; len(data) > 0; data = data[entry:] {
		if binary.LittleEndian.Uint32(data[16:]) == 1 {
			ram = append(ram, tdvf.Range{Start: binary.LittleEndian.Uint64(data), Length: binary.LittleEndian.Uint64(data[8:])})
		}
	}
	return ram, nil
}

// measure fills the registers.
func (s *Simulated) measure(firmware *tdvf.Image, log *eventlog.Log, ram []tdvf.Range) error {
	mrtd, err := firmware.MRTD(tdvf.OnePass)
	if err != nil {
		return fmt.Errorf("MRTD: %w", err)
	}
	profile, err := firmware.ProfileOf(mrtd)
	if err != nil {
		return err
	}
	if profile.FwCfg {
		return errors.New("firmware: expected one that does not measure fw_cfg items in a TD, because a TPM has no such events, got a later one")
	}
	hob, err := firmware.TDHOB(ram)
	if err != nil {
		return fmt.Errorf("TD HOB: %w", err)
	}
	cfv, err := firmware.CFVDigest()
	if err != nil {
		return fmt.Errorf("configuration volume: %w", err)
	}
	s.events = append([]eventlog.Event{
		{Register: eventlog.RTMR0, Type: eventlog.EvEFIHandoffTables2, Digest: eventlog.Sum(hob)},
		{Register: eventlog.RTMR0, Type: eventlog.EvEFIPlatformFirmwareBlob2, Digest: cfv},
	}, asTD(log, profile.SeparatorRTMR1)...)
	s.body.MRTD = mrtd
	replayed := (&eventlog.Log{Kind: eventlog.KindCCEL, Events: s.events}).Replay()
	for i := range 3 {
		s.body.RTMR[i] = replayed[eventlog.RTMR0+eventlog.Register(i)]
	}
	return nil
}

// asTD keeps the events of a TPM that a TD has too. A TPM has a separator in each of PCR 0 to 7, a TD one in RTMR0 where PCR 7 has its own,
// and one at the end of boot, in RTMR1 where PCR 4 has its own, or else in RTMR0 where PCR 1 has it (package tdx, predictor.rtmr0).
func asTD(log *eventlog.Log, separatorRTMR1 bool) []eventlog.Event {
	end := eventlog.PCR(1)
	if separatorRTMR1 {
		end = eventlog.PCR(4)
	}
	var events []eventlog.Event
	for _, e := range log.Events {
		r, ok := e.Register.TDX()
		switch {
		case !ok, r == eventlog.MRTD, e.Register == eventlog.PCR(imaPCR), e.Type == eventlog.EvNoAction, e.Type == eventlog.EvEFIBootServicesDriver:
			continue
		case e.Type == eventlog.EvSeparator && e.Register != eventlog.PCR(7) && e.Register != end:
			continue
		}
		e.Register = r
		events = append(events, e)
	}
	return events
}

// Name says that nothing here is real.
func (s *Simulated) Name() (vendor, product string) { return "SIMULATED", "SIMULATED" }

// Registers copies what is held here.
func (s *Simulated) Registers() (Values, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.body
	return Values{
		TDX: dstack.TDX{
			MRTD: b.MRTD, RTMR0: b.RTMR[0], RTMR1: b.RTMR[1], RTMR2: b.RTMR[2],
			ConfigID: b.MRCONFIGID, Owner: b.MROWNER, OwnerConfig: b.MROWNERCONFIG,
		},
		RTMR3: b.RTMR[3],
	}, nil
}

// Extend extends the simulated RTMR3.
func (s *Simulated) Extend(digest dstack.Register) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body.RTMR[3] = eventlog.Digest(s.body.RTMR[3]).Extend(eventlog.Digest(digest))
	return nil
}

// Firmware is what the TPM's log was mapped to.
func (s *Simulated) Firmware() ([]eventlog.Event, error) { return s.events, nil }

// Quote signs with the simulated platform's key.
func (s *Simulated) Quote(_ context.Context, reportData [64]byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := s.body
	body.ReportData = reportData
	return s.platform.Quote(4, body), nil
}
