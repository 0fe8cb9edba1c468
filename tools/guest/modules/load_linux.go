package modules

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is where the modules of the running kernel are.
func folder() (string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return filepath.Join("/usr/lib/modules", unix.ByteSliceToString(name.Release[:])), nil
}

// Load loads the named modules of the running kernel, and all that they need. One that is loaded already is left as it is.
func Load(names ...string) error {
	dir, err := folder()
	if err != nil {
		return err
	}
	dep, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return err
	}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return err
	}
	index, err := ParseIndex(dep, builtin)
	if err != nil {
		return err
	}
	files, err := index.Plan(names...)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := load(filepath.Join(dir, file)); err != nil {
			return fmt.Errorf("load kernel module %s: %w", file, err)
		}
	}
	return nil
}

// load hands a file to the kernel, which checks its signature and decompresses it (CONFIG_MODULE_DECOMPRESS).
func load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	flags := 0
	if !strings.HasSuffix(path, ".ko") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(file.Fd()), "", flags); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// Close forbids the kernel to load another module until it restarts.
func Close() error {
	return os.WriteFile("/proc/sys/kernel/modules_disabled", []byte("1"), 0)
}
