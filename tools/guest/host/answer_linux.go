package host

import (
	"context"
	"net"
	"net/http"
	"os"

	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
	"github.com/boardroom-tee/boardroom/tools/guest/engine"
)

// Port is where the host asks.
const Port = 8000

// Containers lists what runs.
type Containers interface {
	Containers(ctx context.Context) ([]engine.Container, error)
}

// Guest is what the answers are made of.
type Guest struct {
	Agent      agentapi.Guest
	Containers Containers
	// Resolv is the file with the DNS servers, an absolute path.
	Resolv string
	// Stored is where applications' data is.
	Stored string
	// Shutdown ends the guest in order, and returns at once.
	Shutdown func()
}

// info is the answer to Info (agent_rpc.proto GuestInfo).
type info struct {
	Version     string `json:"version"`
	App         string `json:"app_id"`
	Instance    string `json:"instance_id"`
	Certificate string `json:"app_cert"`
	TCBInfo     string `json:"tcb_info"`
	Device      string `json:"device_id"`
}

// container is one in the answer to ListContainers.
type container struct {
	ID      string   `json:"id"`
	Names   []string `json:"names"`
	Image   string   `json:"image"`
	ImageID string   `json:"image_id"`
	Created int64    `json:"created"`
	State   string   `json:"state"`
	Status  string   `json:"status"`
}

// Handler answers under /api. says names the program in refusals.
func Handler(g Guest, says string) http.Handler {
	return http.StripPrefix("/api", agentapi.Questions(g.Agent, says, map[string]func(context.Context) (any, error){
		"Info":           g.info,
		"SysInfo":        g.system,
		"NetworkInfo":    g.network,
		"ListContainers": g.list,
		"Shutdown": func(context.Context) (any, error) {
			g.Shutdown()
			return struct{}{}, nil
		},
	}))
}

func (g Guest) info(ctx context.Context) (any, error) {
	i, err := g.Agent.Info(ctx)
	return info{g.Agent.Release().String(), i.App, i.Instance, i.Certificate, i.TCBInfo, i.Device}, err
}

func (g Guest) system(context.Context) (any, error) {
	s, err := readSystem(os.DirFS("/"))
	if err != nil {
		return nil, err
	}
	disk, err := statDisk("tmpfs", g.Stored)
	s.Disks = []Disk{disk}
	return s, err
}

func (g Guest) network(context.Context) (any, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	return readNetwork(os.DirFS("/"), g.Resolv[1:], interfaces, func(i net.Interface) ([]net.Addr, error) { return i.Addrs() })
}

func (g Guest) list(ctx context.Context) (any, error) {
	running, err := g.Containers.Containers(ctx)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Containers []container `json:"containers"`
	}{[]container{}}
	for _, c := range running {
		answer.Containers = append(answer.Containers, container{c.ID, c.Names, c.Image, c.ImageID, c.Created, c.State, c.Status})
	}
	return answer, nil
}
