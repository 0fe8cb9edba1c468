package modules

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// maxIndex bounds modules.dep and modules.builtin, in bytes; those of Debian's whole kernel have 0.6 MiB.
const maxIndex = 4 << 20

// Index says which files hold the modules of a kernel, and what depends on what. Names are those of the kernel, with underscores.
type Index struct {
	files   map[string]string   // by name
	needs   map[string][]string // names by name
	builtin map[string]bool
}

// Name is the name of the module that a file such as kernel/drivers/md/dm-verity.ko.xz holds.
func Name(file string) (string, error) {
	base, _, found := strings.Cut(path.Base(file), ".ko")
	if !found || base == "" {
		return "", fmt.Errorf("expected the file of a module, NAME.ko, got %.200q", file)
	}
	return strings.ReplaceAll(base, "-", "_"), nil
}

// ParseIndex reads modules.dep, and modules.builtin, which lists the modules that the kernel has inside. Paths are relative to the folder
// of the two, and do not leave it.
func ParseIndex(dep, builtin []byte) (*Index, error) {
	if len(dep) > maxIndex || len(builtin) > maxIndex {
		return nil, fmt.Errorf("modules.dep and modules.builtin: expected at most %d bytes each, got %d and %d", maxIndex, len(dep), len(builtin))
	}
	x := &Index{files: make(map[string]string), needs: make(map[string][]string), builtin: make(map[string]bool)}
	for number, line := range strings.Split(string(dep), "\n") {
		if line == "" {
			continue
		}
		if err := x.add(line); err != nil {
			return nil, fmt.Errorf("modules.dep: line %d: %w", number+1, err)
		}
	}
	for number, file := range strings.Split(string(builtin), "\n") {
		if file == "" {
			continue
		}
		name, err := Name(file)
		if err != nil {
			return nil, fmt.Errorf("modules.builtin: line %d: %w", number+1, err)
		}
		x.builtin[name] = true
	}
	return x, nil
}

func (x *Index) add(line string) error {
	file, rest, found := strings.Cut(line, ":")
	if !found {
		return errors.New(`expected "FILE: FILE…", got no colon`)
	}
	if !inside(file) {
		return fmt.Errorf("expected a path inside the folder, got %.200q", file)
	}
	name, err := Name(file)
	if err != nil {
		return err
	}
	if _, twice := x.files[name]; twice {
		return fmt.Errorf("module %s stands there twice", name)
	}
	x.files[name] = file
	for _, need := range strings.Fields(rest) {
		needed, err := Name(need)
		if err != nil {
			return err
		}
		x.needs[name] = append(x.needs[name], needed)
	}
	return nil
}

func inside(file string) bool {
	return file != "." && path.Clean("/"+file) == "/"+file
}

// Plan lists the files of the named modules and of everything that they need, each after what it needs. Modules inside the kernel are
// left out. The error names a module that the kernel does not have, or that needs itself.
func (x *Index) Plan(names ...string) ([]string, error) {
	p := planner{index: x, state: make(map[string]bool)}
	for _, name := range names {
		if err := p.visit(name); err != nil {
			return nil, err
		}
	}
	return p.files, nil
}

type planner struct {
	index *Index
	state map[string]bool // absent: not seen; false: being visited; true: done
	files []string
}

func (p *planner) visit(name string) error {
	switch done, seen := p.state[name]; {
	case done || p.index.builtin[name]:
		return nil
	case seen:
		return fmt.Errorf("module %s needs itself", name)
	}
	file, known := p.index.files[name]
	if !known {
		return fmt.Errorf("module %s: the kernel has none of that name", name)
	}
	p.state[name] = false
	for _, need := range p.index.needs[name] {
		if err := p.visit(need); err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
	}
	p.state[name] = true
	p.files = append(p.files, file)
	return nil
}
