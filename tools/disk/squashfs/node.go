package squashfs

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/disk"
)

// node is an entry with what is known of it in the image.
type node struct {
	*disk.Entry
	name string
	// children of a folder, in byte order of their names.
	children []*node
	// number is that of the inode: they count in the order in which inodes are written, what is in a folder before the folder.
	number uint32
	file   *content
}

// content is where the content of files is, of more than one if they are equal.
type content struct {
	// start is where in the image the first block begins.
	start int64
	// words are the sizes of the blocks after compression, with the mark of stored ones; 0 is a hole.
	words []uint32
	// holes is how many bytes are in holes.
	holes int64
	// fragment is the number of the fragment block and offset where in it the content begins.
	fragment, offset uint32
}

// nodes builds the tree of folders and returns its root.
func nodes(tree *disk.Tree) (*node, error) {
	entries := tree.Entries()
	if len(entries) > math.MaxUint32-1 {
		return nil, fmt.Errorf("%d entries: expected at most %d", len(entries), uint32(math.MaxUint32-1))
	}
	all := make([]node, len(entries))
	folders := make(map[string]*node)
	for i := range entries {
		n := &all[i]
		*n = node{Entry: &entries[i], name: path.Base(entries[i].Path)}
		if n.Type() == disk.Folder {
			folders[n.Path] = n
		}
		if i > 0 {
			parent := folders[path.Dir(n.Path)]
			parent.children = append(parent.children, n)
		}
	}
	for _, n := range folders {
		slices.SortFunc(n.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	}
	all[0].count(1)
	return &all[0], nil
}

// count numbers what is below n and then n itself, and returns the next number.
func (n *node) count(next uint32) uint32 {
	for _, c := range n.children {
		next = c.count(next)
	}
	n.number = next
	return next + 1
}

// walk calls f with the files below n in the order of inode numbers.
func (n *node) walk(f func(*node) error) error {
	if n.Type() == disk.File {
		return f(n)
	}
	for _, c := range n.children {
		if err := c.walk(f); err != nil {
			return err
		}
	}
	return nil
}
