package guestimage

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/disk"
)

// ContentsFile is the list of what is in a root file system that an attacker would look for. It stands beside the image; metadata.json,
// and so the image's digest, has its SHA-256.
const ContentsFile = "guest-contents.json"

// Contents is that list. It is generated from the tree that the root file system was written from.
type Contents struct {
	Image   string  `json:"image"`
	Version string  `json:"version"`
	Flavour Flavour `json:"flavour"`
	// RootHash is the root of the hash tree over the file system that the list is about.
	RootHash string `json:"root_hash"`
	Kernel   string `json:"kernel"`
	// Packages are those that files come from, with their versions.
	Packages []Package `json:"packages"`
	// Setuid are files with a setuid or setgid bit.
	Setuid []string `json:"setuid"`
	// Executables are files that the kernel would start: programs and scripts, whatever their mode. Libraries are not among them.
	Executables []Executable `json:"executables"`
	// Units are files by which an init system or a scheduler would start something.
	Units []string `json:"units"`
	// Modules are the kernel modules that can be loaded.
	Modules []string `json:"modules"`
	// Ports are where the guest listens by its own configuration.
	Ports []Port `json:"ports"`
}

// Package is a package that files come from.
type Package struct {
	Name    string      `json:"name"`
	Version deb.Version `json:"version"`
}

// Executable is a file that the kernel would start.
type Executable struct {
	Path   string     `json:"path"`
	SHA256 deb.Digest `json:"sha256,omitzero"`
	// Target is where a link in a folder of programs points; empty for files.
	Target string `json:"link_to,omitempty"`
	// Interpreter is what runs a script; empty for a program.
	Interpreter string `json:"interpreter,omitempty"`
	// Purpose is what the definition says about it.
	Purpose string `json:"purpose"`
}

const (
	setuid uint32 = 0o4000
	setgid uint32 = 0o2000
	// executable are the bits by one of which a file can be started by somebody.
	executable uint32 = 0o111
)

// unitFolders are where init systems and schedulers look: systemd, System V, inittab, cron and at.
var unitFolders = []string{
	"etc/systemd", "usr/lib/systemd", "usr/local/lib/systemd", "etc/init.d", "etc/rc.local", "etc/inittab", "etc/init", "etc/crontab", "etc/cron.d",
	"etc/cron.hourly", "etc/cron.daily", "etc/cron.weekly", "etc/cron.monthly", "var/spool/cron", "var/spool/at",
}

// forbidden are programs that no production image has, by base name; numbers of versions behind a name are passed over.
var forbidden = map[string]string{
	"sh": "a shell", "ash": "a shell", "bash": "a shell", "dash": "a shell", "zsh": "a shell", "ksh": "a shell", "mksh": "a shell", "csh": "a shell",
	"tcsh": "a shell", "fish": "a shell", "rbash": "a shell", "busybox": "a shell", "toybox": "a shell",
	"perl": "an interpreter", "python": "an interpreter", "ruby": "an interpreter", "lua": "an interpreter", "tclsh": "an interpreter",
	"awk": "an interpreter", "gawk": "an interpreter", "mawk": "an interpreter", "node": "an interpreter", "php": "an interpreter",
	"sshd": "a remote login", "dropbear": "a remote login", "telnetd": "a remote login", "in.telnetd": "a remote login", "rshd": "a remote login",
	"getty": "a console login", "agetty": "a console login", "mgetty": "a console login", "login": "a console login", "sulogin": "a console login",
	"su": "a change of user", "sudo": "a change of user", "doas": "a change of user", "pkexec": "a change of user",
	"gdb": "a debugger", "gdbserver": "a debugger", "strace": "a debugger", "ltrace": "a debugger", "perf": "a debugger", "bpftrace": "a debugger",
	"bpftool": "a debugger", "lldb": "a debugger", "crash": "a debugger", "debugfs": "a debugger", "dlv": "a debugger", "kexec": "a way around the boot",
	"nc": "a network tool", "ncat": "a network tool", "netcat": "a network tool", "socat": "a network tool", "tcpdump": "a network tool",
	"nsenter": "a way into containers", "ctr": "a way into containers", "crictl": "a way into containers", "nerdctl": "a way into containers",
	"systemd": "another init", "apt": "a package tool", "apt-get": "a package tool", "dpkg": "a package tool",
}

// listContents reads every file of the tree.
func listContents(tree *disk.Tree, purposes map[string]string) (*Contents, error) {
	c := &Contents{Packages: []Package{}, Setuid: []string{}, Executables: []Executable{}, Units: []string{}, Modules: []string{}, Ports: []Port{}}
	for _, e := range tree.Entries() {
		if slices.ContainsFunc(unitFolders, func(f string) bool { return within(e.Path, f) }) && e.Type() != disk.Folder {
			c.Units = append(c.Units, e.Path)
		}
		if e.Type() == disk.Symlink && slices.ContainsFunc(programFolders, func(f string) bool { return within(e.Path, f) }) {
			c.Executables = append(c.Executables, Executable{Path: e.Path, Target: e.Target, Purpose: purposes[e.Path]})
		}
		if e.Type() != disk.File {
			continue
		}
		if e.Mode&(setuid|setgid) != 0 {
			c.Setuid = append(c.Setuid, e.Path)
		}
		if within(e.Path, modulesPath) {
			if path.Ext(e.Path) == ".ko" {
				c.Modules = append(c.Modules, strings.TrimPrefix(e.Path, modulesPath+"/"))
			}
			continue
		}
		found, err := examine(&e)
		if err != nil {
			return nil, err
		}
		if found != nil {
			found.Purpose = purposes[e.Path]
			c.Executables = append(c.Executables, *found)
		}
	}
	return c, nil
}

// examine tells whether a file is a program or a script, by its content; a file that is neither and may be started all the same is
// listed too, because a container engine or a shell of the application may know what to do with it.
func examine(e *disk.Entry) (*Executable, error) {
	data, err := readEntry(e)
	if err != nil {
		return nil, err
	}
	x := &Executable{Path: e.Path, SHA256: sha256.Sum256(data)}
	switch {
	case bytes.HasPrefix(data, []byte("#!")):
		line, _, _ := bytes.Cut(data[2:], []byte("\n"))
		x.Interpreter = strings.TrimSpace(string(line[:min(len(line), 256)]))
		return x, nil
	case bytes.HasPrefix(data, []byte(elf.ELFMAG)):
		program, err := startable(data)
		if err != nil {
			return nil, refuse("root file system", "%s: %w", e.Path, err)
		}
		if program {
			return x, nil
		}
		return nil, nil
	case e.Mode&executable != 0:
		return x, nil
	default:
		return nil, nil
	}
}

// startable tells programs from libraries: a program has a fixed address, or names a dynamic linker, or is linked as a program in any place
// (DF_1_PIE; System V ABI and glibc's elf.h). A linker itself is none of these and can start programs; it is found by its name.
func startable(data []byte) (bool, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return false, err
	}
	if f.Type == elf.ET_EXEC {
		return true, nil
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return f.Type == elf.ET_DYN && !isLibrary(f), nil
		}
	}
	flags, err := f.DynValue(elf.DT_FLAGS_1)
	if err == nil && len(flags) > 0 && elf.DynFlag1(flags[0])&elf.DF_1_PIE != 0 {
		return true, nil
	}
	return soname(f) == "ld-linux-x86-64.so.2", nil
}

// isLibrary: some libraries, glibc's among them, name a dynamic linker so that they can print their version; only a library has a SONAME.
func isLibrary(f *elf.File) bool { return soname(f) != "" }

func soname(f *elf.File) string {
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil || len(names) == 0 {
		return ""
	}
	return names[0]
}

// check refuses what no production image has. Every executable has to be one that the definition gives a reason for.
func (c *Contents) check() error {
	var bad []string
	for _, name := range c.Setuid {
		bad = append(bad, name+" has a setuid or setgid bit")
	}
	for _, name := range c.Units {
		bad = append(bad, name+" would be started by another init")
	}
	for _, x := range c.Executables {
		base := path.Base(x.Path)
		kind, found := forbidden[base]
		if !found {
			kind, found = forbidden[strings.TrimRight(base, "0123456789.-")]
		}
		switch {
		case found:
			bad = append(bad, fmt.Sprintf("%s is %s", x.Path, kind))
		case x.Interpreter != "":
			bad = append(bad, fmt.Sprintf("%s is a script for %s", x.Path, x.Interpreter))
		case x.Purpose == "":
			bad = append(bad, x.Path+" is a program that the definition gives no reason for")
		}
	}
	if bad != nil {
		return refuse("root file system", "not fit for production: %s", strings.Join(bad, "; "))
	}
	return nil
}

// bytes is the list as a document.
func (c *Contents) bytes() ([]byte, error) {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}
