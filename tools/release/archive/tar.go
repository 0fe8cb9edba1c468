package archive

import (
	"archive/tar"
	"bytes"
	"time"
)

// end is what a tar ends with (POSIX.1-2024, pax, "ustar Interchange Format"): two blocks of zeros.
var end = make([]byte, 2*block)

const block = 512

// header is the one form of a member's header.
func header(name string, kind Kind, size int64, target string) ([]byte, error) {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	switch kind {
	case Executable:
		h.Mode = 0o755
	case Link:
		h.Typeflag, h.Linkname, h.Size, h.Mode = tar.TypeSymlink, target, 0, 0o777
	case Regular:
	}
	var b bytes.Buffer
	// Closing would write the end; what is written so far is the header.
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// padding is what stands between a file of a size and the next header.
func padding(size int64) []byte { return end[:(block-size%block)%block] }
