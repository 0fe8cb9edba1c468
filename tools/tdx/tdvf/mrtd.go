package tdvf

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

// PageOrder is the order in which the host adds and measures the pages of a section. It is a property of the host's KVM: upstream
// Linux 6.16 and later work page by page, some vendor kernels of 2023 and 2024 section by section.
type PageOrder string

const (
	// OnePass: each page is added and then measured.
	OnePass PageOrder = "one-pass"
	// TwoPass: all pages of a section are added, then all of them are measured.
	TwoPass PageOrder = "two-pass"
)

// The records that the TDX module hashes (TDX Module Base Architecture Specification, section "TD Measurement"): 128 bytes with
// the name of the operation at 0 and the guest physical address at 16.
const (
	recordSize    = 128
	recordAddress = 16
	chunkSize     = 256
	opAdd         = "MEM.PAGE.ADD"
	opExtend      = "MR.EXTEND"
)

// MRTD returns the measurement of the TD as it is built from this image. It depends on nothing else but the page order.
func (im *Image) MRTD(order PageOrder) (eventlog.Digest, error) {
	var d eventlog.Digest
	if order != OnePass && order != TwoPass {
		return d, fmt.Errorf("page order %q, want %q or %q", order, OnePass, TwoPass)
	}
	h := sha512.New384()
	// One page is written at a time: its record, then 16 chunks that each follow their own.
	buf := make([]byte, recordSize+pageSize/chunkSize*(recordSize+chunkSize))
	copy(buf, opAdd)
	add, extend := buf[:recordSize], buf[recordSize:]
	for off := 0; off < len(extend); off += recordSize + chunkSize {
		copy(extend[off:], opExtend)
	}
	for _, s := range im.Sections {
		data := im.data(s)
		adds := s.Attributes&AttributeAug == 0
		extends := s.Attributes&AttributeExtend != 0
		for page := uint64(0); page < s.MemorySize; page += pageSize {
			putAdd(add, s.Address+page)
			switch {
			case adds && extends && order == OnePass:
				putExtends(extend, s.Address+page, data, page)
				h.Write(buf)
			case adds:
				h.Write(add)
			case extends && order == OnePass:
				putExtends(extend, s.Address+page, data, page)
				h.Write(extend)
			}
		}
		if !extends || order == OnePass {
			continue
		}
		for page := uint64(0); page < s.MemorySize; page += pageSize {
			putExtends(extend, s.Address+page, data, page)
			h.Write(extend)
		}
	}
	h.Sum(d[:0])
	return d, nil
}

func putAdd(record []byte, address uint64) {
	binary.LittleEndian.PutUint64(record[recordAddress:], address)
}

// putExtends fills in the 16 records and chunks of the page at offset page of a section; memory past the data is zero.
func putExtends(buf []byte, address uint64, data []byte, page uint64) {
	for chunk := uint64(0); chunk < pageSize; chunk += chunkSize {
		binary.LittleEndian.PutUint64(buf[recordAddress:], address+chunk)
		n := 0
		if from := page + chunk; from < uint64(len(data)) {
			n = copy(buf[recordSize:recordSize+chunkSize], data[from:])
		}
		clear(buf[recordSize+n : recordSize+chunkSize])
		buf = buf[recordSize+chunkSize:]
	}
}

// CFVDigest returns the digest of the configuration volume as it is in the image, the second event of RTMR0.
func (im *Image) CFVDigest() (eventlog.Digest, error) {
	cfv, err := im.cfv()
	if err != nil {
		return eventlog.Digest{}, err
	}
	return eventlog.Sum(cfv), nil
}
