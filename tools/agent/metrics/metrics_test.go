package metrics

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestText(t *testing.T) {
	var s Set
	requests := s.Counter("requests_total", "Requests.", "route", "code")
	flight := s.Gauge("in_flight", "In flight.")
	latency := s.Histogram("seconds", "Latency.", []float64{0.1, 1}, "route")
	s.Reading("memory_bytes", "Memory.", func() (float64, bool) { return 1.5, true })
	s.Reading("absent", "Absent.", func() (float64, bool) { return 0, false })
	requests.Add("/b", "200")
	requests.Add("/a", "404")
	requests.Add("/a", "404")
	requests.Add("a\"\\\n", "200")
	flight.Add(3)
	flight.Add(-1)
	latency.Observe(0.05, "/a")
	latency.Observe(0.1, "/a")
	latency.Observe(0.5, "/a")
	latency.Observe(7, "/a")
	want := `# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{route="/a",code="404"} 2
requests_total{route="/b",code="200"} 1
requests_total{route="a\"\\\n",code="200"} 1
# HELP in_flight In flight.
# TYPE in_flight gauge
in_flight 2
# HELP seconds Latency.
# TYPE seconds histogram
seconds_bucket{route="/a",le="0.1"} 2
seconds_bucket{route="/a",le="1"} 3
seconds_bucket{route="/a",le="+Inf"} 4
seconds_sum{route="/a"} 7.65
seconds_count{route="/a"} 4
# HELP memory_bytes Memory.
# TYPE memory_bytes gauge
memory_bytes 1.5
`
	if got := string(s.Text()); got != want {
		t.Errorf("text\n%s\nwant\n%s", got, want)
	}
}

func TestSeriesAreBounded(t *testing.T) {
	var s Set
	c := s.Counter("c", "C.", "l")
	var wg sync.WaitGroup
	for i := range 2 * MaxSeries {
		wg.Go(func() { c.Add(strconv.Itoa(i)) })
	}
	wg.Wait()
	if got := strings.Count(string(s.Text()), "\nc{"); got != MaxSeries+1 {
		t.Errorf("%d series, want %d", got, MaxSeries+1)
	}
	if want := `c{l="other"} ` + strconv.Itoa(MaxSeries); !strings.Contains(string(s.Text()), want) {
		t.Errorf("no line %s", want)
	}
}
