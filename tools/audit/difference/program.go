package difference

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"debug/gosym"
	"debug/pe"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
)

// maxFunctions is how many functions are named for one program.
const maxFunctions = 10

// program compares two ELF programs: what the Go linker says about them, their sections, and the functions in .text.
func (f finder) program(expected, got []byte) {
	e, err := elf.NewFile(bytes.NewReader(expected))
	if err != nil {
		return
	}
	g, err := elf.NewFile(bytes.NewReader(got))
	if err != nil {
		return
	}
	f.buildInfo(expected, got)
	sections := make(map[string]section)
	var order []string
	for _, s := range e.Sections {
		if _, twice := sections[s.Name]; !twice {
			order = append(order, s.Name)
		}
		sections[s.Name] = section{expected: s}
	}
	for _, s := range g.Sections {
		pair, known := sections[s.Name]
		if !known {
			order = append(order, s.Name)
		}
		pair.got = s
		sections[s.Name] = pair
	}
	for _, name := range order {
		f.section(name, sections[name])
	}
	if e.FileHeader != g.FileHeader {
		f.in("ELF header").add(NoOffset, fmt.Sprintf("%+v", e.FileHeader), fmt.Sprintf("%+v", g.FileHeader))
	}
	f.functions(e, g)
}

type section struct{ expected, got *elf.Section }

func (f finder) section(name string, s section) {
	in := f.in("section " + name)
	switch {
	case s.got == nil:
		in.add(NoOffset, fmt.Sprintf("%d bytes", s.expected.FileSize), "none")
		return
	case s.expected == nil:
		in.add(NoOffset, "none", fmt.Sprintf("%d bytes", s.got.FileSize))
		return
	}
	e, err := sectionData(s.expected)
	if err != nil {
		return
	}
	g, err := sectionData(s.got)
	if err != nil {
		return
	}
	in.at(int64(s.expected.Offset)).bytes(e, g)
	// A section that only moved says nothing: it follows from the size of one before it.
	if s.expected.Type != s.got.Type || s.expected.Flags != s.got.Flags {
		in.in("flags").add(NoOffset, fmt.Sprintf("%s %s", s.expected.Type, s.expected.Flags), fmt.Sprintf("%s %s", s.got.Type, s.got.Flags))
	}
}

// at is a finder that says where in the file the place begins.
func (f finder) at(offset int64) finder {
	return f.in(fmt.Sprintf("which begins at 0x%x of the file", offset))
}

func sectionData(s *elf.Section) ([]byte, error) {
	if s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NULL {
		return nil, nil
	}
	return readAll(s.Open())
}

// buildInfo compares what the Go linker says: version, settings, modules.
func (f finder) buildInfo(expected, got []byte) {
	e, err := buildinfo.Read(bytes.NewReader(expected))
	if err != nil {
		return
	}
	g, err := buildinfo.Read(bytes.NewReader(got))
	if err != nil {
		return
	}
	in := f.in("Go build information")
	in.text("toolchain", e.GoVersion, g.GoVersion)
	in.text("main package", e.Path, g.Path)
	for _, list := range []struct {
		what        string
		values, got map[string]string
	}{{"setting", settings(e), settings(g)}, {"module", modules(e), modules(g)}} {
		all := maps.Clone(list.values)
		maps.Copy(all, list.got)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			in.text(list.what+" "+key, list.values[key], list.got[key])
		}
	}
}

func settings(info *debug.BuildInfo) map[string]string {
	all := make(map[string]string)
	for _, s := range info.Settings {
		all[s.Key] = s.Value
	}
	return all
}

func modules(info *debug.BuildInfo) map[string]string {
	all := make(map[string]string)
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		path := m.Path
		for m.Replace != nil {
			m = m.Replace
		}
		text := strings.TrimSpace(m.Version + " " + m.Sum)
		if m.Path != path {
			text = m.Path + " " + text
		}
		all[path] = text
	}
	return all
}

// functions names functions that only one program has, or that have another size. Where there are none, those whose code differs: a change
// of size moves everything behind it, so that nearly all code differs.
func (f finder) functions(expected, got *elf.File) {
	e, err := code(expected)
	if err != nil {
		return
	}
	g, err := code(got)
	if err != nil {
		return
	}
	all := maps.Clone(e)
	maps.Copy(all, g)
	names := slices.Sorted(maps.Keys(all))
	told := 0
	tell := func(name, expected, got string) {
		if told++; told <= maxFunctions {
			f.in("function "+name).add(NoOffset, expected, got)
		}
	}
	for _, name := range names {
		if a, b := e[name], g[name]; len(a) != len(b) {
			tell(name, size(a), size(b))
		}
	}
	if told == 0 {
		for _, name := range names {
			if a, b := e[name], g[name]; !bytes.Equal(a, b) {
				tell(name, "its code", "other code of the same size")
			}
		}
	}
	if told > maxFunctions {
		f.in("functions").add(NoOffset, "those above only", fmt.Sprintf("%d more that differ", told-maxFunctions))
	}
}

func size(code []byte) string {
	if code == nil {
		return "none"
	}
	return fmt.Sprintf("%d bytes", len(code))
}

// code is the machine code of a Go program by function, from the table that the runtime itself reads and that stripping leaves.
func code(file *elf.File) (functions map[string][]byte, err error) {
	// Package gosym is written for tables of a linker, not for those of strangers.
	defer func() {
		if r := recover(); r != nil {
			functions, err = nil, fmt.Errorf("table of functions: %v", r)
		}
	}()
	text, lines := file.Section(".text"), file.Section(".gopclntab")
	if text == nil || lines == nil {
		return nil, errors.New("no table of functions")
	}
	code, err := sectionData(text)
	if err != nil {
		return nil, err
	}
	table, err := sectionData(lines)
	if err != nil {
		return nil, err
	}
	symbols, err := gosym.NewTable(nil, gosym.NewLineTable(table, text.Addr))
	if err != nil {
		return nil, err
	}
	functions = make(map[string][]byte, len(symbols.Funcs))
	for _, s := range symbols.Funcs {
		if s.Entry < text.Addr || s.End < s.Entry || s.End-text.Addr > uint64(len(code)) {
			continue
		}
		functions[s.Name] = code[s.Entry-text.Addr : s.End-text.Addr]
	}
	return functions, nil
}

// pe compares two PE programs section by section: a kernel, or a firmware's.
func (f finder) pe(expected, got []byte) {
	e, err := peSections(expected)
	if err != nil {
		return
	}
	g, err := peSections(got)
	if err != nil {
		return
	}
	all := maps.Clone(e)
	maps.Copy(all, g)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f.in("section "+name).bytes(e[name], g[name])
	}
}

func peSections(data []byte) (map[string][]byte, error) {
	file, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	sections := make(map[string][]byte)
	for _, s := range file.Sections {
		if sections[s.Name], err = readAll(s.Open()); err != nil {
			return nil, err
		}
	}
	return sections, nil
}
