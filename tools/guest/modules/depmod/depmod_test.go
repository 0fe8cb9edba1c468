package depmod_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ulikunitz/xz"

	"github.com/boardroom-tee/boardroom/tools/guest/modules"
	"github.com/boardroom-tee/boardroom/tools/guest/modules/depmod"
)

// simModule is an ELF file with nothing but a section .modinfo (System V ABI, chapter 4): header, three section headers, names, content.
func simModule(info string) []byte {
	const names = "\x00.modinfo\x00.shstrtab\x00"
	var b bytes.Buffer
	le := binary.LittleEndian
	b.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	write := func(values ...any) {
		for _, v := range values {
			if err := binary.Write(&b, le, v); err != nil {
				panic(err)
			}
		}
	}
	const header, section = 64, 64
	data := uint64(header + 3*section)
	write(uint16(1), uint16(62), uint32(1), uint64(0), uint64(0), uint64(header), uint32(0), uint16(header), uint16(0), uint16(0), uint16(section), uint16(3), uint16(2))
	write([section]byte{})
	write(uint32(1), uint32(1), uint64(0), uint64(0), data, uint64(len(info)), uint32(0), uint32(0), uint64(1), uint64(0))
	write(uint32(10), uint32(3), uint64(0), uint64(0), data+uint64(len(info)), uint64(len(names)), uint32(0), uint32(0), uint64(1), uint64(0))
	b.WriteString(info + names)
	return b.Bytes()
}

func compress(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func simFolder(t *testing.T) fstest.MapFS {
	t.Helper()
	return fstest.MapFS{
		"modules.builtin":             {Data: []byte("kernel/lib/inside.ko\n")},
		"kernel/md/dm-verity.ko.xz":   {Data: compress(t, simModule("license=GPL\x00depends=dm-mod,inside\x00"))},
		"kernel/md/dm-mod.ko":         {Data: simModule("depends=\x00name=dm_mod\x00")},
		"kernel/md/other.ko":          {Data: simModule("depends=\x00")},
		"kernel/bad/needs-nothing.ko": {Data: simModule("license=GPL\x00")},
		"kernel/bad/needs-gone.ko":    {Data: simModule("depends=gone\x00")},
		"kernel/bad/text.ko":          {Data: []byte("text")},
		"kernel/bad/cut.ko.xz":        {Data: compress(t, simModule("depends=\x00"))[:40]},
		"kernel/bad/packed.ko.zst":    {Data: nil},
	}
}

func TestSelect(t *testing.T) {
	set, err := depmod.Select(simFolder(t), "dm_verity", "inside")
	if err != nil {
		t.Fatal(err)
	}
	if want := "kernel/md/dm-mod.ko:\nkernel/md/dm-verity.ko: kernel/md/dm-mod.ko\n"; string(set.Dep) != want {
		t.Errorf("modules.dep %q, want %q", set.Dep, want)
	}
	if len(set.Files) != 2 || !bytes.HasPrefix(set.Files["kernel/md/dm-verity.ko"], []byte("\x7fELF")) {
		t.Errorf("%d files, want two that are unpacked", len(set.Files))
	}
	index, err := modules.ParseIndex(set.Dep, set.Builtin)
	if err != nil {
		t.Fatal(err)
	}
	if files, err := index.Plan("dm_verity", "inside"); err != nil || len(files) != 2 {
		t.Errorf("the guest would load %v, %v", files, err)
	}
}

func TestSelectRefuses(t *testing.T) {
	for name, want := range map[string]string{
		"absent": "absent", "needs_nothing": "expected depends=", "needs_gone": "gone", "text": "kernel/bad/text.ko", "cut": "kernel/bad/cut.ko.xz", "packed": ".zst",
	} {
		if set, err := depmod.Select(simFolder(t), name); err == nil || !strings.Contains(err.Error(), want) || set != nil {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	folder := simFolder(t)
	folder["kernel/else/dm_mod.ko"] = folder["kernel/md/dm-mod.ko"]
	if _, err := depmod.Select(folder, "dm_mod"); err == nil || !strings.Contains(err.Error(), "both") {
		t.Errorf("two files of one module: %v", err)
	}
}
