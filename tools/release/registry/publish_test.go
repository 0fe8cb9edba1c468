package registry_test

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/registry"
)

// both runs a test with a registry that lists what refers to a manifest, and with one that does not.
func both(t *testing.T, test func(t *testing.T, s *server)) {
	t.Run("referrers API", func(t *testing.T) { test(t, newServer(t, true)) })
	t.Run("referrers tag", func(t *testing.T) { test(t, newServer(t, false)) })
}

// What was published comes back byte for byte, with what vouches for it.
func TestPublishAndFetch(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true, By: []who{rebuilder}})
		d := sample.Open(t)
		p := publish(t, d, s.prefix(), registry.PublishOptions{Archives: sample.archives})
		if want := s.prefix() + "/boardroom-release:0.1.0"; p.Tag != want {
			t.Errorf("the tag is %s, want %s", p.Tag, want)
		}
		// The builder signed two statements about each image, and both signed that about the release.
		if want := len(d.Bundles) + len(d.Links) + len(d.Proofs); len(p.Vouchers) != want || p.Attached != 2*(2+2) {
			t.Errorf("%d vouchers and %d at images, want %d and 8: %v", len(p.Vouchers), p.Attached, want, p.Vouchers)
		}
		for i, reference := range []string{p.Reference, p.Tag} {
			to, archives := filepath.Join(t.TempDir(), "fetched"), t.TempDir()
			f := fetch(t, reference, to, registry.FetchOptions{Archives: archives})
			sameTree(t, to, sample.Dir)
			sameTree(t, archives, sample.archives)
			if f.Reference != p.Reference || f.Digest != d.Digest || f.Path != to {
				t.Errorf("%d: fetched %+v of %+v", i, f, p)
			}
		}
		for name, reference := range p.Images {
			of := d.Release.Images[slices.IndexFunc(d.Release.Images, func(m release.Image) bool { return m.Name == name })]
			if want := of.Repository + "@" + of.Digest.String(); reference != want {
				t.Errorf("image %s is %s, want %s", name, reference, want)
			}
			repository := strings.TrimPrefix(of.Repository, s.host)
			if code, body := s.get(t, "/v2"+repository+"/manifests/0.1.0"); code != http.StatusOK || provenance.DigestOf([]byte(body)) != of.Digest {
				t.Errorf("image %s by tag: %d %s", name, code, body)
			}
		}
	})
}

// A second time, nothing is sent and nothing changes.
func TestPublishTwice(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
		d := sample.Open(t)
		first := publish(t, d, s.prefix(), registry.PublishOptions{Archives: sample.archives})
		before := s.content(t)
		s.put()
		second := publish(t, d, s.prefix(), registry.PublishOptions{Archives: sample.archives})
		if blobs, manifests := s.put(); len(blobs)+len(manifests) > 0 || second.Sent != 0 {
			t.Errorf("sent %d, put %v and %v", second.Sent, blobs, manifests)
		}
		if !maps.Equal(before, s.content(t)) {
			t.Error("the registry has other content")
		}
		if first.Reference != second.Reference || !slices.Equal(first.Vouchers, second.Vouchers) {
			t.Errorf("published %+v, then %+v", first, second)
		}
	})
}

// Layers that an image has are taken over for the release, and not sent again, if the registry can.
func TestBlobsAreSentOnce(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix()})
	publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{})
	blobs, _ := s.put()
	slices.Sort(blobs)
	if unique := slices.Compact(slices.Clone(blobs)); len(unique) != len(blobs) {
		t.Errorf("%d blobs were sent, %d different ones", len(blobs), len(unique))
	}
}

// Two who sign publish the same release, each with what they have.
func TestSignersPublishApart(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		built := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
		rebuilt := newSample(t, sampleOptions{Prefix: s.prefix(), By: []who{rebuilder}})
		one := publish(t, built.Open(t), s.prefix(), registry.PublishOptions{})
		to := filepath.Join(t.TempDir(), "fetched")
		fetch(t, one.Tag, to, registry.FetchOptions{})
		sameTree(t, to, built.Dir)

		two := publish(t, rebuilt.Open(t), s.prefix(), registry.PublishOptions{})
		if one.Reference != two.Reference {
			t.Errorf("published %s and %s", one.Reference, two.Reference)
		}
		// What was fetched gets what is new.
		f := fetch(t, one.Reference, to, registry.FetchOptions{})
		built.add(t, rebuilt)
		sameTree(t, to, built.Dir)
		if want := append(slices.Clone(one.Vouchers), two.Vouchers...); len(f.Vouchers) != len(want) {
			t.Errorf("fetched %v, want %v", f.Vouchers, want)
		}
	})
}

func TestTagsStay(t *testing.T) {
	s := newServer(t, true)
	ours := newSample(t, sampleOptions{Prefix: s.prefix()}).Open(t)
	other := newSample(t, sampleOptions{Prefix: s.prefix(), Later: true}).Open(t)
	p := publish(t, ours, s.prefix(), registry.PublishOptions{})
	before := s.content(t)
	s.put()

	_, err := registry.Publish(t.Context(), other, s.prefix(), registry.PublishOptions{Options: anonymous})
	var taken *registry.TakenError
	if !errors.As(err, &taken) {
		t.Fatalf("error is %v, want a *TakenError", err)
	}
	if blobs, manifests := s.put(); len(blobs)+len(manifests) > 0 {
		t.Errorf("a refused publication put %v and %v", blobs, manifests)
	}
	if !maps.Equal(before, s.content(t)) {
		t.Error("a refused publication changed the registry")
	}

	moved := publish(t, other, s.prefix(), registry.PublishOptions{MoveTag: true})
	to := filepath.Join(t.TempDir(), "fetched")
	if f := fetch(t, p.Tag, to, registry.FetchOptions{}); f.Reference != moved.Reference || f.Reference == p.Reference {
		t.Errorf("the tag names %s, want %s", f.Reference, moved.Reference)
	}
	// The old one is there by digest.
	if f := fetch(t, p.Reference, to+"-old", registry.FetchOptions{}); f.Digest != ours.Digest {
		t.Errorf("fetched %s, want %s", f.Digest, ours.Digest)
	}
}

// A tag of one image alone is enough to refuse everything.
func TestTagOfAnImageStays(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix()})
	publish(t, newSample(t, sampleOptions{Prefix: s.prefix(), Version: "0.0.9"}).Open(t), s.prefix(), registry.PublishOptions{})
	_, manifest := s.get(t, "/v2/boardroom/hub-boardroom-tee/manifests/0.0.9")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+s.host+"/v2/boardroom/finance-boardroom-tee/manifests/0.1.0", strings.NewReader(manifest))
	check(t, err)
	resp, err := http.DefaultClient.Do(r)
	check(t, err)
	check(t, resp.Body.Close())
	_, err = registry.Publish(t.Context(), sample.Open(t), s.prefix(), registry.PublishOptions{Options: anonymous})
	var taken *registry.TakenError
	if !errors.As(err, &taken) || !strings.Contains(taken.Name, "finance-boardroom-tee:0.1.0") {
		t.Errorf("error is %v, want a *TakenError about the tag of the image", err)
	}
	if tags := s.tags(t, "boardroom/boardroom-release"); slices.Contains(tags, "0.1.0") {
		t.Errorf("the release was tagged: %v", tags)
	}
}

// A signature with the name of another one needs a word, and then it is the one that is fetched.
func TestVouchersStay(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
		p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{})
		file := p.Vouchers[len(p.Vouchers)-1]
		sample.write(t, file, []byte("another proof\n"))
		_, err := registry.Publish(t.Context(), sample.Open(t), s.prefix(), registry.PublishOptions{Options: anonymous})
		var taken *registry.TakenError
		if !errors.As(err, &taken) || taken.Name != file {
			t.Fatalf("error is %v, want a *TakenError about %s", err, file)
		}
		publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{Replace: true})
		to := filepath.Join(t.TempDir(), "fetched")
		fetch(t, p.Tag, to, registry.FetchOptions{})
		sameTree(t, to, sample.Dir)
	})
}

func TestRepositoriesOfImages(t *testing.T) {
	s := newServer(t, true)
	elsewhere := newSample(t, sampleOptions{Prefix: "registry.example/boardroom"}).Open(t)
	for _, tt := range []struct {
		name   string
		d      *release.Directory
		prefix string
		want   any
	}{
		{"another host", elsewhere, s.prefix(), new(*registry.RepositoryError)},
		{"another path", newSample(t, sampleOptions{Prefix: s.host + "/board"}).Open(t), s.prefix(), new(*registry.RepositoryError)},
		{"a path that begins like it", newSample(t, sampleOptions{Prefix: s.prefix() + "x"}).Open(t), s.prefix(), new(*registry.RepositoryError)},
		{"the default registry", newSample(t, sampleOptions{Prefix: "boardroom"}).Open(t), s.prefix(), new(*registry.RepositoryError)},
		{"no prefix", elsewhere, "", new(*registry.ReferenceError)},
		{"no host", elsewhere, "boardroom", new(*registry.ReferenceError)},
		{"a tag", elsewhere, s.prefix() + ":v1", new(*registry.ReferenceError)},
		{"capitals", elsewhere, s.host + "/Boardroom", new(*registry.ReferenceError)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := registry.Publish(t.Context(), tt.d, tt.prefix, registry.PublishOptions{Options: anonymous})
			if !errors.As(err, tt.want) {
				t.Errorf("error is %v (%T), want a %T", err, err, tt.want)
			}
		})
	}
	if blobs, manifests := s.put(); len(blobs)+len(manifests) > 0 {
		t.Errorf("put %v and %v", blobs, manifests)
	}
	p := publish(t, elsewhere, s.prefix(), registry.PublishOptions{Mirror: true})
	if want := s.prefix() + "/finance-boardroom-tee@"; !strings.HasPrefix(p.Images["finance-agent"], want) {
		t.Errorf("the mirror has %s, want %s…", p.Images["finance-agent"], want)
	}
}

// What is not what release.json says is not published.
func TestAlteredReleaseIsNotPublished(t *testing.T) {
	s := newServer(t, true)
	for _, tt := range []struct {
		name, file string
		alter      func(*sample) []byte
	}{
		{"a file", "images/finance-agent/oci-layout", func(sample *sample) []byte {
			data := sample.read(t, "images/finance-agent/oci-layout")
			data[0] ^= 1
			return data
		}},
		{"a bundle", "bundles/release-0123456789abcdef.sigstore.json", func(*sample) []byte { return []byte("{}") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
			sample.write(t, tt.file, tt.alter(sample))
			_, err := registry.Publish(t.Context(), sample.Open(t), s.prefix(), registry.PublishOptions{Options: anonymous})
			var changed *release.ChangedError
			var unaccounted *release.UnaccountedError
			if !errors.As(err, &changed) && !errors.As(err, &unaccounted) || !strings.Contains(err.Error(), tt.file) {
				t.Errorf("error is %v, want one about %s", err, tt.file)
			}
		})
	}
	t.Run("an archive", func(t *testing.T) {
		sample := newSample(t, sampleOptions{Prefix: s.prefix()})
		check(t, os.WriteFile(filepath.Join(sample.archives, archiveName(t, sample)), []byte("other"), 0o644))
		_, err := registry.Publish(t.Context(), sample.Open(t), s.prefix(), registry.PublishOptions{Options: anonymous, Archives: sample.archives})
		var changed *release.ChangedError
		if !errors.As(err, &changed) {
			t.Errorf("error is %v, want a *release.ChangedError", err)
		}
	})
	for _, repository := range []string{"boardroom-release", "hub-boardroom-tee", "finance-boardroom-tee"} {
		if tags := s.tags(t, "boardroom/"+repository); len(tags) > 0 {
			t.Errorf("%s has tags %v", repository, tags)
		}
	}
}

func archiveName(t *testing.T, s *sample) string { return s.Open(t).Release.Guests[0].Archive.Name }
