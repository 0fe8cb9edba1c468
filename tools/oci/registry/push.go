package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// TagTakenError says that a tag already names other content.
type TagTakenError struct {
	Ref           string
	Present, Ours v1.Hash
}

func (e *TagTakenError) Error() string {
	return fmt.Sprintf("tag %s is taken: it names %s, this image is %s", e.Ref, e.Present, e.Ours)
}

// PushOptions of [Push]; the zero value pushes with the credentials of the user's registry logins.
type PushOptions struct {
	// Keychain finds credentials; nil stands for authn.DefaultKeychain.
	Keychain authn.Keychain
	// MoveTag lets a tag that names other content be moved.
	MoveTag bool
}

// Push uploads img to a registry under ref ("host/name:tag") and returns the reference by digest. Blobs that are there are
// not sent again, so a push that broke off is resumed by calling it again. A tag that names other content is left alone with
// a [*TagTakenError].
func Push(ctx context.Context, img v1.Image, ref string, options PushOptions) (name.Digest, error) {
	tag, err := name.NewTag(ref, name.StrictValidation)
	if err != nil {
		return name.Digest{}, &RefError{Ref: ref, Err: err}
	}
	digest, err := img.Digest()
	if err != nil {
		return name.Digest{}, fmt.Errorf("push %s: %w", ref, err)
	}
	keychain := options.Keychain
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	with := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(keychain)}
	present, err := remote.Head(tag, with...)
	switch {
	case absent(err):
	case err != nil:
		return name.Digest{}, fmt.Errorf("push %s: look up the tag: %w", ref, err)
	case present.Digest != digest && !options.MoveTag:
		return name.Digest{}, &TagTakenError{Ref: ref, Present: present.Digest, Ours: digest}
	}
	if err := remote.Write(tag, img, with...); err != nil {
		return name.Digest{}, fmt.Errorf("push %s: %w", ref, err)
	}
	return tag.Digest(digest.String()), nil
}

// RefError says that a reference can not be pushed to.
type RefError struct {
	Ref string
	Err error
}

func (e *RefError) Error() string {
	return fmt.Sprintf("reference %q: expected HOST/NAME:TAG: %v", e.Ref, e.Err)
}
func (e *RefError) Unwrap() error { return e.Err }

func absent(err error) bool {
	var refused *transport.Error
	return errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound
}
