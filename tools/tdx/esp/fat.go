package esp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// BIOS parameter block (FAT specification 1.03, "Boot Sector and BPB").
const (
	bootSector       = 512
	sectorSizeAt     = 11
	clusterSectorsAt = 13
	reservedAt       = 14
	tablesAt         = 16
	rootEntriesAt    = 17
	sectors16At      = 19
	tableSectors16At = 22
	sectors32At      = 32
	tableSectors32At = 36
	rootClusterAt    = 44
	signatureAt      = 510
	signature        = 0xAA55
)

// Directory entries ("FAT Directory Structure").
const (
	entrySize   = 32
	attributeAt = 11
	clusterHiAt = 20
	clusterLoAt = 26
	fileSizeAt  = 28

	attributeVolume    = 0x08 // also set in the entries of long names
	attributeDirectory = 0x10
	entryFree          = 0xE5
	entryLast          = 0x00
	// maxDirectory bounds a directory: 65536 entries, as the specification does.
	maxDirectory = 65536 * entrySize
)

// fat is a file system.
type fat struct {
	r                 io.ReaderAt
	bits              int // of an entry in the table: 12, 16 or 32
	table             int64
	root, rootSize    int64 // of the root directory outside of clusters, none with 32 bits
	rootCluster       uint32
	data, clusterSize int64
	clusters          uint32
}

var errChain = errors.New("chain of clusters leaves the file system or does not end")

// openFAT returns nil where there is no FAT file system.
func openFAT(r io.ReaderAt, size int64) (*fat, error) {
	var b [bootSector]byte
	if size < bootSector {
		return nil, nil
	}
	if _, err := r.ReadAt(b[:], 0); err != nil {
		return nil, err
	}
	u16 := func(at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
	sector, perCluster, tables := u16(sectorSizeAt), int64(b[clusterSectorsAt]), int64(b[tablesAt])
	if u16(signatureAt) != signature || sector < 512 || sector > 4096 || sector&(sector-1) != 0 || perCluster == 0 || perCluster&(perCluster-1) != 0 || tables == 0 || u16(reservedAt) == 0 {
		return nil, nil
	}
	sectors, perTable := u16(sectors16At), u16(tableSectors16At)
	if sectors == 0 {
		sectors = int64(binary.LittleEndian.Uint32(b[sectors32At:]))
	}
	wide := perTable == 0
	if wide {
		perTable = int64(binary.LittleEndian.Uint32(b[tableSectors32At:]))
	}
	f := &fat{r: r, table: u16(reservedAt) * sector, clusterSize: perCluster * sector}
	f.root, f.rootSize = f.table+tables*perTable*sector, u16(rootEntriesAt)*entrySize
	f.data = f.root + (f.rootSize+sector-1)/sector*sector
	if sectors*sector > size || f.data > sectors*sector {
		return nil, fmt.Errorf("expected a file system of up to %d bytes, got one of %d with data at %d", size, sectors*sector, f.data)
	}
	clusters := (sectors*sector - f.data) / f.clusterSize
	f.clusters = uint32(clusters)
	switch {
	case clusters < 4085:
		f.bits = 12
	case clusters < 65525:
		f.bits = 16
	default:
		f.bits = 32
		f.rootCluster = binary.LittleEndian.Uint32(b[rootClusterAt:])
	}
	if wide != (f.bits == 32) || (clusters+2)*int64(f.bits)/8 > perTable*sector {
		return nil, fmt.Errorf("expected a table for %d clusters of %d bits each, got %d bytes", clusters, f.bits, perTable*sector)
	}
	return f, nil
}

// next returns the cluster after c, 0 at the end of the chain.
func (f *fat) next(c uint32) (uint32, error) {
	var b [4]byte
	at, width := int64(c)*int64(f.bits)/8, max(f.bits/8, 2)
	if f.bits == 12 {
		at, width = int64(c)+int64(c)/2, 2
	}
	if _, err := f.r.ReadAt(b[:width], f.table+at); err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint32(b[:])
	end := uint32(0xFFF8)
	switch f.bits {
	case 12:
		if c%2 == 1 {
			n >>= 4
		}
		n &= 0xFFF
		end = 0xFF8
	case 32:
		n &= 0x0FFFFFFF
		end = 0x0FFFFFF8
	}
	if n >= end {
		return 0, nil
	}
	if !f.holds(n) {
		return 0, errChain
	}
	return n, nil
}

func (f *fat) holds(cluster uint32) bool { return cluster >= 2 && cluster-2 < f.clusters }

// read returns the first size bytes of a chain, or of a directory, which ends with its chain, up to that many.
func (f *fat) read(cluster uint32, size int64, directory bool) ([]byte, error) {
	if size > int64(f.clusters)*f.clusterSize {
		if !directory {
			return nil, fmt.Errorf("expected a file within the %d clusters, got one of %d bytes", f.clusters, size)
		}
		size = int64(f.clusters) * f.clusterSize
	}
	if size > 0 && !f.holds(cluster) {
		return nil, errChain
	}
	var data []byte
	if !directory {
		data = make([]byte, 0, size)
	}
	for int64(len(data)) < size {
		if cluster == 0 {
			if directory {
				return data, nil
			}
			return nil, errChain
		}
		n := min(f.clusterSize, size-int64(len(data)))
		data = append(data, make([]byte, n)...)
		if _, err := f.r.ReadAt(data[int64(len(data))-n:], f.data+int64(cluster-2)*f.clusterSize); err != nil {
			return nil, err
		}
		if int64(len(data)) == size && !directory {
			return data, nil
		}
		var err error
		if cluster, err = f.next(cluster); err != nil {
			return nil, err
		}
	}
	if directory && cluster != 0 {
		return nil, errChain
	}
	return data, nil
}

// find returns the entry of a short name, blank-padded to 11 characters; nil if there is none.
func find(directory []byte, name string) []byte {
	for ; len(directory) >= entrySize; directory = directory[entrySize:] {
		e := directory[:entrySize]
		switch {
		case e[0] == entryLast:
			return nil
		case e[0] != entryFree && e[attributeAt]&attributeVolume == 0 && string(e[:len(name)]) == name:
			return e
		}
	}
	return nil
}

// file returns the content of the file below the directories, all by their short names; nil if there is none.
func (f *fat) file(limit int64, path ...string) ([]byte, error) {
	var directory []byte
	var err error
	if f.bits == 32 {
		directory, err = f.read(f.rootCluster, maxDirectory, true)
	} else {
		directory = make([]byte, f.rootSize)
		_, err = f.r.ReadAt(directory, f.root)
	}
	if err != nil {
		return nil, fmt.Errorf("root directory: %w", err)
	}
	for i, name := range path {
		e, last := find(directory, name), i == len(path)-1
		if e == nil || last == (e[attributeAt]&attributeDirectory != 0) {
			return nil, nil
		}
		cluster := uint32(binary.LittleEndian.Uint16(e[clusterLoAt:]))
		if f.bits == 32 {
			cluster |= uint32(binary.LittleEndian.Uint16(e[clusterHiAt:])) << 16
		}
		if !last {
			if directory, err = f.read(cluster, maxDirectory, true); err != nil {
				return nil, fmt.Errorf("directory %q: %w", name, err)
			}
			continue
		}
		size := int64(binary.LittleEndian.Uint32(e[fileSizeAt:]))
		if size > limit {
			return nil, fmt.Errorf("file %q: expected up to %d bytes, got %d", name, limit, size)
		}
		data, err := f.read(cluster, size, false)
		if err != nil {
			return nil, fmt.Errorf("file %q: %w", name, err)
		}
		return data, nil
	}
	return nil, nil
}
