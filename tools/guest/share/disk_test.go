package share_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/guest/share"
)

func TestFindDisk(t *testing.T) {
	sector := func(at int, text string) []byte {
		b := make([]byte, 1024)
		copy(b[at:], text)
		return b
	}
	for name, tt := range map[string]struct {
		disks map[string][]byte
		want  string
		fails string
	}{
		"none":          {nil, "", ""},
		"FAT32":         {map[string][]byte{"vda": sector(71, "DSTACKSHR  FAT32   "), "vdb": sector(0, "")}, "vda", ""},
		"FAT16":         {map[string][]byte{"vdb": sector(43, "DSTACKSHR  FAT16   ")}, "vdb", ""},
		"another label": {map[string][]byte{"vda": sector(71, "DSTACKSHARE FAT32  ")}, "", ""},
		"another place": {map[string][]byte{"vda": sector(70, "DSTACKSHR  FAT32   ")}, "", ""},
		"no FAT":        {map[string][]byte{"vda": sector(71, "DSTACKSHR  EXFAT   ")}, "", ""},
		"empty drive":   {map[string][]byte{"sr0": nil, "vda": []byte("short")}, "", ""},
		"two":           {map[string][]byte{"vda": sector(71, "DSTACKSHR  FAT32   "), "vdb": sector(71, "DSTACKSHR  FAT32   ")}, "", "both"},
	} {
		t.Run(name, func(t *testing.T) {
			dev := t.TempDir()
			for disk, data := range tt.disks {
				if err := os.WriteFile(filepath.Join(dev, disk), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := share.FindDisk(os.DirFS(dev), dev)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("got %q, %v, want an error with %q", got, err, tt.fails)
				}
				return
			}
			if want := tt.want; err != nil || want == "" && got != "" || want != "" && got != filepath.Join(dev, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
	if got, err := share.FindDisk(os.DirFS(t.TempDir()), "/nonexistent"); err != nil || got != "" {
		t.Errorf("got %q, %v", got, err)
	}
}
