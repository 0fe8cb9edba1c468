package collateral

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

const (
	// IntelPCS is Intel's Provisioning Certification Service.
	IntelPCS = "https://api.trustedservices.intel.com"
	// IntelRootCRL is where Intel publishes the revocation list of its root, apart from the API.
	IntelRootCRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
)

// maxHeader bounds the headers of an answer, in bytes. An issuer chain has some 2 KiB, URL-encoded some 3.
const maxHeader = 64 << 10

// service is a PCS or a PCCS.
type service struct {
	base    string // scheme and host, perhaps with a folder, no slash at the end
	rootCRL string
	update  Update
	client  *http.Client
}

// newService takes the address under which the API's paths stand; the end that a PCCS's clients are configured with,
// /sgx/certification/v4/, may be there.
func newService(address string, options Options) (*service, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: expected https:// or http:// with a host, and without user, query and fragment, got %q", ErrSpec, u.Redacted())
	}
	base := strings.TrimRight(address, "/")
	for _, api := range []string{"/sgx/certification/v4", "/tdx/certification/v4"} {
		base = strings.TrimSuffix(base, api)
	}
	s := &service{base: base, rootCRL: base + "/sgx/certification/v4/rootcacrl", update: options.Update}
	if base == IntelPCS {
		s.rootCRL = IntelRootCRL
	}
	transport := options.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DisableKeepAlives:      true, // requests are a month apart
			DisableCompression:     true, // a bound of the body is one of its size in memory
			MaxResponseHeaderBytes: maxHeader,
		}
	}
	s.client = &http.Client{Transport: transport, CheckRedirect: sameHost}
	return s, nil
}

// sameHost follows a few redirects of a service to itself, and none elsewhere.
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

// fetch asks for all four parts at once. The first failure ends the other requests.
func (s *service) fetch(ctx context.Context, target Target) (quote.Collateral, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tcb := url.Values{"fmspc": {hex.EncodeToString(target.FMSPC[:])}}
	identity := url.Values{}
	if s.update != "" {
		tcb.Set("update", string(s.update))
		identity.Set("update", string(s.update))
	}
	pckCRL := url.Values{"ca": {target.CA}, "encoding": {"der"}}
	var c quote.Collateral
	parts := []func() error{
		func() (err error) {
			// Before v4 the header was SGX-TCB-Info-Issuer-Chain, and some caches still send that.
			c.TCBInfo, c.TCBInfoChain, err = s.document(ctx, "/tdx/certification/v4/tcb", tcb, "FMSPC", "TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain")
			return err
		},
		func() (err error) {
			c.QEIdentity, c.QEIdentityChain, err = s.document(ctx, "/tdx/certification/v4/qe/identity", identity, "", "SGX-Enclave-Identity-Issuer-Chain")
			return err
		},
		func() (err error) {
			address := s.base + "/sgx/certification/v4/pckcrl?" + pckCRL.Encode()
			body, header, err := s.request(ctx, address, "CA")
			if err != nil {
				return err
			}
			if c.PCKCRL, err = decodeCRL(body); err != nil {
				return &AnswerError{address, err.Error()}
			}
			c.PCKCRLChain, err = issuerChain(address, header, "SGX-PCK-CRL-Issuer-Chain")
			return err
		},
		func() error {
			body, _, err := s.request(ctx, s.rootCRL, "")
			if err != nil {
				return err
			}
			if c.RootCRL, err = decodeCRL(body); err != nil {
				return &AnswerError{s.rootCRL, err.Error()}
			}
			return nil
		},
	}
	failures := make(chan error, len(parts))
	for _, part := range parts {
		go func() { failures <- part() }()
	}
	var first error
	for range parts {
		if err := <-failures; err != nil && first == nil {
			first = err
			cancel() // what the others say from here on is a consequence
		}
	}
	if first != nil {
		return quote.Collateral{}, first
	}
	return c, nil
}

// document asks for signed JSON and the chain of its signer, about what is as for request.
func (s *service) document(ctx context.Context, path string, query url.Values, about string, headers ...string) (body, chain []byte, err error) {
	address := s.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	body, header, err := s.request(ctx, address, about)
	if err != nil {
		return nil, nil, err
	}
	if !json.Valid(body) {
		return nil, nil, &AnswerError{address, "expected JSON, got " + shown(body)}
	}
	chain, err = issuerChain(address, header, headers...)
	return body, chain, err
}

// request gets the body and the headers of a 200. It is about an FMSPC, a CA, or empty for what is the same for all platforms.
func (s *service) request(ctx context.Context, address, about string) ([]byte, http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, address, err)
	}
	response, err := s.client.Do(request)
	if err != nil {
		// It names an address of its own, which after a redirect is another.
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%w: %s: expected status 200, got %d%s", ErrUnreachable, address, response.StatusCode, meaning(response.StatusCode, about))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxMember+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: the answer ends too early: %w", ErrUnreachable, address, err)
	}
	if len(body) > MaxMember {
		return nil, nil, fmt.Errorf("%w: %s: expected an answer of at most %d bytes, got more", ErrUnreachable, address, MaxMember)
	}
	return body, response.Header, nil
}

// meaning is what a status says in Intel's API, where it says more than in HTTP.
func meaning(status int, about string) string {
	switch status {
	case http.StatusNotFound:
		if about == "" {
			return ""
		}
		return ", which says that the service knows nothing of this " + about
	case 461, 462: // PCCS: certs not available for the platform, for its TCB
		return ", which says that this PCCS has nothing about the platform"
	default:
		return ""
	}
}
