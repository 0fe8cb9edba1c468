package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// maxReferrers is how many manifests may refer to one.
	maxReferrers = 8192
	// maxPages is how often a registry may say that there is more.
	maxPages = 64
	// indexTries is how often the list of a registry without referrers API is written while others write it, too.
	indexTries = 10
)

// referrer is one manifest that refers to another. The registry says so; only what the manifest itself says counts.
type referrer struct {
	descriptor v1.Descriptor
	raw        json.RawMessage
}

func (r referrer) is(h v1.Hash) bool { return r.descriptor.Digest == h }

// index is an image index whose members that are not known here are kept.
type index struct {
	members   map[string]json.RawMessage
	referrers []referrer
}

func newIndex() index {
	return index{members: map[string]json.RawMessage{
		"schemaVersion": json.RawMessage("2"), "mediaType": json.RawMessage(`"` + string(types.OCIImageIndex) + `"`),
	}}
}

func parseIndex(data []byte) (index, error) {
	i := index{}
	if err := json.Unmarshal(data, &i.members); err != nil {
		return index{}, fmt.Errorf("expected an image index: %w", err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(i.members["manifests"], &list); err != nil {
		return index{}, fmt.Errorf("expected an image index with a list of manifests: %w", err)
	}
	for n, raw := range list {
		r := referrer{raw: raw}
		if err := json.Unmarshal(raw, &r.descriptor); err != nil {
			return index{}, fmt.Errorf("manifests[%d]: %w", n, err)
		}
		if r.descriptor.Digest.Algorithm != "sha256" {
			return index{}, fmt.Errorf("manifests[%d]: expected a digest with sha256, got %.80q", n, r.descriptor.Digest.String())
		}
		i.referrers = append(i.referrers, r)
	}
	return i, nil
}

func (i index) encode() ([]byte, error) {
	list := make([]json.RawMessage, 0, len(i.referrers))
	for _, r := range i.referrers {
		list = append(list, r.raw)
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	i.members["manifests"] = raw
	return json.Marshal(i.members)
}

func (i index) has(h v1.Hash) bool {
	return slices.ContainsFunc(i.referrers, func(r referrer) bool { return r.is(h) })
}

// listTag is where a registry without referrers API keeps the list (distribution-spec, "Referrers Tag Schema").
func listTag(subject v1.Hash) string { return subject.Algorithm + "-" + subject.Hex }

// referrers lists what refers to a manifest. listed says that the registry keeps the list itself; else it stands under a tag.
func (c *client) referrers(ctx context.Context, subject v1.Hash) (all index, listed bool, err error) {
	all, listed, err = c.askReferrers(ctx, subject)
	if err != nil || listed {
		return all, listed, err
	}
	data, mediaType, err := c.manifest(ctx, listTag(subject))
	if absent(err) {
		return newIndex(), false, nil
	}
	if err != nil {
		return index{}, false, err
	}
	if mediaType != string(types.OCIImageIndex) {
		return index{}, false, &ContentError{c.reference(listTag(subject)), fmt.Errorf("expected an image index, got %.80q", mediaType)}
	}
	all, err = c.checkIndex(data, subject)
	return all, false, err
}

func (c *client) checkIndex(data []byte, subject v1.Hash) (index, error) {
	all, err := parseIndex(data)
	if err == nil && len(all.referrers) > maxReferrers {
		err = fmt.Errorf("expected at most %d manifests that refer to it, got %d", maxReferrers, len(all.referrers))
	}
	if err != nil {
		return index{}, &ContentError{c.reference(subject.String()), fmt.Errorf("what refers to it: %w", err)}
	}
	return all, nil
}

// askReferrers uses the referrers API, page by page. listed is false where there is none.
func (c *client) askReferrers(ctx context.Context, subject v1.Hash) (all index, listed bool, err error) {
	all = newIndex()
	for address, pages := c.url("referrers", subject.String()), 0; address != ""; pages++ {
		if pages == maxPages {
			return index{}, false, &ContentError{c.reference(subject.String()), fmt.Errorf("what refers to it: expected at most %d pages, got more", maxPages)}
		}
		page, next, err := c.referrersPage(ctx, address, subject)
		if err != nil || page == nil {
			return newIndex(), false, err
		}
		all.referrers = append(all.referrers, page.referrers...)
		if len(all.referrers) > maxReferrers {
			return index{}, false, &ContentError{c.reference(subject.String()), fmt.Errorf("expected at most %d manifests that refer to it, got more", maxReferrers)}
		}
		address = next
	}
	return all, true, nil
}

// referrersPage returns no page where the registry does not know the API.
func (c *client) referrersPage(ctx context.Context, address string, subject v1.Hash) (_ *index, next string, err error) {
	resp, err := c.do(ctx, http.MethodGet, address, nil, http.Header{"Accept": {string(types.OCIImageIndex)}},
		http.StatusOK, http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), string(types.OCIImageIndex)) {
		return nil, "", nil
	}
	data, err := c.read(resp.Body, subject.String())
	if err != nil {
		return nil, "", err
	}
	page, err := c.checkIndex(data, subject)
	if err != nil {
		return nil, "", err
	}
	return &page, nextPage(resp), nil
}

// nextPage is the address in a header Link with rel="next" (RFC 8288), if it is one of the same registry.
func nextPage(resp *http.Response) string {
	target, rest, found := strings.Cut(resp.Header.Get("Link"), ">")
	if !found || !strings.Contains(rest, `rel="next"`) {
		return ""
	}
	u, err := url.Parse(strings.TrimPrefix(strings.TrimSpace(target), "<"))
	if err != nil {
		return ""
	}
	if u = resp.Request.URL.ResolveReference(u); u.Host != resp.Request.URL.Host {
		return ""
	}
	return u.String()
}

// refer makes sure that manifests which are in the registry are listed as referring to subject, and that those to drop are not. It is called
// again by whoever wants to know that it is still so.
//
// The list of a registry without referrers API can only be replaced, and not under a condition. It is read again after it was written, and
// what another writer has lost by then is put back.
func (c *client) refer(ctx context.Context, subject v1.Hash, manifests [][]byte, drop []v1.Hash) error {
	all, listed, err := c.referrers(ctx, subject)
	if err != nil {
		return err
	}
	if listed {
		return c.deleteListed(ctx, all, drop)
	}
	for range indexTries {
		changed, err := merge(&all, manifests, drop)
		if err != nil || !changed {
			return err
		}
		data, err := all.encode()
		if err != nil {
			return err
		}
		if len(data) > maxManifest {
			return fmt.Errorf("%s: what refers to it: expected a list of at most %d bytes, which registries take, got %d", c.reference(subject.String()), maxManifest, len(data))
		}
		if err := c.putManifest(ctx, listTag(subject), string(types.OCIImageIndex), data); err != nil {
			return err
		}
		if all, _, err = c.referrers(ctx, subject); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: others changed what refers to it each of the %d times that it was written; try again", c.reference(subject.String()), indexTries)
}

// merge says whether the list had to be changed.
func merge(all *index, manifests [][]byte, drop []v1.Hash) (changed bool, err error) {
	kept := slices.DeleteFunc(slices.Clone(all.referrers), func(r referrer) bool { return slices.Contains(drop, r.descriptor.Digest) })
	changed = len(kept) != len(all.referrers)
	all.referrers = kept
	for _, m := range manifests {
		if all.has(hashOf(m)) {
			continue
		}
		var parsed v1.Manifest
		if err := json.NewDecoder(bytes.NewReader(m)).Decode(&parsed); err != nil {
			return false, err
		}
		d := describe(m)
		d.ArtifactType, d.Annotations = parsed.ArtifactType, parsed.Annotations
		if d.ArtifactType == "" {
			d.ArtifactType = string(parsed.Config.MediaType)
		}
		raw, err := json.Marshal(d)
		if err != nil {
			return false, err
		}
		all.referrers = append(all.referrers, referrer{d, raw})
		changed = true
	}
	return changed, nil
}

// deleteListed removes manifests from a registry that keeps the list.
func (c *client) deleteListed(ctx context.Context, all index, drop []v1.Hash) error {
	for _, h := range drop {
		if !all.has(h) {
			continue
		}
		resp, err := c.do(ctx, http.MethodDelete, c.url("manifests", h.String()), nil, nil, http.StatusOK, http.StatusAccepted, http.StatusNotFound)
		if err != nil {
			return explain("remove "+c.reference(h.String()), err)
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
	}
	return nil
}
