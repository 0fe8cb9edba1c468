//go:build acceptance

package registry_test

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/boardroom-tee/boardroom/tools/oci"
	"github.com/boardroom-tee/boardroom/tools/oci/registry/registrytest"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/sigstoretest"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/registry"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
)

// What is published to a registry that many have comes back byte for byte, and a second time nothing is sent.
func TestDockerRegistry(t *testing.T) {
	prefix := registrytest.New(t) + "/boardroom"
	sample := newSample(t, sampleOptions{Prefix: prefix, Signed: true, By: []who{rebuilder}})
	d := sample.Open(t)
	p := publish(t, d, prefix, registry.PublishOptions{Archives: sample.archives})
	if again := publish(t, d, prefix, registry.PublishOptions{Archives: sample.archives}); again.Sent != 0 || again.Reference != p.Reference {
		t.Errorf("published %+v, then %+v", p, again)
	}
	to, archives := filepath.Join(t.TempDir(), "fetched"), t.TempDir()
	fetch(t, p.Tag, to, registry.FetchOptions{Archives: archives})
	sameTree(t, to, sample.Dir)
	sameTree(t, archives, sample.archives)
	// Each blob was sent once for a repository, and layers were taken over from the repositories of the images.
	want := int64(len(p.Vouchers) + p.Attached)
	files := make(map[provenance.Digest]bool)
	for _, f := range d.Release.Files {
		files[f.Digest] = true
	}
	for _, m := range d.Release.Images {
		image, err := oci.ReadLayout(filepath.Join(sample.Dir, m.Layout))
		check(t, err)
		layers, err := image.Layers()
		check(t, err)
		config, err := image.ConfigName()
		check(t, err)
		blobs := []v1.Hash{config}
		for _, l := range layers {
			digest, err := l.Digest()
			check(t, err)
			blobs = append(blobs, digest)
		}
		for _, b := range blobs {
			digest, err := provenance.ParseDigest(b.String())
			check(t, err)
			delete(files, digest)
			want++
		}
		want++ // the empty configuration of what is attached
	}
	want += int64(len(files)) + 3 // release.json, the empty configuration and the archive
	if p.Sent != want {
		t.Errorf("%d blobs were sent, want %d", p.Sent, want)
	}
}

// Killed while it talks to a registry that many have, a publication is finished by the next one.
func TestKilledPublicationToDockerRegistry(t *testing.T) {
	killPublications(t, 20, func() *server {
		target := &url.URL{Scheme: "http", Host: registrytest.New(t)}
		return serve(t, &httputil.ReverseProxy{
			// The host stays that of the request, so that the registry names it in what it answers.
			Rewrite:  func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host },
			ErrorLog: log.New(io.Discard, "", 0),
		})
	})
}

// skopeo and crane read and copy what we publish.
func TestSkopeoAndCrane(t *testing.T) {
	host := registrytest.New(t)
	prefix := host + "/boardroom"
	sample := newSample(t, sampleOptions{Prefix: prefix, Signed: true})
	p := publish(t, sample.Open(t), prefix, registry.PublishOptions{})
	digest := p.Reference[strings.Index(p.Reference, "@")+1:]
	manifest, err := registry.Manifest(sample.read(t, release.ManifestFile))
	check(t, err)

	t.Run("skopeo", func(t *testing.T) {
		skopeo := installed(t, "skopeo")
		if got := skopeo.must(t, "inspect", "--tls-verify=false", "--raw", "docker://"+p.Tag); got != string(manifest) {
			t.Errorf("inspect --raw prints\n%s\nwant\n%s", got, manifest)
		}
		image := p.Images["finance-agent"]
		if got := strings.TrimSpace(skopeo.must(t, "inspect", "--tls-verify=false", "--format", "{{.Digest}} {{.Os}}", "docker://"+image)); !strings.HasSuffix(image, strings.TrimSuffix(got, " linux")) {
			t.Errorf("inspect prints %q of %s", got, image)
		}
		copied := filepath.Join(t.TempDir(), "finance-agent")
		skopeo.must(t, "--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+image, "oci:"+copied+":ceo")
		layout, err := oci.ReadLayout(copied)
		check(t, err)
		if got, err := layout.Digest(); err != nil || !strings.HasSuffix(image, got.String()) {
			t.Errorf("copied %s, want %s: %v", got, image, err)
		}
		// The release as it is, from registry to registry.
		to := host + "/skopeo/boardroom-release:0.1.0"
		skopeo.must(t, "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests", "docker://"+p.Tag, "docker://"+to)
		f := fetch(t, to, filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{})
		if !strings.HasSuffix(f.Reference, digest) || len(f.Vouchers) != 0 {
			t.Errorf("fetched %+v of the copy, want %s", f, digest)
		}
	})
	t.Run("crane", func(t *testing.T) {
		crane := newCrane(t)
		if got := crane.must(t, "manifest", p.Tag); strings.TrimSpace(got) != string(manifest) {
			t.Errorf("manifest prints\n%s\nwant\n%s", got, manifest)
		}
		if got := strings.TrimSpace(crane.must(t, "digest", p.Tag)); got != digest {
			t.Errorf("digest prints %s, want %s", got, digest)
		}
		var parsed v1.Manifest
		check(t, json.Unmarshal(manifest, &parsed))
		if got := crane.must(t, "blob", strings.Split(p.Reference, "@")[0]+"@"+parsed.Layers[0].Digest.String()); got != string(sample.read(t, release.ManifestFile)) {
			t.Errorf("blob prints\n%s", got)
		}
		crane.must(t, "validate", "--remote", p.Images["finance-agent"])
		to := host + "/crane/boardroom-release:0.1.0"
		crane.must(t, "copy", p.Tag, to)
		fetch(t, to, filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{})
		crane.must(t, "pull", "--format", "oci", p.Images["finance-agent"], "pulled")
		layout, err := oci.ReadLayout(filepath.Join(crane.dir, "pulled"))
		check(t, err)
		if got, err := layout.Digest(); err != nil || !strings.HasSuffix(p.Images["finance-agent"], got.String()) {
			t.Errorf("pulled %s, want %s: %v", got, p.Images["finance-agent"], err)
		}
	})
}

// Stock cosign finds and verifies the signatures about an image, and those about the files of a release.
func TestCosignVerifiesWhatWePublish(t *testing.T) {
	prefix := registrytest.New(t) + "/boardroom"
	sample := newSample(t, sampleOptions{Prefix: prefix, Signed: true, By: []who{rebuilder}})
	p := publish(t, sample.Open(t), prefix, registry.PublishOptions{})
	unsigned := publish(t, newSample(t, sampleOptions{Prefix: prefix + "-unsigned"}).Open(t), prefix+"-unsigned", registry.PublishOptions{})
	for _, suite := range sigstoretest.Suites {
		t.Run(suite, func(t *testing.T) {
			cosign := newCosign(t, suite)
			cosign.write(t, "builder.pub", sample.Builder.Key().PEM())
			cosign.write(t, "rebuilder.pub", sample.Rebuilder.Key().PEM())
			cosign.write(t, "stranger.pub", sample.Stranger.Key().PEM())
			attestation := func(public, predicateType, image string) []string {
				return []string{"verify-attestation", "--new-bundle-format", "--key", public, "--insecure-ignore-tlog", "--trusted-root", "root.json", "--type", predicateType, image}
			}
			for _, image := range p.Images {
				for _, predicateType := range []string{provenance.BuildProvenanceType, "slsaprovenance1", "cyclonedx", release.StatementType} {
					cosign.must(t, attestation("builder.pub", predicateType, image)...)
				}
				cosign.must(t, attestation("rebuilder.pub", release.StatementType, image)...)
			}
			// Only who built it says how.
			cosign.refuses(t, attestation("rebuilder.pub", "slsaprovenance1", p.Images["finance-agent"])...)
			cosign.refuses(t, attestation("stranger.pub", "slsaprovenance1", p.Images["finance-agent"])...)
			cosign.refuses(t, attestation("builder.pub", "vuln", p.Images["finance-agent"])...)
			cosign.refuses(t, attestation("builder.pub", "slsaprovenance1", unsigned.Images["finance-agent"])...)
			if suite != "trixie" {
				// Since 3.0 a signature is a statement in a bundle, and any statement about the image is one.
				cosign.must(t, "verify", "--key", "builder.pub", "--insecure-ignore-tlog", "--trusted-root", "root.json", p.Images["finance-agent"])
				cosign.refuses(t, "verify", "--key", "stranger.pub", "--insecure-ignore-tlog", "--trusted-root", "root.json", p.Images["finance-agent"])
				cosign.refuses(t, "verify", "--key", "builder.pub", "--insecure-ignore-tlog", "--trusted-root", "root.json", unsigned.Images["finance-agent"])
			}

			// What was fetched, as blobs.
			to := filepath.Join(cosign.dir, "fetched")
			fetch(t, p.Tag, to, registry.FetchOptions{})
			bundle := "fetched/bundles/release-" + sample.Builder.Key().Fingerprint().String()[:16] + ".sigstore.json"
			blob := func(public, file string) []string {
				return []string{"verify-blob-attestation", "--new-bundle-format", "--bundle", bundle, "--key", public, "--type", release.StatementType, "--insecure-ignore-tlog", "--trusted-root", "root.json", file}
			}
			cosign.must(t, blob("builder.pub", "fetched/release.json")...)
			cosign.refuses(t, blob("rebuilder.pub", "fetched/release.json")...)
			cosign.refuses(t, blob("builder.pub", "fetched/compose/finance.json")...)
			check(t, os.RemoveAll(to))
		})
	}
}

// What stock cosign attaches to an image we verify, and leave where it is.
func TestWeVerifyWhatCosignAttaches(t *testing.T) {
	prefix := registrytest.New(t) + "/boardroom"
	sample := newSample(t, sampleOptions{Prefix: prefix, Signed: true})
	d := sample.Open(t)
	p := publish(t, d, prefix, registry.PublishOptions{})
	image := p.Images["finance-agent"]
	digest, err := provenance.ParseDigest(image[strings.Index(image, "@")+1:])
	check(t, err)
	const predicateType = "https://boardroom-tee.github.io/test/claim/v1"
	offline := map[string][]string{
		"trixie": {"--new-bundle-format", "--tlog-upload=false"},
		"forky":  {"--signing-config", "services.json"},
	}
	for _, suite := range sigstoretest.Suites {
		t.Run(suite, func(t *testing.T) {
			cosign := newCosign(t, suite)
			cosign.must(t, "generate-key-pair")
			public, err := provenance.ParseKey(cosign.read(t, "cosign.pub"))
			check(t, err)
			cosign.write(t, "predicate.json", []byte(`{"claim":true}`))
			cosign.write(t, "services.json", noServices)
			cosign.must(t, append(append([]string{"attest", "--key", "cosign.key", "--yes", "--predicate", "predicate.json", "--type", predicateType}, offline[suite]...), image)...)
			policy := provenance.Policy{
				Identities: []provenance.Identity{{Name: "cosign", Keys: []provenance.ValidKey{{Key: public}}}}, Threshold: 1, At: releasetest.Created,
				PredicateTypes: []string{predicateType}, OlderStatements: true,
			}
			if types := verified(t, image, digest, policy); !slices.Equal(types, []string{predicateType}) {
				t.Errorf("verified are %q, want %q", types, predicateType)
			}
			before := referring(t, image)
			publish(t, d, prefix, registry.PublishOptions{})
			if after := referring(t, image); !slices.Equal(before, after) {
				t.Errorf("what refers to the image was %v, and is %v", before, after)
			}
		})
	}
}

func referring(t *testing.T, image string) []string {
	t.Helper()
	ref, err := name.NewDigest(image)
	check(t, err)
	index, err := remote.Referrers(ref, remote.WithContext(t.Context()))
	check(t, err)
	manifest, err := index.IndexManifest()
	check(t, err)
	var all []string
	for _, m := range manifest.Manifests {
		all = append(all, m.Digest.String())
	}
	return all
}

// verified are the types of what a policy believes about an image of what refers to it, sorted.
func verified(t *testing.T, image string, digest provenance.Digest, policy provenance.Policy) []string {
	t.Helper()
	var all []string
	for _, manifest := range referring(t, image) {
		ref, err := name.NewDigest(image[:strings.Index(image, "@")+1] + manifest)
		check(t, err)
		attached, err := remote.Image(ref, remote.WithContext(t.Context()))
		check(t, err)
		layers, err := attached.Layers()
		check(t, err)
		for _, l := range layers {
			r, err := l.Compressed()
			check(t, err)
			bundle, err := io.ReadAll(r)
			check(t, err)
			check(t, r.Close())
			v, err := provenance.VerifyStatement([][]byte{bundle}, digest, policy, provenance.TrustRoot{})
			var refusal *provenance.Refusal
			if errors.As(err, &refusal) {
				t.Logf("%s: %v", manifest, err)
				continue
			}
			check(t, err)
			all = append(all, v.Statement.PredicateType)
		}
	}
	slices.Sort(all)
	return all
}
