package service

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Service is one at an address.
type Service struct {
	address string
	client  http.Client
}

// New names a service, for messages, by its address and the path behind it. Without secret, http:// will do; with one it has to be
// https://, or on this machine. A transport of nil is the default one.
func New(name, address, path string, secret bool, transport http.RoundTripper) (*Service, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("%s: expected an address as in https://service.example, got %.200q", name, address)
	}
	if secret && u.Scheme == "http" && !local(u.Hostname()) {
		return nil, fmt.Errorf("%s: expected https://, because a token is sent there, got %.200q", name, address)
	}
	return &Service{address: strings.TrimSuffix(address, "/") + path, client: http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func local(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && address.IsLoopback())
}

// String is the address with the path.
func (s *Service) String() string { return s.address }

// Answer is what came back.
type Answer struct {
	Status int
	Data   []byte
}

// OK holds for the two codes with which a service grants what it is asked for.
func (a Answer) OK() bool { return a.Status == http.StatusOK || a.Status == http.StatusCreated }

// Post asks with a body of one media type and takes an answer of at most so many bytes of another.
func (s *Service) Post(ctx context.Context, body []byte, mediaType, accept string, most int64) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("Accept", accept)
	response, err := s.client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return Answer{}, err
	}
	if int64(len(data)) > most {
		return Answer{}, fmt.Errorf("expected an answer of at most %d bytes, got more", most)
	}
	return Answer{response.StatusCode, data}, nil
}
