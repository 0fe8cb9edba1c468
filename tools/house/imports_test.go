package house_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
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
	"github.com/aliyun/", "github.com/hashicorp/vault", "k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "github.com/digitalocean/", "github.com/sigstore/cosign/v2/cmd/",
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
		{pkg: "tools/evidence/nonce", forbidden: slices.Concat(network, run)},
		// Certificates are parsed with crypto/x509, which brings net's address types along.
		{pkg: "tools/evidence/ratls", forbidden: slices.Concat(http, run)},
		{pkg: "tools/evidence/collect", forbidden: run},
		{pkg: "tools/evidence/verifier", forbidden: run},
		{pkg: "tools/appraisal", forbidden: slices.Concat(http, run)},
		{pkg: "tools/collateral", forbidden: run},
		{pkg: "tools/quote", forbidden: slices.Concat(http, run)}, // crypto/x509, as above
		{pkg: "tools/seed", forbidden: network},
		{pkg: "tools/modcache"},
		{pkg: "tools/dstack", forbidden: slices.Concat(network, run)},
		{pkg: "tools/dstack/guestagent", forbidden: run},
		{pkg: "tools/dstack/agentapi", forbidden: run, foreign: true},
		// The guest starts programs by package process, which buries everybody's dead; os/exec beside it would wait for its own in vain.
		{pkg: "tools/guest", forbidden: run, foreign: true},
		{pkg: "tools/guest/securetime", forbidden: run, foreign: true},
		{pkg: "tools/guest/initramfs", forbidden: slices.Concat(network, run), foreign: true},
		{pkg: "tools/guest/share", forbidden: slices.Concat(network, run), foreign: true},
		{pkg: "tools/guest/registers", forbidden: slices.Concat(network, run), foreign: true},
		{pkg: "tools/guest/secp256k1", forbidden: slices.Concat(network, run)},
		{pkg: "tools/eventlog", forbidden: slices.Concat(network, run)},
		{pkg: "tools/tdx", forbidden: slices.Concat(network, run)},
		{pkg: "tools/guestimage", forbidden: slices.Concat(http, run), foreign: true}, // crypto/x509 and package quote's reader, as above
		{pkg: "tools/disk", forbidden: slices.Concat(network, run)},
		{pkg: "tools/disk/cpio", forbidden: slices.Concat(network, run)},
		{pkg: "tools/disk/dm", forbidden: slices.Concat(network, run)},
		{pkg: "tools/disk/fat", forbidden: slices.Concat(network, run)},
		{pkg: "tools/disk/gpt", forbidden: slices.Concat(network, run)},
		{pkg: "tools/disk/squashfs", forbidden: slices.Concat(network, run), foreign: true},
		{pkg: "tools/disk/uki", forbidden: slices.Concat(network, run)},
		{pkg: "tools/disk/verity", forbidden: slices.Concat(network, run)},
		{pkg: "tools/compose", forbidden: slices.Concat(http, run), foreign: true},
		// Clear signatures take net's reader of headers.
		{pkg: "tools/deb", forbidden: slices.Concat(http, run), foreign: true},
		{pkg: "tools/deb/mirror", forbidden: run, foreign: true},
		{pkg: "tools/agent", forbidden: run},
		{pkg: "tools/hub", forbidden: run},
		{pkg: "tools/cmd/agent", forbidden: run},
		{pkg: "tools/gobuild", forbidden: network, foreign: true},
		// Certificates again; and nothing foreign, so that who verifies needs nobody else's code.
		{pkg: "tools/provenance", forbidden: slices.Concat(http, run)},
		{pkg: "tools/provenance/keyfile", forbidden: slices.Concat(http, run), foreign: true},
		{pkg: "tools/provenance/fulcio", forbidden: run},
		{pkg: "tools/provenance/service", forbidden: run},
		{pkg: "tools/provenance/timestamp", forbidden: run},
		{pkg: "tools/provenance/rekor", forbidden: run},
		{pkg: "tools/provenance/signer", foreign: true},
		{pkg: "tools/provenance/sbom", forbidden: slices.Concat(http, run), foreign: true},
		// in-toto's library can run what a layout says; that it does not is the package's matter.
		{pkg: "tools/provenance/layout", forbidden: http, foreign: true},
		// The programs of key management services speak to the network themselves.
		{pkg: "tools/provenance/kms", forbidden: http, foreign: true},
		// crypto/x509 for the signatures of releases, as above; logs are read through an interface.
		{pkg: "tools/transparency", forbidden: slices.Concat(http, run), foreign: true},
		{pkg: "tools/transparency/logdir", forbidden: slices.Concat(http, run), foreign: true},
		{pkg: "tools/transparency/memoryfile", forbidden: slices.Concat(http, run), foreign: true},
		{pkg: "tools/transparency/notekey", forbidden: slices.Concat(http, run), foreign: true},
		{pkg: "tools/transparency/loghttp", forbidden: run, foreign: true},
		{pkg: "tools/transparency/tilelog", forbidden: run, foreign: true},
		// A release is checked out of Git to be created; what is judged is judged without it.
		{pkg: "tools/release", forbidden: http, foreign: true},
		{pkg: "tools/audit/difference", forbidden: slices.Concat(network, run), foreign: true},
		{pkg: "tools/audit/gitobject", forbidden: slices.Concat(network, run)},
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

// TestQuoteIsPure holds the verdict about a quote to a function of its arguments: it names no package that reaches the world, and no
// clock. What crypto/x509 links and nobody calls is not seen here; the acceptance tests run a verification without a network.
func TestQuoteIsPure(t *testing.T) {
	world := []string{"crypto/rand", "io/fs", "io/ioutil", "log", "math/rand", "net", "os", "runtime", "sync", "syscall", "unsafe"}
	for _, imported := range goList(t, "-f", `{{join .Imports "\n"}}`, "./tools/quote") {
		for _, w := range world {
			if imported == w || strings.HasPrefix(imported, w+"/") {
				t.Errorf("tools/quote imports %s", imported)
			}
		}
	}
	clock := regexp.MustCompile(`\btime\.(Now|Since|Until|After|Tick|Sleep|NewTimer|NewTicker|Local|LoadLocation)\b`)
	for _, name := range goList(t, "-f", `{{join .GoFiles "\n"}}`, "./tools/quote") {
		source, err := os.ReadFile(filepath.Join(root, "tools", "quote", name))
		if err != nil {
			t.Fatal(err)
		}
		if use := clock.Find(source); use != nil {
			t.Errorf("tools/quote/%s uses %s", name, use)
		}
	}
}

// TestVerifierModules bounds what someone who checks quotes, event logs and measurements has to trust, ours included.
func TestVerifierModules(t *testing.T) {
	const most = 25
	modules := make(map[string]bool)
	for _, m := range goList(t, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./tools/quote", "./tools/eventlog", "./tools/tdx") {
		if m != "" {
			modules[m] = true
		}
	}
	if len(modules) == 0 || len(modules) > most {
		t.Errorf("linked modules: expected 1 to %d, got %d: %v", most, len(modules), slices.Sorted(maps.Keys(modules)))
	}
	t.Logf("%d modules: %v", len(modules), slices.Sorted(maps.Keys(modules)))
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
