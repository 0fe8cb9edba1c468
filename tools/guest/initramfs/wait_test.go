package initramfs

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
)

// simClass has a device from the third look on.
type simClass struct {
	fstest.MapFS
	looks int
}

func (s *simClass) ReadDir(name string) ([]fs.DirEntry, error) {
	s.looks++
	if s.looks < 3 {
		return nil, nil
	}
	return s.MapFS.ReadDir(name)
}

func TestWaitDevice(t *testing.T) {
	class := &simClass{MapFS: fstest.MapFS{"vda/uevent": {Data: []byte("DEVNAME=vda\n")}}}
	if device, err := waitDevice(t.Context(), class, "/dev/vda"); device != "/dev/vda" || err != nil || class.looks != 3 {
		t.Errorf("got %q, %v after %d looks", device, err, class.looks)
	}
	reason := errors.New("too long")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if device, err := waitDevice(ctx, class, "/dev/vdb"); device != "" || !errors.Is(err, reason) {
		t.Errorf("got %q, %v, want the reason", device, err)
	}
	class.MapFS["vda/uevent"].Data = []byte("x")
	if _, err := waitDevice(t.Context(), class, "/dev/vda"); err == nil {
		t.Error("a malformed device was waited for")
	}
}
