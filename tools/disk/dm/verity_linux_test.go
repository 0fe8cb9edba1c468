package dm

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk/verity"
)

// formatted is a file with size bytes of zeros and their tree.
func formatted(t *testing.T, name string, size int64, p verity.Parameters) (string, verity.Digest) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	root, _, err := verity.Format(f, size, p)
	if err != nil {
		t.Fatal(err)
	}
	return path, root
}

func TestVerityTable(t *testing.T) {
	for name, tt := range map[string]struct {
		p    verity.Parameters
		want string
	}{
		"default": {verity.Default(), "4096 4096 16 17 sha256 ROOT " + strings.Repeat("00", 32)},
		"no salt": {verity.Parameters{DataBlock: 1024, HashBlock: 4096}, "1024 4096 64 17 sha256 ROOT -"},
		"1024":    {verity.Parameters{DataBlock: 4096, HashBlock: 1024, Salt: []byte{0xAB}}, "4096 1024 16 65 sha256 ROOT ab"},
	} {
		path, root := formatted(t, "image", 64<<10, tt.p)
		got, err := verityTable(path, 64<<10, root, Fail)
		if want := "1 " + path + " " + path + " " + strings.ReplaceAll(tt.want, "ROOT", root.String()); err != nil || got != want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, want)
		}
		if panics, err := verityTable(path, 64<<10, root, Panic); err != nil || panics != got+" 1 panic_on_corruption" {
			t.Errorf("%s: %q (%v), want the option behind %q", name, panics, err, got)
		}
	}
}

func TestVerityTableRefuses(t *testing.T) {
	path, root := formatted(t, "image", 64<<10, verity.Default())
	if _, err := verityTable(path, 32<<10, root, Fail); !errors.Is(err, verity.ErrSuperblock) {
		t.Errorf("other size: %v", err)
	}
	if _, err := verityTable(path+"x", 64<<10, root, Fail); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no device: %v", err)
	}
	path, root = formatted(t, "im age", 64<<10, verity.Default())
	if _, err := verityTable(path, 64<<10, root, Fail); err == nil {
		t.Error("path with a blank: no error")
	}
	path, root = formatted(t, "image", 64<<10, verity.Parameters{DataBlock: 8192, HashBlock: 4096})
	if _, err := verityTable(path, 64<<10, root, Fail); err == nil {
		t.Error("blocks larger than pages: no error")
	}
}

func TestTarget(t *testing.T) {
	b := target(64<<10, "1 a b")
	if len(b) != 48 || binary.NativeEndian.Uint64(b[8:]) != 128 || binary.NativeEndian.Uint32(b[20:]) != 48 || string(b[24:31]) != "verity\x00" || string(b[40:]) != "1 a b\x00\x00\x00" {
		t.Errorf("% x", b)
	}
}

func TestName(t *testing.T) {
	for _, name := range []string{"", "a/b", "a\x00", strings.Repeat("n", 128)} {
		if _, err := call(nil, create, name, 0, nil); err == nil || !strings.HasPrefix(err.Error(), "name ") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
