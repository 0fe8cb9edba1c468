package compose

import (
	"fmt"
	"regexp"
	"strings"
)

// Reference names an image by registry, repository and digest.
type Reference struct{ text string }

var (
	// referencePattern is "name@digest" of distribution/reference (regexp.go), with SHA-256 as the one algorithm.
	referencePattern = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]{1,5})?/)?` +
		component + `(?:/` + component + `)*@sha256:[0-9a-f]{64}$`)
	imageName = regexp.MustCompile(`^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$`)
)

const (
	component    = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
	maxReference = 512
)

// ParseReference reads REPOSITORY@sha256:DIGEST. A tag is refused even beside a digest: nothing would check it, and readers would
// believe it.
func ParseReference(s string) (Reference, error) {
	name, digest, pinned := strings.Cut(s, "@")
	tagged := strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":")
	switch {
	case len(s) > maxReference:
		return Reference{}, fmt.Errorf("expected at most %d characters, got %d", maxReference, len(s))
	case !pinned && tagged:
		return Reference{}, fmt.Errorf("image %q is named by a tag, which can move; name it by digest, as in REPOSITORY@sha256:…", s)
	case !pinned:
		return Reference{}, fmt.Errorf("image %q has no digest; name it as REPOSITORY@sha256:…", s)
	case tagged:
		return Reference{}, fmt.Errorf("image %q has a tag beside its digest %s; leave the tag out, as nothing checks it", s, digest)
	case !referencePattern.MatchString(s):
		return Reference{}, fmt.Errorf("image %q: expected REPOSITORY@sha256: and 64 lower-case hex digits", s)
	}
	return Reference{s}, nil
}

func (r Reference) String() string { return r.text }

// Images are references by the name of an image definition.
type Images map[string]Reference
