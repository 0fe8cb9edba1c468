package guestimage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// DefinitionFile is the name of the definition in its folder, images/guest.
const DefinitionFile = "image.json"

// maxDefinition bounds a definition, and a file that it names, in bytes.
const maxDefinition = 1 << 20

// Placeholders in the command line of a definition.
const (
	rootHashPlace = "{rootfs_hash}"
	rootSizePlace = "{rootfs_size}"
)

// Definition declares a guest image. Every member is required unless it says otherwise.
type Definition struct {
	// Name is the image's; the development flavour has -dev behind it.
	Name string `json:"name"`
	// Version is MAJOR.MINOR.PATCH of dstack whose contract the image keeps: dstack-vmm decides by it what it hands over.
	Version string `json:"version"`
	// Cmdline is the kernel command line, with {rootfs_hash} and {rootfs_size} where the root hash and the offset of the tree go.
	Cmdline string `json:"cmdline"`
	// Program is the folder of the guest's Go main package, relative to the module's root.
	Program string `json:"program"`
	// Packages and Firmware are where the files come from.
	Packages Packages `json:"packages"`
	Firmware Firmware `json:"firmware"`
	// KernelConfig is what the kernel's own configuration has to say.
	KernelConfig []Requirement `json:"kernel_config"`
	// Executables are the programs of the packages that stay in the image, by path, each with what needs it. All others are left out.
	Executables map[string]string `json:"executables"`
	// Exclude are further paths of the packages that are left out, each with the reason; with a folder goes all that is in it.
	Exclude map[string]string `json:"exclude,omitempty"`
	// Links are symbolic links: target by path. They are what alternatives and maintainer scripts would have made. Optional.
	Links map[string]string `json:"links,omitempty"`
	// Folders are folders that no package has, by path with the mode in octal. Optional.
	Folders map[string]string `json:"folders,omitempty"`
	// Files are files that no package has.
	Files []File `json:"files"`
	// Ports are where the guest listens by its own configuration, whatever the application opens.
	Ports []Port `json:"ports"`

	dir   string
	modes map[string]uint32
	files map[string][]byte
}

// Packages names a set of packages and its lock, in the definition's folder.
type Packages struct {
	Set  string `json:"set"`
	Lock string `json:"lock"`
}

// Firmware names the packages of the firmware and the image in them.
type Firmware struct {
	Packages
	// File is the path of the whole image.
	File string `json:"file"`
	// Layout is that of its events. dstack's verifier takes those of A and B only, which it calls pre202505.
	Layout tdvf.Layout `json:"layout"`
}

// File is a file that is copied into the image, owned by root with mode 0644.
type File struct {
	// From is relative to the definition's folder and stays inside it.
	From string `json:"from"`
	// To is the path in the image.
	To string `json:"to"`
}

// Port is a port that the guest itself listens on.
type Port struct {
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	// Purpose says what answers there.
	Purpose string `json:"purpose"`
}

// DefinitionError names the file, and the member in it, that can not be built from.
type DefinitionError struct {
	File string
	Err  error
}

func (e *DefinitionError) Error() string { return e.File + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *DefinitionError) Unwrap() error { return e.Err }

var (
	namePattern    = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	versionPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,4})(\.(0|[1-9][0-9]{0,4})){2}$`)
	optionPattern  = regexp.MustCompile(`^CONFIG_[A-Z0-9_]+$`)
)

// Load reads and validates a definition, with the files that it names. One that is there and is not sound gives a *DefinitionError.
func Load(name string) (*Definition, error) {
	data, err := image.ReadFile(name, maxDefinition)
	if err != nil {
		return nil, err
	}
	d := &Definition{dir: filepath.Dir(name), modes: make(map[string]uint32), files: make(map[string][]byte)}
	if err := strictjson.Unmarshal(data, d); err != nil {
		return nil, &DefinitionError{name, err}
	}
	if err := d.validate(); err != nil {
		return nil, &DefinitionError{name, err}
	}
	if err := d.readFiles(); err != nil {
		return nil, &DefinitionError{name, err}
	}
	return d, nil
}

func (d *Definition) validate() error {
	if !namePattern.MatchString(d.Name) {
		return fmt.Errorf("name: expected lower-case words joined by -, got %q", d.Name)
	}
	if !versionPattern.MatchString(d.Version) {
		return fmt.Errorf("version: expected MAJOR.MINOR.PATCH, got %q", d.Version)
	}
	if err := image.CheckCmdline(d.Cmdline); err != nil {
		return fmt.Errorf("cmdline: %w", err)
	}
	for _, place := range []string{"dstack.rootfs_hash=" + rootHashPlace, "dstack.rootfs_size=" + rootSizePlace} {
		if words := strings.Fields(d.Cmdline); !slices.Contains(words, place) || strings.Count(d.Cmdline, "dstack.") != 2 {
			return fmt.Errorf("cmdline: expected %q once and no other parameter of dstack than it and its sibling", place)
		}
	}
	if !filepath.IsLocal(d.Program) || d.Program == "." {
		return fmt.Errorf("program: expected a folder of the module, got %q", d.Program)
	}
	for member, name := range map[string]string{
		"packages.set": d.Packages.Set, "packages.lock": d.Packages.Lock, "firmware.set": d.Firmware.Set, "firmware.lock": d.Firmware.Lock,
	} {
		if name == "" || name != filepath.Base(name) || !filepath.IsLocal(name) {
			return fmt.Errorf("%s: expected a file beside the definition, got %q", member, name)
		}
	}
	if err := checkPath(d.Firmware.File); err != nil {
		return fmt.Errorf("firmware.file: %w", err)
	}
	if d.Firmware.Layout != tdvf.LayoutA && d.Firmware.Layout != tdvf.LayoutB {
		return fmt.Errorf("firmware.layout: expected A or B, which dstack's verifier can compute, got %q", d.Firmware.Layout)
	}
	if err := checkRequirements(d.KernelConfig); err != nil {
		return err
	}
	return errors.Join(d.validateTree(), d.validatePorts())
}

func (d *Definition) validateTree() error {
	for member, reasons := range map[string]map[string]string{"executables": d.Executables, "exclude": d.Exclude} {
		for name, reason := range reasons {
			if err := checkPath(name); err != nil {
				return fmt.Errorf("%s: %w", member, err)
			}
			if reason == "" {
				return fmt.Errorf("%s: %s: expected a reason, got none", member, name)
			}
		}
	}
	for name, target := range d.Links {
		if err := checkPath(name); err != nil {
			return fmt.Errorf("links: %w", err)
		}
		if target == "" {
			return fmt.Errorf("links: %s: expected a target, got none", name)
		}
	}
	for name, mode := range d.Folders {
		if err := checkPath(name); err != nil {
			return fmt.Errorf("folders: %w", err)
		}
		var bits uint32
		if _, err := fmt.Sscanf(mode, "%o", &bits); err != nil || fmt.Sprintf("%04o", bits) != mode || bits > 0o1777 {
			return fmt.Errorf("folders: %s: expected a mode from 0000 to 1777 in four octal digits, got %q", name, mode)
		}
		d.modes[name] = bits
	}
	for i, f := range d.Files {
		if !filepath.IsLocal(f.From) {
			return fmt.Errorf("files[%d].from: expected a path inside the definition's folder, got %q", i, f.From)
		}
		if err := checkPath(f.To); err != nil {
			return fmt.Errorf("files[%d].to: %w", i, err)
		}
	}
	return nil
}

func (d *Definition) validatePorts() error {
	for i, p := range d.Ports {
		if p.Port < 1 || p.Port > 65535 || p.Protocol != "tcp" && p.Protocol != "udp" || p.Purpose == "" {
			return fmt.Errorf("ports[%d]: expected a port from 1 to 65535, tcp or udp, and a purpose, got %+v", i, p)
		}
	}
	return nil
}

// checkPath takes a path of the image: relative to its root and clean.
func checkPath(name string) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("expected a path from the root such as usr/bin/runc, got %q", name)
	}
	return nil
}

func (d *Definition) readFiles() error {
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for i, f := range d.Files {
		info, err := root.Lstat(f.From)
		if err != nil {
			return fmt.Errorf("files[%d].from: %w", i, err)
		}
		if !info.Mode().IsRegular() || info.Size() > maxDefinition {
			return fmt.Errorf("files[%d].from: %s: expected a file of at most %d bytes", i, f.From, maxDefinition)
		}
		if d.files[path.Clean(f.To)], err = root.ReadFile(f.From); err != nil {
			return fmt.Errorf("files[%d].from: %w", i, err)
		}
	}
	return nil
}

// Locks reads the locks that the definition names, and compares each with its set.
func (d *Definition) Locks() (packages, firmware *deb.Lock, err error) {
	if packages, err = d.lock(d.Packages); err != nil {
		return nil, nil, err
	}
	firmware, err = d.lock(d.Firmware.Packages)
	return packages, firmware, err
}

func (d *Definition) lock(p Packages) (*deb.Lock, error) {
	set, err := deb.ReadSet(filepath.Join(d.dir, p.Set))
	if err != nil {
		return nil, err
	}
	lock, err := deb.ReadLock(filepath.Join(d.dir, p.Lock))
	if err != nil {
		return nil, err
	}
	return lock, lock.CheckSet(set)
}

// Flavour is what an image is for.
type Flavour string

// The flavours. A development image runs where no TDX is, with quotes of the simulated TEE; a production image knows none of it.
const (
	Production  Flavour = "production"
	Development Flavour = "development"
)

// Tags are the build tags of the guest's program.
func (f Flavour) Tags() []string {
	if f == Development {
		return []string{"simtee"}
	}
	return nil
}

// ImageName is the name of the flavour's image without its version.
func (d *Definition) ImageName(f Flavour) string {
	if f == Development {
		return d.Name + "-dev"
	}
	return d.Name
}

// folder is an entry for a folder of the image.
func folder(name string, mode uint32) disk.Entry {
	return disk.Entry{Path: name, Mode: disk.Folder | mode}
}

// file is an entry for a file of the image.
func file(name string, mode uint32, data []byte) disk.Entry {
	return disk.Entry{Path: name, Mode: disk.File | mode, Size: int64(len(data)), Open: disk.Content(data)}
}
