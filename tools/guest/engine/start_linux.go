package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/boardroom-tee/boardroom/tools/guest/process"
)

// Programs and places, as Debian's packages containerd, docker.io and docker-compose have them.
const (
	containerdProgram = "/usr/bin/containerd"
	dockerdProgram    = "/usr/sbin/dockerd"
	composeProgram    = "/usr/libexec/docker/cli-plugins/docker-compose"
	shimProgram       = "/usr/bin/containerd-shim-runc-v2"
	runcProgram       = "/usr/sbin/runc"

	containerdSocket = "/run/containerd/containerd.sock"
	// Socket is where dockerd listens, and where applications that want it mount it from.
	Socket = "/run/docker.sock"
)

// environment is all that the programs get.
// The Go programs of the engine collect garbage at four times what lives: they are started far more often than they are full.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/run/engine", "TMPDIR=/tmp", "GOGC=400"}

// containerdConfig leaves out what dockerd does not use: the interface of Kubernetes, and snapshots on file systems that are not there.
const containerdConfig = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "/run/containerd/containerd.sock"
`

// readAhead reads the programs that start an application into the page cache, while dockerd, which does one thing after another, still starts.
// They are large, and what is read of the root file system is checked and unpacked on the way. A program that can not be read is missed when
// it is started.
func readAhead() {
	buffer := make([]byte, 1<<20)
	for _, path := range []string{composeProgram, shimProgram, runcProgram} {
		file, err := os.Open(path)
		for err == nil {
			_, err = file.Read(buffer)
		}
		_ = file.Close()
	}
}

const (
	// startWait is how long the engine may take to answer, and startStep how often it is asked.
	startWait = 3 * time.Minute
	startStep = 20 * time.Millisecond
	// stopGrace is how long the engine may take to stop, containers included.
	stopGrace = 20 * time.Second
)

// Engine is the running engine.
type Engine struct {
	children   *process.Children
	output     *os.File
	containerd *process.Process
	dockerd    *process.Process
	ended      chan struct{}
	api        *http.Client
}

// dockerdArgs are dockerd's. Logs are in files that the API reads, and do not grow without end. Ports are forwarded by the kernel alone.
// What the engine stores is in memory, which the TEE encrypts.
func dockerdArgs(mirror string) []string {
	args := []string{
		"--host=unix://" + Socket, "--containerd=" + containerdSocket, "--data-root=/var/lib/docker", "--exec-root=/run/docker",
		"--pidfile=/run/docker.pid", "--group=0", "--storage-driver=overlay2", "--exec-opt=native.cgroupdriver=cgroupfs", "--log-level=warn",
		"--log-driver=json-file", "--log-opt=max-size=10m", "--log-opt=max-file=3", "--userland-proxy=false", "--ip6tables=false",
	}
	if mirror != "" {
		args = append(args, "--registry-mirror="+mirror)
	}
	return args
}

// Start starts the engine and waits until it answers. The mirror of Docker's registry may be empty. What the engine writes goes to output.
func Start(ctx context.Context, children *process.Children, output *os.File, mirror string) (*Engine, error) {
	for _, dir := range []string{"/run/engine", filepath.Dir(containerdSocket), "/var/lib/containerd", "/var/lib/docker"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	const config = "/run/engine/containerd.toml"
	if err := os.WriteFile(config, []byte(containerdConfig), 0o600); err != nil {
		return nil, err
	}
	e := &Engine{children: children, output: output, ended: make(chan struct{}), api: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", Socket)
		},
		DisableKeepAlives: true,
	}}}
	var err error
	if e.containerd, err = e.start(containerdProgram, "--config", config, "--log-level", "warn"); err != nil {
		return nil, err
	}
	// dockerd waits for containerd by itself.
	if e.dockerd, err = e.start(dockerdProgram, dockerdArgs(mirror)...); err != nil {
		return nil, err
	}
	go readAhead()
	go func() {
		defer close(e.ended)
		select {
		case <-e.containerd.Done():
		case <-e.dockerd.Done():
		}
	}()
	return e, e.wait(ctx)
}

func (e *Engine) start(path string, args ...string) (*process.Process, error) {
	p, err := e.children.Start(process.Program{Path: path, Args: args, Env: environment, Dir: "/", Output: e.output})
	if err != nil {
		return nil, fmt.Errorf("container engine: %w", err)
	}
	return p, nil
}

// wait asks until there is an answer or one of the programs has ended.
func (e *Engine) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startWait, fmt.Errorf("no answer within %s", startWait))
	defer cancel()
	ticker := time.NewTicker(startStep)
	defer ticker.Stop()
	for {
		if err := e.ping(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("container engine: %w", context.Cause(ctx))
		case <-e.ended:
			return e.Err()
		case <-ticker.C:
		}
	}
}

// Ended is closed when one of the programs has ended.
func (e *Engine) Ended() <-chan struct{} { return e.ended }

// Err says which program has ended, and how.
func (e *Engine) Err() error {
	for name, p := range map[string]*process.Process{"containerd": e.containerd, "dockerd": e.dockerd} {
		select {
		case <-p.Done():
			return errors.Join(fmt.Errorf("container engine: %s has ended", name), p.Err())
		default:
		}
	}
	return nil
}

// Up starts the application: the compose file in the folder, with the folder's own name as the project's, as dstack does.
func (e *Engine) Up(ctx context.Context, folder, file string) error {
	return e.children.Run(ctx, process.Program{
		Path: composeProgram, Args: []string{"--ansi=never", "--progress=quiet", "--file", file, "up", "--detach", "--remove-orphans"},
		Env: append([]string{"DOCKER_HOST=unix://" + Socket}, environment...), Dir: folder, Output: e.output,
	})
}

// Stop stops containers and engine.
func (e *Engine) Stop() {
	e.dockerd.Stop(stopGrace)
	e.containerd.Stop(stopGrace)
}
