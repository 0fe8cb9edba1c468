package share

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Read reads the known files of a folder. [AppCompose] and [SysConfig] have to be there. The error is a [*FileError], or tells that the
// folder can not be opened.
func Read(folder string) (Files, error) {
	dir, err := unix.Open(folder, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("host share: open %s: %w", folder, err)
	}
	defer func() { _ = unix.Close(dir) }()
	files := make(Files)
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		data, err := read(dir, name, limits[name])
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &FileError{name, err}
		}
		files[name] = data
	}
	for _, name := range []string{AppCompose, SysConfig} {
		if _, given := files[name]; !given {
			return nil, &FileError{name, errMissing}
		}
	}
	return files, nil
}

// read opens without waiting, which a FIFO would make it do, and looks at what it got before it reads.
func read(dir int, name string, limit int) ([]byte, error) {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, unix.ELOOP) {
		return nil, errors.New("expected a regular file, got a symbolic link")
	}
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("expected a regular file, got one of mode %s", info.Mode())
	}
	if info.Size() > int64(limit) {
		return nil, fmt.Errorf("expected at most %d bytes, got %d", limit, info.Size())
	}
	// The host may say one size and send another.
	data, err := io.ReadAll(io.LimitReader(file, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > limit {
		return nil, fmt.Errorf("expected at most %d bytes, got more", limit)
	}
	return data, nil
}
