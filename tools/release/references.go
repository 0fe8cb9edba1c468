package release

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/corim"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/tdx"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// ReferenceValuesType is the predicate type of a [ReferenceValues]. [appraisal.ParseExpectation] reads the statement.
const ReferenceValuesType = appraisal.ReleaseReferenceValuesType

// ReferenceValues says what hardware reports about the guests of a release on every machine that it supports, and which applications are
// to be expected in them.
type ReferenceValues struct {
	// Machines are the shapes; guests and applications name them.
	Machines     []NamedMachine         `json:"machines"`
	Guests       []GuestValues          `json:"guests"`
	Applications []ApplicationReference `json:"applications"`
}

// NamedMachine is a machine shape.
type NamedMachine struct {
	Name    string          `json:"name"`
	Machine machine.Machine `json:"machine"`
	// Processor is there for machines whose firmware may measure it.
	Processor *Processor `json:"processor,omitempty"`
}

// GuestValues are what is measured of one guest image.
type GuestValues struct {
	Name        string           `json:"name"`
	OSImageHash dstack.ImageHash `json:"os_image_hash"`
	// Development holds for an image that accepts simulated hardware. Its values are there to compare; nobody is to rely on them.
	Development bool `json:"development"`
	// Layout is that of the firmware's events, Cmdline the kernel command line.
	Layout  tdvf.Layout     `json:"layout"`
	Cmdline string          `json:"cmdline"`
	Values  []MachineValues `json:"values"`
}

// MachineValues are the registers on one machine.
type MachineValues struct {
	Machine string          `json:"machine"`
	MRTD    eventlog.Digest `json:"mrtd"`
	RTMR0   eventlog.Digest `json:"rtmr0"`
	RTMR1   eventlog.Digest `json:"rtmr1"`
	RTMR2   eventlog.Digest `json:"rtmr2"`
	// Notes are conditions that the values depend on and that nothing else here shows.
	Notes []string `json:"notes"`
}

// ApplicationReference is an application with the machines that its definition lets it run on.
type ApplicationReference struct {
	Name        string             `json:"name"`
	ComposeHash dstack.ComposeHash `json:"compose_hash"`
	Machines    []string           `json:"machines"`
}

// Measure predicts what machines report about the guest image in a folder, which may be without its root file system. Name and hash of the
// image are the caller's to fill in.
func Measure(dir string, machines []NamedMachine) (*GuestValues, error) {
	im, err := image.Read(dir)
	if err != nil {
		return nil, err
	}
	g := &GuestValues{Development: im.IsDev, Cmdline: im.Cmdline, Values: make([]MachineValues, len(machines))}
	layouts := make([]tdvf.Layout, len(machines))
	errs := make([]error, len(machines))
	var wait sync.WaitGroup
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, m := range machines {
		wait.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			g.Values[i], layouts[i], errs[i] = predict(im, m)
		})
	}
	wait.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("machine %s: %w", machines[i].Name, err)
		}
		g.Layout = layouts[i]
	}
	return g, image.CheckVariant(im.OVMFVariant, g.Layout)
}

func predict(im *image.Image, on NamedMachine) (MachineValues, tdvf.Layout, error) {
	in := tdx.Inputs{
		Firmware: im.FirmwareData, LayoutInDoubt: image.LayoutOf(im.OVMFVariant, im.Version),
		Direct: &tdx.DirectBoot{Kernel: im.KernelData, Initrd: im.InitrdData, HasInitrd: true, Cmdline: im.Cmdline, Normalized: im.Normalized},
	}
	var o smbios.Options
	if on.Processor != nil {
		o.Processor = smbios.Processor{Signature: on.Processor.Signature, Features: on.Processor.Features}
	}
	if err := in.SetMachine(on.Machine, o); err != nil {
		return MachineValues{}, "", err
	}
	p, err := tdx.Predict(in)
	if err != nil {
		return MachineValues{}, "", err
	}
	r := p.Report(false)
	return MachineValues{on.Name, r.MRTD, r.RTMR0, r.RTMR1, r.RTMR2, append(r.Notes, on.Machine.Notes()...)}, r.Layout, nil
}

// referenceValues makes the statement about the guests and applications of the release.
func (a *assembler) referenceValues(ctx context.Context) (provenance.Statement, error) {
	if a.Machines == nil {
		return provenance.Statement{}, &MachinesError{"", "expected machines to make reference values for, got none"}
	}
	var sizes []Size
	for _, app := range a.Applications {
		sizes = append(sizes, Size{app.VCPUs, app.MemoryMB})
	}
	shapes, err := a.Machines.shapes(sizes...)
	if err != nil {
		return provenance.Statement{}, err
	}
	if len(shapes) == 0 {
		return provenance.Statement{}, &MachinesError{"sizes", "expected a size for guests without applications, got none"}
	}
	v := ReferenceValues{Applications: []ApplicationReference{}}
	for _, s := range shapes {
		v.Machines = append(v.Machines, s.NamedMachine)
	}
	var subjects []provenance.Subject
	for _, g := range a.release.Guests {
		if err := ctx.Err(); err != nil {
			return provenance.Statement{}, err
		}
		values, err := Measure(filepath.Join(a.dir, filepath.FromSlash(g.Folder)), v.Machines)
		if err != nil {
			return provenance.Statement{}, fmt.Errorf("guest %s: %w", g.Name, err)
		}
		values.Name, values.OSImageHash = g.Name, g.OSImageHash
		v.Guests = append(v.Guests, *values)
		subjects = append(subjects, provenance.Subject{Name: g.Name, Digest: provenance.Digest(g.OSImageHash).Set()})
	}
	for _, app := range a.release.Applications {
		r := ApplicationReference{Name: app.Name, ComposeHash: app.ComposeHash, Machines: []string{}}
		part := slices.IndexFunc(a.Applications, func(p ApplicationPart) bool { return p.Name == app.Name })
		for _, s := range shapes {
			if s.size == (Size{a.Applications[part].VCPUs, a.Applications[part].MemoryMB}) {
				r.Machines = append(r.Machines, s.Name)
			}
		}
		v.Applications = append(v.Applications, r)
	}
	return provenance.NewStatement(subjects, ReferenceValuesType, v)
}

// ReferenceValues reads the statement of a release about its reference values. A release without guests has none, which is nil.
func (d *Directory) ReferenceValues() (*ReferenceValues, error) {
	if d.Release.ReferenceValues == "" {
		return nil, nil //nolint:nilnil // there is nothing to read
	}
	data, err := d.ReadFile(d.Release.ReferenceValues, provenance.MaxStatement)
	if err != nil {
		return nil, err
	}
	s, err := provenance.ParseStatement(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Release.ReferenceValues, err)
	}
	v := new(ReferenceValues)
	if err := s.DecodePredicate(ReferenceValuesType, v); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Release.ReferenceValues, err)
	}
	names := make([]string, 0, len(v.Machines)+len(v.Guests))
	for _, m := range v.Machines {
		names = append(names, m.Name)
	}
	for _, g := range v.Guests {
		names = append(names, g.Name)
		for _, m := range g.Values {
			names = append(names, m.Machine)
		}
	}
	// Names become names of files.
	for _, name := range names {
		if !namePattern.MatchString(name) {
			return nil, &UnaccountedError{d.Release.ReferenceValues, fmt.Sprintf("expected names in lower case, got %.80q", name), CodeStatement}
		}
	}
	return v, nil
}

// CoRIM returns the values on one machine as an unsigned IETF CoRIM.
func (v MachineValues) CoRIM() ([]byte, error) {
	return corim.Encode(corim.Values{MRTD: v.MRTD, RTMR0: v.RTMR0, RTMR1: v.RTMR1, RTMR2: v.RTMR2})
}
