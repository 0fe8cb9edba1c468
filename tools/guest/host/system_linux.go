package host

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// System is the answer to SysInfo (agent_rpc.proto SystemInfo). Sizes are in bytes, times in seconds.
type System struct {
	OSName          string  `json:"os_name"`
	OSVersion       string  `json:"os_version"`
	KernelVersion   string  `json:"kernel_version"`
	CPUModel        string  `json:"cpu_model"`
	CPUs            int     `json:"num_cpus"`
	TotalMemory     uint64  `json:"total_memory"`
	AvailableMemory uint64  `json:"available_memory"`
	UsedMemory      uint64  `json:"used_memory"`
	FreeMemory      uint64  `json:"free_memory"`
	TotalSwap       uint64  `json:"total_swap"`
	UsedSwap        uint64  `json:"used_swap"`
	FreeSwap        uint64  `json:"free_swap"`
	Uptime          uint64  `json:"uptime"`
	Load1           float64 `json:"loadavg_one"`
	Load5           float64 `json:"loadavg_five"`
	Load15          float64 `json:"loadavg_fifteen"`
	Disks           []Disk  `json:"disks"`
}

// Disk is a file system.
type Disk struct {
	Name       string `json:"name"`
	MountPoint string `json:"mount_point"`
	TotalSize  uint64 `json:"total_size"`
	FreeSize   uint64 `json:"free_size"`
}

// readSystem reads files of proc(5) and os-release(5) below root.
func readSystem(root fs.FS) (*System, error) {
	files := make(map[string]string)
	for _, name := range []string{"proc/meminfo", "proc/loadavg", "proc/uptime", "proc/cpuinfo", "proc/sys/kernel/osrelease", "etc/os-release"} {
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, err
		}
		files[name] = string(data)
	}
	s := &System{
		OSName: field(files["etc/os-release"], "ID", "="), OSVersion: field(files["etc/os-release"], "VERSION_ID", "="),
		KernelVersion: strings.TrimSpace(files["proc/sys/kernel/osrelease"]), CPUModel: field(files["proc/cpuinfo"], "model name", ":"), CPUs: runtime.NumCPU(),
	}
	if _, err := fmt.Sscan(files["proc/loadavg"], &s.Load1, &s.Load5, &s.Load15); err != nil {
		return nil, fmt.Errorf("loadavg: %w", err)
	}
	var uptime float64
	if _, err := fmt.Sscan(files["proc/uptime"], &uptime); err != nil {
		return nil, fmt.Errorf("uptime: %w", err)
	}
	s.Uptime = uint64(uptime)
	for name, to := range map[string]*uint64{
		"MemTotal": &s.TotalMemory, "MemAvailable": &s.AvailableMemory, "MemFree": &s.FreeMemory, "SwapTotal": &s.TotalSwap, "SwapFree": &s.FreeSwap,
	} {
		number, unit, _ := strings.Cut(field(files["proc/meminfo"], name, ":"), " ")
		kilobytes, err := strconv.ParseUint(number, 10, 53)
		if err != nil || unit != "kB" {
			return nil, fmt.Errorf("meminfo: expected %s with a number of kB, got %.40q", name, number)
		}
		*to = kilobytes << 10
	}
	s.UsedMemory, s.UsedSwap = s.TotalMemory-min(s.TotalMemory, s.AvailableMemory), s.TotalSwap-min(s.TotalSwap, s.FreeSwap)
	return s, nil
}

// field is what stands behind a name and a separator at the beginning of a line, without blanks and quotation marks around it.
func field(text, name, separator string) string {
	for line := range strings.Lines(text) {
		before, after, found := strings.Cut(line, separator)
		if found && strings.TrimSpace(before) == name {
			return strings.Trim(strings.TrimSpace(after), `"`)
		}
	}
	return ""
}

// statDisk tells the size of the file system at a path.
func statDisk(name, mountPoint string) (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(mountPoint, &s); err != nil {
		return Disk{}, fmt.Errorf("size of %s: %w", mountPoint, err)
	}
	return Disk{name, mountPoint, s.Blocks * uint64(s.Bsize), s.Bavail * uint64(s.Bsize)}, nil
}

// Network is the answer to NetworkInfo (agent_rpc.proto NetworkInformation).
type Network struct {
	DNS        []string    `json:"dns_servers"`
	Gateways   []Gateway   `json:"gateways"`
	Interfaces []Interface `json:"interfaces"`
	// WireGuard is empty: this guest joins no gateway.
	WireGuard string `json:"wg_info"`
}

// Gateway is a router.
type Gateway struct {
	Address string `json:"address"`
}

// Interface is a network interface with what it has sent and received.
type Interface struct {
	Name      string    `json:"name"`
	Addresses []Address `json:"addresses"`
	RxBytes   uint64    `json:"rx_bytes"`
	TxBytes   uint64    `json:"tx_bytes"`
	RxErrors  uint64    `json:"rx_errors"`
	TxErrors  uint64    `json:"tx_errors"`
}

// Address is one of an interface.
type Address struct {
	Address string `json:"address"`
	Prefix  int    `json:"prefix"`
}

// readNetwork reads resolv.conf(5), the routes, and the counters of the interfaces below root.
func readNetwork(root fs.FS, resolv string, interfaces []net.Interface, addresses func(net.Interface) ([]net.Addr, error)) (*Network, error) {
	n := &Network{DNS: []string{}, Gateways: []Gateway{}, Interfaces: []Interface{}}
	servers, err := fs.ReadFile(root, resolv)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(servers)) {
		if words := strings.Fields(line); len(words) == 2 && words[0] == "nameserver" {
			n.DNS = append(n.DNS, words[1])
		}
	}
	routes, err := fs.ReadFile(root, "proc/net/route")
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(routes) {
		if router, is := defaultRoute(string(line)); is {
			n.Gateways = append(n.Gateways, Gateway{router.String()})
		}
	}
	for _, i := range interfaces {
		described := Interface{Name: i.Name, Addresses: []Address{}}
		found, err := addresses(i)
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", i.Name, err)
		}
		for _, a := range found {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				described.Addresses = append(described.Addresses, Address{p.Addr().String(), p.Bits()})
			}
		}
		for name, to := range map[string]*uint64{
			"rx_bytes": &described.RxBytes, "tx_bytes": &described.TxBytes, "rx_errors": &described.RxErrors, "tx_errors": &described.TxErrors,
		} {
			data, err := fs.ReadFile(root, path.Join("sys/class/net", i.Name, "statistics", name))
			if err != nil {
				return nil, err
			}
			if *to, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err != nil {
				return nil, fmt.Errorf("%s of %s: %w", name, i.Name, err)
			}
		}
		n.Interfaces = append(n.Interfaces, described)
	}
	return n, nil
}

// defaultRoute reads a line of /proc/net/route: interface, destination, gateway, flags, …; addresses are a u32 of the machine's byte order, and
// x86's is little-endian (net/ipv4/fib_trie.c fib_route_seq_show).
func defaultRoute(line string) (router netip.Addr, is bool) {
	words := strings.Fields(line)
	if len(words) < 4 || words[1] != "00000000" {
		return router, false
	}
	n, err := strconv.ParseUint(words[2], 16, 32)
	if err != nil || n == 0 {
		return router, false
	}
	return netip.AddrFrom4([4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}), true
}
