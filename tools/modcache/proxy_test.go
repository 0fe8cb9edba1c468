package modcache

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
)

func at(base string, onAnyError bool) upstream { return upstream{base: base, onAnyError: onAnyError} }

func TestParseProxies(t *testing.T) {
	tests := []struct {
		list string
		want []upstream
	}{
		{"https://a.example", []upstream{at("https://a.example", false)}},
		{"https://a.example/", []upstream{at("https://a.example", false)}},
		{"http://a.example/go/proxy", []upstream{at("http://a.example/go/proxy", false)}},
		{"https://u:p@a.example", []upstream{{base: "https://a.example", login: url.UserPassword("u", "p")}}},
		{"https://a.example,https://b.example", []upstream{at("https://a.example", false), at("https://b.example", false)}},
		{"https://a.example|https://b.example", []upstream{at("https://a.example", true), at("https://b.example", false)}},
		{" https://a.example , https://b.example ", []upstream{at("https://a.example", false), at("https://b.example", false)}},
		{"https://a.example,direct", []upstream{at("https://a.example", false)}},
		{"direct,https://a.example", []upstream{at("https://a.example", false)}},
		{"https://a.example|direct|https://b.example", []upstream{at("https://a.example", true), at("https://b.example", false)}},
		{"https://a.example,off,https://b.example", []upstream{at("https://a.example", false)}},
		{"https://a.example,off,not a proxy", []upstream{at("https://a.example", false)}},
		{",,https://a.example,|", []upstream{at("https://a.example", false)}},
	}
	for _, tt := range tests {
		t.Run(tt.list, func(t *testing.T) {
			got, err := parseProxies(tt.list)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("proxies are %v (%v), want %v", got, err, tt.want)
			}
		})
	}
}

func TestParseProxiesRefuses(t *testing.T) {
	tests := []struct{ list, want string }{
		{"", "names no proxy"},
		{",", "names no proxy"},
		{"direct", "names no proxy"},
		{"off", "names no proxy"},
		{"off,https://a.example", "names no proxy"},
		{"a.example", "a.example"},
		{"https://", "expected an http or https URL"},
		{"https://a.example,ftp://b.example", "ftp://b.example"},
		{"file:///srv/modules", "file:///srv/modules"},
		{"none", "none"},
		{"https://a.example/%zz", "expected an http or https URL"},
		{"https://a b.example", "expected an http or https URL"},
		// What a URL says after its path would end up before the module's path.
		{"https://a.example/?token=1", "expected an http or https URL"},
		{"https://a.example/#fragment", "expected an http or https URL"},
		// Malformed, with credentials: see also FuzzParseProxies.
		{"ftp://user:s3cret@b.example", "b.example"},
		{"ftp://s3cret@b.example", "b.example"},
		{"https://user:s3cret%zz@b.example", "GOPROXY"},
		{"user:s3cret@b.example", "GOPROXY"},
		{"off,https://user:s3cret@b.example", "names no proxy"},
	}
	for _, tt := range tests {
		t.Run(tt.list, func(t *testing.T) {
			got, err := parseProxies(tt.list)
			if err == nil {
				t.Fatalf("proxies are %v, want an error", got)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("message is %q, want it to have %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("message shows the credentials: %q", err)
			}
		})
	}
}

// FuzzParseProxies: a list is understood or refused, what is understood can be asked, and no message shows credentials.
func FuzzParseProxies(f *testing.F) {
	for _, list := range []string{"https://a.example,direct", "https://a.example|http://b.example/x/,off", "ftp://b", "", "://", "https://%zz", ", ,|off"} {
		f.Add(list, "a.example")
		f.Add(list+",", "b.example/%zz")
	}
	f.Fuzz(func(t *testing.T, list, host string) {
		if proxies, err := parseProxies(list); err == nil {
			if len(proxies) == 0 {
				t.Errorf("%q gave no proxy and no error", list)
			}
			for _, p := range proxies {
				if _, err := http.NewRequest(http.MethodGet, p.base+"/example.test/@v/list", nil); err != nil {
					t.Errorf("%q gave %q, which can not be asked: %v", list, p.base, err)
				}
			}
		}
		for _, secret := range []string{"https://user:s3cret@", "https://s3cret@", "user:s3cret@", "ftp://:s3cret@"} {
			if _, err := parseProxies(list + "," + secret + host); err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%q gave a message with credentials: %q", list+","+secret+host, err)
			}
		}
	})
}

// answering is a proxy that gives one answer to everything, and counts.
func answering(t *testing.T, status int, body string) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	asked := new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return server, asked
}

// ask starts a loopback proxy for a GOPROXY list and sends it one request. The error is that of reading the answer.
func ask(t *testing.T, list, method, path string) (int, string, error) {
	t.Helper()
	proxies, err := parseProxies(list)
	if err != nil {
		t.Fatal(err)
	}
	l, err := serve(t.Context(), proxies)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	request, err := http.NewRequestWithContext(t.Context(), method, l.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// The rules of go.dev/ref/mod, "GOPROXY protocol": after a comma only 404 and 410 go on to the next, after a bar every error.
func TestFallThrough(t *testing.T) {
	const down = 0 // a proxy that is not there
	tests := []struct {
		first     int
		separator string
		status    int
		second    bool // is it asked
	}{
		{200, ",", 200, false},
		{200, "|", 200, false},
		{404, ",", 200, true},
		{410, ",", 200, true},
		{404, "|", 200, true},
		{500, ",", 500, false},
		{403, ",", 403, false},
		{500, "|", 200, true},
		{403, "|", 200, true},
		{down, ",", 502, false},
		{down, "|", 200, true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d%s", tt.first, tt.separator), func(t *testing.T) {
			base := "http://" + unreachable(t)
			if tt.first != down {
				first, asked := answering(t, tt.first, "first")
				base = first.URL
				defer func() {
					if asked.Load() != 1 {
						t.Errorf("the first proxy was asked %d times, want once", asked.Load())
					}
				}()
			}
			second, asked := answering(t, http.StatusOK, "second")
			status, body, err := ask(t, base+tt.separator+second.URL, http.MethodGet, "/x/@v/list")
			if err != nil || status != tt.status {
				t.Errorf("status is %d (%v), want %d", status, err, tt.status)
			}
			if got := asked.Load() > 0; got != tt.second {
				t.Errorf("the second proxy was asked: %v, want %v", got, tt.second)
			}
			if want := map[bool]string{true: "second", false: "first"}[tt.second]; status == http.StatusOK && body != want {
				t.Errorf("body is %q, want that of the %s proxy", body, want)
			}
		})
	}
}

func TestLastProxyDecides(t *testing.T) {
	missing, _ := answering(t, http.StatusNotFound, "")
	broken, _ := answering(t, http.StatusServiceUnavailable, "")
	tests := []struct {
		list string
		want int
	}{
		{missing.URL, http.StatusNotFound},
		{broken.URL, http.StatusServiceUnavailable},
		{missing.URL + "," + missing.URL, http.StatusNotFound},
		{missing.URL + "," + broken.URL, http.StatusServiceUnavailable},
		{missing.URL + "|http://" + unreachable(t), http.StatusBadGateway},
	}
	for _, tt := range tests {
		if got, _, err := ask(t, tt.list, http.MethodGet, "/x/@v/list"); err != nil || got != tt.want {
			t.Errorf("%s: status is %d (%v), want %d", tt.list, got, err, tt.want)
		}
	}
}

func TestPassKeepsThePath(t *testing.T) {
	paths := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths <- r.URL.EscapedPath() }))
	defer server.Close()
	if status, _, err := ask(t, server.URL+"/go/", http.MethodGet, "/example.test/!words/@v/v1.0.0%2Bx.mod"); err != nil || status != http.StatusOK {
		t.Fatalf("status is %d (%v)", status, err)
	}
	if got, want := <-paths, "/go/example.test/!words/@v/v1.0.0%2Bx.mod"; got != want {
		t.Errorf("the proxy was asked for %s, want %s", got, want)
	}
}

func TestPassOnlyReads(t *testing.T) {
	server, asked := answering(t, http.StatusOK, "")
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		if status, _, err := ask(t, server.URL, method, "/x"); err != nil || status != http.StatusMethodNotAllowed {
			t.Errorf("%s: status is %d (%v), want %d", method, status, err, http.StatusMethodNotAllowed)
		}
	}
	if asked.Load() > 0 {
		t.Errorf("the proxy was asked %d times, want never", asked.Load())
	}
}

// A body that ends too early must not look like a whole one.
func TestBodyCutShort(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"with a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
		},
		"in chunks": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half")
			w.(http.Flusher).Flush()    //nolint:forcetypeassert // the server's writer flushes
			panic(http.ErrAbortHandler) // breaks the connection
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			if status, body, err := ask(t, server.URL, http.MethodGet, "/x"); err == nil {
				t.Errorf("status %d and %q were read to the end, want an error", status, body)
			}
		})
	}
}

// A login in the list reaches the proxy that it belongs to, and no other: not the next in the list, and not one that the
// first redirects to.
func TestLogin(t *testing.T) {
	logins := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		logins <- user + ":" + password
	}))
	defer server.Close()
	_, address, _ := strings.Cut(server.URL, "://")
	missing, _ := answering(t, http.StatusNotFound, "")
	_, elsewhere, _ := strings.Cut(missing.URL, "://")
	// The same server under another name, as only another host loses the login.
	_, port, _ := strings.Cut(address, ":")
	redirecting := httptest.NewServer(http.RedirectHandler("http://localhost:"+port+"/x", http.StatusFound))
	defer redirecting.Close()
	_, redirect, _ := strings.Cut(redirecting.URL, "://")

	tests := []struct{ name, list, want string }{
		{"user and password", "http://user:s3cret@" + address, "user:s3cret"},
		{"a token alone", "http://t0ken@" + address, "t0ken:"},
		{"escaped", "http://us%40er:s%2Fcret@" + address, "us@er:s/cret"},
		{"none", "http://" + address, ":"},
		{"of the proxy before", "http://user:s3cret@" + elsewhere + ",http://" + address, ":"},
		{"of the proxy that redirects", "http://user:s3cret@" + redirect, ":"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if status, _, err := ask(t, tt.list, http.MethodGet, "/x"); err != nil || status != http.StatusOK {
				t.Fatalf("status is %d (%v)", status, err)
			}
			if got := <-logins; got != tt.want {
				t.Errorf("the proxy was given the login %q, want %q", got, tt.want)
			}
		})
	}
}
