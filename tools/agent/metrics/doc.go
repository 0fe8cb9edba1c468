// Package metrics counts what an agent does and writes it as Prometheus text, exposition format 0.0.4
// (prometheus.io/docs/instrumenting/exposition_formats).
//
// It is written by hand because the image trusts nothing but the Go toolchain and this repository. Label values come from
// the program, never from a request, and every metric stops making new series at [MaxSeries], so a stranger cannot grow it.
package metrics
