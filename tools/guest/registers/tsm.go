package registers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

// Where Linux has what a TD measures, and makes quotes.
const (
	measurements = "/sys/devices/virtual/misc/tdx_guest/measurements" // since Linux 6.16
	reports      = "/sys/kernel/config/tsm/report"                    // since Linux 6.7
	ccel         = "/sys/firmware/acpi/tables/data/CCEL"
)

// maxQuote bounds a quote, in bytes; Linux gives at most 8 KiB (drivers/virt/coco/tdx-guest/tdx-guest.c GET_QUOTE_BUF_SIZE).
const maxQuote = 64 << 10

// files is the part of the file system that Linux shows registers in. The simulated one of the tests is another.
type files interface {
	ReadFile(path string) ([]byte, error)
	WriteFile(path string, data []byte) error
	Mkdir(path string) error
	Remove(path string) error
}

// TD is the trust domain that this program runs in.
type TD struct {
	files files
	mu    sync.Mutex // for one quote at a time
}

// linux is the real file system.
type linux struct{}

func (linux) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }
func (linux) Mkdir(path string) error              { return os.Mkdir(path, 0o700) }
func (linux) Remove(path string) error             { return os.Remove(path) }

// WriteFile writes to a file that is there, in one piece, as attributes of the kernel take it.
func (linux) WriteFile(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Close())
}

// OpenTD returns the registers of this trust domain. It is an error to be in none, or on a kernel that can not extend RTMR3.
func OpenTD() (*TD, error) {
	td := &TD{files: linux{}}
	if _, err := td.Registers(); err != nil {
		return nil, err
	}
	return td, nil
}

// Name tells nothing that is not in the quote.
func (t *TD) Name() (vendor, product string) { return "Intel", "TDX" }

// Registers reads what the kernel read from the TDX module.
func (t *TD) Registers() (v Values, err error) {
	for _, r := range []struct {
		name string
		to   []byte
	}{
		{"mrtd:sha384", v.MRTD[:]},
		{"rtmr0:sha384", v.RTMR0[:]}, {"rtmr1:sha384", v.RTMR1[:]}, {"rtmr2:sha384", v.RTMR2[:]}, {rtmr3, v.RTMR3[:]},
		{"mrconfigid", v.ConfigID[:]}, {"mrowner", v.Owner[:]}, {"mrownerconfig", v.OwnerConfig[:]},
	} {
		data, err := t.files.ReadFile(filepath.Join(measurements, r.name))
		if errors.Is(err, fs.ErrNotExist) {
			return Values{}, fmt.Errorf("TDX register %s: expected a TD and Linux 6.16 or later, which shows it: %w", r.name, err)
		}
		if err != nil {
			return Values{}, fmt.Errorf("TDX register %s: %w", r.name, err)
		}
		if len(data) != len(r.to) {
			return Values{}, fmt.Errorf("TDX register %s: expected %d bytes, got %d", r.name, len(r.to), len(data))
		}
		copy(r.to, data)
	}
	return v, nil
}

// rtmr3 is the name of the register that the guest extends.
const rtmr3 = "rtmr3:sha384"

// Extend writes the digest, which is how Linux extends, and reads back whether the register is now what it should be.
func (t *TD) Extend(digest dstack.Register) error {
	before, err := t.Registers()
	if err != nil {
		return err
	}
	if err := t.files.WriteFile(filepath.Join(measurements, rtmr3), digest[:]); err != nil {
		return fmt.Errorf("extend RTMR3: %w", err)
	}
	after, err := t.Registers()
	if err != nil {
		return err
	}
	if want := eventlog.Digest(before.RTMR3).Extend(eventlog.Digest(digest)); after.RTMR3 != dstack.Register(want) {
		return fmt.Errorf("extend RTMR3 with %s: expected %s, got %s", digest, want, after.RTMR3)
	}
	return nil
}

// Firmware reads the log that the firmware and the kernel's EFI stub wrote.
func (t *TD) Firmware() ([]eventlog.Event, error) {
	data, err := t.files.ReadFile(ccel)
	if err != nil {
		return nil, fmt.Errorf("event log of the firmware: %w", err)
	}
	log, err := eventlog.ParseCCEL(data)
	if err != nil {
		return nil, fmt.Errorf("event log of the firmware: %w", err)
	}
	var events []eventlog.Event
	for _, e := range log.Events {
		if e.Type != eventlog.EvNoAction && e.Register <= eventlog.RTMR2 {
			events = append(events, e)
		}
	}
	values, err := t.Registers()
	if err != nil {
		return nil, err
	}
	return events, checkReplay(events, values)
}

// checkReplay holds a log to the registers.
func checkReplay(events []eventlog.Event, v Values) error {
	replayed := (&eventlog.Log{Kind: eventlog.KindCCEL, Events: events}).Replay()
	for i, want := range []dstack.Register{v.RTMR0, v.RTMR1, v.RTMR2} {
		r := eventlog.RTMR0 + eventlog.Register(i)
		if got := dstack.Register(replayed[r]); got != want {
			return fmt.Errorf("event log of the firmware: its events lead to %s %s, the register holds %s", r, got, want)
		}
	}
	return nil
}

// Quote makes a folder, writes the report data into it, and reads the quote. The generation counts what was written in the folder, by
// whomever: another one than expected means that the quote may be about other data.
func (t *TD) Quote(ctx context.Context, reportData [64]byte) (quote []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	folder := filepath.Join(reports, "boardroom-guest")
	if err := t.files.Mkdir(folder); err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	defer func() { err = errors.Join(err, t.files.Remove(folder)) }()
	before, err := t.generation(folder)
	if err != nil {
		return nil, err
	}
	if err := t.files.WriteFile(filepath.Join(folder, "inblob"), reportData[:]); err != nil {
		return nil, fmt.Errorf("quote: write the report data: %w", err)
	}
	provider, err := t.files.ReadFile(filepath.Join(folder, "provider"))
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	if got := string(bytes.TrimSpace(provider)); got != "tdx_guest" {
		return nil, fmt.Errorf("quote: provider: expected tdx_guest, got %.40q", got)
	}
	quote, err = t.files.ReadFile(filepath.Join(folder, "outblob"))
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	after, err := t.generation(folder)
	if err != nil {
		return nil, err
	}
	switch {
	case after != before+1:
		return nil, fmt.Errorf("quote: generation: expected %d, got %d: somebody else wrote report data", before+1, after)
	case len(quote) > maxQuote:
		return nil, fmt.Errorf("quote: expected at most %d bytes, got %d", maxQuote, len(quote))
	// REPORTDATA stands at 568 of a version 4 quote: 48 bytes of header, then 520 of the TD report.
	case len(quote) < reportDataAt+len(reportData) || !bytes.Equal(quote[reportDataAt:reportDataAt+len(reportData)], reportData[:]):
		return nil, fmt.Errorf("quote: expected one of version 4 over the report data, got %d bytes that are none", len(quote))
	}
	return quote, nil
}

const reportDataAt = 568

func (t *TD) generation(folder string) (uint64, error) {
	data, err := t.files.ReadFile(filepath.Join(folder, "generation"))
	if err != nil {
		return 0, fmt.Errorf("quote: %w", err)
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("quote: generation: %w", err)
	}
	return n, nil
}
