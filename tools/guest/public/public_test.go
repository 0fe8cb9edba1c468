package public

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/guest/engine"
)

// simEngine has one container, whose log it gives as it is.
type simEngine struct {
	log    string
	frames bool
	asked  engine.LogQuery
	err    error
}

func (s *simEngine) Containers(context.Context) ([]engine.Container, error) {
	return []engine.Container{{Names: []string{"app"}, Image: "<script>", Status: "Up"}}, s.err
}

func (s *simEngine) Logs(_ context.Context, container string, q engine.LogQuery) (io.ReadCloser, bool, error) {
	s.asked = q
	if container != "app" {
		return nil, false, &engine.StatusError{Status: 404, Message: "No such container"}
	}
	return io.NopCloser(strings.NewReader(s.log)), s.frames, s.err
}

var simPage = Page{Application: "sim<b>app", App: "aa", Instance: "bb", ComposeHash: "cc", Version: "0.5.11", Logs: true, SysInfo: true}

func get(t *testing.T, p Page, e Engine, address string) *httptest.ResponseRecorder {
	t.Helper()
	worker := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "worker "+r.URL.Path) })
	w := httptest.NewRecorder()
	Handler(p, e, worker).ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
	return w
}

func TestHandler(t *testing.T) {
	closed := simPage
	closed.Logs, closed.SysInfo = false, false
	for _, tt := range []struct {
		page    Page
		address string
		status  int
		has     string
		hasNot  string
	}{
		{simPage, "/", 200, "sim&lt;b&gt;app", "<script>"},
		{simPage, "/", 200, `href="/logs/app?`, "\x00"},
		{simPage, "/", 200, "<h2>System</h2>", "\x00"},
		{closed, "/", 200, "aa", "/logs/"},
		{closed, "/", 200, "Containers", "System"},
		{simPage, "/metrics", 200, "# TYPE dstack_guest_memory_total_bytes gauge\ndstack_guest_memory_total_bytes ", "\x00"},
		{closed, "/metrics", 403, "not public", "dstack_guest"},
		{simPage, "/logs/app?text", 200, `{"channel":"stdout","message":"hi\n"}`, "\x00"},
		{closed, "/logs/app?text", 403, "not public", "hi"},
		{simPage, "/logs/other", 404, "No such container", "\x00"},
		{simPage, "/logs/app?tail=x", 400, "tail", "hi"},
		{simPage, "/prpc/Worker.Info", 200, "worker /prpc/Worker.Info", "\x00"},
		{simPage, "/elsewhere", 404, "", "\x00"},
	} {
		w := get(t, tt.page, &simEngine{log: "\x01\x00\x00\x00\x00\x00\x00\x03hi\n", frames: true}, tt.address)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.has) || strings.Contains(w.Body.String(), tt.hasNot) {
			t.Errorf("%s: %d %s, want %d with %q and without %q", tt.address, w.Code, w.Body, tt.status, tt.has, tt.hasNot)
		}
		if got := w.Header().Get("X-App-Version"); got != "0.5.11" {
			t.Errorf("%s: version %q", tt.address, got)
		}
	}
	w := get(t, simPage, &simEngine{err: errors.New("away")}, "/")
	if w.Code != 500 {
		t.Errorf("without an engine: %d", w.Code)
	}
}

func TestLogFormats(t *testing.T) {
	const frames = "\x01\x00\x00\x00\x00\x00\x00\x0e\x1b[31mred\x1b[0m\xff\n\x02\x00\x00\x00\x00\x00\x00\x02<\n"
	for query, want := range map[string]string{
		"":               `{"channel":"stdout","message":"G1szMW1yZWQbWzBt/wo="}` + "\n" + `{"channel":"stderr","message":"PAo="}` + "\n",
		"text":           `{"channel":"stdout","message":"\u001b[31mred\u001b[0m` + "\ufffd" + `\n"}` + "\n" + `{"channel":"stderr","message":"<\n"}` + "\n",
		"text=true&ansi": `{"channel":"stdout","message":"\u001b[31mred\u001b[0m` + "\ufffd" + `\n"}` + "\n" + `{"channel":"stderr","message":"<\n"}` + "\n",
		"bare":           "\x1b[31mred\x1b[0m\xff\n<\n",
		"bare&text":      "red\ufffd\n<\n",
		"bare&text&ansi": "\x1b[31mred\x1b[0m\xff\n<\n",
	} {
		if w := get(t, simPage, &simEngine{log: frames, frames: true}, "/logs/app?"+query); w.Body.String() != want {
			t.Errorf("%s: %q, want %q", query, w.Body, want)
		}
	}
	if w := get(t, simPage, &simEngine{log: "raw"}, "/logs/app?bare&follow"); w.Body.String() != "raw" || !w.Flushed {
		t.Errorf("a terminal's log: %q", w.Body)
	}
	// A stream that breaks off is no complete answer.
	defer func() {
		if reason, _ := recover().(error); !errors.Is(reason, http.ErrAbortHandler) {
			t.Errorf("ended with %v, want the connection cut", reason)
		}
	}()
	get(t, simPage, &simEngine{log: frames[:9], frames: true}, "/logs/app")
}

func TestParseLogQuery(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for query, want := range map[string]logQuery{
		"":                        {LogQuery: engine.LogQuery{Tail: 1000}},
		"since=5&until=9&tail=0":  {LogQuery: engine.LogQuery{Since: 5, Until: 9}},
		"since=10s&until=2m":      {LogQuery: engine.LogQuery{Since: 999_990, Until: 999_880, Tail: 1000}},
		"since=1h&until=1d":       {LogQuery: engine.LogQuery{Since: 996_400, Until: 913_600, Tail: 1000}},
		"since=999999h":           {LogQuery: engine.LogQuery{Tail: 1000}},
		"tail=all&follow=true":    {LogQuery: engine.LogQuery{Tail: -1, Follow: true}},
		"timestamps&text=1&ansi=": {LogQuery: engine.LogQuery{Tail: 1000, Timestamps: true}, text: true, ansi: true},
		"follow=false&bare=0":     {LogQuery: engine.LogQuery{Tail: 1000}},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseLogQuery(values, now); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", query, got, err, want)
		}
	}
	for _, query := range []string{
		"since=", "since=x", "since=-5", "since=5w", "since=5ss", "since=s", "since=1.5h", "until=99999999999999", "tail=-1", "tail=", "tail=99999999999",
		"follow=yes", "text=2", "since=1&since=2", "other=1",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseLogQuery(values, now); err == nil || !strings.Contains(err.Error(), query[:strings.IndexByte(query, '=')]) {
			t.Errorf("%s: %+v, %v", query, got, err)
		}
	}
}

func TestStripANSI(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "\x1b[1;31ma\x1b[0mb": "ab", "\x1b]0;title\x07a": "a", "\x1b]8;;x\x1b\\a": "a", "\x1bMa": "a", "a\x1b": "a", "a\x1b[": "a", "a\x1b]x": "a",
	} {
		if got := string(stripANSI([]byte(text))); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzStripANSI(f *testing.F) {
	f.Add([]byte("\x1b[1;31ma\x1b]0;t\x07"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if got := stripANSI(text); strings.ContainsRune(string(got), 0x1b) || len(got) > len(text) {
			t.Errorf("%q: %q", text, got)
		}
	})
}

func TestParseSystem(t *testing.T) {
	files := map[string][]byte{
		"meminfo": []byte("MemTotal:        2048 kB\nMemFree: 1 kB\nMemAvailable:    1024 kB\n"), "loadavg": []byte("0.50 0.25 0.10 1/100 42\n"),
		"uptime": []byte("12.50 20.00\n"), "sys/kernel/osrelease": []byte("6.12.0\n"),
	}
	s, err := parseSystem(files)
	if err != nil || s.MemoryTotal != 2<<20 || s.MemoryAvailable != 1<<20 || s.Load1 != 0.5 || s.Load15 != 0.1 || s.Uptime != 12.5 || s.Kernel != "6.12.0" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, name := range []string{"meminfo", "loadavg", "uptime"} {
		broken := map[string][]byte{name: []byte("x")}
		for other, data := range files {
			if other != name {
				broken[other] = data
			}
		}
		if _, err := parseSystem(broken); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
