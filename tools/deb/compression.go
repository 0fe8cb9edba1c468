package deb

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"crypto/sha256"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz/lzma"
)

// maxDictionary bounds the memory that a compressed stream may ask for, in bytes: xz -9 asks for 64 MiB, zstd -19 for 8 MiB.
const maxDictionary = 64 << 20

// decompress reads data by the ending of its name: ".xz", ".zst", ".gz", or "" for what is not compressed. What comes out is not
// bounded.
func decompress(ending string, data []byte) (io.Reader, error) {
	switch ending {
	case "":
		return bytes.NewReader(data), nil
	case ".gz":
		return gzip.NewReader(bytes.NewReader(data))
	case ".xz":
		return newXZReader(data)
	case ".zst":
		d, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxDictionary))
		if err != nil {
			return nil, err
		}
		// With a concurrency of one there are no goroutines to close.
		return d, nil
	default:
		return nil, fmt.Errorf("expected compression .xz, .zst, .gz or none, got %.20q", ending)
	}
}

var errXZ = errors.New("malformed xz file")

// Numbers of The .xz File Format 1.2.1, by section.
const (
	xzHeaderSize = 12   // 2.1.1
	xzFooterSize = 12   // 2.1.2
	xzLZMA2      = 0x21 // 5.3.1
)

var (
	xzMagic       = []byte{0xfd, '7', 'z', 'X', 'Z', 0} // 2.1.1.1
	xzFooterMagic = []byte{'Y', 'Z'}                    // 2.1.2.4
	ecma          = crc64.MakeTable(crc64.ECMA)
)

// xzReader reads an xz file of one stream. The container is read here, and not by the module that decodes what is in it, because
// that one gives a stream as large a dictionary as its header asks for, up to 4 GiB. Blocks are found by the index at the end of
// the file, and each has to be exactly what the index says.
type xzReader struct {
	newCheck func() hash.Hash
	blocks   []xzBlock

	// The block that is being read.
	block  xzBlock
	stream *lzma.Reader2
	rest   *bytes.Reader
	check  hash.Hash
	left   uint64
	err    error
}

type xzBlock struct {
	data []byte // header, compressed data, padding, check
	size uint64 // uncompressed
}

func newXZReader(data []byte) (*xzReader, error) {
	if len(data) < xzHeaderSize+xzFooterSize || !bytes.HasPrefix(data, xzMagic) {
		return nil, fmt.Errorf("%w: no header", errXZ)
	}
	header, footer := data[:xzHeaderSize], data[len(data)-xzFooterSize:]
	if !bytes.Equal(footer[10:], xzFooterMagic) {
		return nil, fmt.Errorf("%w: no footer", errXZ)
	}
	flags := header[6:8]
	if binary.LittleEndian.Uint32(header[8:]) != crc32.ChecksumIEEE(flags) || binary.LittleEndian.Uint32(footer) != crc32.ChecksumIEEE(footer[4:10]) {
		return nil, fmt.Errorf("%w: checksum of header or footer", errXZ)
	}
	if !bytes.Equal(flags, footer[8:10]) || flags[0] != 0 {
		return nil, fmt.Errorf("%w: flags", errXZ)
	}
	r := &xzReader{}
	switch flags[1] { // 2.1.1.2
	case 0x00:
		r.newCheck = func() hash.Hash { return noCheck{} }
	case 0x01:
		r.newCheck = func() hash.Hash { return reversed{crc32.NewIEEE()} }
	case 0x04:
		r.newCheck = func() hash.Hash { return reversed{crc64.New(ecma)} }
	case 0x0a:
		r.newCheck = sha256.New
	default:
		return nil, fmt.Errorf("%w: unknown check %#x", errXZ, flags[1])
	}
	// Backward Size counts in units of four bytes, less one.
	indexSize := (uint64(binary.LittleEndian.Uint32(footer[4:])) + 1) * 4
	if indexSize > uint64(len(data)-xzHeaderSize-xzFooterSize) {
		return nil, fmt.Errorf("%w: the index does not fit", errXZ)
	}
	body := data[xzHeaderSize : len(data)-xzFooterSize]
	split := uint64(len(body)) - indexSize
	return r, r.readIndex(body[split:], body[:split])
}

// readIndex cuts the blocks (section 4).
func (r *xzReader) readIndex(index, blocks []byte) error {
	end := len(index) - 4
	if end < 1 || index[0] != 0 || binary.LittleEndian.Uint32(index[end:]) != crc32.ChecksumIEEE(index[:end]) {
		return fmt.Errorf("%w: index", errXZ)
	}
	in := bytes.NewReader(index[1:end])
	records, err := xzNumber(in)
	if err != nil {
		return err
	}
	for range records {
		unpadded, err := xzNumber(in)
		if err != nil {
			return err
		}
		size, err := xzNumber(in)
		if err != nil {
			return err
		}
		if unpadded > uint64(len(blocks)) || (unpadded+3)&^3 > uint64(len(blocks)) {
			return fmt.Errorf("%w: the index has more than the blocks", errXZ)
		}
		// The padding stands between compressed data and check, so the block is its padded size.
		padded := (unpadded + 3) &^ 3
		r.blocks = append(r.blocks, xzBlock{data: blocks[:padded], size: size})
		blocks = blocks[padded:]
	}
	if len(blocks) > 0 {
		return fmt.Errorf("%w: blocks that the index does not have", errXZ)
	}
	if padding, _ := io.ReadAll(in); len(padding) > 3 || !zero(padding) {
		return fmt.Errorf("%w: index padding", errXZ)
	}
	return nil
}

// xzNumber reads a multibyte integer (1.2).
func xzNumber(in *bytes.Reader) (uint64, error) {
	n, err := binary.ReadUvarint(in)
	if err != nil || n >= 1<<63 {
		return 0, fmt.Errorf("%w: number in index or block header", errXZ)
	}
	return n, nil
}

// open begins the next block (section 3).
func (r *xzReader) open() error {
	r.block, r.blocks = r.blocks[0], r.blocks[1:]
	data := r.block.data
	if len(data) == 0 || data[0] == 0 {
		return fmt.Errorf("%w: block header", errXZ)
	}
	size := (int(data[0]) + 1) * 4
	if size > len(data) || binary.LittleEndian.Uint32(data[size-4:]) != crc32.ChecksumIEEE(data[:size-4]) {
		return fmt.Errorf("%w: checksum of a block header", errXZ)
	}
	flags, fields := data[1], bytes.NewReader(data[2:size-4])
	if flags&^0xc0 != 0 {
		return fmt.Errorf("%w: expected one filter, LZMA2", errXZ)
	}
	for _, present := range []byte{0x40, 0x80} { // compressed size, uncompressed size: the index has both
		if flags&present != 0 {
			n, err := xzNumber(fields)
			if err != nil {
				return err
			}
			if present == 0x80 && n != r.block.size {
				return fmt.Errorf("%w: a block's size is not that of the index", errXZ)
			}
		}
	}
	filter, err := io.ReadAll(fields)
	if err != nil {
		return err
	}
	if len(filter) < 3 || filter[0] != xzLZMA2 || filter[1] != 1 || !zero(filter[3:]) {
		return fmt.Errorf("%w: expected one filter, LZMA2", errXZ)
	}
	dictionary, err := lzma.DecodeDictCap(filter[2])
	if err != nil {
		return fmt.Errorf("%w: %w", errXZ, err)
	}
	if dictionary > maxDictionary {
		return fmt.Errorf("%w: asks for a dictionary of %d bytes, at most %d are given", errXZ, dictionary, maxDictionary)
	}
	r.check = r.newCheck()
	if size+r.check.Size() > len(data) {
		return fmt.Errorf("%w: a block is too short", errXZ)
	}
	// A dictionary larger than the block is of no use.
	dictionary = max(min(dictionary, int64(min(r.block.size, maxDictionary))), lzma.MinDictCap)
	r.rest = bytes.NewReader(data[size : len(data)-r.check.Size()])
	r.stream, err = lzma.Reader2Config{DictCap: int(dictionary)}.NewReader2(r.rest)
	if err != nil {
		return fmt.Errorf("%w: %w", errXZ, err)
	}
	r.left = r.block.size
	return nil
}

// close checks that a block ends where it should.
func (r *xzReader) close() error {
	// The end of the stream is read only when more is asked for.
	if n, err := r.stream.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) || !r.stream.EOS() {
		return fmt.Errorf("%w: a block has more than the index says", errXZ)
	}
	if padding, _ := io.ReadAll(r.rest); len(padding) > 3 || !zero(padding) {
		return fmt.Errorf("%w: block padding", errXZ)
	}
	data := r.block.data
	if !bytes.Equal(r.check.Sum(nil), data[len(data)-r.check.Size():]) {
		return fmt.Errorf("%w: checksum of a block", errXZ)
	}
	r.stream = nil
	return nil
}

func (r *xzReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.err == nil {
		if r.stream == nil {
			if len(r.blocks) == 0 {
				r.err = io.EOF
				break
			}
			if r.err = r.open(); r.err != nil {
				break
			}
		}
		if r.left == 0 {
			r.err = r.close()
			continue
		}
		n, err := r.stream.Read(p[:min(uint64(len(p)), r.left)])
		r.left -= uint64(n)
		r.check.Write(p[:n])
		if err != nil && r.left > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			r.err = fmt.Errorf("%w: %w", errXZ, err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// reversed writes a checksum with its low byte first, as xz has it.
type reversed struct{ hash.Hash }

func (r reversed) Sum(b []byte) []byte {
	sum := r.Hash.Sum(nil)
	for i := range sum {
		b = append(b, sum[len(sum)-1-i])
	}
	return b
}

// noCheck stands where a file has no checksums.
type noCheck struct{}

func (noCheck) Write(p []byte) (int, error) { return len(p), nil }
func (noCheck) Sum(b []byte) []byte         { return b }
func (noCheck) Reset()                      {}
func (noCheck) Size() int                   { return 0 }
func (noCheck) BlockSize() int              { return 1 }
