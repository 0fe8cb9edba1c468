package loghttp

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// maxHeader bounds the headers of an answer, in bytes.
const maxHeader = 64 << 10

// Client reads a log over HTTP.
type Client struct {
	base   string // without a slash at the end
	client *http.Client
}

// NewClient reads the log under an address, http:// or https://. Without a transport it asks through the proxy of the environment.
func NewClient(address string, transport http.RoundTripper) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("address of the log: %w", err)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("address of the log: expected https:// or http:// with a host, and without user, query and fragment, got %q", u.Redacted())
	}
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DisableCompression:     true, // a bound of the body is one of its size in memory
			MaxResponseHeaderBytes: maxHeader,
		}
	}
	return &Client{strings.TrimRight(address, "/"), &http.Client{Transport: transport, CheckRedirect: sameHost}}, nil
}

// sameHost follows a few redirects of a host to itself, and none elsewhere.
func sameHost(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return fmt.Errorf("redirected to %s://%s, and only %s://%s was asked", next.URL.Scheme, next.URL.Host, first.Scheme, first.Host)
	}
	if len(before) > 3 {
		return errors.New("redirected more than 3 times")
	}
	return nil
}

// Checkpoint reads the signed head, as [transparency.Reader] asks.
func (c *Client) Checkpoint(ctx context.Context) ([]byte, error) {
	return c.get(ctx, transparency.CheckpointPath, transparency.MaxCheckpoint)
}

// ReadTile reads a tile.
func (c *Client) ReadTile(ctx context.Context, level, index uint64, width int) ([]byte, error) {
	return c.get(ctx, transparency.TilePath(level, index, width), transparency.MaxTile)
}

// ReadEntryBundle reads a bundle of entries.
func (c *Client) ReadEntryBundle(ctx context.Context, index uint64, width int) ([]byte, error) {
	return c.get(ctx, transparency.EntryBundlePath(index, width), transparency.MaxEntryBundle)
}

func (c *Client) get(ctx context.Context, path string, limit int64) ([]byte, error) {
	address := c.base + "/" + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, fmt.Errorf("%s: %w", address, fs.ErrNotExist)
	default:
		return nil, fmt.Errorf("%s: expected status 200, got %d", address, response.StatusCode)
	}
	body := io.Reader(response.Body)
	switch encoding := response.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip": // which a log may send to whoever did not ask for it
		if body, err = gzip.NewReader(body); err != nil {
			return nil, fmt.Errorf("%s: %w", address, err)
		}
	default:
		return nil, fmt.Errorf("%s: expected Content-Encoding gzip or identity, got %.40q", address, encoding)
	}
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: expected at most %d bytes, got more", address, limit)
	}
	return data, nil
}
