package initramfs

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseUevent(t *testing.T) {
	got, err := parseUevent([]byte("MAJOR=254\nMINOR=1\nDEVNAME=vda1\nDEVTYPE=partition\nPARTN=1\nPARTNAME=dstack-rootfs\n"))
	want := map[string]string{"MAJOR": "254", "MINOR": "1", "DEVNAME": "vda1", "DEVTYPE": "partition", "PARTN": "1", "PARTNAME": "dstack-rootfs"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, data := range []string{"x\n", "=x\n", "\n", "A=1\nA=2\n", strings.Repeat("x", maxUevent+1)} {
		if got, err := parseUevent([]byte(data)); err == nil {
			t.Errorf("%.20q: got %v", data, got)
		}
	}
}

func FuzzParseUevent(f *testing.F) {
	f.Add([]byte("DEVNAME=vda1\nPARTNAME=dstack-rootfs\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := parseUevent(data)
		if err != nil {
			return
		}
		for name, value := range values {
			if !strings.Contains(string(data), name+"="+value) {
				t.Errorf("%q is not in %q", name, data)
			}
		}
	})
}

func TestFindDevice(t *testing.T) {
	class := fstest.MapFS{
		"vda/uevent":  {Data: []byte("DEVNAME=vda\nDEVTYPE=disk\n")},
		"vda1/uevent": {Data: []byte("DEVNAME=vda1\nPARTNAME=dstack-rootfs\n")},
		"vdb1/uevent": {Data: []byte("DEVNAME=vdb1\nPARTNAME=twice\n")},
		"vdb2/uevent": {Data: []byte("DEVNAME=vdb2\nPARTNAME=twice\n")},
		"gone/x":      {},
	}
	for wanted, want := range map[string]string{
		"PARTLABEL=dstack-rootfs": "/dev/vda1", "/dev/vda": "/dev/vda", "/dev/vda1": "/dev/vda1", "/dev/vdc": "", "PARTLABEL=absent": "",
	} {
		if got, err := findDevice(class, wanted); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", wanted, got, err, want)
		}
	}
	if got, err := findDevice(class, "PARTLABEL=twice"); err == nil {
		t.Errorf("of two partitions of one name, %s was taken", got)
	}
	class["bad/uevent"] = &fstest.MapFile{Data: []byte("x\n")}
	if got, err := findDevice(class, "/dev/vda"); err == nil || !strings.Contains(err.Error(), "bad") {
		t.Errorf("got %q, %v", got, err)
	}
}
