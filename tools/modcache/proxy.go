package modcache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// upstream is one entry of a GOPROXY list.
type upstream struct {
	// base has no credentials, so that it can stand in a message; login holds them.
	base  string
	login *url.Userinfo
	// onAnyError goes on to the next entry after any error, not only after 404 and 410 ("|" in the list).
	onAnyError bool
}

// parseProxies reads a GOPROXY list. "direct" is passed over: fetching from version control takes programs that a build
// does not have, and a proxy to fall back from.
func parseProxies(list string) ([]upstream, error) {
	var all []upstream
	for rest := list; rest != ""; {
		entry, separator := rest, byte(0)
		if i := strings.IndexAny(rest, ",|"); i >= 0 {
			entry, separator, rest = rest[:i], rest[i], rest[i+1:]
		} else {
			rest = ""
		}
		entry = strings.TrimSpace(entry)
		switch entry {
		case "", "direct":
			continue
		case "off":
			rest = ""
			continue
		}
		u, err := url.Parse(entry)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.ContainsAny(entry, "?#") {
			return nil, fmt.Errorf("fetch modules: GOPROXY entry %q: expected an http or https URL without query and fragment", shown(entry))
		}
		p := upstream{login: u.User, onAnyError: separator == '|'}
		u.User = nil
		p.base = strings.TrimSuffix(u.String(), "/")
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, errors.New("fetch modules: GOPROXY names no proxy to fetch from")
	}
	return all, nil
}

// shown cuts off what may be credentials, wherever a malformed entry has them.
func shown(entry string) string {
	if end := strings.IndexAny(entry, "?#"); end >= 0 {
		entry = entry[:end] + "…"
	}
	if at := strings.LastIndex(entry, "@"); at >= 0 {
		return "…" + entry[at:]
	}
	return entry
}

type loopback struct {
	url    string
	server *http.Server

	mu    sync.Mutex
	first error
}

// serve starts a proxy on a loopback port that passes requests on.
//
// It does not check the certificates of the proxies. A build sandbox has no CA certificates, and a company's proxy may
// present its own; what is fetched is compared with go.sum by the go command and with the pinned hash by Nix, which is also
// how Nix's own fetchers work. Nothing else in this repository may skip the check.
func serve(ctx context.Context, proxies []upstream) (*loopback, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fetch modules: %w", err)
	}
	client := &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see the comment above: integrity comes from go.sum
			TLSHandshakeTimeout: 20 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 16,
		},
		Timeout: 5 * time.Minute,
	}
	l := &loopback{url: "http://" + listener.Addr().String()}
	l.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			l.pass(client, proxies, w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() {
		if err := l.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			l.note(err)
		}
	}()
	return l, nil
}

func (l *loopback) close() {
	// Nothing is under way any more that could fail to close.
	_ = l.server.Close()
}

func (l *loopback) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = err
	}
}

// failure is the first error that a proxy could not be asked with.
func (l *loopback) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// pass answers with what the first proxy that has it says, by the rules of the GOPROXY list.
func (l *loopback) pass(client *http.Client, proxies []upstream, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		http.Error(w, "expected GET", http.StatusMethodNotAllowed)
		return
	}
	status := http.StatusNotFound
	for _, p := range proxies {
		request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, p.base+r.URL.EscapedPath(), nil)
		if err != nil {
			http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
			return
		}
		if p.login != nil {
			password, _ := p.login.Password()
			request.SetBasicAuth(p.login.Username(), password)
		}
		response, err := client.Do(request)
		if err != nil {
			l.note(fmt.Errorf("fetch modules: %w", err))
			if status = http.StatusBadGateway; p.onAnyError {
				continue
			}
			break
		}
		if response.StatusCode == http.StatusOK {
			relay(w, response)
			return
		}
		response.Body.Close()
		status = response.StatusCode
		if status != http.StatusNotFound && status != http.StatusGone && !p.onAnyError {
			break
		}
	}
	http.Error(w, http.StatusText(status), status)
}

func relay(w http.ResponseWriter, response *http.Response) {
	defer response.Body.Close()
	if response.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(response.ContentLength, 10))
	}
	w.WriteHeader(http.StatusOK)
	if _, err := io.Copy(w, response.Body); err != nil {
		// The status is out; breaking the connection tells the go command that the body is cut short.
		panic(http.ErrAbortHandler)
	}
}
