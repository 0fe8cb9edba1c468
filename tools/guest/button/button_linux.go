package button

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// deviceName is what the driver calls each power button (drivers/acpi/button.c ACPI_BUTTON_DEVICE_NAME_POWER).
const deviceName = "Power Button"

// struct input_event of 64-bit kernels: two u64 of time, u16 type, u16 code, i32 value, in the byte order of the machine.
const (
	eventSize = 24
	typeAt    = 16
	codeAt    = 18
	valueAt   = 20

	keyEvent = 1   // EV_KEY
	power    = 116 // KEY_POWER
	pressed  = 1
)

// Watch calls press each time a power button is pressed, for as long as the program runs. A machine need not have any. What goes wrong later
// is told to warn.
func Watch(press func(), warn func(error)) error {
	devices, err := find(os.DirFS("/sys/class/input"))
	if err != nil {
		return fmt.Errorf("power button: %w", err)
	}
	for _, device := range devices {
		file, err := os.Open(filepath.Join("/dev/input", device))
		if err != nil {
			return fmt.Errorf("power button: %w", err)
		}
		go func() {
			defer file.Close()
			warn(fmt.Errorf("power button %s: %w", device, read(file, press)))
		}()
	}
	return nil
}

// find lists the event devices of power buttons in a tree like /sys/class/input.
func find(class fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(class, ".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "event") {
			continue
		}
		name, err := fs.ReadFile(class, path.Join(e.Name(), "device/name"))
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(string(name)) == deviceName {
			found = append(found, e.Name())
		}
	}
	return found, nil
}

// read reads events, of which Linux gives whole ones only, until it can not.
func read(r io.Reader, press func()) error {
	event := make([]byte, eventSize)
	for {
		if _, err := io.ReadFull(r, event); err != nil {
			return err
		}
		if binary.NativeEndian.Uint16(event[typeAt:]) == keyEvent && binary.NativeEndian.Uint16(event[codeAt:]) == power &&
			int32(binary.NativeEndian.Uint32(event[valueAt:])) == pressed {
			press()
		}
	}
}
