package registry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/registry"
)

const home = "boardroom/boardroom-release"

// edited is a manifest with a change.
func edited(t *testing.T, manifest []byte, change func(*v1.Manifest)) []byte {
	t.Helper()
	var m v1.Manifest
	check(t, json.Unmarshal(manifest, &m))
	change(&m)
	data, err := json.Marshal(m)
	check(t, err)
	return data
}

// voucherOf is a manifest of a voucher as a stranger may write it.
func voucherOf(t *testing.T, title string, content []byte, subject v1.Descriptor) []byte {
	t.Helper()
	return edited(t, []byte(`{"schemaVersion":2}`), func(m *v1.Manifest) {
		empty := provenance.DigestOf([]byte("{}"))
		m.MediaType, m.ArtifactType = types.OCIManifestSchema1, registry.VoucherType
		m.Config = v1.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: hash(t, empty), Size: 2}
		m.Layers = []v1.Descriptor{{
			MediaType: "application/octet-stream", Digest: hash(t, provenance.DigestOf(content)), Size: int64(len(content)),
			Annotations: map[string]string{ocispec.AnnotationTitle: title},
		}}
		m.Subject, m.Annotations = &subject, map[string]string{ocispec.AnnotationTitle: title}
	})
}

// voucherTitled says that a voucher has a size.
func voucherTitled(t *testing.T, title string, subject v1.Descriptor, size int64) []byte {
	t.Helper()
	return edited(t, voucherOf(t, title, nil, subject), func(m *v1.Manifest) { m.Layers[0].Size = size })
}

func hash(t *testing.T, d provenance.Digest) v1.Hash {
	t.Helper()
	h, err := v1.NewHash(d.String())
	check(t, err)
	return h
}

func describe(t *testing.T, manifest []byte) v1.Descriptor {
	t.Helper()
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hash(t, provenance.DigestOf(manifest)), Size: int64(len(manifest))}
}

// A registry is believed in nothing. Whatever it answers, nothing is written where it is asked for, or elsewhere.
func TestHostileRegistry(t *testing.T) {
	image := string(types.OCIManifestSchema1)
	// retag lets the tag name an altered manifest.
	retag := func(change func(*v1.Manifest)) func(*testing.T, *server, []byte) {
		return func(t *testing.T, s *server, manifest []byte) {
			s.inject(t, home, "0.1.0", image, edited(t, manifest, change))
		}
	}
	// attach lets a voucher refer to the release.
	attach := func(title string) func(*testing.T, *server, []byte) {
		return func(t *testing.T, s *server, manifest []byte) {
			s.injectBlob(t, home, []byte("content"))
			s.inject(t, home, "", image, voucherOf(t, title, []byte("content"), describe(t, manifest)))
		}
	}
	instead := func(suffix func(manifest []byte) string, status int, header map[string]string, body []byte) func(*testing.T, *server, []byte) {
		return func(_ *testing.T, s *server, manifest []byte) { s.answer(suffix(manifest), status, header, body) }
	}
	layer := func(n int) func([]byte) string {
		return func(manifest []byte) string {
			var m v1.Manifest
			if err := json.Unmarshal(manifest, &m); err != nil {
				panic(err)
			}
			return m.Layers[n].Digest.String()
		}
	}
	path := func(suffix string) func([]byte) string { return func([]byte) string { return suffix } }
	list := map[string]string{"Content-Type": string(types.OCIImageIndex)}
	sample := newSample(t, sampleOptions{})
	d := sample.Open(t)
	manifest, err := registry.Manifest(sample.read(t, release.ManifestFile))
	check(t, err)
	for _, tt := range []struct {
		name  string
		alter func(t *testing.T, s *server, manifest []byte)
		want  string
	}{
		{"another release.json", instead(layer(0), http.StatusOK, nil, []byte("{}")), "bytes, got 2"},
		{"a longer release.json", instead(layer(0), http.StatusOK, nil, bytes.Repeat([]byte("x"), 8<<20)), "got more"},
		{"another file of the same size", func(t *testing.T, s *server, manifest []byte) {
			var m v1.Manifest
			check(t, json.Unmarshal(manifest, &m))
			s.answer(m.Layers[1].Digest.String(), http.StatusOK, nil, bytes.Repeat([]byte("x"), int(m.Layers[1].Size)))
		}, "expected this digest"},
		{"an endless file", instead(layer(1), http.StatusOK, nil, bytes.Repeat([]byte("x"), 1<<20)), "got more"},
		{"a short file", instead(layer(1), http.StatusOK, nil, []byte("x")), "got 1"},
		{"an endless manifest", instead(path("/manifests/0.1.0"), http.StatusOK, map[string]string{"Content-Type": image}, bytes.Repeat([]byte(" "), 5<<20)), "at most 4194304 bytes"},
		{"no manifest", instead(path("/manifests/0.1.0"), http.StatusOK, map[string]string{"Content-Type": image}, []byte("<html>")), "expected a release"},
		{"an index", instead(path("/manifests/0.1.0"), http.StatusOK, list, []byte(`{"manifests":[]}`)), "expected a release"},
		{"an image", retag(func(m *v1.Manifest) { m.ArtifactType = "" }), "expected a release"},
		{"a voucher", retag(func(m *v1.Manifest) { m.ArtifactType = registry.VoucherType }), "expected a release"},
		{"no layers", retag(func(m *v1.Manifest) { m.Layers = nil }), "as its first layer"},
		{"layers in another order", retag(func(m *v1.Manifest) { m.Layers[0], m.Layers[1] = m.Layers[1], m.Layers[0] }), "as its first layer"},
		{"a release.json of a terabyte", retag(func(m *v1.Manifest) { m.Layers[0].Size = 1 << 40 }), "expected at most 4194304 bytes"},
		{"a release.json of less than nothing", retag(func(m *v1.Manifest) { m.Layers[0].Size = -1 }), "expected at most 4194304 bytes"},
		{"a digest of another kind", retag(func(m *v1.Manifest) {
			m.Layers[0].Digest = v1.Hash{Algorithm: "sha512", Hex: strings.Repeat("0", 128)}
		}), "sha512"},
		{"something else as release.json", func(t *testing.T, s *server, manifest []byte) {
			s.injectBlob(t, home, []byte("{}"))
			retag(func(m *v1.Manifest) { m.Layers[0].Digest, m.Layers[0].Size = m.Config.Digest, 2 })(t, s, manifest)
		}, `schema: expected`},
		{"a title outside", retag(func(m *v1.Manifest) { m.Layers[1].Annotations[ocispec.AnnotationTitle] = "../../outside" }), "expected the manifest"},
		{"an absolute title", retag(func(m *v1.Manifest) { m.Layers[1].Annotations[ocispec.AnnotationTitle] = "/tmp/outside" }), "expected the manifest"},
		{"another size", retag(func(m *v1.Manifest) { m.Layers[1].Size++ }), "expected the manifest"},
		{"another digest", retag(func(m *v1.Manifest) { m.Layers[1].Digest = m.Layers[2].Digest }), "expected the manifest"},
		{"one file more", retag(func(m *v1.Manifest) { m.Layers = append(m.Layers, m.Layers[1]) }), "expected the manifest"},
		{"one file less", retag(func(m *v1.Manifest) { m.Layers = m.Layers[:len(m.Layers)-1] }), "expected the manifest"},
		{"another annotation", retag(func(m *v1.Manifest) { m.Annotations[ocispec.AnnotationVersion] = "9.9.9" }), "expected the manifest"},
		{"a subject", retag(func(m *v1.Manifest) { m.Subject = &m.Layers[0] }), "expected the manifest"},
		{"data in a descriptor", retag(func(m *v1.Manifest) { m.Config.Data = []byte("{}") }), "expected the manifest"},

		{"a voucher outside", attach("bundles/../../outside.sigstore.json"), "expected a file of bundles"},
		{"a voucher of the parent", attach("../outside"), "expected a file of bundles"},
		{"a voucher with an absolute path", attach("/bundles/outside.sigstore.json"), "expected a file of bundles"},
		{"a voucher that is release.json", attach("release.json"), "expected a file of bundles"},
		{"a voucher among the images", attach("images/ceo"), "expected a file of bundles"},
		{"a voucher in a folder", attach("log/a/b"), "expected a file of bundles"},
		{"a voucher that is a folder", attach("log/.."), "expected a file of bundles"},
		{"a hidden voucher", attach("log/.hidden"), "expected a file of bundles"},
		{"a voucher without a name", attach(""), "expected a file of bundles"},
		{"a voucher of no kind", attach("bundles/a.txt"), "bundles/a.txt"},
		{"a voucher with control characters", attach("log/a\x1b[2J"), "log/a"},
		{"a voucher with a backslash", attach(`log/..\outside`), `log/..`},
		{"a voucher for another release", func(t *testing.T, s *server, manifest []byte) {
			other := describe(t, edited(t, manifest, func(m *v1.Manifest) { m.Annotations = nil }))
			digest := s.inject(t, home, "", image, voucherOf(t, "log/proof", []byte("content"), other))
			s.answer("/referrers/"+describe(t, manifest).Digest.String(), http.StatusOK, list, fmt.Appendf(nil, `{"manifests":[{"digest":%q}]}`, digest))
		}, "expected the manifest"},
		{"a voucher of a gigabyte", func(t *testing.T, s *server, manifest []byte) {
			s.inject(t, home, "", image, voucherTitled(t, "log/proof", describe(t, manifest), 1<<30))
		}, "expected at most"},
		{"vouchers of a gigabyte together", func(t *testing.T, s *server, manifest []byte) {
			for i := range 40 {
				s.inject(t, home, "", image, voucherTitled(t, fmt.Sprintf("log/proof-%d", i), describe(t, manifest), release.MaxVoucher))
			}
		}, "at most 268435456 bytes together"},
		{"a voucher of two layers", func(t *testing.T, s *server, manifest []byte) {
			s.inject(t, home, "", image, edited(t, voucherOf(t, "log/proof", nil, describe(t, manifest)), func(m *v1.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }))
		}, "expected 1 layer"},
		{"a voucher with a member of its own", func(t *testing.T, s *server, manifest []byte) {
			data := voucherOf(t, "log/proof", nil, describe(t, manifest))
			s.inject(t, home, "", image, bytes.Replace(data, []byte(`{`), []byte(`{"x":1,`), 1))
		}, `unknown member "x"`},
		{"two vouchers with one name", func(t *testing.T, s *server, manifest []byte) {
			for _, content := range []string{"one", "two"} {
				s.injectBlob(t, home, []byte(content))
				s.inject(t, home, "", image, voucherOf(t, "log/proof", []byte(content), describe(t, manifest)))
			}
		}, "log/proof: expected one"},
		{"another voucher than its digest", func(t *testing.T, s *server, manifest []byte) {
			data := voucherOf(t, "log/proof", nil, describe(t, manifest))
			digest := s.inject(t, home, "", image, data)
			s.answer("/manifests/"+digest, http.StatusOK, map[string]string{"Content-Type": image}, append(data, ' '))
		}, "expected this digest"},
		{"a list that never ends", func(_ *testing.T, s *server, _ []byte) {
			s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, "/referrers/") {
					return false
				}
				w.Header().Set("Content-Type", string(types.OCIImageIndex))
				w.Header().Set("Link", `<`+r.URL.Path+`?more>; rel="next"`)
				_, _ = w.Write([]byte(`{"manifests":[]}`))
				return true
			})
		}, "at most 64 pages"},
		{"a list of too many", func(t *testing.T, s *server, manifest []byte) {
			one := `{"digest":"sha256:` + strings.Repeat("0", 64) + `"}`
			s.answer("/referrers/"+describe(t, manifest).Digest.String(), http.StatusOK, list, []byte(`{"manifests":[`+strings.Repeat(one+",", 9000)+one+`]}`))
		}, "expected at most 8192"},
		{"a list that is none", func(t *testing.T, s *server, manifest []byte) {
			s.answer("/referrers/"+describe(t, manifest).Digest.String(), http.StatusOK, list, []byte(`{"manifests":7}`))
		}, "expected an image index"},
		{"a list with another digest", func(t *testing.T, s *server, manifest []byte) {
			s.answer("/referrers/"+describe(t, manifest).Digest.String(), http.StatusOK, list, []byte(`{"manifests":[{"digest":"md5:00"}]}`))
		}, "manifests[0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, true)
			p := publish(t, d, s.prefix(), registry.PublishOptions{Mirror: true})
			tt.alter(t, s, manifest)
			parent := t.TempDir()
			_, err = registry.Fetch(t.Context(), p.Tag, filepath.Join(parent, "fetched"), registry.FetchOptions{Options: anonymous})
			var content *registry.ContentError
			if !errors.As(err, &content) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v (%T), want a *ContentError with %q", err, err, tt.want)
			}
			check(t, filepath.WalkDir(parent, func(file string, e fs.DirEntry, err error) error {
				if err == nil && !e.IsDir() {
					t.Errorf("%s was written", file)
				}
				return err
			}))
		})
	}
}

// What a digest names can not be altered; by tag, one gets what the registry says it names.
func TestFetchByDigest(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix()})
	p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{})
	other := publish(t, newSample(t, sampleOptions{Prefix: s.prefix(), Version: "0.2.0"}).Open(t), s.prefix(), registry.PublishOptions{})
	_, manifest := s.get(t, "/v2/"+home+"/manifests/0.2.0")
	s.answer("/manifests/"+p.Reference[strings.Index(p.Reference, "@")+1:], http.StatusOK, map[string]string{"Content-Type": string(types.OCIManifestSchema1)}, []byte(manifest))
	_, err := registry.Fetch(t.Context(), p.Reference, filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{Options: anonymous})
	var content *registry.ContentError
	if !errors.As(err, &content) || !strings.Contains(err.Error(), other.Reference[strings.Index(other.Reference, "@")+1:]) {
		t.Errorf("error is %v, want a *ContentError that names what came", err)
	}
}

// Vouchers that are listed and gone, and what others attach, are passed over.
func TestForeignReferrers(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
		p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{})
		manifest, err := registry.Manifest(sample.read(t, release.ManifestFile))
		check(t, err)
		foreign := edited(t, voucherOf(t, "../x", nil, describe(t, manifest)), func(m *v1.Manifest) { m.ArtifactType = "application/vnd.example" })
		digest := s.inject(t, home, "", string(types.OCIManifestSchema1), foreign)
		if code, body := s.get(t, "/v2/"+home+"/manifests/sha256-"+describe(t, manifest).Digest.Hex); code == http.StatusOK {
			var index v1.IndexManifest
			check(t, json.Unmarshal([]byte(body), &index))
			index.Manifests = append(index.Manifests, describe(t, foreign))
			data, err := json.Marshal(index)
			check(t, err)
			s.inject(t, home, "sha256-"+describe(t, manifest).Digest.Hex, string(types.OCIImageIndex), data)
		}
		to := filepath.Join(t.TempDir(), "fetched")
		fetch(t, p.Tag, to, registry.FetchOptions{})
		sameTree(t, to, sample.Dir)
		s.answer("/manifests/"+digest, http.StatusNotFound, nil, nil)
		fetch(t, p.Tag, to+"-2", registry.FetchOptions{})
		sameTree(t, to+"-2", sample.Dir)
	})
}

func TestFetchToAPlaceThatIsTaken(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
	p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{})
	other := newSample(t, sampleOptions{Prefix: s.prefix(), Later: true})
	altered := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
	altered.write(t, "log/"+altered.Builder.Key().Fingerprint().String()[:16], []byte("another proof\n"))
	something := t.TempDir()
	check(t, os.WriteFile(filepath.Join(something, "notes"), []byte("mine"), 0o644))
	for name, dir := range map[string]string{"something": something, "another release": other.Dir, "the release with another proof": altered.Dir} {
		t.Run(name, func(t *testing.T) {
			before := tree(t, dir)
			_, err := registry.Fetch(t.Context(), p.Tag, dir, registry.FetchOptions{Options: anonymous})
			var place *release.PlaceError
			if !errors.As(err, &place) {
				t.Errorf("error is %v, want a *release.PlaceError", err)
			}
			if after := tree(t, dir); fmt.Sprint(before) != fmt.Sprint(after) {
				t.Error("what was there changed")
			}
		})
	}
}

// What the check refuses does not get to its place.
func TestFetchChecks(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
	d := sample.Open(t)
	p := publish(t, d, s.prefix(), registry.PublishOptions{Archives: sample.archives})
	refusal := errors.New("not this one")
	parent, archives := t.TempDir(), filepath.Join(t.TempDir(), "archives")
	_, err := registry.Fetch(t.Context(), p.Tag, filepath.Join(parent, "fetched"), registry.FetchOptions{Options: anonymous, Archives: archives, Check: func(got *release.Directory) error {
		if got.Digest != d.Digest || len(got.Bundles) != len(d.Bundles) {
			t.Errorf("the check is told of %s with %d bundles", got.Digest, len(got.Bundles))
		}
		return refusal
	}})
	if !errors.Is(err, refusal) {
		t.Errorf("error is %v, want what the check says", err)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) > 0 {
		t.Errorf("there are %v: %v", entries, err)
	}
	if _, err := os.Stat(archives); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("archives of a refused release were fetched: %v", err)
	}
}

func TestFetchArchives(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix()})
	p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{Archives: sample.archives})
	file := sample.Open(t).Release.Guests[0].Archive
	t.Run("another one is left alone", func(t *testing.T) {
		archives := t.TempDir()
		check(t, os.WriteFile(filepath.Join(archives, file.Name), []byte("mine"), 0o644))
		_, err := registry.Fetch(t.Context(), p.Tag, filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{Options: anonymous, Archives: archives})
		var changed *release.ChangedError
		if !errors.As(err, &changed) {
			t.Errorf("error is %v, want a *release.ChangedError", err)
		}
		if data, err := os.ReadFile(filepath.Join(archives, file.Name)); string(data) != "mine" {
			t.Errorf("it is %q: %v", data, err)
		}
	})
	t.Run("altered on the way", func(t *testing.T) {
		s.answer(file.Digest.String(), http.StatusOK, nil, bytes.Repeat([]byte("x"), int(file.Size)))
		defer s.intercept(nil)
		archives := t.TempDir()
		_, err := registry.Fetch(t.Context(), p.Tag, filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{Options: anonymous, Archives: archives})
		var content *registry.ContentError
		if !errors.As(err, &content) {
			t.Errorf("error is %v, want a *ContentError", err)
		}
		if entries, err := os.ReadDir(archives); err != nil || len(entries) > 0 {
			t.Errorf("there are %v: %v", entries, err)
		}
	})
}

// Redirections are followed to where blobs are stored, and neither into the networks that this machine is in nor away from TLS.
func TestRedirections(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix()})
	p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{})
	var asked bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(elsewhere.Close)
	manifest, err := registry.Manifest(sample.read(t, release.ManifestFile))
	check(t, err)
	var m v1.Manifest
	check(t, json.Unmarshal(manifest, &m))
	blob := m.Layers[1].Digest.String()
	for _, tt := range []struct{ name, location, want string }{
		{"plain HTTP", "http://storage.example/blob", "expected HTTPS"},
		{"plain HTTP at another port", elsewhere.URL + "/blob", "expected HTTPS"},
		{"a private network", "https://10.0.0.1/blob", "expected a redirection to a public address"},
		{"a private network of IPv6", "https://[fd00::1]/blob", "expected a redirection to a public address"},
		{"a cloud's metadata", "https://169.254.169.254/latest", "expected a redirection to a public address"},
		{"a file", "file:///etc/passwd", "expected HTTPS"},
		{"in a circle", "/v2/" + home + "/blobs/" + blob, "expected at most 5 redirections"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.answer("/blobs/"+blob, http.StatusTemporaryRedirect, map[string]string{"Location": tt.location}, nil)
			defer s.intercept(nil)
			_, err := registry.Fetch(t.Context(), p.Tag, filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{Options: anonymous})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
		})
	}
	if asked {
		t.Error("a redirection away from TLS was followed")
	}
	t.Run("on the same host", func(t *testing.T) {
		s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, "/blobs/"+blob) || r.URL.RawQuery != "" {
				return false
			}
			http.Redirect(w, r, r.URL.Path+"?stored", http.StatusTemporaryRedirect)
			return true
		})
		defer s.intercept(nil)
		to := filepath.Join(t.TempDir(), "fetched")
		fetch(t, p.Tag, to, registry.FetchOptions{})
		sameTree(t, to, sample.Dir)
	})
}
