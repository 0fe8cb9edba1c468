package agent

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
)

// Memory is how much of its memory a process uses, in bytes and in MB of 1048576 bytes, rounded up.
type Memory struct {
	UsedBytes  uint64 `json:"used_bytes"` // what the Go runtime counts against its limit
	UsedMB     uint64 `json:"used_mb"`
	LimitBytes uint64 `json:"limit_bytes"`
	LimitMB    uint64 `json:"limit_mb"`
	RSSBytes   uint64 `json:"rss_bytes,omitempty"` // resident set, absent when the kernel does not say
	RSSMB      uint64 `json:"rss_mb,omitempty"`
}

// ReadMemory reads the use of this process; limit is in bytes.
func ReadMemory(limit int64) Memory {
	m := Memory{UsedBytes: goMemory(), LimitBytes: uint64(limit), RSSBytes: residentSet()}
	m.UsedMB, m.LimitMB, m.RSSMB = megabytes(m.UsedBytes), megabytes(m.LimitBytes), megabytes(m.RSSBytes)
	return m
}

func megabytes(n uint64) uint64 { return (n + 1<<20 - 1) >> 20 }

// goMemory is what runtime/debug.SetMemoryLimit limits, by the formula in its documentation.
func goMemory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	for _, s := range samples {
		if s.Value.Kind() != metrics.KindUint64 {
			return 0
		}
	}
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// residentSet reads the second field of /proc/self/statm, in pages (proc_pid_statm(5)); zero when there is none.
func residentSet() uint64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
