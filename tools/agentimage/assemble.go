package agentimage

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/boardroom-tee/boardroom/tools/oci"
)

const (
	// caBundlePath is where crypto/x509 looks first on Debian and its kin (src/crypto/x509/root_linux.go, certFiles).
	caBundlePath = "/etc/ssl/certs/ca-certificates.crt"
	programDir   = "/usr/bin"
	workingDir   = "/app"
)

// Inputs are what an image is assembled from besides its definition.
type Inputs struct {
	// Program is the agent's static binary.
	Program []byte
	// CABundle is PEM.
	CABundle []byte
	// Epoch is the time of every file and of the image; see SOURCE_DATE_EPOCH.
	Epoch time.Time
}

// Assemble makes the image of a definition for linux/amd64.
func Assemble(d *Definition, in Inputs) (v1.Image, error) {
	epoch := in.Epoch.UTC()
	baseFiles, err := d.baseFiles(in.CABundle)
	if err != nil {
		return nil, fmt.Errorf("assemble %s: %w", d.Name, err)
	}
	base, err := oci.Layer(baseFiles, epoch)
	if err != nil {
		return nil, fmt.Errorf("assemble %s: base: %w", d.Name, err)
	}
	program, err := oci.Layer([]oci.File{{Path: d.programPath(), Mode: 0o755, Content: in.Program}}, epoch)
	if err != nil {
		return nil, fmt.Errorf("assemble %s: program: %w", d.Name, err)
	}
	img, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), d.config(epoch))
	if err != nil {
		return nil, fmt.Errorf("assemble %s: %w", d.Name, err)
	}
	img, err = mutate.Append(img,
		mutate.Addendum{Layer: base, History: history(epoch, "base: CA bundle, user, volume folders, files")},
		mutate.Addendum{Layer: program, History: history(epoch, "program: "+d.programPath())})
	if err != nil {
		return nil, fmt.Errorf("assemble %s: %w", d.Name, err)
	}
	// Annotations returns an image whenever it is given one.
	return mutate.Annotations(img, d.annotations(epoch)).(v1.Image), nil
}

func history(epoch time.Time, what string) v1.History {
	return v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "boardroom", Comment: what}
}

// programPath names the program after its folder, as go build does.
func (d *Definition) programPath() string {
	if d.Program == "." {
		return path.Join(programDir, d.Name)
	}
	return path.Join(programDir, path.Base(d.Program))
}

func (d *Definition) config(epoch time.Time) *v1.ConfigFile {
	ports, volumes := make(map[string]struct{}), make(map[string]struct{})
	for _, port := range []int{d.Ports.API, d.Ports.Attestation} {
		ports[strconv.Itoa(port)+"/tcp"] = struct{}{}
	}
	for _, volume := range d.Volumes {
		volumes[volume] = struct{}{}
	}
	environment := d.derivedEnvironment()
	maps.Copy(environment, d.Environment)
	var env []string
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		env = append(env, name+"="+environment[name])
	}
	return &v1.ConfigFile{
		Architecture: "amd64",
		OS:           "linux",
		Created:      v1.Time{Time: epoch},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:         fmt.Sprintf("%d:%d", d.User.UID, d.User.GID),
			ExposedPorts: ports,
			Env:          env,
			Entrypoint:   []string{d.programPath()},
			Volumes:      volumes,
			WorkingDir:   workingDir,
			StopSignal:   "SIGTERM",
		},
	}
}

// derivedEnvironment names the members as the agent program reads them; hub and agents have different names for them.
func (d *Definition) derivedEnvironment() map[string]string {
	prefix := "AGENT_"
	if d.Type == "hub" {
		prefix = "HUB_"
	}
	env := map[string]string{
		"PATH":                      programDir,
		prefix + "MODEL_NAME":       d.Model,
		prefix + "API_PORT":         strconv.Itoa(d.Ports.API),
		prefix + "ATTESTATION_PORT": strconv.Itoa(d.Ports.Attestation),
		prefix + "MAX_MEMORY_MB":    strconv.Itoa(d.MemoryLimitMB),
	}
	if d.Type != "hub" {
		env["AGENT_TYPE"] = d.Type
	}
	return env
}

// annotations are those of image-spec 1.1, annotations.md. The revision is not among them: it would give an image another
// digest for every commit, including those that change nothing in it. Provenance names the revision.
func (d *Definition) annotations(epoch time.Time) map[string]string {
	return map[string]string{
		ocispec.AnnotationTitle:       d.Title,
		ocispec.AnnotationDescription: d.Description,
		ocispec.AnnotationVersion:     d.Version,
		ocispec.AnnotationLicenses:    d.Licenses,
		ocispec.AnnotationSource:      d.Source,
		ocispec.AnnotationCreated:     epoch.Format(time.RFC3339),
	}
}

func (d *Definition) baseFiles(caBundle []byte) ([]oci.File, error) {
	files := []oci.File{
		{Path: caBundlePath, Mode: 0o644, Content: caBundle},
		{Path: "/etc/passwd", Mode: 0o644, Content: fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\n%s:x:%d:%d::%s:/sbin/nologin\n",
			d.User.Name, d.User.UID, d.User.GID, workingDir)},
		{Path: "/etc/group", Mode: 0o644, Content: fmt.Appendf(nil, "root:x:0:\n%s:x:%d:\n", d.User.Name, d.User.GID)},
	}
	if !slices.Contains(d.Volumes, workingDir) {
		files = append(files, oci.File{Path: workingDir, Dir: true, Mode: 0o755})
	}
	for _, volume := range d.Volumes {
		files = append(files, oci.File{Path: volume, Dir: true, Mode: 0o750, UID: d.User.UID, GID: d.User.GID})
	}
	for i, f := range d.Files {
		content, err := d.read(f)
		if err != nil {
			return nil, fmt.Errorf("files[%d].from: %w", i, err)
		}
		mode := int64(0o644)
		if f.Executable {
			mode = 0o755
		}
		files = append(files, oci.File{Path: f.To, Mode: mode, Content: content})
	}
	return files, nil
}

// read opens the file below the definition's folder; os.Root refuses links that lead out of it.
func (d *Definition) read(f File) ([]byte, error) {
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	content, err := root.ReadFile(filepath.FromSlash(f.From))
	if err != nil {
		return nil, err
	}
	if f.SHA256 == "" {
		return content, nil
	}
	return content, checkSHA256(f.From, f.SHA256, content)
}

// TamperedError says that a pinned file has other content.
type TamperedError struct {
	File             string
	Expected, Actual string
}

func (e *TamperedError) Error() string {
	return fmt.Sprintf("%s: expected sha256 %s, got %s", e.File, e.Expected, e.Actual)
}

func checkSHA256(file, expected string, content []byte) error {
	sum := sha256.Sum256(content)
	if actual := hex.EncodeToString(sum[:]); actual != expected {
		return &TamperedError{File: file, Expected: expected, Actual: actual}
	}
	return nil
}
