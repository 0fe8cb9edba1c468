package metrics

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// MaxSeries bounds the label combinations of one metric. What comes after is counted under the label value "other".
const MaxSeries = 512

// ContentType is what a scraper expects.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Set is a list of metrics that are scraped together. Its methods are safe for concurrent use.
type Set struct {
	mu      sync.Mutex
	metrics []interface{ write(*bytes.Buffer) }
}

func (s *Set) add(m interface{ write(*bytes.Buffer) }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metrics = append(s.metrics, m)
}

// Text returns all metrics, in the order they were declared.
func (s *Set) Text() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	for _, m := range s.metrics {
		m.write(&b)
	}
	return b.Bytes()
}

// family is what every metric has: a name, a help text, label names and values per label combination.
type family[V any] struct {
	name, help, kind string
	labels           []string
	mu               sync.Mutex
	series           map[string]V // by rendered labels
}

// at returns the key of a label combination; the caller holds mu.
func (f *family[V]) at(values []string) string {
	if len(values) != len(f.labels) {
		panic(fmt.Sprintf("metric %s: want %d label values, got %d", f.name, len(f.labels), len(values)))
	}
	key := render(f.labels, values)
	if _, known := f.series[key]; !known && len(f.series) >= MaxSeries {
		return render(f.labels, slices.Repeat([]string{"other"}, len(values)))
	}
	return key
}

func (f *family[V]) header(b *bytes.Buffer) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", f.name, f.help, f.name, f.kind)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func render(names, values []string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name + `="` + labelEscapes.Replace(values[i]) + `"`)
	}
	return b.String()
}

func braced(labels string) string {
	if labels == "" {
		return ""
	}
	return "{" + labels + "}"
}

// Counter only goes up.
type Counter struct{ family[uint64] }

// Counter declares a counter with these labels. Declare each name once.
func (s *Set) Counter(name, help string, labels ...string) *Counter {
	c := &Counter{family[uint64]{name: name, help: help, kind: "counter", labels: labels, series: map[string]uint64{}}}
	s.add(c)
	return c
}

// Add adds one for this combination of label values.
func (c *Counter) Add(values ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.series[c.at(values)]++
}

func (c *Counter) write(b *bytes.Buffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header(b)
	for _, key := range slices.Sorted(maps.Keys(c.series)) {
		fmt.Fprintf(b, "%s%s %d\n", c.name, braced(key), c.series[key])
	}
}

// Gauge goes up and down.
type Gauge struct{ family[int64] }

// Gauge declares a gauge with these labels. Declare each name once.
func (s *Set) Gauge(name, help string, labels ...string) *Gauge {
	g := &Gauge{family[int64]{name: name, help: help, kind: "gauge", labels: labels, series: map[string]int64{}}}
	s.add(g)
	return g
}

// Add adds n, which may be negative, for this combination of label values.
func (g *Gauge) Add(n int64, values ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.series[g.at(values)] += n
}

func (g *Gauge) write(b *bytes.Buffer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.header(b)
	for _, key := range slices.Sorted(maps.Keys(g.series)) {
		fmt.Fprintf(b, "%s%s %d\n", g.name, braced(key), g.series[key])
	}
}

// reading is a gauge whose value is asked for when it is scraped.
type reading struct {
	family[struct{}]
	value func() (float64, bool)
}

// Reading declares a gauge that is read at each scrape; a false second result leaves it out.
func (s *Set) Reading(name, help string, value func() (float64, bool)) {
	s.add(&reading{family[struct{}]{name: name, help: help, kind: "gauge"}, value})
}

func (r *reading) write(b *bytes.Buffer) {
	if v, ok := r.value(); ok {
		r.header(b)
		fmt.Fprintf(b, "%s %s\n", r.name, number(v))
	}
}

// Histogram counts observations in buckets.
type Histogram struct {
	family[*observations]
	bounds []float64
}

type observations struct {
	buckets []uint64 // per bound, not cumulative
	count   uint64
	sum     float64
}

// Histogram declares a histogram with ascending upper bounds. Declare each name once.
func (s *Set) Histogram(name, help string, bounds []float64, labels ...string) *Histogram {
	h := &Histogram{
		family[*observations]{name: name, help: help, kind: "histogram", labels: labels, series: map[string]*observations{}},
		bounds,
	}
	s.add(h)
	return h
}

// Observe counts v for this combination of label values.
func (h *Histogram) Observe(v float64, values ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := h.at(values)
	o := h.series[key]
	if o == nil {
		o = &observations{buckets: make([]uint64, len(h.bounds))}
		h.series[key] = o
	}
	// The first bound that is not below v; beyond the last one only the count knows.
	if i, _ := slices.BinarySearch(h.bounds, v); i < len(h.bounds) {
		o.buckets[i]++
	}
	o.count++
	o.sum += v
}

func (h *Histogram) write(b *bytes.Buffer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.header(b)
	for _, key := range slices.Sorted(maps.Keys(h.series)) {
		o := h.series[key]
		separator := ""
		if key != "" {
			separator = ","
		}
		var below uint64
		for i, bound := range h.bounds {
			below += o.buckets[i]
			fmt.Fprintf(b, "%s_bucket{%s%sle=\"%s\"} %d\n", h.name, key, separator, number(bound), below)
		}
		fmt.Fprintf(b, "%s_bucket{%s%sle=\"+Inf\"} %d\n", h.name, key, separator, o.count)
		fmt.Fprintf(b, "%s_sum%s %s\n%s_count%s %d\n", h.name, braced(key), number(o.sum), h.name, braced(key), o.count)
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
