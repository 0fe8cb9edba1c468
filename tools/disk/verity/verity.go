package verity

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
)

const (
	signature      = "verity\x00\x00"
	formatVersion  = 1
	typeVersion    = 1 // the salt stands before what is hashed
	algorithm      = "sha256"
	superblockSize = 512
	maxSalt        = 256
	minBlock       = 512
	maxBlock       = 64 << 10
	// maxLevels is DM_VERITY_MAX_LEVELS of the kernel.
	maxLevels = 63
)

// Places in the superblock (struct verity_sb), in bytes. Numbers are little-endian.
const (
	versionAt   = 8
	typeAt      = 12
	uuidAt      = 16
	algorithmAt = 32
	dataBlockAt = 64
	hashBlockAt = 68
	blocksAt    = 72
	saltSizeAt  = 80
	saltAt      = 88
	saltEnd     = saltAt + maxSalt
)

var (
	// ErrSuperblock is wrapped by what [ReadSuperblock] refuses.
	ErrSuperblock = errors.New("not the verity superblock that was expected")
	// ErrCorrupt is wrapped by what [Verify] finds.
	ErrCorrupt = errors.New("verity")
)

// Digest is the digest of a block; that of the block at the top is what everything is checked against.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads 64 lower-case hexadecimal digits.
func ParseDigest(s string) (Digest, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != sha256.Size || strings.ToLower(s) != s {
		return Digest{}, fmt.Errorf("root hash %.80q: expected 64 lower-case hexadecimal digits", s)
	}
	return Digest(b), nil
}

// Parameters are what a hash tree depends on besides the data.
type Parameters struct {
	// DataBlock and HashBlock are sizes in bytes, powers of two from 512 to 65536; the kernel takes at most its page size, 4096.
	DataBlock, HashBlock int
	// Salt has up to 256 bytes.
	Salt []byte
	UUID [16]byte
}

// Default are the parameters of dstack's images since 0.6.0: blocks of 4096 bytes, 32 zero bytes of salt, a UUID of zeros.
func Default() Parameters {
	return Parameters{DataBlock: 4096, HashBlock: 4096, Salt: make([]byte, 32)}
}

// Superblock says how a tree is made.
type Superblock struct {
	Parameters
	// Blocks is the number of data blocks.
	Blocks int64
}

// DataSize is the size of the data in bytes, which is also where a superblock behind the data stands.
func (s *Superblock) DataSize() int64 { return s.Blocks * int64(s.DataBlock) }

// TreeOffset is where a tree begins whose superblock is at offset at: at the next hash block.
func (s *Superblock) TreeOffset(at int64) int64 {
	return roundUp(at+superblockSize, int64(s.HashBlock))
}

// levels are the numbers of hash blocks, from those over the data up to the one at the top. One block of data needs none.
func (s *Superblock) levels() []int64 {
	perBlock := int64(s.HashBlock / sha256.Size)
	var levels []int64
	for n := s.Blocks; n > 1; {
		n = (n + perBlock - 1) / perBlock
		levels = append(levels, n)
	}
	return levels
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

func (s *Superblock) check() error {
	for _, b := range []struct {
		name string
		size int
	}{{"data", s.DataBlock}, {"hash", s.HashBlock}} {
		if b.size < minBlock || b.size > maxBlock || b.size&(b.size-1) != 0 {
			return fmt.Errorf("%s block of %d bytes: expected a power of two from %d to %d", b.name, b.size, minBlock, maxBlock)
		}
	}
	if len(s.Salt) > maxSalt {
		return fmt.Errorf("salt of %d bytes: expected at most %d", len(s.Salt), maxSalt)
	}
	if s.Blocks <= 0 || s.Blocks > 1<<62/int64(s.DataBlock) || len(s.levels()) > maxLevels {
		return fmt.Errorf("%d data blocks: expected 1 to %d", s.Blocks, 1<<62/int64(s.DataBlock))
	}
	return nil
}

func (s *Superblock) encode() []byte {
	b := make([]byte, superblockSize)
	copy(b, signature)
	binary.LittleEndian.PutUint32(b[versionAt:], formatVersion)
	binary.LittleEndian.PutUint32(b[typeAt:], typeVersion)
	copy(b[uuidAt:], s.UUID[:])
	copy(b[algorithmAt:], algorithm)
	binary.LittleEndian.PutUint32(b[dataBlockAt:], uint32(s.DataBlock))
	binary.LittleEndian.PutUint32(b[hashBlockAt:], uint32(s.HashBlock))
	binary.LittleEndian.PutUint64(b[blocksAt:], uint64(s.Blocks))
	binary.LittleEndian.PutUint16(b[saltSizeAt:], uint16(len(s.Salt)))
	copy(b[saltAt:], s.Salt)
	return b
}

// ReadSuperblock reads the superblock that stands behind dataSize bytes of data. One that is about another amount of data is refused:
// a tree over a part of the data, or over the tree itself, can have a right root hash.
func ReadSuperblock(r io.ReaderAt, dataSize int64) (*Superblock, error) {
	b := make([]byte, superblockSize)
	if dataSize < 0 {
		return nil, fmt.Errorf("%w: expected it at an offset, got %d", ErrSuperblock, dataSize)
	}
	if n, err := r.ReadAt(b, dataSize); n < len(b) {
		if err == io.EOF {
			return nil, fmt.Errorf("%w: expected %d bytes at offset %d, got %d", ErrSuperblock, len(b), dataSize, n)
		}
		return nil, err
	}
	s, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSuperblock, err)
	}
	if s.DataSize() != dataSize {
		return nil, fmt.Errorf("%w: expected one about %d bytes of data, got one about %d", ErrSuperblock, dataSize, s.DataSize())
	}
	return s, nil
}

func parse(b []byte) (*Superblock, error) {
	if string(b[:len(signature)]) != signature {
		return nil, fmt.Errorf("signature: expected %q, got %q", signature, b[:len(signature)])
	}
	version, kind := binary.LittleEndian.Uint32(b[versionAt:]), binary.LittleEndian.Uint32(b[typeAt:])
	if version != formatVersion || kind != typeVersion {
		return nil, fmt.Errorf("version and type: expected %d and %d, got %d and %d", formatVersion, typeVersion, version, kind)
	}
	if name := string(bytes.TrimRight(b[algorithmAt:dataBlockAt], "\x00")); name != algorithm {
		return nil, fmt.Errorf("hash: expected %s, got %q", algorithm, name)
	}
	size := int(binary.LittleEndian.Uint16(b[saltSizeAt:]))
	if size > maxSalt {
		return nil, fmt.Errorf("salt of %d bytes: expected at most %d", size, maxSalt)
	}
	dataBlock, hashBlock, blocks := binary.LittleEndian.Uint32(b[dataBlockAt:]), binary.LittleEndian.Uint32(b[hashBlockAt:]), binary.LittleEndian.Uint64(b[blocksAt:])
	s := &Superblock{
		Parameters: Parameters{
			DataBlock: int(min(dataBlock, 1<<30)), HashBlock: int(min(hashBlock, 1<<30)),
			Salt: bytes.Clone(b[saltAt:][:size]), UUID: [16]byte(b[uuidAt:]),
		},
		Blocks: int64(min(blocks, 1<<63-1)),
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if !bytes.Equal(b, s.encode()) {
		return nil, errors.New("expected zeros where nothing is defined, got other bytes")
	}
	return s, nil
}

// ReadWriterAt is where data is read from and its tree written to.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Format writes the superblock and the tree behind the first dataSize bytes of f, which must be a multiple of both block sizes, and
// returns the root hash and where the tree ends.
func Format(f ReadWriterAt, dataSize int64, p Parameters) (root Digest, end int64, err error) {
	s := &Superblock{Parameters: p}
	if p.DataBlock > 0 {
		s.Blocks = dataSize / int64(p.DataBlock)
	}
	if err := s.check(); err != nil {
		return Digest{}, 0, fmt.Errorf("verity: %w", err)
	}
	if dataSize%int64(p.DataBlock) != 0 || dataSize%int64(p.HashBlock) != 0 {
		return Digest{}, 0, fmt.Errorf("verity: %d bytes of data: expected a multiple of %d and %d", dataSize, p.DataBlock, p.HashBlock)
	}
	at := s.TreeOffset(dataSize)
	head := make([]byte, at-dataSize)
	copy(head, s.encode())
	if _, err := f.WriteAt(head, dataSize); err != nil {
		return Digest{}, 0, err
	}
	levels, root, err := s.tree(f)
	if err != nil {
		return Digest{}, 0, err
	}
	for _, level := range levels {
		if _, err := f.WriteAt(level, at); err != nil {
			return Digest{}, 0, err
		}
		at += int64(len(level))
	}
	return root, at, nil
}

// tree computes the levels, the top first as on the device, and the root hash.
func (s *Superblock) tree(data io.ReaderAt) (levels [][]byte, root Digest, err error) {
	digests, err := s.digests(data, s.Blocks, s.DataBlock)
	if err != nil {
		return nil, Digest{}, err
	}
	for range s.levels() {
		// Digests fill blocks without a gap; zeros are behind the last.
		level := make([]byte, roundUp(int64(len(digests)), int64(s.HashBlock)))
		copy(level, digests)
		levels = append([][]byte{level}, levels...)
		digests, err = s.digests(bytes.NewReader(level), int64(len(level)/s.HashBlock), s.HashBlock)
		if err != nil {
			return nil, Digest{}, err
		}
	}
	return levels, Digest(digests), nil
}

// portion is how many bytes a worker reads at once: a multiple of each size of blocks.
const portion = 1 << 20

// digests returns the digests of blocks of data, one after the other. Workers take portions in turn.
func (s *Superblock) digests(data io.ReaderAt, blocks int64, block int) ([]byte, error) {
	digests := make([]byte, blocks*sha256.Size)
	perPortion := int64(portion / block)
	portions := (blocks + perPortion - 1) / perPortion
	workers := min(int64(runtime.GOMAXPROCS(0)), portions)
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			buffer := make([]byte, min(portion, blocks*int64(block)))
			h := hasher{sha256.New(), s.Salt}
			for first := w * perPortion; first < blocks && errs[w] == nil; first += workers * perPortion {
				n := min(perPortion, blocks-first)
				b := buffer[:n*int64(block)]
				if read, err := data.ReadAt(b, first*int64(block)); read < len(b) {
					errs[w] = fmt.Errorf("read %d bytes at offset %d: %w", len(b), first*int64(block), err)
					return
				}
				for i := range n {
					h.sum(digests[(first+i)*sha256.Size:][:0], b[i*int64(block):][:block])
				}
			}
		})
	}
	wait.Wait()
	return digests, errors.Join(errs...)
}

// Verify checks all data and the whole tree of an image against the root hash. It returns an error that wraps [ErrSuperblock] or
// [ErrCorrupt] and names the first block that is wrong, going from the top down as the kernel does, or the error of reading.
func Verify(r io.ReaderAt, dataSize int64, root Digest) error {
	s, err := ReadSuperblock(r, dataSize)
	if err != nil {
		return err
	}
	want, at := root[:], s.TreeOffset(dataSize)
	for _, blocks := range slices.Backward(s.levels()) {
		level := make([]byte, blocks*int64(s.HashBlock))
		if n, err := r.ReadAt(level, at); n < len(level) {
			return fmt.Errorf("read %d bytes at offset %d: %w", len(level), at, err)
		}
		got, err := s.digests(bytes.NewReader(level), blocks, s.HashBlock)
		if err != nil {
			return err
		}
		if err := compare(want, got, "hash", at, s.HashBlock); err != nil {
			return err
		}
		want, at = level, at+int64(len(level))
	}
	got, err := s.digests(r, s.Blocks, s.DataBlock)
	if err != nil {
		return err
	}
	return compare(want, got, "data", 0, s.DataBlock)
}

// compare holds the digests of blocks, the first of them at offset at, to those that the level above has.
func compare(want, got []byte, kind string, at int64, block int) error {
	for i := 0; i < len(got); i += sha256.Size {
		if w, g := Digest(want[i:]), Digest(got[i:]); w != g {
			return fmt.Errorf("%w: %s block at offset %d: expected %s, got %s", ErrCorrupt, kind, at+int64(i/sha256.Size)*int64(block), w, g)
		}
	}
	return nil
}

// hasher hashes blocks with the salt before them.
type hasher struct {
	hash.Hash
	salt []byte
}

func (h *hasher) sum(dst, block []byte) {
	h.Reset()
	_, _ = h.Write(h.salt) // a hash does not fail
	_, _ = h.Write(block)
	h.Sum(dst)
}
