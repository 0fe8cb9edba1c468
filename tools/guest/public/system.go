package public

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// system is what is told of the machine. Sizes are in bytes, times in seconds.
type system struct {
	Kernel                       string
	CPUs                         int
	MemoryTotal, MemoryAvailable uint64
	Load1, Load5, Load15, Uptime float64
}

func readSystem() (*system, error) {
	files := make(map[string][]byte)
	for _, name := range []string{"meminfo", "loadavg", "uptime", "sys/kernel/osrelease"} {
		data, err := os.ReadFile("/proc/" + name)
		if err != nil {
			return nil, err
		}
		files[name] = data
	}
	return parseSystem(files)
}

// parseSystem reads files of proc(5).
func parseSystem(files map[string][]byte) (*system, error) {
	s := &system{Kernel: string(bytes.TrimSpace(files["sys/kernel/osrelease"])), CPUs: runtime.NumCPU()}
	if _, err := fmt.Sscan(string(files["loadavg"]), &s.Load1, &s.Load5, &s.Load15); err != nil {
		return nil, fmt.Errorf("loadavg: %w", err)
	}
	if _, err := fmt.Sscan(string(files["uptime"]), &s.Uptime); err != nil {
		return nil, fmt.Errorf("uptime: %w", err)
	}
	for name, to := range map[string]*uint64{"MemTotal:": &s.MemoryTotal, "MemAvailable:": &s.MemoryAvailable} {
		_, rest, found := strings.Cut("\n"+string(files["meminfo"]), "\n"+name)
		fields := strings.Fields(rest)
		if !found || len(fields) < 2 || fields[1] != "kB" {
			return nil, fmt.Errorf("meminfo: expected %s with a number of kB, found none", name)
		}
		kilobytes, err := strconv.ParseUint(fields[0], 10, 53)
		if err != nil {
			return nil, fmt.Errorf("meminfo: %s %w", name, err)
		}
		*to = kilobytes << 10
	}
	return s, nil
}

// metrics writes the text format of Prometheus.
func (p Page) metrics(w http.ResponseWriter, _ *http.Request) {
	if !p.SysInfo {
		http.Error(w, "metrics are not public", http.StatusForbidden)
		return
	}
	s, err := readSystem()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(s.text())
}

func (s *system) text() (text []byte) {
	for _, m := range []struct {
		name, help string
		value      float64
	}{
		{"cpus", "Number of processors.", float64(s.CPUs)},
		{"memory_total_bytes", "Memory of the machine.", float64(s.MemoryTotal)},
		{"memory_available_bytes", "Memory that is left for applications.", float64(s.MemoryAvailable)},
		{"load1", "Load average over one minute.", s.Load1},
		{"load5", "Load average over five minutes.", s.Load5},
		{"load15", "Load average over 15 minutes.", s.Load15},
		{"uptime_seconds", "Time since the kernel started.", s.Uptime},
	} {
		name := "dstack_guest_" + m.name
		text = fmt.Appendf(text, "# HELP %s %s\n# TYPE %s gauge\n%s %s\n", name, m.help, name, name, strconv.FormatFloat(m.value, 'f', -1, 64))
	}
	return text
}
