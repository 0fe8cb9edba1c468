package house_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/boardroom-tee/boardroom/"
	root   = "../.."
)

// goList runs go list in the source tree and returns its lines.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-mod=readonly"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	var lines []string
	for s := bufio.NewScanner(strings.NewReader(string(out))); s.Scan(); {
		lines = append(lines, s.Text())
	}
	return lines
}

func deps(t *testing.T, pkg string) []string {
	t.Helper()
	return goList(t, "-deps", "./"+pkg)
}

// standard holds for packages of the standard library: the first element of their path has no dot.
func standard(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return !strings.Contains(first, ".")
}

// clouds are the SDKs that signing and registry libraries would bring along.
var clouds = []string{
	"cloud.google.com/", "google.golang.org/api", "github.com/aws/", "github.com/Azure/", "github.com/AzureAD/", "github.com/alibabacloud-go/",
	"github.com/aliyun/", "github.com/hashicorp/vault", "k8s.io/", "github.com/digitalocean/", "github.com/sigstore/cosign/v2/cmd/",
}

func TestNoCloudSDK(t *testing.T) {
	for _, pkg := range goList(t, "-deps", "-test", "./...") {
		for _, cloud := range clouds {
			if strings.HasPrefix(pkg, cloud) {
				t.Errorf("%s is linked into something; find out with: go list -deps ./...", pkg)
			}
		}
	}
}

// TestForbiddenImports holds packages to what they may reach, directly or through others.
func TestForbiddenImports(t *testing.T) {
	var (
		network = []string{"net", "net/http", "crypto/tls"}
		http    = []string{"net/http", "crypto/tls"}
		run     = []string{"os/exec"}
	)
	tests := []struct {
		pkg       string
		forbidden []string
		// ours allows packages of other modules.
		foreign bool
	}{
		{pkg: "tools/deflate", forbidden: slices.Concat(network, run, []string{"compress/flate", "compress/gzip"})},
		{pkg: "tools/nar", forbidden: slices.Concat(network, run)},
		{pkg: "tools/strictjson", forbidden: slices.Concat(network, run)},
		{pkg: "tools/evidence", forbidden: slices.Concat(network, run)},
		{pkg: "tools/seed", forbidden: network},
		{pkg: "tools/modcache"},
		{pkg: "tools/dstack", forbidden: slices.Concat(network, run), foreign: true},
		{pkg: "tools/dstack/guestagent", forbidden: run},
		{pkg: "tools/eventlog", forbidden: slices.Concat(network, run)},
		{pkg: "tools/tdx", forbidden: slices.Concat(network, run)},
		{pkg: "tools/compose", forbidden: slices.Concat(http, run), foreign: true},
		{pkg: "tools/agent", forbidden: run},
		{pkg: "tools/hub", forbidden: run},
		{pkg: "tools/cmd/agent", forbidden: run},
		{pkg: "tools/gobuild", forbidden: network, foreign: true},
		// Naming an image takes net's address parser, through go-containerregistry; talking does not come with it.
		{pkg: "tools/oci", forbidden: slices.Concat(http, run), foreign: true},
		{pkg: "tools/agentimage", forbidden: slices.Concat(http, run), foreign: true},
		{pkg: "tools/cmd/assemble", forbidden: slices.Concat(http, run), foreign: true},
	}
	for _, tt := range tests {
		t.Run(path.Base(tt.pkg), func(t *testing.T) {
			for _, dep := range deps(t, tt.pkg) {
				if slices.Contains(tt.forbidden, dep) {
					t.Errorf("%s reaches %s", tt.pkg, dep)
				}
				if !tt.foreign && !standard(dep) && !strings.HasPrefix(dep, module) {
					t.Errorf("%s reaches %s, which is neither ours nor of the standard library", tt.pkg, dep)
				}
			}
		})
	}
}

// TestProgramSources holds nix/programs.json, which cuts the source down for each program, to what the programs import: a
// folder too few does not compile, one too many rebuilds a program for nothing.
func TestProgramSources(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "nix", "programs.json"))
	if err != nil {
		t.Fatal(err)
	}
	var programs map[string][]string
	if err := json.Unmarshal(data, &programs); err != nil {
		t.Fatal(err)
	}
	for name, listed := range programs {
		if name == "boardroom" {
			continue // everything
		}
		t.Run(name, func(t *testing.T) {
			used := make(map[string]bool)
			for _, dep := range deps(t, "tools/cmd/"+name) {
				folder, ours := strings.CutPrefix(dep, module)
				if !ours {
					continue
				}
				i := slices.IndexFunc(listed, func(l string) bool { return folder == l || strings.HasPrefix(folder, l+"/") })
				if i < 0 {
					t.Errorf("imports %s, which no listed folder holds", folder)
					continue
				}
				used[listed[i]] = true
			}
			for _, l := range listed {
				if !used[l] {
					t.Errorf("lists %s and imports nothing from it", l)
				}
			}
			if !slices.IsSorted(listed[1:]) || listed[0] != "tools/cmd/"+name {
				t.Errorf("expected the program's own folder and then the others sorted, got %v", listed)
			}
		})
	}
}
