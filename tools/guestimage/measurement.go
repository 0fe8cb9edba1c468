package guestimage

import (
	"crypto/sha512"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/pe"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// measureMemory is the memory for which dstack's measurement hashes the kernel: QEMU writes the same into it for all sizes from 2.75 GiB on,
// and for 2 GiB (dstack/dstack-mr/src, tdx measurement).
const measureMemory = 0xB0000000

// pageSize is that of TDVF's metadata, in bytes.
const pageSize = 4096

// measure computes dstack's measurement of an image.
func measure(im *image.Image) (*dstack.TDXMeasurement, error) {
	firmware, err := tdvf.Parse(im.FirmwareData)
	if err != nil {
		return nil, refuse(firmwareFile, "%w", err)
	}
	m := &dstack.TDXMeasurement{
		Version: dstack.TDXMeasurementVersion, Cmdline: im.Cmdline, CommandLine: dstack.CommandLineDigest(im.Cmdline),
		Initrd: sha512.Sum384(im.InitrdData), Normalized: im.Normalized,
	}
	for _, order := range []struct {
		name tdvf.PageOrder
		to   *dstack.Register
	}{{tdvf.OnePass, &m.MRTDSinglePass}, {tdvf.TwoPass, &m.MRTDTwoPass}} {
		digest, err := firmware.MRTD(order.name)
		if err != nil {
			return nil, refuse(firmwareFile, "%w", err)
		}
		*order.to = dstack.Register(digest)
	}
	if m.HOB, err = witness(firmware); err != nil {
		return nil, refuse(firmwareFile, "%w", err)
	}
	parsed, err := pe.Parse(im.KernelData)
	if err != nil {
		return nil, refuse(kernelFile, "%w", err)
	}
	write := pe.LinuxPatches
	if im.Normalized {
		write = pe.NormalizedPatches
	}
	patches, err := write(im.KernelData, pe.Loader{Cmdline: im.Cmdline, InitrdSize: uint64(len(im.InitrdData)), HasInitrd: true, Memory: measureMemory})
	if err != nil {
		return nil, refuse(kernelFile, "%w", err)
	}
	m.Kernel = dstack.Register(parsed.Authenticode(patches...))
	return m, nil
}

// witness takes the sections of memory that firmware has from the start.
func witness(firmware *tdvf.Image) (dstack.HOBWitness, error) {
	var hob dstack.PageRange
	var temporary []dstack.PageRange
	for _, s := range firmware.Sections {
		pages := dstack.PageRange{Start: s.Address / pageSize, Count: s.MemorySize / pageSize}
		switch s.Type {
		case tdvf.SectionTDHOB:
			hob = pages
		case tdvf.SectionTempMem:
			temporary = append(temporary, pages)
		}
	}
	return dstack.NewHOBWitness(hob, temporary...)
}
