package memoryfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/internal/filestate"
)

// Update reads the memory at a path, which has seen nothing if there is no file, lets advance change it, and writes it. If advance fails
// nothing is written. Nobody else reads or writes the file meanwhile; whoever waits gives up when the context ends.
func Update(ctx context.Context, path string, advance func(*transparency.Memory) error) error {
	unlock, err := filestate.Lock(ctx, path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	before, m, err := read(path)
	if err != nil {
		return err
	}
	if err := advance(m); err != nil {
		return err
	}
	after, err := m.Encode()
	if err != nil {
		return err
	}
	if before != nil && bytes.Equal(before, after) {
		return nil
	}
	return filestate.Replace(path, after)
}

// Read reads the memory at a path, which has seen nothing if there is no file.
func Read(path string) (*transparency.Memory, error) {
	_, m, err := read(path)
	return m, err
}

func read(path string) ([]byte, *transparency.Memory, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, new(transparency.Memory), nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, transparency.MaxMemory+1))
	if err != nil {
		return nil, nil, err
	}
	m, err := transparency.ParseMemory(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, m, nil
}
