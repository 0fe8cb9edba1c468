package tilelog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// Tessera writes a file under its name with a random number behind it and renames it (storage/posix/file_ops.go, createTemp). A writer
// that was killed leaves that; it is where the next entry belongs.
var (
	besideCheckpoint = regexp.MustCompile(`^checkpoint([0-9]+|\.new)$`)
	besideState      = regexp.MustCompile(`^(treeState|version)[0-9]+$`)
	besideTile       = regexp.MustCompile(`^[0-9]{4,}$`)
)

// clean removes what a killed writer left in a log of a size. The lock has to be held.
func clean(dir string, size uint64) error {
	left := func(pattern *regexp.Regexp) func(string) bool { return pattern.MatchString }
	folders := map[string]func(string) bool{
		dir:                          left(besideCheckpoint),
		filepath.Join(dir, stateDir): left(besideState),
	}
	// The next entry is written at the end of the tree; a checkpoint may be one entry behind.
	for _, n := range []uint64{max(size, 1) - 1, size} {
		for level := uint64(0); level == 0 || n>>(transparency.TileHeight*level) > 0; level++ {
			index := n >> (transparency.TileHeight * (level + 1))
			for _, path := range []string{transparency.TilePath(level, index, 1), transparency.EntryBundlePath(index, 1)} {
				partial := filepath.Dir(filepath.Join(dir, path))
				folders[partial] = leftBesidePartial
				folders[filepath.Dir(partial)] = left(besideTile)
			}
		}
	}
	for folder, isLeft := range folders {
		entries, err := os.ReadDir(folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if !entry.Type().IsRegular() || !isLeft(entry.Name()) {
				continue
			}
			if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// leftBesidePartial holds for what is no width of a partial tile.
func leftBesidePartial(name string) bool {
	width, err := strconv.ParseUint(name, 10, 64)
	return err == nil && width >= transparency.TileWidth
}
