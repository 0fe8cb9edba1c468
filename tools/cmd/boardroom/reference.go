package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// Types of in-toto's attestation framework 1.0 and of ours.
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://boardroom-tee.github.io/reference-values/v1"
)

// statement says which values the files lead to on a machine.
type statement struct {
	Type          string             `json:"_type"`
	Subject       []statementSubject `json:"subject"`
	PredicateType string             `json:"predicateType"`
	Predicate     referenceValues    `json:"predicate"`
}

type statementSubject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

type referenceValues struct {
	Machine shapeReport `json:"machine"`
	Cmdline string      `json:"cmdline"`
	Layout  tdvf.Layout `json:"layout"`
	Values  values      `json:"values"`
	Notes   []string    `json:"notes"`
}

type values struct {
	MRTD  eventlog.Digest `json:"mrtd"`
	RTMR0 eventlog.Digest `json:"rtmr0"`
	RTMR1 eventlog.Digest `json:"rtmr1"`
	RTMR2 eventlog.Digest `json:"rtmr2"`
}

// shapeReport is a machine under the names of its flags. What is zero is not there.
type shapeReport struct {
	CPUs            int                `json:"cpus"`
	MaxCPUs         int                `json:"max_cpus,omitempty"`
	Memory          uint64             `json:"memory"`
	QEMU            machine.Version    `json:"qemu"`
	QEMUFeatures    []machine.Feature  `json:"qemu_features,omitempty"`
	TDX             machine.TDX        `json:"tdx"`
	PageOrder       machine.PageAdd    `json:"page_order"`
	RootDisk        bool               `json:"root_disk"`
	DataDisk        bool               `json:"data_disk"`
	VerityVolumes   int                `json:"verity_volumes"`
	NICs            int                `json:"nics"`
	VSock           bool               `json:"vsock"`
	Share           machine.HostShare  `json:"share"`
	GPUs            int                `json:"gpus"`
	NVSwitches      int                `json:"nvswitches"`
	NUMA            []machine.NUMANode `json:"numa,omitempty"`
	Devices         []machine.Device   `json:"devices,omitempty"`
	HotplugOff      bool               `json:"hotplug_off"`
	PCIHole64Size   uint64             `json:"pci_hole64_size,omitempty"`
	PhysBits        int                `json:"phys_bits,omitempty"`
	BAR64Base       uint64             `json:"bar64_base,omitempty"`
	BAR64End        uint64             `json:"bar64_end,omitempty"`
	NoBAR64         bool               `json:"no_bar64"`
	PIC             bool               `json:"pic"`
	SMM             bool               `json:"smm"`
	SMICPUHotplug   bool               `json:"smi_cpu_hotplug"`
	HPET            bool               `json:"hpet"`
	Serial          bool               `json:"serial"`
	TPM             machine.TPM        `json:"tpm,omitempty"`
	BootOrder       []string           `json:"boot_order,omitempty"`
	MachineTypeName string             `json:"machine_type,omitempty"`
}

func newShapeReport(m *machine.Machine) shapeReport {
	return shapeReport{
		CPUs: m.CPUs, MaxCPUs: m.MaxCPUs, Memory: m.Memory, QEMU: m.QEMU, QEMUFeatures: m.Backports, TDX: m.TDX, PageOrder: m.PageAddOrder(),
		RootDisk: m.RootDisk, DataDisk: m.DataDisk, VerityVolumes: m.VerityVolumes, NICs: m.NICs, VSock: m.VSock, Share: m.HostShare,
		GPUs: m.GPUs, NVSwitches: m.NVSwitches, NUMA: m.NUMA, Devices: m.Extra, HotplugOff: m.HotplugOff, PCIHole64Size: m.PCIHole64Size,
		PhysBits: m.GuestPhysBits, BAR64Base: m.BAR64Base, BAR64End: m.BAR64End, NoBAR64: m.NoBAR64, PIC: m.PIC, SMM: m.SMM,
		SMICPUHotplug: m.SMICPUHotplug, HPET: m.HPET, Serial: m.Serial, TPM: m.TPM, BootOrder: m.BootOrder, MachineTypeName: m.MachineType,
	}
}

func newStatement(subjects []subject, m *machine.Machine, cmdline string, p *tdx.Prediction) statement {
	r := p.Report(false)
	s := statement{Type: statementType, PredicateType: predicateType, Predicate: referenceValues{
		Machine: newShapeReport(m), Cmdline: cmdline, Layout: r.Layout, Values: values{r.MRTD, r.RTMR0, r.RTMR1, r.RTMR2}, Notes: r.Notes,
	}}
	for _, f := range subjects {
		sum := sha256.Sum256(f.data)
		s.Subject = append(s.Subject, statementSubject{f.name, map[string]string{"sha256": hex.EncodeToString(sum[:])}})
	}
	return s
}

// rvps is the payload of a message of type "sample" to Trustee's reference value provider: for each name the values that are
// accepted, under the names that its policies for TDX ask for.
type rvps struct {
	MRTD  []eventlog.Digest `json:"mr_td"`
	RTMR0 []eventlog.Digest `json:"rtmr_0"`
	RTMR1 []eventlog.Digest `json:"rtmr_1"`
	RTMR2 []eventlog.Digest `json:"rtmr_2"`
}

func newRVPS(p *tdx.Prediction) rvps {
	return rvps{[]eventlog.Digest{p.MRTD}, []eventlog.Digest{p.RTMR0}, []eventlog.Digest{p.RTMR1}, []eventlog.Digest{p.RTMR2}}
}

// printJSON prints what has no form but JSON.
func printJSON(c *cli.Context, v any) error {
	enc := json.NewEncoder(c.App.Writer)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
