package disk_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk"
)

func file(path, content string) disk.Entry {
	return disk.Entry{Path: path, Mode: disk.File | 0o644, Size: int64(len(content)), Open: disk.Content([]byte(content))}
}

func TestNewTree(t *testing.T) {
	tree, err := disk.NewTree([]disk.Entry{
		file("b/c/d", "1"), file("a-b", "2"), {Path: "a", Mode: disk.Folder | 0o700, UID: 1, GID: 2}, file("a/z", "3"), file("b.c", "4"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range tree.Entries() {
		got = append(got, e.Path)
	}
	if want := []string{".", "a", "a-b", "a/z", "b", "b.c", "b/c", "b/c/d"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, i := range []int{0, 4, 6} {
		if e := tree.Entries()[i]; e.Mode != disk.Folder|0o755 || e.UID != 0 || e.GID != 0 {
			t.Errorf("%s was made with mode %o of %d:%d", e.Path, e.Mode, e.UID, e.GID)
		}
	}
	if e := tree.Entries()[1]; e.Mode != disk.Folder|0o700 || e.UID != 1 || e.GID != 2 {
		t.Errorf("a has mode %o of %d:%d", e.Mode, e.UID, e.GID)
	}
}

func TestNewTreeRefuses(t *testing.T) {
	folder := func(path string) disk.Entry { return disk.Entry{Path: path, Mode: disk.Folder | 0o755} }
	link := func(target string) disk.Entry {
		return disk.Entry{Path: "link", Mode: disk.Symlink | 0o777, Target: target}
	}
	with := func(e disk.Entry, change func(*disk.Entry)) disk.Entry { change(&e); return e }
	for name, entries := range map[string][]disk.Entry{
		"absolute":             {folder("/a")},
		"dots":                 {folder("a/../b")},
		"above the root":       {folder("../a")},
		"the root's parent":    {folder("..")},
		"doubled slash":        {folder("a//b")},
		"slash at the end":     {folder("a/")},
		"nothing":              {folder("")},
		"NUL":                  {folder("a\x00b")},
		"long name":            {folder(strings.Repeat("n", 256))},
		"long path":            {folder(strings.Repeat("n/", 2048) + "n")},
		"root is a file":       {file(".", "")},
		"twice":                {file("a", "1"), file("a", "1")},
		"below a file":         {file("a", "1"), file("a/b/c", "2")},
		"below a link":         {link("a"), folder("link/a")},
		"no type":              {{Path: "a", Mode: 0o644}},
		"socket":               {{Path: "a", Mode: 0o140644}},
		"more than a mode":     {{Path: "a", Mode: disk.Folder | 1<<16}},
		"owner":                {with(folder("a"), func(e *disk.Entry) { e.UID = disk.MaxID + 1 })},
		"group":                {with(folder("a"), func(e *disk.Entry) { e.GID = disk.MaxID + 1 })},
		"negative size":        {with(file("a", ""), func(e *disk.Entry) { e.Size = -1 })},
		"file without content": {with(file("a", ""), func(e *disk.Entry) { e.Open = nil })},
		"folder with content":  {with(folder("a"), func(e *disk.Entry) { e.Size = 1 })},
		"folder with a target": {with(folder("a"), func(e *disk.Entry) { e.Target = "b" })},
		"folder with numbers":  {with(folder("a"), func(e *disk.Entry) { e.Minor = 1 })},
		"link with mode":       {with(link("a"), func(e *disk.Entry) { e.Mode = disk.Symlink | 0o755 })},
		"link to nothing":      {link("")},
		"link to NUL":          {link("a\x00")},
		"long link":            {link(strings.Repeat("a", 4096))},
		"major number":         {{Path: "a", Mode: disk.Char, Major: 1 << 12}},
		"minor number":         {{Path: "a", Mode: disk.Block, Minor: 1 << 20}},
	} {
		if _, err := disk.NewTree(entries); !errors.Is(err, disk.ErrTree) {
			t.Errorf("%s: %v, want ErrTree", name, err)
		}
	}
}

func TestContent(t *testing.T) {
	section := func(size int) func() (io.ReadCloser, error) { return disk.Content([]byte("3456789")[:size]) }
	for name, tt := range map[string]struct {
		open func() (io.ReadCloser, error)
		want error
	}{
		"as said":  {section(4), nil},
		"more":     {section(5), disk.ErrTree},
		"less":     {section(3), disk.ErrTree},
		"nothing":  {disk.Content(nil), disk.ErrTree},
		"unopened": {func() (io.ReadCloser, error) { return nil, os.ErrPermission }, os.ErrPermission},
		"broken":   {func() (io.ReadCloser, error) { return io.NopCloser(broken{}), nil }, os.ErrDeadlineExceeded},
	} {
		e := disk.Entry{Path: "file", Size: 4, Open: tt.open}
		for range 2 {
			var b bytes.Buffer
			err := e.Copy(&b)
			if !errors.Is(err, tt.want) || err == nil && b.String() != "3456" {
				t.Errorf("%s: %q (%v), want %v", name, b.String(), err, tt.want)
			}
			if err != nil && !strings.HasPrefix(strings.TrimPrefix(err.Error(), disk.ErrTree.Error()+": "), "file: ") {
				t.Errorf("%s: %q does not name the file", name, err)
			}
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }
