package host

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
	"github.com/boardroom-tee/boardroom/tools/guest/engine"
)

// simAgent is a guest that knows who it is; the host can ask it for nothing else.
type simAgent struct{ agentapi.Guest }

func (simAgent) Release() dstack.Release { return dstack.Release{Major: 0, Minor: 5, Patch: 11} }
func (simAgent) Info(context.Context) (agentapi.Info, error) {
	return agentapi.Info{App: "aa", Instance: "bb", Certificate: "cert", TCBInfo: "{}", Device: "cc", VMConfig: "unexpected"}, nil
}

type simContainers struct{ err error }

func (s simContainers) Containers(context.Context) ([]engine.Container, error) {
	return []engine.Container{{ID: "1", Names: []string{"a"}, Image: "i", ImageID: "sha256:2", Created: 3, State: "running", Status: "Up"}}, s.err
}

func ask(t *testing.T, g Guest, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(g, "the sim").ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestHandler(t *testing.T) {
	ended := 0
	g := Guest{Agent: simAgent{}, Containers: simContainers{}, Stored: t.TempDir(), Shutdown: func() { ended++ }}
	for path, want := range map[string]string{
		"/api/Info":           `{"version":"0.5.11","app_id":"aa","instance_id":"bb","app_cert":"cert","tcb_info":"{}","device_id":"cc"}`,
		"/api/ListContainers": `{"containers":[{"id":"1","names":["a"],"image":"i","image_id":"sha256:2","created":3,"state":"running","status":"Up"}]}`,
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if code, body := ask(t, g, method, path+"?json"); code != http.StatusOK || body != want {
				t.Errorf("%s %s: %d %s, want %s", method, path, code, body, want)
			}
		}
	}
	if ended != 0 {
		t.Error("a question ended the guest")
	}
	if code, body := ask(t, g, http.MethodPost, "/api/Shutdown?json"); code != http.StatusOK || body != "{}" || ended != 1 {
		t.Errorf("Shutdown: %d %s, ended %d times", code, body, ended)
	}
	g.Containers = simContainers{errors.New("simulated")}
	for _, path := range []string{"/api/ListContainers", "/api/GetQuote", "/api/", "/Info", "/prpc/Info"} {
		if code, body := ask(t, g, http.MethodGet, path); code == http.StatusOK {
			t.Errorf("%s: %s", path, body)
		}
	}
}

func simRoot() fstest.MapFS {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	return fstest.MapFS{
		"proc/meminfo":   file("MemTotal:        2048 kB\nMemFree:          512 kB\nMemAvailable:    1024 kB\nSwapTotal:  8 kB\nSwapFree:  2 kB\n"),
		"proc/loadavg":   file("0.50 1.25 2.00 1/100 7\n"),
		"proc/uptime":    file("61.25 100.00\n"),
		"proc/cpuinfo":   file("processor\t: 0\nmodel name\t: Some CPU\n\nprocessor\t: 1\nmodel name\t: Other\n"),
		"etc/os-release": file("PRETTY_NAME=\"Debian\"\nVERSION_ID=\"13\"\nID=debian\n"),
		"proc/net/route": file("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\n" +
			"eth0\t00000000\t0202000A\t0003\t0\t0\t1\neth0\t0002000A\t00000000\t0001\t0\t0\t0\nwg0\t00000000\t00000000\t0001\t0\t0\t0\n"),
		"proc/sys/kernel/osrelease":            file("7.3.4\n"),
		"run/resolv.conf":                      file("nameserver 10.0.2.3\nsearch example\nnameserver 10.0.2.4\n"),
		"sys/class/net/lo/statistics/rx_bytes": file("1\n"), "sys/class/net/lo/statistics/tx_bytes": file("2\n"),
		"sys/class/net/lo/statistics/rx_errors": file("3\n"), "sys/class/net/lo/statistics/tx_errors": file("4\n"),
	}
}

func TestReadSystem(t *testing.T) {
	s, err := readSystem(simRoot())
	if err != nil {
		t.Fatal(err)
	}
	if s.CPUs < 1 {
		t.Errorf("%d processors", s.CPUs)
	}
	s.CPUs = 0
	want := &System{
		OSName: "debian", OSVersion: "13", KernelVersion: "7.3.4", CPUModel: "Some CPU", TotalMemory: 2 << 20, AvailableMemory: 1 << 20, UsedMemory: 1 << 20,
		FreeMemory: 512 << 10, TotalSwap: 8 << 10, UsedSwap: 6 << 10, FreeSwap: 2 << 10, Uptime: 61, Load1: 0.5, Load5: 1.25, Load15: 2,
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for name, text := range map[string]string{
		"proc/meminfo": "MemTotal: 2048 MB\n", "proc/loadavg": "x", "proc/uptime": "", "etc/os-release": "gone",
	} {
		root := simRoot()
		if text == "gone" {
			delete(root, name)
		} else {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if s, err := readSystem(root); err == nil {
			t.Errorf("%s %q: got %+v", name, text, s)
		}
	}
}

func TestReadNetwork(t *testing.T) {
	addresses := func(net.Interface) ([]net.Addr, error) {
		return []net.Addr{&net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}}, nil
	}
	n, err := readNetwork(simRoot(), "run/resolv.conf", []net.Interface{{Name: "lo"}}, addresses)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(n)
	want := `{"dns_servers":["10.0.2.3","10.0.2.4"],"gateways":[{"address":"10.0.2.2"}],"interfaces":[{"name":"lo",` +
		`"addresses":[{"address":"127.0.0.1","prefix":8}],"rx_bytes":1,"tx_bytes":2,"rx_errors":3,"tx_errors":4}],"wg_info":""}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if _, err := readNetwork(simRoot(), "run/resolv.conf", []net.Interface{{Name: "eth0"}}, addresses); err == nil {
		t.Error("an interface without counters: no error")
	}
	failing := func(net.Interface) ([]net.Addr, error) { return nil, errors.New("simulated") }
	if _, err := readNetwork(simRoot(), "run/resolv.conf", []net.Interface{{Name: "lo"}}, failing); err == nil || !strings.Contains(err.Error(), "lo") {
		t.Errorf("addresses that can not be read: %v", err)
	}
}
