package registration

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// MaxURL bounds an endpoint, in bytes.
const MaxURL = 512

// endpointForm leaves nothing to interpretation: lower-case scheme and host, no user information, query, fragment, escapes
// or empty path segments. Every byte it admits is plain in the sense of evidence.Digest.
var endpointForm = regexp.MustCompile(`^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~-]+)*$`)

// Endpoint is the parsed address of a service: http or https, a host, perhaps a port and a path prefix.
type Endpoint struct{ url *url.URL }

// ParseEndpoint accepts one spelling of each address. The error names what is wrong and never repeats user information.
func ParseEndpoint(s string) (Endpoint, error) {
	if strings.ContainsAny(s, "@") {
		return Endpoint{}, errors.New("want no user information in the URL, got some (not shown)")
	}
	if len(s) > MaxURL || !endpointForm.MatchString(s) {
		return Endpoint{}, fmt.Errorf("want http:// or https://, a lower-case host, perhaps a port and a path, without query, fragment "+
			"or final slash, at most %d bytes, got %.100q", MaxURL, s)
	}
	u, err := url.Parse(s)
	if err != nil {
		return Endpoint{}, fmt.Errorf("want a URL: %w", err)
	}
	if port, _ := strconv.Atoi(u.Port()); port > 65535 {
		return Endpoint{}, fmt.Errorf("want a port up to 65535, got %d", port)
	}
	if u.Path != "" && path.Clean(u.Path) != u.Path {
		return Endpoint{}, fmt.Errorf("want a path without . and .. segments, got %q", u.Path)
	}
	return Endpoint{u}, nil
}

// String returns the address as it was parsed.
func (e Endpoint) String() string {
	if e.url == nil {
		return ""
	}
	return e.url.String()
}

// IsZero says whether there is no address.
func (e Endpoint) IsZero() bool { return e.url == nil }

// At returns the URL of a path under the endpoint, which starts with a slash.
func (e Endpoint) At(path string) string { return e.String() + path }

// HostPort returns what to connect to, with the scheme's port when the URL names none.
func (e Endpoint) HostPort() string {
	if e.url == nil {
		return ""
	}
	port := e.url.Port()
	if port == "" {
		port = "80"
		if e.url.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(e.url.Hostname(), port)
}

// InClear says whether what is sent there crosses a network readable by others: plain http to another host.
func (e Endpoint) InClear() bool {
	if e.url == nil || e.url.Scheme == "https" {
		return false
	}
	switch e.url.Hostname() {
	case "localhost", "127.0.0.1", "::1":
		return false
	}
	return true
}
