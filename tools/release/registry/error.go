package registry

import (
	"errors"
	"fmt"
	"net/http"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ReferenceError says that text does not name what it has to.
type ReferenceError struct {
	Text     string
	Expected string
	Err      error
}

func (e *ReferenceError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%q: expected %s", e.Text, e.Expected)
	}
	return fmt.Sprintf("%q: expected %s: %v", e.Text, e.Expected, e.Err)
}

func (e *ReferenceError) Unwrap() error { return e.Err }

// RepositoryError says that an image of the release belongs to a repository that is not below the one that the release is published to.
type RepositoryError struct {
	Image      string
	Repository string
	Prefix     string
}

func (e *RepositoryError) Error() string {
	return fmt.Sprintf("image %s: expected a repository below %s, got %s; a copy for another place is made as a mirror", e.Image, e.Prefix, e.Repository)
}

// TakenError says that a name in the registry stands for other content.
type TakenError struct {
	// Name is a tag, or the name of what vouches for a release.
	Name          string
	Present, Ours v1.Hash
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("%s is taken: it names %s, ours is %s", e.Name, e.Present, e.Ours)
}

// ContentError is a verdict about what a registry gave: it is not what the digest, or the release, says. It is not used for what could
// not be read.
type ContentError struct {
	// From is a reference.
	From string
	Err  error
}

func (e *ContentError) Error() string { return e.From + ": " + e.Err.Error() }
func (e *ContentError) Unwrap() error { return e.Err }

// PlainHTTPError says that a registry would have to be spoken to without TLS.
type PlainHTTPError struct{ Host string }

func (e *PlainHTTPError) Error() string {
	return e.Host + ": expected HTTPS, got a registry or a redirection that speaks HTTP, which is to be allowed explicitly, and for the registry alone"
}

// explain says in one sentence what a registry's answer means. The error stays what it was.
func explain(what string, err error) error {
	var refused *transport.Error
	if errors.As(err, &refused) {
		switch refused.StatusCode {
		case http.StatusUnauthorized:
			return fmt.Errorf("%s: the registry asks for a login that the Docker configuration does not have, or does not take it: %w", what, err)
		case http.StatusForbidden:
			return fmt.Errorf("%s: the registry does not allow it with this login: %w", what, err)
		case http.StatusTooManyRequests:
			return fmt.Errorf("%s: the registry asks to come back later: %w", what, err)
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

func absent(err error) bool {
	var refused *transport.Error
	return errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound
}
