package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx"
	"github.com/boardroom-tee/boardroom/tools/tdx/acpi"
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
)

func measureCommand() *cli.Command {
	return &cli.Command{
		Name:      "measure",
		Usage:     "predict what TDX hardware will report about a guest",
		ArgsUsage: "DIR",
		Description: "Computes MRTD and RTMR0 to RTMR2 of a guest image for a machine shape, before anything runs. DIR is a dstack guest image;\n" +
			"without it, firmware, kernel and initrd are named one by one. The default shape is that of dstack-vmm with QEMU 9.2.1.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "firmware", Usage: "without DIR: the firmware, a `FILE`"},
			&cli.StringFlag{Name: "kernel", Usage: "without DIR: the kernel or UKI, a `FILE`"},
			&cli.StringFlag{Name: "initrd", Usage: "without DIR: the initrd, a `FILE`"},
			&cli.StringFlag{Name: "cmdline", Usage: "the kernel command line, a `TEXT` (default: the image's, or nothing)"},
			&cli.StringFlag{Name: "layout", Usage: "the `LAYOUT` of the firmware's events, A, B, C or D (default: read from the firmware)"},
			&cli.StringFlag{Name: "kernel-events", Usage: "what the kernel's EFI stub measures, `WHAT` nothing, load-options or all (default: by its version)"},
			&cli.StringFlag{Name: "db-entry", Usage: "for firmware with keys enrolled: the entry of db that verifies the kernel, a `FILE` with its EFI_SIGNATURE_DATA"},
			&cli.BoolFlag{Name: "no-firmware-setup", Usage: "the guest runs with opt/org.tianocore/FirmwareSetupSupport=no"},
			&cli.StringSliceFlag{Name: "smbios", Usage: "a string of -smbios type=1, `KEY=VALUE` with manufacturer, product, version, serial, sku or family; may be repeated"},
			&cli.StringFlag{Name: "cpuid-signature", Usage: "the processor's signature, EAX of CPUID leaf 1, a `NUMBER`"},
			&cli.StringFlag{Name: "cpuid-features", Usage: "the processor's features, EDX of CPUID leaf 1, a `NUMBER`"},
			&cli.BoolFlag{Name: "explain", Usage: "list every event, in order"},
			&cli.StringFlag{Name: "format", Value: formatValues, Usage: "print `WHAT`: values; reference-values, an in-toto statement; rvps, a sample payload for Trustee's RVPS; the latter two are JSON"},
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

// readFault gives a fault of reading its exit code: a file that cannot be what it is said to be is a mistake in the call.
func readFault(err error) error {
	var size *image.SizeError
	if errors.As(err, &size) {
		return cmdline.Usage(err)
	}
	return err
}

// measureFault gives an error its exit code: malformed inputs are mistakes in the call, and what is not modelled can not be told.
func measureFault(err error) error {
	var (
		shape    *machine.FieldError
		metadata *image.FieldError
	)
	switch {
	case errors.As(err, &shape), errors.As(err, &metadata), errors.Is(err, tdvf.ErrImage), errors.Is(err, tdvf.ErrSplitImage),
		errors.Is(err, tdvf.ErrVariables), errors.Is(err, tdvf.ErrMemory), errors.Is(err, pe.ErrFormat), errors.Is(err, tdx.ErrInput):
		return cmdline.Usage(err)
	default:
		return readFault(err)
	}
}

func measure(c *cli.Context) error {
	names := []string{"DIR"}
	if c.NArg() == 0 && (c.IsSet("firmware") || c.IsSet("kernel")) {
		names = nil
	}
	if err := cmdline.Args(c, names...); err != nil {
		return err
	}
	format := c.String("format")
	if format != formatValues && format != formatReference && format != formatRVPS {
		return flagError("format", fmt.Errorf("expected %s, %s or %s, got %q", formatValues, formatReference, formatRVPS, format))
	}
	m, err := shape(c)
	if err != nil {
		return err
	}
	in := tdx.Inputs{Direct: &tdx.DirectBoot{Stub: tdx.StubEvents(c.String("kernel-events"))}}
	options, err := bootFlags(c, &in)
	if err != nil {
		return err
	}
	subjects, err := readImage(c, &in)
	if err != nil {
		return measureFault(err)
	}
	if err := in.SetMachine(m, options); err != nil {
		return measureFault(err)
	}
	p, err := tdx.Predict(in)
	if err != nil {
		return measureFault(err)
	}
	p.Notes = append(p.Notes, m.Notes()...)
	if p.Profile.SMBIOS && !(c.IsSet("cpuid-signature") && c.IsSet("cpuid-features")) {
		p.Notes = append(p.Notes, "this firmware measures SMBIOS, where QEMU writes the processor's signature and features; they were taken for 0, see --cpuid-signature and --cpuid-features")
	}
	switch format {
	case formatReference:
		return printJSON(c, newStatement(subjects, &m, in.Direct.Cmdline, p))
	case formatRVPS:
		return printJSON(c, newRVPS(p))
	default:
		return cmdline.Print(c, prediction{p.Report(c.Bool("explain"))})
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
	switch in.Direct.Stub {
	case tdx.StubAuto, tdx.StubNothing, tdx.StubLoadOptions, tdx.StubAll:
	default:
		return o, flagError("kernel-events", fmt.Errorf("expected nothing, load-options or all, got %q", in.Direct.Stub))
	}
	in.NoFirmwareSetup = c.Bool("no-firmware-setup")
	texts := map[string]*string{
		"manufacturer": &o.System.Manufacturer, "product": &o.System.Product, "version": &o.System.Version, "serial": &o.System.Serial,
		"sku": &o.System.SKU, "family": &o.System.Family,
	}
	for _, text := range c.StringSlice("smbios") {
		key, value, ok := strings.Cut(text, "=")
		to, known := texts[key]
		if !ok || !known {
			return o, flagError("smbios", fmt.Errorf("expected manufacturer, product, version, serial, sku or family, with = and a value, got %q", text))
		}
		*to = value
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

// readImage reads the files into the inputs, from a directory or one by one.
func readImage(c *cli.Context, in *tdx.Inputs) ([]subject, error) {
	if c.IsSet("db-entry") {
		var err error
		if in.DBEntry, err = image.ReadFile(c.String("db-entry"), image.MaxMetadata); err != nil {
			return nil, err
		}
	}
	if c.NArg() == 0 {
		return readFiles(c, in)
	}
	for _, name := range []string{"firmware", "kernel", "initrd"} {
		if c.IsSet(name) {
			return nil, flagError(name, fmt.Errorf("expected nothing beside the directory %s, which has it", c.Args().First()))
		}
	}
	im, err := image.Read(c.Args().First())
	if err != nil {
		return nil, err
	}
	in.Firmware, in.Direct.Kernel, in.Direct.Initrd, in.Direct.HasInitrd, in.Direct.Cmdline = im.FirmwareData, im.KernelData, im.InitrdData, true, im.Cmdline
	if c.IsSet("cmdline") {
		in.Direct.Cmdline = c.String("cmdline")
	}
	return []subject{{im.Firmware, im.FirmwareData}, {im.Kernel, im.KernelData}, {im.Initrd, im.InitrdData}}, nil
}

func readFiles(c *cli.Context, in *tdx.Inputs) ([]subject, error) {
	in.Direct.Cmdline, in.Direct.HasInitrd = c.String("cmdline"), c.IsSet("initrd")
	var subjects []subject
	for _, file := range []struct {
		flag  string
		limit int64
		to    *[]byte
	}{{"firmware", image.MaxFirmware, &in.Firmware}, {"kernel", image.MaxKernel, &in.Direct.Kernel}, {"initrd", image.MaxInitrd, &in.Direct.Initrd}} {
		path := c.String(file.flag)
		if !c.IsSet(file.flag) && file.flag == "initrd" {
			continue
		}
		if path == "" {
			return nil, flagError(file.flag, errors.New("expected a file, or an image directory instead of files, got none"))
		}
		var err error
		if *file.to, err = image.ReadFile(path, file.limit); err != nil {
			return nil, err
		}
		subjects = append(subjects, subject{filepath.Base(path), *file.to})
	}
	return subjects, nil
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
	for i, note := range p.Notes {
		if i == 0 && len(p.Events) > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	_, err := w.Write(b.Bytes())
	return err
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
	built, err := acpi.Build(m)
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
