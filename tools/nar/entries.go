package nar

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

type entry struct {
	as   string
	info fs.FileInfo
}

// entries lists what a directory archives, in the order of the archived names: the format asks for byte order.
func (a *archive) entries(dir string) ([]entry, error) {
	listed, err := fs.ReadDir(a.tree.FS, dir)
	if err != nil {
		return nil, err
	}
	kept := make([]entry, 0, len(listed))
	for _, item := range listed {
		name := path.Join(dir, item.Name())
		if a.tree.Skip != nil && a.tree.Skip(name) {
			continue
		}
		info, err := item.Info()
		if err != nil {
			return nil, err
		}
		as := item.Name()
		if a.tree.Rename != nil {
			as = a.tree.Rename(name)
		}
		kept = append(kept, entry{as: as, info: info})
	}
	slices.SortFunc(kept, func(x, y entry) int { return strings.Compare(x.as, y.as) })
	for i := 1; i < len(kept); i++ {
		if kept[i].as == kept[i-1].as {
			return nil, fmt.Errorf("%s: two files would be archived as %s", dir, kept[i].as)
		}
	}
	return kept, nil
}
