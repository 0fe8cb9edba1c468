package archive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/seed"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// Schema is the version of the schema of index.json.
	Schema = "https://boardroom-tee.github.io/release-archive/v1"

	// MaxIndex bounds index.json, MaxFile one file and MaxTotal all of them, in bytes; MaxFiles their number.
	MaxIndex = 16 << 20
	MaxFile  = 1 << 30
	MaxTotal = 8 << 30
	MaxFiles = 1 << 16
	// MaxSignatures is how many signatures an archive can have.
	MaxSignatures = 16

	indexFile       = "index.json"
	signatureFolder = "signatures"
)

// What is in an archive: a file, and folders.
const (
	CommitFile      = "commit"
	ModulesFolder   = "modules"
	PackagesFolder  = "packages"
	SourceFolder    = "source"
	ToolchainFolder = "toolchain"
)

// Index is index.json.
type Index struct {
	Schema string `json:"schema"`
	// Name and Version are those of the release, and Release is the digest of its release.json.
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Release provenance.Digest `json:"release"`
	Source  release.Source    `json:"source"`
	// Toolchain is the pin of the toolchain in the source.
	Toolchain seed.Pin `json:"toolchain"`
	// Files are sorted by path.
	Files []File `json:"files"`
}

// Kind is what a file is.
type Kind string

// The kinds.
const (
	Regular    Kind = "file"
	Executable Kind = "executable"
	// Link is a symbolic link; its content is where it points. Only the source has some.
	Link Kind = "link"
)

// File is a file of the archive. Path is relative, with slashes.
type File struct {
	Path   string            `json:"path"`
	Kind   Kind              `json:"kind"`
	Size   int64             `json:"size"`
	Digest provenance.Digest `json:"digest"`
}

// RefusedError says that an archive is not what it has to be.
type RefusedError struct {
	// Where is a member of the archive, or of its index.
	Where  string
	Reason string
}

func (e *RefusedError) Error() string { return "archive: " + e.Where + ": " + e.Reason }

func refuse(where, format string, args ...any) error {
	return &RefusedError{where, fmt.Sprintf(format, args...)}
}

// ParseIndex reads index.json. It has exactly the bytes that Encode makes. The error is a *RefusedError.
func ParseIndex(data []byte) (*Index, error) {
	if len(data) > MaxIndex {
		return nil, refuse(indexFile, "expected at most %d bytes, got %d", MaxIndex, len(data))
	}
	var schema struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(data, &schema); err == nil && schema.Schema != Schema {
		return nil, refuse("schema", "expected %s, got %.80q", Schema, schema.Schema)
	}
	x := new(Index)
	if err := strictjson.Unmarshal(data, x); err != nil {
		return nil, &RefusedError{indexFile, err.Error()}
	}
	again, err := x.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, refuse(indexFile, "expected the canonical form, got another text")
	}
	return x, nil
}

// Encode returns index.json. The error is a *RefusedError.
func (x *Index) Encode() ([]byte, error) {
	if err := x.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(x); err != nil {
		return nil, &RefusedError{indexFile, err.Error()}
	}
	return b.Bytes(), nil
}

func (x *Index) check() error {
	if x.Schema != Schema {
		return refuse("schema", "expected %s, got %.80q", Schema, x.Schema)
	}
	for _, m := range []struct{ name, value string }{
		{"name", x.Name}, {"version", x.Version}, {"source.repository", x.Source.Repository}, {"source.revision", x.Source.Revision}, {"source.tree", x.Source.Tree},
		{"toolchain.version", x.Toolchain.Version}, {"toolchain.nar", x.Toolchain.NAR},
	} {
		if m.value == "" {
			return refuse(m.name, "expected a value, got none")
		}
	}
	if len(x.Files) == 0 || len(x.Files) > MaxFiles {
		return refuse("files", "expected 1 to %d, got %d", MaxFiles, len(x.Files))
	}
	folders, all := make(map[string]bool), make(map[string]bool, len(x.Files))
	total := int64(0)
	for i, f := range x.Files {
		at := fmt.Sprintf("files[%d]", i)
		if err := f.check(); err != nil {
			return refuse(at, "%v", err)
		}
		if i > 0 && f.Path <= x.Files[i-1].Path {
			return refuse(at, "path: expected one after %q, got %q", x.Files[i-1].Path, f.Path)
		}
		if total += f.Size; total > MaxTotal {
			return refuse(at, "expected at most %d bytes in all files, got more", int64(MaxTotal))
		}
		all[f.Path] = true
		for dir := path.Dir(f.Path); dir != "." && !folders[dir]; dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	for dir := range folders {
		if all[dir] {
			return refuse("files", "expected %q to be a file or a folder, got both", dir)
		}
	}
	if !all[CommitFile] {
		return refuse("files", "expected the file %s, got none", CommitFile)
	}
	return nil
}

func (f File) check() error {
	top, rest, below := strings.Cut(f.Path, "/")
	switch {
	case !fs.ValidPath(f.Path) || len(f.Path) > 1024 || strings.ContainsAny(f.Path, "\\\x00"):
		return fmt.Errorf("path: expected a clean relative path, got %.200q", f.Path)
	case f.Path != CommitFile && (!below || top != ModulesFolder && top != PackagesFolder && top != SourceFolder && top != ToolchainFolder):
		return fmt.Errorf("path: expected %s, or a file in %s, %s, %s or %s, got %.200q", CommitFile, ModulesFolder, PackagesFolder, SourceFolder, ToolchainFolder, f.Path)
	case f.Kind != Regular && f.Kind != Executable && f.Kind != Link:
		return fmt.Errorf("kind: expected %s, %s or %s, got %.80q", Regular, Executable, Link, f.Kind)
	case f.Kind == Link && (top != SourceFolder || f.Size > 4096):
		return fmt.Errorf("kind: expected links in %s only, and of at most 4096 bytes, got %.200q", SourceFolder, f.Path)
	case f.Size < 0 || f.Size > MaxFile:
		return fmt.Errorf("size: expected 0 to %d bytes, got %d", int64(MaxFile), f.Size)
	case top == PackagesFolder && PackagesFolder+"/"+strings.TrimPrefix(f.Digest.String(), "sha256:") != f.Path:
		return fmt.Errorf("path: expected a package under the name of its digest, got %.200q", f.Path)
	}
	for element := range strings.SplitSeq(rest, "/") {
		// What Git itself would take for a repository (verify_dotfile in read-cache.c).
		if top == SourceFolder && strings.EqualFold(element, ".git") || len(element) > 255 {
			return fmt.Errorf("path: expected names other than .git and of at most 255 bytes, got %.300q", f.Path)
		}
	}
	return nil
}
