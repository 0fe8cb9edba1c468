//go:build acceptance

package acceptance

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	koModule = "github.com/google/ko@v0.19.1"
	koRounds = 7
)

// ko builds, of the same program with the same linker flags and on an empty base image, what boardroom builds. Compiled
// packages are cached for both; nothing else is. Each number is the median of some rounds, in which all take turns.
//
// What ko takes to assemble is what it takes in all, less what go build takes for the same program in the same tree. That
// leaves in what else ko does besides compiling, such as asking the registry for the base image.
func BenchmarkAssemblyAgainstKo(b *testing.B) {
	k := newContest(b)
	for b.Loop() {
		var ko, compile, whole, assemble []time.Duration
		for range koRounds {
			ko = append(ko, k.ko(b))
			compile = append(compile, k.compile(b))
			whole = append(whole, k.boardroom(b))
			assemble = append(assemble, k.assemble(b))
		}
		koWhole, koAssembly := median(ko), median(ko)-median(compile)
		b.ReportMetric(koWhole.Seconds(), "ko-s")
		b.ReportMetric(koAssembly.Seconds(), "ko-assembly-s")
		b.ReportMetric(median(whole).Seconds(), "boardroom-s")
		b.ReportMetric(median(assemble).Seconds(), "assemble-s")
		b.ReportMetric(median(whole).Seconds()/koWhole.Seconds(), "boardroom/ko")
		b.ReportMetric(median(assemble).Seconds()/koAssembly.Seconds(), "assemble/ko-assembly")
		b.ReportMetric(0, "ns/op")
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// contest is a tree, a registry for ko's base image, and the programs. Every image goes to a new place.
type contest struct {
	dir, tree, registry    string
	koProgram, assembler   string
	agent                  string
	koEnvironment, goBuild []string
}

func newContest(b *testing.B) *contest {
	b.Helper()
	p := plain(b)
	dir := fresh(b)
	k := &contest{dir: dir, tree: filepath.Join(dir, "tree"), registry: registry(b), koProgram: installKo(b)}
	check(b, os.CopyFS(k.tree, os.DirFS(source)))
	var err error
	k.assembler, err = compile("./tools/cmd/assemble")
	check(b, err)

	base := k.registry + "/base:empty"
	image := filepath.Join(dir, "base")
	at{}.must(b, "umoci", "init", "--layout", image)
	at{}.must(b, "umoci", "new", "--image", image+":empty")
	at{}.must(b, "skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "oci:"+image+":empty", "docker://"+base)

	check(b, os.WriteFile(filepath.Join(k.tree, ".ko.yaml"), []byte(`
builds:
  - id: agent
    main: ./tools/cmd/agent
    flags: [-trimpath, -buildvcs=false]
    ldflags: [-s, -w, -buildid=]
`), 0o644))
	commit(b, k.tree)
	k.koEnvironment = []string{
		"KO_DOCKER_REPO=" + k.registry + "/ko", "KO_DEFAULTBASEIMAGE=" + base, "GOFLAGS=", "CGO_ENABLED=0", "KOCACHE=",
		"GOCACHE=" + filepath.Join(p.cache, "packages"),
	}
	k.agent = filepath.Join(dir, "agent")
	k.goBuild = []string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", k.agent, "./tools/cmd/agent"}
	k.ko(b) // the first run compiles
	k.compile(b)
	return k
}

func installKo(b *testing.B) string {
	b.Helper()
	bin := filepath.Join(scratch, "bin")
	at{env: []string{"GOBIN=" + bin, "GOFLAGS="}}.must(b, "go", "install", koModule)
	return filepath.Join(bin, "ko")
}

func (k *contest) ko(b *testing.B) time.Duration {
	b.Helper()
	return k.timed(b, k.koEnvironment, k.koProgram, "build", "--push=false", "--sbom=none", "--bare", "--platform=linux/amd64",
		"--oci-layout-path="+k.place(b), "./tools/cmd/agent")
}

func (k *contest) compile(b *testing.B) time.Duration {
	b.Helper()
	return k.timed(b, k.koEnvironment, k.goBuild...)
}

func (k *contest) boardroom(b *testing.B) time.Duration {
	b.Helper()
	return k.timed(b, nil, boardroom, "image", "build", "finance-agent", "--cache", plain(b).cache, "--to", k.place(b))
}

func (k *contest) assemble(b *testing.B) time.Duration {
	b.Helper()
	return k.timed(b, nil, k.assembler, "-definition", "images/agents/finance/image.json", "-program", k.agent,
		"-ca-certificates", "images/ca-certificates", "-to", k.place(b))
}

func (k *contest) place(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(k.dir, "image-")
	check(b, err)
	return filepath.Join(dir, "layout")
}

func (k *contest) timed(b *testing.B, env []string, words ...string) time.Duration {
	b.Helper()
	start := time.Now()
	at{dir: k.tree, env: env}.must(b, words...)
	return time.Since(start)
}
