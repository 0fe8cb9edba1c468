package transparency

import (
	"fmt"
	"strconv"
	"strings"
)

// CheckpointPath is where a log publishes its checkpoint.
const CheckpointPath = "checkpoint"

// entriesLevel stands for bundles of entries where paths have the level of tiles.
const entriesLevel = "entries"

// TilePath is where a log publishes a tile (c2sp.org/tlog-tiles, "Merkle Tree"): the level is below 8, the width that of [Reader].
func TilePath(level, index uint64, width int) string {
	return tilePath(strconv.FormatUint(level, 10), index, width)
}

// EntryBundlePath is where a log publishes a bundle of entries.
func EntryBundlePath(index uint64, width int) string { return tilePath(entriesLevel, index, width) }

func tilePath(level string, index uint64, width int) string {
	path := fmt.Sprintf("%03d", index%1000)
	for index /= 1000; index > 0; index /= 1000 {
		path = fmt.Sprintf("x%03d/%s", index%1000, path)
	}
	path = "tile/" + level + "/" + path
	if width < TileWidth {
		path += ".p/" + strconv.Itoa(width)
	}
	return path
}

// Resource is something that a log publishes under a path: its checkpoint, a tile or a bundle of entries.
type Resource struct {
	Kind         ResourceKind
	Level, Index uint64
	Width        int
}

// ResourceKind says what a resource is.
type ResourceKind int

// The kinds of resources.
const (
	CheckpointResource ResourceKind = iota
	TileResource
	EntryBundleResource
)

// ParsePath says which resource stands at a path, with ok for none. Each has one path.
func ParsePath(path string) (r Resource, ok bool) {
	if path == CheckpointPath {
		return Resource{Kind: CheckpointResource}, true
	}
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok || len(path) > 100 {
		return Resource{}, false
	}
	level, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return Resource{}, false
	}
	r = Resource{Kind: EntryBundleResource, Width: TileWidth}
	var err error
	if level != entriesLevel {
		r.Kind = TileResource
		if r.Level, err = strconv.ParseUint(level, 10, 6); err != nil {
			return Resource{}, false
		}
	}
	if full, width, partial := strings.Cut(rest, ".p/"); partial {
		if r.Width, err = strconv.Atoi(width); err != nil || r.Width < 1 || r.Width >= TileWidth {
			return Resource{}, false
		}
		rest = full
	}
	digits := strings.ReplaceAll(strings.ReplaceAll(rest, "/", ""), "x", "")
	if r.Index, err = strconv.ParseUint(digits, 10, 63); err != nil {
		return Resource{}, false
	}
	if again := r.Path(); again != path {
		return Resource{}, false
	}
	return r, true
}

// Path is where the resource stands.
func (r Resource) Path() string {
	switch r.Kind {
	case TileResource:
		return TilePath(r.Level, r.Index, r.Width)
	case EntryBundleResource:
		return EntryBundlePath(r.Index, r.Width)
	default:
		return CheckpointPath
	}
}
