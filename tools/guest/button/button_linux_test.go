package button

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/fstest"
)

func TestFind(t *testing.T) {
	name := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s + "\n")} }
	class := fstest.MapFS{
		"event0/device/name": name("AT Translated Set 2 keyboard"), "event1/device/name": name("Power Button"), "event12/device/name": name("Power Button"),
		"event2/device/name": name("Sleep Button"), "input0/name": name("Power Button"), "mouse0/device/name": name("Power Button"),
	}
	got, err := find(class)
	if want := []string{"event1", "event12"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := find(fstest.MapFS{}); err != nil || got != nil {
		t.Errorf("no devices: got %v, %v", got, err)
	}
	if _, err := find(fstest.MapFS{"event0/other": name("")}); err == nil {
		t.Error("a device without a name: no error")
	}
}

func TestRead(t *testing.T) {
	var events bytes.Buffer
	add := func(kind, code uint16, value int32) {
		b := make([]byte, 24)
		binary.NativeEndian.PutUint64(b, 1234)
		binary.NativeEndian.PutUint16(b[16:], kind)
		binary.NativeEndian.PutUint16(b[18:], code)
		binary.NativeEndian.PutUint32(b[20:], uint32(value))
		events.Write(b)
	}
	for _, other := range []struct {
		kind, code uint16
		value      int32
	}{{0, 0, 0}, {1, 116, 0}, {1, 116, 2}, {1, 30, 1}, {4, 116, 1}} {
		add(other.kind, other.code, other.value)
	}
	count := 0
	press := func() { count++ }
	if err := read(bytes.NewReader(events.Bytes()), press); !errors.Is(err, io.EOF) || count != 0 {
		t.Errorf("other events: %v, pressed %d times", err, count)
	}
	add(1, 116, 1)
	add(0, 0, 0)
	add(1, 116, 0)
	add(1, 116, 1)
	if err := read(bytes.NewReader(events.Bytes()), press); !errors.Is(err, io.EOF) || count != 2 {
		t.Errorf("%v, pressed %d times, want 2", err, count)
	}
	if err := read(bytes.NewReader(make([]byte, 23)), press); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half an event: %v", err)
	}
}
