package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxUevent bounds a file uevent, which is at most a page.
const maxUevent = 4096

// parseUevent reads NAME=VALUE lines, as a device's file uevent has them (lib/kobject_uevent.c add_uevent_var).
func parseUevent(data []byte) (map[string]string, error) {
	if len(data) > maxUevent {
		return nil, fmt.Errorf("uevent: expected at most %d bytes, got %d", maxUevent, len(data))
	}
	values := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		if !found || name == "" {
			return nil, fmt.Errorf("uevent: expected NAME=VALUE, got %.80q", line)
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("uevent: %s stands there twice", name)
		}
		values[name] = value
	}
	return values, nil
}

// findDevice looks for a block device, "PARTLABEL=" and a partition's name or a path under /dev, in a tree like /sys/class/block. It
// returns the path of the device, or nothing while there is none. Two partitions of one name are refused.
func findDevice(class fs.FS, wanted string) (string, error) {
	entries, err := fs.ReadDir(class, ".")
	if err != nil {
		return "", err
	}
	label, byLabel := strings.CutPrefix(wanted, "PARTLABEL=")
	var found string
	for _, entry := range entries {
		data, err := fs.ReadFile(class, path.Join(entry.Name(), "uevent"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed after it was listed
		}
		if err != nil {
			return "", err
		}
		values, err := parseUevent(data)
		if err != nil {
			return "", fmt.Errorf("block device %s: %w", entry.Name(), err)
		}
		device := "/dev/" + values["DEVNAME"]
		if byLabel && values["PARTNAME"] != label || !byLabel && device != wanted {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("partition %s: %s and %s both have this name", label, found, device)
		}
		found = device
	}
	return found, nil
}
