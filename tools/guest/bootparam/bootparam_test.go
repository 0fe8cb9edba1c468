package bootparam_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/guest/bootparam"
)

const hash = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// released is dstack's command line since 0.5.5.
const released = "console=ttyS0 init=/init panic=1 net.ifnames=0 biosdevname=0 mce=off oops=panic pci=noearly pci=nommconf random.trust_cpu=y " +
	"random.trust_bootloader=n tsc=reliable no-kvmclock dstack.rootfs_hash=" + hash + " dstack.rootfs_size=104857600 initrd=initrd\n"

func TestParse(t *testing.T) {
	p, err := bootparam.Parse(released)
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(p.RootHash[:]) != hash || p.RootSize != 104857600 || p.RootDevice != "PARTLABEL=dstack-rootfs" {
		t.Errorf("got %x %d %s", p.RootHash, p.RootSize, p.RootDevice)
	}
	for _, device := range []string{"/dev/vda", "/dev/disk-1", "PARTLABEL=other_1"} {
		p, err := bootparam.Parse(released + " dstack.rootfs_device=" + device)
		if err != nil || p.RootDevice != device {
			t.Errorf("%s: got %q, %v", device, p.RootDevice, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ cmdline, parameter string }{
		"nothing":             {"", "dstack.rootfs_hash"},
		"no hash":             {"dstack.rootfs_size=4096", "dstack.rootfs_hash"},
		"no size":             {"dstack.rootfs_hash=" + hash, "dstack.rootfs_size"},
		"empty hash":          {"dstack.rootfs_hash= dstack.rootfs_size=4096", "dstack.rootfs_hash"},
		"hash without value":  {"dstack.rootfs_hash dstack.rootfs_size=4096", "dstack.rootfs_hash"},
		"short hash":          {"dstack.rootfs_hash=" + hash[2:] + " dstack.rootfs_size=4096", "dstack.rootfs_hash"},
		"upper-case hash":     {"dstack.rootfs_hash=" + strings.ToUpper(hash) + " dstack.rootfs_size=4096", "dstack.rootfs_hash"},
		"hash twice":          {released + " dstack.rootfs_hash=" + hash, "dstack.rootfs_hash"},
		"size twice":          {released + " dstack.rootfs_size=4096", "dstack.rootfs_size"},
		"size zero":           {"dstack.rootfs_hash=" + hash + " dstack.rootfs_size=0", "dstack.rootfs_size"},
		"size of no block":    {"dstack.rootfs_hash=" + hash + " dstack.rootfs_size=4097", "dstack.rootfs_size"},
		"negative size":       {"dstack.rootfs_hash=" + hash + " dstack.rootfs_size=-4096", "dstack.rootfs_size"},
		"size with a sign":    {"dstack.rootfs_hash=" + hash + " dstack.rootfs_size=+4096", "dstack.rootfs_size"},
		"size with a zero":    {"dstack.rootfs_hash=" + hash + " dstack.rootfs_size=04096", "dstack.rootfs_size"},
		"size beyond 63 bits": {"dstack.rootfs_hash=" + hash + " dstack.rootfs_size=18446744073709547520", "dstack.rootfs_size"},
		"device is a path":    {released + " dstack.rootfs_device=/dev/../etc/passwd", "dstack.rootfs_device"},
		"device elsewhere":    {released + " dstack.rootfs_device=/tmp/x", "dstack.rootfs_device"},
		"device by UUID":      {released + " dstack.rootfs_device=UUID=1", "dstack.rootfs_device"},
		"empty label":         {released + " dstack.rootfs_device=PARTLABEL=", "dstack.rootfs_device"},
		"label is a path":     {released + " dstack.rootfs_device=PARTLABEL=a/b", "dstack.rootfs_device"},
		"other parameter":     {released + " dstack.storage_encrypted=0", "dstack.storage_encrypted"},
		"another data disk":   {released + " dstack.data_device=/dev/vdb", "dstack.data_device"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := bootparam.Parse(tt.cmdline)
			var refused *bootparam.ParameterError
			if !errors.As(err, &refused) || refused.Name != tt.parameter {
				t.Errorf("error %v, want one about %s", err, tt.parameter)
			}
			if p != (bootparam.Parameters{}) {
				t.Errorf("got %v beside an error", p)
			}
		})
	}
	if _, err := bootparam.Parse(released + strings.Repeat(" x", bootparam.MaxSize)); err == nil {
		t.Error("a command line that is too long was accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(released)
	f.Add("dstack.rootfs_hash=")
	f.Fuzz(func(t *testing.T, cmdline string) {
		p, err := bootparam.Parse(cmdline)
		if err == nil && (p.RootSize == 0 || p.RootDevice == "" || !strings.Contains(cmdline, hex.EncodeToString(p.RootHash[:]))) {
			t.Errorf("%q gave %v", cmdline, p)
		}
	})
}
