package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

const (
	// maxManifest bounds a manifest or an index; it is what registries commonly take (distribution-spec, "Pushing Manifests").
	maxManifest  = 4 << 20
	maxRedirects = 5

	// A registry that is busy is asked three times in all.
	firstWait = 100 * time.Millisecond
	lastWait  = 300 * time.Millisecond
)

// Options say how to talk to a registry. The zero value uses the logins of the Docker configuration.
type Options struct {
	// Keychain finds credentials; nil stands for authn.DefaultKeychain.
	Keychain authn.Keychain
	// PlainHTTP allows to talk to the registry without TLS. With one on a loopback address that is always allowed.
	PlainHTTP bool
	// Transport does the requests; nil stands for remote.DefaultTransport.
	Transport http.RoundTripper
	// Progress is told in lines what goes on; nil for nobody.
	Progress io.Writer
}

func (o Options) say(format string, args ...any) {
	if o.Progress != nil {
		// Nobody waits for progress.
		_, _ = fmt.Fprintf(o.Progress, format+"\n", args...)
	}
}

func (o Options) keychain() authn.Keychain {
	if o.Keychain == nil {
		return authn.DefaultKeychain
	}
	return o.Keychain
}

func (o Options) naming(validation name.Option) []name.Option {
	if o.PlainHTTP {
		return []name.Option{validation, name.Insecure}
	}
	return []name.Option{validation}
}

// guard lets requests pass that are protected by TLS, and those to the registry itself where it may do without.
type guard struct {
	inner http.RoundTripper
	// host and port of the registry
	registry string
	plain    bool
}

func (o Options) guard(registry name.Registry) http.RoundTripper {
	inner := o.Transport
	if inner == nil {
		inner = remote.DefaultTransport
	}
	return &guard{inner, registry.RegistryStr(), o.PlainHTTP || loopback(registry.RegistryStr())}
}

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && (!g.plain || r.URL.Host != g.registry) {
		return nil, &PlainHTTPError{r.URL.Host}
	}
	return g.inner.RoundTrip(r)
}

func loopback(host string) bool {
	if only, _, err := net.SplitHostPort(host); err == nil {
		host = only
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

// inside holds for an address literal of a network that only this machine may see.
func inside(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified())
}

// client talks to one repository.
type client struct {
	repository name.Repository
	http       *http.Client
	uploads    *remote.Pusher
	options    Options
}

// open asks the registry how to log in, and does.
func open(ctx context.Context, repository name.Repository, scope string, o Options) (*client, error) {
	guarded := o.guard(repository.Registry)
	login, err := authn.Resolve(ctx, o.keychain(), repository)
	if err != nil {
		return nil, fmt.Errorf("%s: logins: %w", repository, err)
	}
	authorized, err := transport.NewWithContext(ctx, repository.Registry, login, guarded, []string{repository.Scope(scope)})
	if err != nil {
		return nil, explain(repository.String(), err)
	}
	// Not WithContext: each upload brings its own.
	uploads, err := remote.NewPusher(remote.WithAuth(login), remote.WithTransport(guarded))
	if err != nil {
		return nil, err
	}
	return &client{repository, &http.Client{Transport: authorized, CheckRedirect: checkRedirect}, uploads, o}, nil
}

// checkRedirect follows a registry to where it stores blobs, and not into the networks that this machine is in.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("expected at most %d redirections, got one more", maxRedirects)
	}
	if from, to := via[0].URL.Hostname(), r.URL.Hostname(); from != to && inside(to) {
		return fmt.Errorf("expected a redirection to a public address, got one from %s to %s", from, to)
	}
	return nil
}

func (c *client) url(kind, name string) string {
	// name.Repository and digests hold nothing that has to be escaped.
	u := url.URL{Scheme: c.repository.Scheme(), Host: c.repository.RegistryStr(), Path: "/v2/" + c.repository.RepositoryStr() + "/" + kind + "/" + name}
	return u.String()
}

// do asks the registry, and again if it says that it was only busy.
func (c *client) do(ctx context.Context, method, address string, body []byte, header http.Header, accepted ...int) (*http.Response, error) {
	for wait := firstWait; ; wait *= 3 {
		resp, err := c.ask(ctx, method, address, body, header, accepted)
		var refused *transport.Error
		if err == nil || wait > lastWait || !errors.As(err, &refused) || !refused.Temporary() {
			return resp, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (c *client) ask(ctx context.Context, method, address string, body []byte, header http.Header, accepted []int) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for key := range header {
		r.Header.Set(key, header.Get(key))
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(resp, accepted...); err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp, nil
}

var manifestTypes = http.Header{"Accept": {string(types.OCIManifestSchema1) + "," + string(types.OCIImageIndex)}}

// manifest gets what a tag or digest names; a digest is compared.
func (c *client) manifest(ctx context.Context, tagOrDigest string) (data []byte, mediaType string, err error) {
	resp, err := c.do(ctx, http.MethodGet, c.url("manifests", tagOrDigest), nil, manifestTypes, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	data, err = c.read(resp.Body, tagOrDigest)
	if err != nil {
		return nil, "", err
	}
	if strings.HasPrefix(tagOrDigest, "sha256:") && hashOf(data).String() != tagOrDigest {
		return nil, "", &ContentError{c.reference(tagOrDigest), fmt.Errorf("expected this digest, got content with %s", hashOf(data))}
	}
	return data, resp.Header.Get("Content-Type"), nil
}

// read takes a manifest or an index, and no more than one may have.
func (c *client) read(r io.Reader, what string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = &ContentError{c.reference(what), fmt.Errorf("expected at most %d bytes, got more", maxManifest)}
	}
	return data, err
}

// reference names something in the repository for people.
func (c *client) reference(tagOrDigest string) string {
	if strings.HasPrefix(tagOrDigest, "sha256:") {
		return c.repository.Digest(tagOrDigest).String()
	}
	return c.repository.Tag(tagOrDigest).String()
}

// present is the digest of what a tag or digest names, and zero where it names nothing.
func (c *client) present(ctx context.Context, tagOrDigest string) (v1.Hash, error) {
	resp, err := c.do(ctx, http.MethodHead, c.url("manifests", tagOrDigest), nil, manifestTypes, http.StatusOK)
	if absent(err) {
		return v1.Hash{}, nil
	}
	if err != nil {
		return v1.Hash{}, err
	}
	if err := resp.Body.Close(); err != nil {
		return v1.Hash{}, err
	}
	h, err := v1.NewHash(resp.Header.Get("Docker-Content-Digest"))
	if err == nil {
		return h, nil
	}
	// The header is optional (distribution-spec, "Checking if content exists in the registry").
	data, _, err := c.manifest(ctx, tagOrDigest)
	return hashOf(data), err
}

// putManifest gives a manifest to the registry under a tag or its digest.
func (c *client) putManifest(ctx context.Context, tagOrDigest, mediaType string, data []byte) error {
	resp, err := c.do(ctx, http.MethodPut, c.url("manifests", tagOrDigest), data, http.Header{"Content-Type": {mediaType}}, http.StatusOK, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// ensureManifest puts a manifest under its digest unless it is there.
func (c *client) ensureManifest(ctx context.Context, data []byte) (v1.Hash, error) {
	h := hashOf(data)
	there, err := c.present(ctx, h.String())
	if err != nil || there == h {
		return h, err
	}
	return h, c.putManifest(ctx, h.String(), string(types.OCIManifestSchema1), data)
}

// blob writes a blob of exactly size bytes to w. What w got is only to be used if there is no error.
func (c *client) blob(ctx context.Context, digest provenance.Digest, size int64, w io.Writer) (err error) {
	resp, err := c.do(ctx, http.MethodGet, c.url("blobs", digest.String()), nil, nil, http.StatusOK)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(resp.Body, size+1))
	if err != nil {
		return err
	}
	switch got := provenance.Digest(sum.Sum(nil)); {
	case n > size:
		return &ContentError{c.reference(digest.String()), fmt.Errorf("expected %d bytes, got more", size)}
	case n < size:
		return &ContentError{c.reference(digest.String()), fmt.Errorf("expected %d bytes, got %d", size, n)}
	case got != digest:
		return &ContentError{c.reference(digest.String()), fmt.Errorf("expected this digest, got content with %s", got)}
	}
	return nil
}

func hashOf(data []byte) v1.Hash { return hash(provenance.DigestOf(data)) }

func hash(d provenance.Digest) v1.Hash {
	h, err := v1.NewHash(d.String())
	if err != nil {
		panic(err) // a digest has the text form of a hash
	}
	return h
}
