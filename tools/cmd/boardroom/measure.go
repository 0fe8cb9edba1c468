package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx"
	"github.com/boardroom-tee/boardroom/tools/tdx/acpi"
	"github.com/boardroom-tee/boardroom/tools/tdx/esp"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/pe"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// Forms of --format.
const (
	formatValues    = "values"
	formatReference = "reference-values"
	formatRVPS      = "rvps"
	formatCoRIM     = "corim"
)

var formats = []string{formatValues, formatReference, formatRVPS, formatCoRIM}

func measureCommand() *cli.Command {
	return &cli.Command{
		Name:      "measure",
		Usage:     "predict what TDX hardware will report about a guest",
		ArgsUsage: "DIR",
		Description: "Computes MRTD and RTMR0 to RTMR2 of a guest image for a machine shape, before anything runs. DIR is a dstack guest image;\n" +
			"without it, firmware, kernel and initrd are named one by one, or firmware and a disk to boot from. The default shape is that of\n" +
			"dstack-vmm with QEMU 9.2.1. Exit code 1 says that a file is not what it has to be, 2 that the call is not, 3 that it can not be told.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "firmware", Usage: "without DIR: the firmware, a `FILE`"},
			&cli.StringFlag{Name: "kernel", Usage: "without DIR: the kernel or UKI, a `FILE`"},
			&cli.StringFlag{Name: "initrd", Usage: "without DIR: the initrd, a `FILE`"},
			&cli.StringFlag{Name: "disk", Usage: "without DIR and --kernel: boot from the root disk, a raw `FILE` with a GUID partition table and a UKI as \\EFI\\BOOT\\BOOTX64.EFI"},
			&cli.StringFlag{Name: "cmdline", Usage: "the kernel command line, a `TEXT` (default: the image's, or nothing)"},
			&cli.BoolFlag{Name: "kernel-header-normalized", Usage: "without DIR: the firmware fills in the kernel's header itself, as metadata.json says by this name"},
			&cli.StringFlag{Name: "layout", Usage: "the `LAYOUT` of the firmware's events, A, B, C or D (default: read from the firmware)"},
			&cli.StringFlag{Name: "kernel-events", Usage: "what the kernel's EFI stub measures, `WHAT` nothing, load-options or all (default: by its version)"},
			&cli.StringFlag{Name: "db-entry", Usage: "for firmware with keys enrolled: the entry of db that verifies the kernel, a `FILE` with its EFI_SIGNATURE_DATA"},
			&cli.BoolFlag{Name: "no-firmware-setup", Usage: "the guest runs with opt/org.tianocore/FirmwareSetupSupport=no"},
			&cli.StringSliceFlag{Name: "smbios", Usage: "a string of -smbios type=1, `KEY=VALUE` with manufacturer, product, version, serial, sku or family; may be repeated"},
			&cli.StringSliceFlag{Name: "firmware-string", Usage: "what the firmware says of itself in SMBIOS, `KEY=VALUE` with vendor, version or date; all three (default: read from the firmware)"},
			&cli.StringFlag{Name: "cpuid-signature", Usage: "the guest's processor, EAX of CPUID leaf 1, a `NUMBER`; needed for firmware of layout C or D"},
			&cli.StringFlag{Name: "cpuid-features", Usage: "the guest's processor, EDX of CPUID leaf 1, a `NUMBER`; needed for firmware of layout C or D"},
			&cli.BoolFlag{Name: "explain", Usage: "list every event, in order"},
			&cli.StringFlag{Name: "format", Value: formatValues, Usage: "print `WHAT`: values; reference-values, an in-toto statement in JSON; rvps, a sample payload in JSON for Trustee's RVPS; corim, an unsigned IETF CoRIM in CBOR"},
			&cli.StringFlag{Name: "to", Usage: "with --format corim: write it to `FILE` and print its digest"},
			cmdline.OutputFlag(),
		}, shapeFlags()...),
		Action: measure,
		Subcommands: []*cli.Command{
			{
				Name:        "acpi",
				Usage:       "write the ACPI tables that a machine shape leads to",
				Description: "Writes tables.bin, table-loader.bin and rsdp.bin: what QEMU hands to the firmware, and the firmware measures.",
				Flags:       append([]cli.Flag{&cli.StringFlag{Name: "to", Usage: "make the folder `DIR` and write there"}, cmdline.OutputFlag()}, shapeFlags()...),
				Action:      measureACPI,
			},
			{
				Name:      "diff",
				Usage:     "name the first event in which two boots differ, and its cause",
				ArgsUsage: "A B",
				Description: "Each of A and B is a saved prediction (measure --explain --output json), a CC event log, a TPM event log, dstack's event log\n" +
					"or an answer to its GetQuote. Exit code 0 says that they are equal, 1 that they differ.",
				Flags:  []cli.Flag{cmdline.OutputFlag()},
				Action: measureDiff,
			},
		},
	}
}

// inner refuses flags that stand before the name of a subcommand: they are the outer command's, and would be passed over.
func inner(c *cli.Context) error {
	if outer := c.Lineage()[1].LocalFlagNames(); len(outer) > 0 {
		return cmdline.Usage(fmt.Errorf("--%s: expected flags of %s behind it", outer[0], c.Command.HelpName))
	}
	return nil
}

// readFault gives a fault of reading a file that says what to do its exit code: one that can not be such a file is a mistake in the call.
func readFault(err error) error {
	var size *image.SizeError
	if errors.As(err, &size) {
		return cmdline.Usage(err)
	}
	return err
}

// fileFault gives a fault of reading a file that is judged its exit code: one that can not be what it is said to be is refused.
func fileFault(err error) error {
	var size *image.SizeError
	if errors.As(err, &size) {
		return cmdline.Refused(err)
	}
	return err
}

// measureFault gives an error its exit code, see docs/measure.md: a file that is malformed is refused, a shape or a flag is a mistake in
// the call, and what is not modelled can not be told.
func measureFault(err error) error {
	var (
		impossible *machine.FieldError
		metadata   *image.FieldError
		variant    *image.VariantError
	)
	switch {
	case errors.Is(err, tdvf.ErrLayout):
		return flagError("layout", fmt.Errorf("expected A or B, got none: %w", err))
	case errors.Is(err, tdx.ErrProcessor):
		return cmdline.Usage(fmt.Errorf("--cpuid-signature, --cpuid-features: expected those of the guest's processor, got none: %w", err))
	case errors.As(err, &impossible), errors.Is(err, tdvf.ErrMemory), errors.Is(err, tdx.ErrInput):
		return cmdline.Usage(err)
	case errors.As(err, &metadata), errors.As(err, &variant), errors.Is(err, tdvf.ErrImage), errors.Is(err, tdvf.ErrSplitImage),
		errors.Is(err, tdvf.ErrVariables), errors.Is(err, pe.ErrFormat), errors.Is(err, esp.ErrDisk):
		return cmdline.Refused(err)
	default:
		return fileFault(err)
	}
}

func measure(c *cli.Context) error {
	names := []string{"DIR"}
	if c.NArg() == 0 && (c.IsSet("firmware") || c.IsSet("kernel") || c.IsSet("disk")) {
		names = nil
	}
	if err := cmdline.Args(c, names...); err != nil {
		return err
	}
	format := c.String("format")
	if !slices.Contains(formats, format) {
		return flagError("format", fmt.Errorf("expected %s, got %q", strings.Join(formats, ", "), format))
	}
	if c.IsSet("to") && format != formatCoRIM {
		return flagError("to", fmt.Errorf("expected nothing beside --format %s, whose result is text", format))
	}
	m, err := shape(c)
	if err != nil {
		return err
	}
	in := tdx.Inputs{}
	options, err := bootFlags(c, &in)
	if err != nil {
		return err
	}
	m.DirectBoot = in.Direct != nil
	read, err := readInputs(c, &in)
	if err != nil {
		return measureFault(err)
	}
	if in.LayoutInDoubt == "" {
		in.LayoutInDoubt = image.LayoutOf(m.ovmfVariant, "")
	}
	if err := in.SetMachine(m.Machine, options); err != nil {
		return measureFault(err)
	}
	p, err := tdx.Predict(in)
	if err != nil {
		return measureFault(err)
	}
	if err := checkVariants(c, m.ovmfVariant, read, p.Profile.Layout); err != nil {
		return err
	}
	p.Notes = append(p.Notes, m.Notes()...)
	switch format {
	case formatReference:
		return printJSON(c, newStatement(read.subjects, read.cmdline, p))
	case formatRVPS:
		printNotes(c, p.Notes)
		return printJSON(c, newRVPS(p))
	case formatCoRIM:
		printNotes(c, p.Notes)
		return printCoRIM(c, p)
	default:
		return cmdline.Print(c, prediction{p.Report(c.Bool("explain"))})
	}
}

// checkVariants compares what vm_config and metadata.json say about the firmware with the layout that it has.
func checkVariants(c *cli.Context, document string, read *files, found tdvf.Layout) error {
	if err := image.CheckVariant(read.ovmfVariant, found); err != nil {
		return measureFault(fmt.Errorf("%s: %w", filepath.Join(c.Args().First(), image.MetadataFile), err))
	}
	err := image.CheckVariant(document, found)
	var variant *image.VariantError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &variant):
		return cmdline.Refused(fmt.Errorf("%s: vm_config: %w", c.String("vm-config"), err))
	default:
		return cmdline.Usage(fmt.Errorf("%s: vm_config: ovmf_variant: %w", c.String("vm-config"), err))
	}
}

// bootFlags reads the flags that are not of the shape.
func bootFlags(c *cli.Context, in *tdx.Inputs) (smbios.Options, error) {
	var o smbios.Options
	switch layout := tdvf.Layout(c.String("layout")); layout {
	case "", tdvf.LayoutA, tdvf.LayoutB, tdvf.LayoutC, tdvf.LayoutD:
		in.Layout = layout
	default:
		return o, flagError("layout", fmt.Errorf("expected A, B, C or D, got %q", layout))
	}
	stub := tdx.StubEvents(c.String("kernel-events"))
	switch stub {
	case tdx.StubAuto, tdx.StubNothing, tdx.StubLoadOptions, tdx.StubAll:
	default:
		return o, flagError("kernel-events", fmt.Errorf("expected nothing, load-options or all, got %q", stub))
	}
	if c.IsSet("disk") {
		in.Disk = &tdx.DiskBoot{Stub: stub}
	} else {
		in.Direct = &tdx.DirectBoot{Stub: stub}
	}
	in.NoFirmwareSetup = c.Bool("no-firmware-setup")
	if err := keyed(c, "smbios", map[string]*string{
		"manufacturer": &o.System.Manufacturer, "product": &o.System.Product, "version": &o.System.Version, "serial": &o.System.Serial,
		"sku": &o.System.SKU, "family": &o.System.Family,
	}); err != nil {
		return o, err
	}
	if c.IsSet("firmware-string") {
		in.FirmwareStrings = &tdvf.Strings{}
		if err := keyed(c, "firmware-string", map[string]*string{
			"vendor": &in.FirmwareStrings.Vendor, "version": &in.FirmwareStrings.Version, "date": &in.FirmwareStrings.ReleaseDate,
		}); err != nil {
			return o, err
		}
		if s := in.FirmwareStrings; s.Vendor == "" || s.Version == "" || s.ReleaseDate == "" {
			return o, flagError("firmware-string", errors.New("expected vendor, version and date, got not all of them"))
		}
	}
	for name, to := range map[string]*uint32{"cpuid-signature": &o.Processor.Signature, "cpuid-features": &o.Processor.Features} {
		if !c.IsSet(name) {
			continue
		}
		n, err := strconv.ParseUint(c.String(name), 0, 32)
		if err != nil {
			return o, flagError(name, fmt.Errorf("expected a number of 32 bits, got %q", c.String(name)))
		}
		*to = uint32(n)
	}
	if err := image.CheckCmdline(c.String("cmdline")); err != nil {
		return o, flagError("cmdline", err)
	}
	return o, nil
}

// subject is a file that the values are about.
type subject struct {
	name string
	data []byte
}

// keyed reads a flag of the form KEY=VALUE.
func keyed(c *cli.Context, flag string, to map[string]*string) error {
	for _, text := range c.StringSlice(flag) {
		key, value, ok := strings.Cut(text, "=")
		place, known := to[key]
		if !ok || !known {
			return flagError(flag, fmt.Errorf("expected one of %s, with = and a value, got %q", strings.Join(slices.Sorted(maps.Keys(to)), ", "), text))
		}
		*place = value
	}
	return nil
}

// files are what was read.
type files struct {
	subjects []subject
	cmdline  string
	// ovmfVariant is what the image's metadata says about the firmware.
	ovmfVariant string
}

// readInputs reads the files into the inputs, from a directory or one by one.
func readInputs(c *cli.Context, in *tdx.Inputs) (*files, error) {
	if c.IsSet("db-entry") {
		var err error
		if in.DBEntry, err = image.ReadFile(c.String("db-entry"), image.MaxMetadata); err != nil {
			return nil, err
		}
	}
	switch {
	case c.NArg() > 0:
		return readImage(c, in)
	case in.Disk != nil:
		return readDisk(c, in)
	default:
		return readFiles(c, in)
	}
}

// expectNone refuses flags that something else stands for.
func expectNone(c *cli.Context, beside string, names ...string) error {
	for _, name := range names {
		if c.IsSet(name) {
			return flagError(name, fmt.Errorf("expected nothing beside %s, which has it", beside))
		}
	}
	return nil
}

func readImage(c *cli.Context, in *tdx.Inputs) (*files, error) {
	dir := c.Args().First()
	if err := expectNone(c, "the directory "+dir, "firmware", "kernel", "initrd", "disk", "kernel-header-normalized"); err != nil {
		return nil, err
	}
	im, err := image.Read(dir)
	if err != nil {
		return nil, err
	}
	in.Firmware, in.Direct.Kernel, in.Direct.Initrd, in.Direct.HasInitrd, in.Direct.Cmdline = im.FirmwareData, im.KernelData, im.InitrdData, true, im.Cmdline
	in.Direct.Normalized = im.Normalized
	in.LayoutInDoubt = image.LayoutOf(im.OVMFVariant, im.Version)
	if c.IsSet("cmdline") {
		in.Direct.Cmdline = c.String("cmdline")
	}
	return &files{
		subjects: []subject{{im.Firmware, im.FirmwareData}, {im.Kernel, im.KernelData}, {im.Initrd, im.InitrdData}},
		cmdline:  in.Direct.Cmdline, ovmfVariant: im.OVMFVariant,
	}, nil
}

func readFiles(c *cli.Context, in *tdx.Inputs) (*files, error) {
	in.Direct.Cmdline, in.Direct.HasInitrd, in.Direct.Normalized = c.String("cmdline"), c.IsSet("initrd"), c.Bool("kernel-header-normalized")
	read := &files{cmdline: in.Direct.Cmdline}
	for _, file := range []struct {
		flag  string
		limit int64
		to    *[]byte
	}{{"firmware", image.MaxFirmware, &in.Firmware}, {"kernel", image.MaxKernel, &in.Direct.Kernel}, {"initrd", image.MaxInitrd, &in.Direct.Initrd}} {
		if !c.IsSet(file.flag) && file.flag == "initrd" {
			continue
		}
		if err := read.file(c, file.flag, file.limit, file.to); err != nil {
			return nil, err
		}
	}
	return read, nil
}

// readDisk reads firmware and disk. The statement is about the loader and the partition table, not about the rest of the disk.
func readDisk(c *cli.Context, in *tdx.Inputs) (*files, error) {
	if err := expectNone(c, "--disk", "kernel", "initrd", "cmdline", "kernel-header-normalized"); err != nil {
		return nil, err
	}
	read := &files{}
	if err := read.file(c, "firmware", image.MaxFirmware, &in.Firmware); err != nil {
		return nil, err
	}
	path := c.String("disk")
	f, size, err := image.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, err := esp.Read(f, size, image.MaxKernel)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	in.Disk.Table, in.Disk.Loader = d.Table, d.Loader
	name := filepath.Base(path)
	read.subjects = append(read.subjects, subject{name + ": partition table", d.Table}, subject{name + ": " + esp.LoaderPath, d.Loader})
	return read, nil
}

// file reads the file that a flag names.
func (f *files) file(c *cli.Context, flag string, limit int64, to *[]byte) error {
	path := c.String(flag)
	if path == "" {
		return flagError(flag, errors.New("expected a file, or an image directory instead of files, got none"))
	}
	var err error
	if *to, err = image.ReadFile(path, limit); err != nil {
		return err
	}
	f.subjects = append(f.subjects, subject{filepath.Base(path), *to})
	return nil
}

// prediction prints a report.
type prediction struct{ tdx.Report }

func (p prediction) Print(w io.Writer) error {
	var b bytes.Buffer
	for _, v := range []struct {
		name  eventlog.Register
		value eventlog.Digest
	}{{eventlog.MRTD, p.MRTD}, {eventlog.RTMR0, p.RTMR0}, {eventlog.RTMR1, p.RTMR1}, {eventlog.RTMR2, p.RTMR2}} {
		fmt.Fprintf(&b, "%-5s  %s\n", v.name, v.value)
	}
	for i, e := range p.Events {
		if i == 0 || e.Register != p.Events[i-1].Register {
			fmt.Fprintf(&b, "\n%s, event log of the firmware in layout %s\n", e.Register, p.Layout)
		}
		fmt.Fprintf(&b, "  %s, %s, from %s\n    digest %s\n    value  %s\n", e.Name, e.Type, e.Input, e.Digest, e.Value)
	}
	if len(p.Notes) > 0 && len(p.Events) > 0 {
		b.WriteByte('\n')
	}
	writeNotes(&b, p.Notes)
	_, err := w.Write(b.Bytes())
	return err
}

func writeNotes(w io.Writer, notes []string) {
	for _, note := range notes {
		fmt.Fprintf(w, "note: %s\n", note)
	}
}

// tables are the files that were written.
type tables struct {
	To    string  `json:"to"`
	Files []table `json:"files"`
}

type table struct {
	Name   string          `json:"name"`
	Size   int             `json:"size"`
	SHA384 eventlog.Digest `json:"sha384"`
}

func (t tables) Print(w io.Writer) error {
	var b bytes.Buffer
	for _, f := range t.Files {
		fmt.Fprintf(&b, "%s  %s\n", f.SHA384, filepath.Join(t.To, f.Name))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func measureACPI(c *cli.Context) error {
	if err := errors.Join(inner(c), cmdline.Args(c)); err != nil {
		return err
	}
	to := c.String("to")
	if to == "" {
		return flagError("to", errors.New("expected a folder to make, got none"))
	}
	m, err := shape(c)
	if err != nil {
		return err
	}
	built, err := acpi.Build(m.Machine)
	if err != nil {
		return measureFault(err)
	}
	result := tables{To: filepath.Clean(to)}
	contents := map[string][]byte{"tables.bin": built.Tables, "table-loader.bin": built.Loader, "rsdp.bin": built.RSDP}
	for _, name := range []string{"tables.bin", "table-loader.bin", "rsdp.bin"} {
		result.Files = append(result.Files, table{name, len(contents[name]), eventlog.Sum(contents[name])})
	}
	if err := writeFolder(result.To, contents); err != nil {
		return err
	}
	return cmdline.Print(c, result)
}

// writeFolder makes a folder with all the files, or none. A folder that is there has to be empty.
func writeFolder(to string, files map[string][]byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	folder, err := os.MkdirTemp(filepath.Dir(to), ".boardroom-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	return os.Rename(folder, to)
}
