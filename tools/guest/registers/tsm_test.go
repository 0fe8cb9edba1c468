package registers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

// simFiles is what Linux shows in a TD.
type simFiles struct {
	files      map[string][]byte
	folder     bool
	generation int
	reportData []byte
	// hook changes what is read.
	hook func(path string, data []byte) []byte
	fail string // of a path's end
}

func newSimFiles() *simFiles {
	s := &simFiles{files: make(map[string][]byte)}
	for i, name := range []string{"mrtd:sha384", "rtmr0:sha384", "rtmr1:sha384", "rtmr2:sha384", "mrconfigid", "mrowner", "mrownerconfig"} {
		s.files[measurements+"/"+name] = bytes.Repeat([]byte{byte(i + 1)}, 48)
	}
	s.files[measurements+"/"+rtmr3] = make([]byte, 48)
	return s
}

func (s *simFiles) ReadFile(path string) ([]byte, error) {
	if s.fail != "" && strings.HasSuffix(path, s.fail) {
		return nil, errors.New("simulated failure")
	}
	data, found := s.files[path]
	if name, ok := strings.CutPrefix(path, reports+"/boardroom-guest/"); ok && s.folder {
		found = true
		switch name {
		case "generation":
			data = fmt.Appendf(nil, "%d\n", s.generation)
		case "provider":
			data = []byte("tdx_guest\n")
		case "outblob":
			data = append(make([]byte, reportDataAt), s.reportData...)
		}
	}
	if !found {
		return nil, fs.ErrNotExist
	}
	data = bytes.Clone(data)
	if s.hook != nil {
		data = s.hook(path, data)
	}
	return data, nil
}

func (s *simFiles) WriteFile(path string, data []byte) error {
	switch path {
	case measurements + "/" + rtmr3:
		extended := eventlog.Digest(s.files[path]).Extend(eventlog.Digest(data))
		s.files[path] = extended[:]
	case reports + "/boardroom-guest/inblob":
		s.generation++
		s.reportData = bytes.Clone(data)
	default:
		return fs.ErrNotExist
	}
	return nil
}

func (s *simFiles) Mkdir(path string) error {
	if s.folder || path != reports+"/boardroom-guest" {
		return fs.ErrExist
	}
	s.folder = true
	return nil
}

func (s *simFiles) Remove(string) error {
	s.folder = false
	return nil
}

func TestRegisters(t *testing.T) {
	s := newSimFiles()
	td := &TD{files: s}
	v, err := td.Registers()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range []dstack.Register{v.MRTD, v.RTMR0, v.RTMR1, v.RTMR2, dstack.Register(v.ConfigID), v.Owner, v.OwnerConfig} {
		if r[0] != byte(i+1) || r[47] != byte(i+1) {
			t.Errorf("register %d is %s", i, r)
		}
	}
	digest := dstack.Register{7}
	if err := td.Extend(digest); err != nil {
		t.Fatal(err)
	}
	if v, err = td.Registers(); err != nil || v.RTMR3 != dstack.Register(eventlog.Digest{}.Extend(eventlog.Digest(digest))) {
		t.Errorf("RTMR3 %s, %v", v.RTMR3, err)
	}
	s.hook = func(path string, data []byte) []byte {
		if strings.HasSuffix(path, rtmr3) {
			return make([]byte, 48)
		}
		return data
	}
	if err := td.Extend(digest); err == nil {
		t.Error("a register that stays as it was counts as extended")
	}
	s.hook = func(_ string, data []byte) []byte { return data[1:] }
	if _, err := td.Registers(); err == nil || !strings.Contains(err.Error(), "48 bytes") {
		t.Errorf("short register: %v", err)
	}
	if _, err := (&TD{files: &simFiles{}}).Registers(); err == nil || !strings.Contains(err.Error(), "6.16") {
		t.Errorf("no TD: %v", err)
	}
}

func TestQuote(t *testing.T) {
	data := [64]byte{1, 63: 9}
	s := newSimFiles()
	for range 2 { // the folder is made anew
		quote, err := (&TD{files: s}).Quote(t.Context(), data)
		if err != nil || !bytes.HasSuffix(quote, data[:]) || s.folder {
			t.Fatalf("quote %x, %v, folder left: %t", quote, err, s.folder)
		}
	}
	for name, hook := range map[string]func(path string, data []byte) []byte{
		"generation": func(path string, data []byte) []byte {
			if strings.HasSuffix(path, "generation") {
				s.generation++ // by somebody else
			}
			return data
		},
		"provider": func(path string, data []byte) []byte {
			if strings.HasSuffix(path, "provider") {
				return []byte("sev_guest\n")
			}
			return data
		},
		"over the report data": func(path string, data []byte) []byte {
			if strings.HasSuffix(path, "outblob") {
				data[reportDataAt] ^= 1
			}
			return data
		},
		"of version 4": func(path string, data []byte) []byte {
			if strings.HasSuffix(path, "outblob") {
				return data[:100]
			}
			return data
		},
		"at most": func(path string, data []byte) []byte {
			if strings.HasSuffix(path, "outblob") {
				return append(data, make([]byte, maxQuote)...)
			}
			return data
		},
		"invalid syntax": func(path string, data []byte) []byte {
			if strings.HasSuffix(path, "generation") {
				return []byte("x")
			}
			return data
		},
	} {
		s = newSimFiles()
		s.hook = hook
		if quote, err := (&TD{files: s}).Quote(t.Context(), data); err == nil || !strings.Contains(err.Error(), name) || s.folder {
			t.Errorf("%s: got %d bytes, %v, folder left: %t", name, len(quote), err, s.folder)
		}
	}
	s = newSimFiles()
	s.folder = true
	if _, err := (&TD{files: s}).Quote(t.Context(), data); !errors.Is(err, fs.ErrExist) {
		t.Errorf("somebody else's folder: %v", err)
	}
}

// simCCEL is a log of one event in RTMR0 (UEFI 2.10 section 38.4.1: register 1 of the log is RTMR0).
func simCCEL(digest eventlog.Digest) []byte {
	spec := append([]byte("Spec ID Event03\x00"), 0, 0, 0, 0, 0, 2, 0, 2)
	spec = append(spec, 1, 0, 0, 0, 0x0c, 0, 48, 0, 0)
	log := append([]byte{1, 0, 0, 0, 3, 0, 0, 0}, make([]byte, 20)...)
	log = append(append(log, byte(len(spec)), 0, 0, 0), spec...)
	log = append(log, 1, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0)
	return append(append(log, digest[:]...), 0, 0, 0, 0)
}

func TestFirmware(t *testing.T) {
	s := newSimFiles()
	digest := eventlog.Digest{3}
	s.files[ccel] = simCCEL(digest)
	value := eventlog.Digest{}.Extend(digest)
	s.files[measurements+"/rtmr0:sha384"] = value[:]
	for _, empty := range []string{"/rtmr1:sha384", "/rtmr2:sha384"} {
		s.files[measurements+empty] = make([]byte, 48)
	}
	td := &TD{files: s}
	events, err := td.Firmware()
	if err != nil || len(events) != 1 || events[0].Digest != digest {
		t.Errorf("events %v, %v", events, err)
	}
	s.files[measurements+"/rtmr2:sha384"][0] = 1
	if _, err := td.Firmware(); err == nil || !strings.Contains(err.Error(), "rtmr2") {
		t.Errorf("a log that does not lead to the registers: %v", err)
	}
	s.files[ccel] = nil
	if _, err := td.Firmware(); err == nil {
		t.Error("no log")
	}
}
