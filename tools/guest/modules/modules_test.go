package modules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/guest/modules"
)

// dep is in the form of Debian's: paths of compressed files, dependencies in the order in which depmod found them.
const dep = `kernel/drivers/md/dm-mod.ko.xz:
kernel/drivers/md/dm-bufio.ko.xz: kernel/drivers/md/dm-mod.ko.xz
kernel/drivers/md/dm-verity.ko.xz: kernel/crypto/sha256_generic.ko kernel/drivers/md/dm-mod.ko.xz kernel/drivers/md/dm-bufio.ko.xz
kernel/crypto/sha256_generic.ko:
kernel/net/9p/9pnet.ko.xz:
kernel/a.ko: kernel/b.ko
kernel/b.ko: kernel/a.ko
kernel/c.ko: kernel/gone.ko
`

const builtin = "kernel/drivers/virtio/virtio-pci.ko\n"

func TestPlan(t *testing.T) {
	x, err := modules.ParseIndex([]byte(dep), []byte(builtin))
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.Plan("dm_verity", "9pnet", "virtio_pci", "dm_bufio")
	want := []string{
		"kernel/crypto/sha256_generic.ko", "kernel/drivers/md/dm-mod.ko.xz", "kernel/drivers/md/dm-bufio.ko.xz", "kernel/drivers/md/dm-verity.ko.xz",
		"kernel/net/9p/9pnet.ko.xz",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for name, want := range map[string]string{"a": "needs itself", "c": "gone", "absent": "absent", "dm-verity": "dm-verity"} {
		if files, err := x.Plan(name); err == nil || !strings.Contains(err.Error(), want) || files != nil {
			t.Errorf("%s: got %v, %v, want an error with %q", name, files, err, want)
		}
	}
}

func TestParseIndexRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ dep, builtin, want string }{
		"no colon":           {"kernel/a.ko", "", "line 1"},
		"no module":          {"\nkernel/a.txt:", "", "line 2"},
		"no name":            {"kernel/.ko:", "", "line 1"},
		"absolute":           {"/kernel/a.ko:", "", "inside"},
		"leaves":             {"../a.ko:", "", "inside"},
		"leaves from within": {"kernel/../../a.ko:", "", "inside"},
		"twice":              {"kernel/a-b.ko:\nkernel/x/a_b.ko.xz:", "", "twice"},
		"needs no module":    {"kernel/a.ko: kernel/b", "", "kernel/b"},
		"no module inside":   {"", "x", "modules.builtin"},
		"too long":           {strings.Repeat("\n", 4<<20+1), "", "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := modules.ParseIndex([]byte(tt.dep), []byte(tt.builtin)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(dep), []byte(builtin), "dm_verity")
	f.Fuzz(func(t *testing.T, dep, builtin []byte, name string) {
		x, err := modules.ParseIndex(dep, builtin)
		if err != nil {
			return
		}
		files, err := x.Plan(name)
		if err != nil {
			return
		}
		for _, file := range files {
			if strings.HasPrefix(file, "/") || slices.Contains(strings.Split(file, "/"), "..") {
				t.Errorf("%s needs %q", name, file)
			}
		}
	})
}
