package agentimage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// DefinitionFile is the name of a definition in its folder.
const DefinitionFile = "image.json"

// maxDefinition bounds a definition file, in bytes.
const maxDefinition = 1 << 20

// Definition declares one agent image. Every member is required unless it says otherwise.
type Definition struct {
	// Name is what the image is asked for by, such as "finance-agent".
	Name string `json:"name"`
	// Repository is the image's name in a registry, such as "finance-boardroom-tee".
	Repository string `json:"repository"`
	// Title and Description are for people, as in the annotations of the same names.
	Title       string `json:"title"`
	Description string `json:"description"`
	// Version is the image's own version.
	Version string `json:"version"`
	// Licenses is an SPDX expression for what is in the image; Source says where its source is published.
	Licenses string `json:"licenses"`
	Source   string `json:"source"`
	// Program is the folder of the Go main package, relative to the module's root.
	Program string `json:"program"`
	// Type is the agent's type; "hub" makes it the hub.
	Type string `json:"type"`
	// Model is the name of the model that the agent asks for.
	Model string `json:"model"`
	// MemoryLimitMB is the limit of the agent's own process in MiB, the model server not counted.
	MemoryLimitMB int   `json:"memory_limit_mb"`
	Ports         Ports `json:"ports"`
	User          User  `json:"user"`
	// Volumes are the folders that the deployment mounts over; they belong to User.
	Volumes []string `json:"volumes"`
	// Environment holds further defaults, by name. Optional.
	Environment map[string]string `json:"environment,omitempty"`
	// Files are further files of the image. Optional.
	Files []File `json:"files,omitempty"`

	// dir is the folder of the definition, which Files are relative to.
	dir string
}

// Ports are TCP ports that the agent listens on.
type Ports struct {
	API         int `json:"api"`
	Attestation int `json:"attestation"`
}

// User is who the program runs as.
type User struct {
	Name string `json:"name"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
}

// File is a file that is copied into the image, owned by root.
type File struct {
	// From is relative to the definition's folder and stays inside it.
	From string `json:"from"`
	// To is the absolute path in the image.
	To string `json:"to"`
	// Executable gives mode 0755 in place of 0644. Optional.
	Executable bool `json:"executable,omitempty"`
	// SHA256 pins the content, in hex. Optional.
	SHA256 string `json:"sha256,omitempty"`
}

// DefinitionError names the file, and the member in it, that can not be built from.
type DefinitionError struct {
	File string
	Err  error
}

func (e *DefinitionError) Error() string { return fmt.Sprintf("definition %s: %v", e.File, e.Err) }
func (e *DefinitionError) Unwrap() error { return e.Err }

// Load reads and validates a definition. A file that is there and is no sound definition gives a [*DefinitionError].
func Load(file string) (*Definition, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	if info.Size() > maxDefinition {
		return nil, &DefinitionError{File: file, Err: fmt.Errorf("expected at most %d bytes, got %d", maxDefinition, info.Size())}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	d := &Definition{dir: filepath.Dir(file)}
	if err := strictjson.Unmarshal(data, d); err != nil {
		return nil, &DefinitionError{File: file, Err: err}
	}
	if err := d.validate(); err != nil {
		return nil, &DefinitionError{File: file, Err: err}
	}
	return d, nil
}

// LoadAll reads the definitions dir/*/image.json, in the order of the folders' names. Two definitions with one name,
// repository or port are refused: agents of one boardroom stand side by side.
func LoadAll(dir string) ([]*Definition, error) {
	folders, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	var all []*Definition
	taken := make(map[string]string)
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		file := filepath.Join(dir, folder.Name(), DefinitionFile)
		d, err := Load(file)
		if err != nil {
			return nil, err
		}
		for _, claim := range []string{
			fmt.Sprintf("name %q", d.Name),
			fmt.Sprintf("repository %q", d.Repository),
			fmt.Sprintf("port %d", d.Ports.API),
			fmt.Sprintf("port %d", d.Ports.Attestation),
		} {
			if other, ok := taken[claim]; ok {
				return nil, &DefinitionError{File: file, Err: fmt.Errorf("%s is already taken by %s", claim, other)}
			}
			taken[claim] = file
		}
		all = append(all, d)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("definitions: %s holds none: %w", dir, os.ErrNotExist)
	}
	return all, nil
}

// ErrUnknownImage is returned for a name that no definition has.
var ErrUnknownImage = errors.New("no such image")

// Named picks the definition with a name, or with a folder of that name.
func Named(all []*Definition, name string) (*Definition, error) {
	names := make([]string, 0, len(all))
	for _, d := range all {
		if d.Name == name || filepath.Base(d.dir) == name {
			return d, nil
		}
		names = append(names, d.Name)
	}
	return nil, fmt.Errorf("%w: %q: expected one of %v", ErrUnknownImage, name, names)
}
