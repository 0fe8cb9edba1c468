package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// frameHeader is the length of a frame's header: channel, three zero bytes, and the size as a big-endian u32.
const frameHeader = 8

// maxFrame bounds a frame. The engine cuts lines at 16 KiB, and adds a timestamp.
const maxFrame = 1 << 20

var channels = [...]string{"stdin", "stdout", "stderr"}

// ReadFrame reads one frame of a log: the channel's name, and what was written. The end of the log is [io.EOF].
func ReadFrame(r io.Reader) (channel string, message []byte, err error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return "", nil, io.EOF
		}
		return "", nil, fmt.Errorf("frame of a log: %w", err)
	}
	size := binary.BigEndian.Uint32(header[4:])
	switch {
	case int(header[0]) >= len(channels):
		return "", nil, fmt.Errorf("frame of a log: channel: expected 0 to %d, got %d", len(channels)-1, header[0])
	case size > maxFrame:
		return "", nil, fmt.Errorf("frame of a log: expected at most %d bytes, got %d", maxFrame, size)
	}
	message = make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		return "", nil, fmt.Errorf("frame of a log: %w", err)
	}
	return channels[header[0]], message, nil
}
