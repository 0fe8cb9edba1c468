package depmod

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"

	"github.com/boardroom-tee/boardroom/tools/guest/modules"
)

// maxModule bounds a module after unpacking, in bytes. The largest of Debian's, of a graphics card, has 20 MiB.
const maxModule = 64 << 20

// Set is the modules of a guest, unpacked.
type Set struct {
	// Files are the modules, by path relative to the folder of the kernel's modules; each ends in ".ko".
	Files map[string][]byte
	// Dep is modules.dep, Builtin the kernel's own modules.builtin.
	Dep, Builtin []byte
}

// Select reads the named modules, and all that they need, from the folder of a kernel's modules, such as /usr/lib/modules/6.12.1.
func Select(folder fs.FS, names ...string) (*Set, error) {
	builtin, err := fs.ReadFile(folder, "modules.builtin")
	if err != nil {
		return nil, err
	}
	inside, err := modules.ParseIndex(nil, builtin)
	if err != nil {
		return nil, err
	}
	s := &selection{folder: folder, paths: make(map[string]string), files: make(map[string][]byte), needs: make(map[string][]string), inside: inside}
	if err := fs.WalkDir(folder, "kernel", s.see); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := s.take(name); err != nil {
			return nil, err
		}
	}
	set := &Set{Files: make(map[string][]byte), Builtin: builtin}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		file := unpacked(s.paths[name])
		set.Files[file] = s.files[name]
		set.Dep = fmt.Appendf(set.Dep, "%s:", file)
		for _, need := range s.needs[name] {
			set.Dep = fmt.Appendf(set.Dep, " %s", unpacked(s.paths[need]))
		}
		set.Dep = append(set.Dep, '\n')
	}
	return set, nil
}

// unpacked is the path of a module without the ending of its compression.
func unpacked(file string) string {
	before, _, _ := strings.Cut(file, ".ko")
	return before + ".ko"
}

type selection struct {
	folder fs.FS
	inside *modules.Index
	paths  map[string]string // by name
	files  map[string][]byte
	needs  map[string][]string
}

func (s *selection) see(file string, entry fs.DirEntry, err error) error {
	if err != nil || !entry.Type().IsRegular() || !strings.Contains(path.Base(file), ".ko") {
		return err
	}
	name, err := modules.Name(file)
	if err != nil {
		return err
	}
	if other, twice := s.paths[name]; twice {
		return fmt.Errorf("module %s: %s and %s both hold it", name, other, file)
	}
	s.paths[name] = file
	return nil
}

// take reads a module and what it needs.
func (s *selection) take(name string) error {
	if _, taken := s.files[name]; taken {
		return nil
	}
	file, known := s.paths[name]
	if !known {
		// Planning of a module inside the kernel leads to nothing; any other is an error that says so.
		_, err := s.inside.Plan(name)
		return err
	}
	data, err := s.read(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	needs, err := depends(data)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	s.files[name] = data
	for _, need := range needs {
		if err := s.take(need); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if s.paths[need] != "" {
			s.needs[name] = append(s.needs[name], need)
		}
	}
	return nil
}

func (s *selection) read(file string) ([]byte, error) {
	f, err := s.folder.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	switch path.Ext(file) {
	case ".ko":
	case ".xz":
		if r, err = xz.NewReader(f); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("expected a module that is not compressed or compressed with xz, got %q", path.Ext(file))
	}
	data, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err == nil && len(data) > maxModule {
		err = fmt.Errorf("expected at most %d bytes, got more", maxModule)
	}
	return data, err
}

// depends are the names in "depends=" of the section .modinfo, NUL-terminated texts (include/linux/module.h MODULE_INFO; scripts/mod/modpost.c
// add_depends). A softdep is not one: it names what some users want beside, which the lists of package modules say themselves.
func depends(module []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, errors.New("expected a section .modinfo, got none")
	}
	if section.Size > maxModule {
		return nil, fmt.Errorf("section .modinfo: expected at most %d bytes, got %d", maxModule, section.Size)
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for text := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(text, "depends="); ok {
			return strings.FieldsFunc(strings.ReplaceAll(list, "-", "_"), func(r rune) bool { return r == ',' }), nil
		}
	}
	return nil, errors.New("expected depends= in .modinfo, got none")
}
