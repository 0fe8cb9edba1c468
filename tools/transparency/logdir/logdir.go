package logdir

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// Reader reads a log from a folder, and nothing outside of it.
type Reader struct {
	root *os.Root
}

// Open opens the folder of a log.
func Open(dir string) (*Reader, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Reader{root}, nil
}

// Close closes the folder.
func (r *Reader) Close() { r.root.Close() }

// Checkpoint reads the signed head, as [transparency.Reader] asks.
func (r *Reader) Checkpoint(ctx context.Context) ([]byte, error) {
	return r.read(ctx, transparency.CheckpointPath, transparency.MaxCheckpoint)
}

// ReadTile reads a tile.
func (r *Reader) ReadTile(ctx context.Context, level, index uint64, width int) ([]byte, error) {
	return r.read(ctx, transparency.TilePath(level, index, width), transparency.MaxTile)
}

// ReadEntryBundle reads a bundle of entries.
func (r *Reader) ReadEntryBundle(ctx context.Context, index uint64, width int) ([]byte, error) {
	return r.read(ctx, transparency.EntryBundlePath(index, width), transparency.MaxEntryBundle)
}

func (r *Reader) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, err := r.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: expected a file, got %s", name, info.Mode().Type())
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: expected at most %d bytes, got more", name, limit)
	}
	return data, nil
}
