package release_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/tilelog"
)

// accepted are the keys of those whose signature about a statement verifies.
func accepted(t *testing.T, d *release.Directory, file string, who ...*releasetest.Signer) (names []string) {
	t.Helper()
	bundles, err := d.BundlesAbout(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range who {
		for name, b := range bundles {
			if _, err := b.Envelope.Verify([]provenance.Key{s.Key()}, 1); err == nil {
				names = append(names, name)
			}
		}
	}
	return names
}

func TestSign(t *testing.T) {
	f := releasetest.New(t)
	built, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: f.Builder, Step: release.BuildStep})
	if err != nil {
		t.Fatal(err)
	}
	rebuilt, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: f.Rebuilder, Step: release.RebuildStep})
	if err != nil {
		t.Fatal(err)
	}
	d := f.Open(t)
	statements := d.Release.StatementFiles()
	if n := len(statements) + 2; len(built.Written) != n || len(built.Kept) != 0 {
		t.Errorf("the builder wrote %v and kept %v, want %d files and none", built.Written, built.Kept, n)
	}
	if len(rebuilt.Written) != 2 || len(rebuilt.Kept) != 0 {
		t.Errorf("the rebuilder wrote %v and kept %v, want 2 files and none", rebuilt.Written, rebuilt.Kept)
	}
	for _, file := range statements {
		if names := accepted(t, d, file, f.Builder, f.Rebuilder, f.Stranger); len(names) != 1 {
			t.Errorf("%s: signed in %v, want by the builder alone", file, names)
		}
	}
	names := accepted(t, d, "", f.Builder, f.Rebuilder)
	if len(names) != 2 {
		t.Errorf("the release is signed in %v, want by both", names)
	}
	for i, s := range []*releasetest.Signer{f.Builder, f.Rebuilder} {
		want := "release-" + s.Key().Fingerprint().String()[:16] + ".sigstore.json"
		if len(names) == 2 && names[i] != want {
			t.Errorf("got %s, want %s", names[i], want)
		}
	}

	var links [][]byte
	for _, link := range d.Links {
		links = append(links, link)
	}
	verified, err := layout.Verify(f.Layout, layout.Owners{Keys: []provenance.Key{f.Owner.Key()}, Threshold: 1}, links, releasetest.Created)
	if err != nil {
		t.Fatal(err)
	}
	want, err := d.Release.Products()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range verified.Steps {
		if len(step.Products) != len(want) {
			t.Errorf("step %s made %v, want %v", step.Name, step.Products, want)
		}
	}
}

// TestLayout: the layout of releases refuses links of other makes.
func TestLayout(t *testing.T) {
	f := releasetest.New(t)
	d := f.Open(t)
	link := func(step string, who *releasetest.Signer, change func(materials, products map[string]provenance.Digest)) []byte {
		t.Helper()
		products, err := d.Release.Products()
		if err != nil {
			t.Fatal(err)
		}
		materials := d.Release.Materials()
		change(materials, products)
		data, err := layout.SignLink(t.Context(), layout.NewLink(step, materials, products), who)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	same := func(_, _ map[string]provenance.Digest) {}
	built, rebuilt := link(release.BuildStep, f.Builder, same), link(release.RebuildStep, f.Rebuilder, same)
	other := provenance.DigestOf([]byte("other"))
	for name, tt := range map[string]struct {
		links [][]byte
		sound bool
	}{
		"both":                   {[][]byte{built, rebuilt}, true},
		"nobody built it again":  {[][]byte{built}, false},
		"builder is rebuilder":   {[][]byte{built, link(release.RebuildStep, f.Builder, same)}, false},
		"stranger":               {[][]byte{built, link(release.RebuildStep, f.Stranger, same)}, false},
		"another release":        {[][]byte{built, link(release.RebuildStep, f.Rebuilder, func(_, p map[string]provenance.Digest) { p[release.ManifestFile] = other })}, false},
		"another image":          {[][]byte{built, link(release.RebuildStep, f.Rebuilder, func(_, p map[string]provenance.Digest) { p["images/hub-agent"] = other })}, false},
		"one image more":         {[][]byte{built, link(release.RebuildStep, f.Rebuilder, func(_, p map[string]provenance.Digest) { p["images/other"] = other })}, false},
		"another source":         {[][]byte{built, link(release.RebuildStep, f.Rebuilder, func(m, _ map[string]provenance.Digest) { m[release.SourceMaterial] = other })}, false},
		"no source":              {[][]byte{built, link(release.RebuildStep, f.Rebuilder, func(m, _ map[string]provenance.Digest) { delete(m, release.SourceMaterial) })}, false},
		"no release":             {[][]byte{link(release.BuildStep, f.Builder, func(_, p map[string]provenance.Digest) { delete(p, release.ManifestFile) }), rebuilt}, false},
		"something else is made": {[][]byte{link(release.BuildStep, f.Builder, func(_, p map[string]provenance.Digest) { p["tools"] = other }), rebuilt}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := layout.Verify(f.Layout, layout.Owners{Keys: []provenance.Key{f.Owner.Key()}, Threshold: 1}, tt.links, releasetest.Created)
			if (err == nil) != tt.sound {
				t.Errorf("got %v, want accepted to be %t", err, tt.sound)
			}
		})
	}
}

// TestSignAgain: what is signed stays, byte for byte, and is renewed when that is asked for.
func TestSignAgain(t *testing.T) {
	f := releasetest.New(t)
	f.Sign(t)
	before := contents(t, f.Dir)
	again, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: f.Builder, Step: release.BuildStep})
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Written) > 0 {
		t.Errorf("wrote %v", again.Written)
	}
	if names := differences(before, contents(t, f.Dir)); len(names) > 0 {
		t.Errorf("%v changed", names)
	}
	renewed, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: f.Builder, Step: release.BuildStep, Renew: true})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(renewed.Written)
	slices.Sort(again.Kept)
	if !slices.Equal(renewed.Written, again.Kept) || len(renewed.Kept) > 0 {
		t.Errorf("renewed %v, want %v", renewed.Written, again.Kept)
	}
	if names := differences(before, contents(t, f.Dir)); !slices.Equal(names, renewed.Written) {
		t.Errorf("%v changed, want %v", names, renewed.Written)
	}
}

// TestSignReplaces: a file that has the name of a signature and is none, or is about something else, does not stay.
func TestSignReplaces(t *testing.T) {
	other := releasetest.New(t, releasetest.Options{Version: "2.0.0"})
	other.Sign(t)
	for name, replace := range map[string]func(f *releasetest.Fixture, file string) []byte{
		"garbage": func(*releasetest.Fixture, string) []byte { return []byte("{}") },
		"cut off": func(f *releasetest.Fixture, file string) []byte {
			data := read(t, f.Dir, file)
			return data[:len(data)/2]
		},
		"nothing":    func(*releasetest.Fixture, string) []byte { return nil },
		"of another": func(_ *releasetest.Fixture, file string) []byte { return read(t, other.Dir, file) },
		"of a stranger": func(f *releasetest.Fixture, file string) []byte {
			f.SignAs(t, f.Stranger, release.BuildStep)
			for name, data := range f.Open(t).Links {
				if key, err := layout.FileName(release.BuildStep, f.Stranger.Key()); err == nil && name == key && strings.HasPrefix(file, "links/") {
					return data
				}
			}
			return read(t, f.Dir, "bundles/release-"+f.Stranger.Key().Fingerprint().String()[:16]+".sigstore.json")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := releasetest.New(t)
			f.Sign(t)
			d := f.Open(t)
			bundle := "release-" + f.Builder.Key().Fingerprint().String()[:16] + ".sigstore.json"
			link, err := layout.FileName(release.BuildStep, f.Builder.Key())
			if err != nil {
				t.Fatal(err)
			}
			if d.Bundles[bundle] == nil || d.Links[link] == nil {
				t.Fatalf("expected %s and %s", bundle, link)
			}
			files := []string{"bundles/" + bundle, "links/" + link}
			for _, file := range files {
				if err := os.WriteFile(filepath.Join(f.Dir, file), replace(f, file), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			done, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: f.Builder, Step: release.BuildStep})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(done.Written, files) {
				t.Errorf("wrote %v, want %v", done.Written, files)
			}
			if names := accepted(t, f.Open(t), "", f.Builder); len(names) != 1 {
				t.Errorf("the builder's signatures are %v, want one", names)
			}
		})
	}
}

func read(t *testing.T, dir, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// failing can not sign.
type failing struct{ *releasetest.Signer }

var errNoSignature = errors.New("the service is down")

func (failing) SignStatement(context.Context, provenance.Statement) (provenance.Bundle, error) {
	return provenance.Bundle{}, errNoSignature
}

func TestSignRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(f *releasetest.Fixture, o *release.SignOptions)
		want   string
		as     any
	}{
		"no step": {func(_ *releasetest.Fixture, o *release.SignOptions) { o.Step = "" }, `step: expected build, rebuild or none, got ""`, new(*release.OptionsError)},
		"changed file": {func(f *releasetest.Fixture, _ *release.SignOptions) {
			os.WriteFile(filepath.Join(f.Dir, "images", "hub-agent", "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.1"}`), 0o644)
		}, "oci-layout: expected ", new(*release.ChangedError)},
		"file more": {func(f *releasetest.Fixture, _ *release.SignOptions) {
			os.WriteFile(filepath.Join(f.Dir, "images", "more"), nil, 0o644)
		}, "images/more: release.json does not list it", new(*release.UnaccountedError)},
		"no release":      {func(f *releasetest.Fixture, _ *release.SignOptions) { os.Remove(filepath.Join(f.Dir, "release.json")) }, "expected the folder of a release", nil},
		"signer that can": {func(f *releasetest.Fixture, o *release.SignOptions) { o.Signer = failing{f.Builder} }, "the service is down", errNoSignature},
	} {
		t.Run(name, func(t *testing.T) {
			f := releasetest.New(t)
			o := release.SignOptions{Signer: f.Builder, Step: release.BuildStep}
			tt.change(f, &o)
			before := contents(t, f.Dir)
			_, err := release.Sign(t.Context(), f.Dir, o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q in it", err, tt.want)
			}
			switch as := tt.as.(type) {
			case nil:
			case error:
				if !errors.Is(err, as) {
					t.Errorf("got %v, want %v", err, as)
				}
			default:
				if !errors.As(err, as) {
					t.Errorf("got %T, want %T", err, as)
				}
			}
			if names := differences(before, contents(t, f.Dir)); len(names) > 0 {
				t.Errorf("%v changed", names)
			}
			if got := names(t, filepath.Dir(f.Dir)); len(got) != 1 {
				t.Errorf("got %v beside the release", got)
			}
		})
	}
}

// TestSignedByHalf: what was signed before a fault stays, and the next run does the rest.
func TestSignedByHalf(t *testing.T) {
	f := releasetest.New(t)
	half := &sometimes{Signer: f.Builder, left: 3}
	if _, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: half, Step: release.BuildStep}); !errors.Is(err, errNoSignature) {
		t.Fatalf("got %v, want %v", err, errNoSignature)
	}
	before := contents(t, f.Dir)
	done, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: f.Builder, Step: release.BuildStep})
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Kept) != 3 {
		t.Errorf("kept %v, want 3 files", done.Kept)
	}
	after := contents(t, f.Dir)
	for _, file := range done.Kept {
		if before[file] != after[file] {
			t.Errorf("%s changed", file)
		}
	}
}

type sometimes struct {
	*releasetest.Signer
	left int
}

func (s *sometimes) SignStatement(ctx context.Context, statement provenance.Statement) (provenance.Bundle, error) {
	if s.left--; s.left < 0 {
		return provenance.Bundle{}, errNoSignature
	}
	return s.Signer.SignStatement(ctx, statement)
}

// TestSignAlone: two runs at once would be at each other's files.
func TestSignAlone(t *testing.T) {
	f := releasetest.New(t)
	var place *release.PlaceError
	err := release.WriteFolder(f.Dir, func(string) error {
		_, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: f.Builder, Step: release.BuildStep})
		return err
	}, nil)
	if !errors.As(err, &place) || !strings.Contains(err.Error(), "expected to be alone at it, and another run is") {
		t.Errorf("got %v, want a PlaceError", err)
	}
}

// TestSignLogged puts each signature into a log, and the proof has them all.
func TestSignLogged(t *testing.T) {
	f := releasetest.New(t)
	key, err := logSigner()
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	policy := transparency.Policy{Origin: key.Name(), Key: key.Key()}
	sign := func(who *releasetest.Signer, step string) *release.Signed {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		log, err := tilelog.Create(ctx, filepath.Join(work, "log"), key, filepath.Join(work, "signed.json"))
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		done, err := release.Sign(ctx, f.Dir, release.SignOptions{Signer: who, Step: step, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	proof := path.Join(release.LogFolder, transparency.ProofFile(key.Name()))
	if done := sign(f.Builder, release.BuildStep); !slices.Contains(done.Written, proof) {
		t.Errorf("wrote %v, want %s among them", done.Written, proof)
	}
	checkProof(t, f.Dir, policy)
	if done := sign(f.Rebuilder, release.RebuildStep); !slices.Contains(done.Written, proof) || !slices.Contains(done.Written, transparency.ConsistencyFile(proof)) {
		t.Errorf("wrote %v, want %s and the consistency proof among them", done.Written, proof)
	}
	checkProof(t, f.Dir, policy)
	before := contents(t, f.Dir)
	if done := sign(f.Rebuilder, release.RebuildStep); len(done.Written) > 0 {
		t.Errorf("wrote %v, want nothing", done.Written)
	}
	if names := differences(before, contents(t, f.Dir)); len(names) > 0 {
		t.Errorf("%v changed", names)
	}
}

// keyless signs with a key that lives for one run, and a certificate for it.
type keyless struct {
	*plainSigner
	certificate *x509.Certificate
}

func (s *keyless) Certificate() *x509.Certificate { return s.certificate }

func (s *keyless) SignStatement(ctx context.Context, statement provenance.Statement) (provenance.Bundle, error) {
	return provenance.SignStatement(ctx, s, statement)
}

func newKeyless(t *testing.T, issuer, address string) *keyless {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	extension, err := asn1.MarshalWithParams(issuer, "utf8")
	if err != nil {
		t.Fatal(err)
	}
	// Fulcio's extension with the issuer.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), EmailAddresses: []string{address},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: extension}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &keyless{&plainSigner{key}, certificate}
}

// TestSignKeyless: who signs is who the certificate names, whatever key it is for.
func TestSignKeyless(t *testing.T) {
	f := releasetest.New(t)
	const issuer = "https://token.example.test"
	sign := func(s *keyless) *release.Signed {
		t.Helper()
		done, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: s, Step: release.NoStep})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	sum := sha256.Sum256([]byte(issuer + "\x00ann@example.test"))
	file := "bundles/release-" + hex.EncodeToString(sum[:8]) + ".sigstore.json"
	if done := sign(newKeyless(t, issuer, "ann@example.test")); !slices.Equal(done.Written, []string{file}) || len(done.Kept) > 0 {
		t.Errorf("got %+v, want %s written", done, file)
	}
	if done := sign(newKeyless(t, issuer, "ann@example.test")); !slices.Equal(done.Kept, []string{file}) || len(done.Written) > 0 {
		t.Errorf("again with another key: got %+v, want %s kept", done, file)
	}
	for _, other := range []*keyless{newKeyless(t, issuer, "bob@example.test"), newKeyless(t, issuer+"/2", "ann@example.test")} {
		if done := sign(other); len(done.Written) != 1 || done.Written[0] == file {
			t.Errorf("another identity: got %+v, want another file written", done)
		}
	}
	d := f.Open(t)
	if len(d.Bundles) != 3 || len(d.Links) != 0 {
		t.Errorf("got %d bundles and %d links, want 3 and none", len(d.Bundles), len(d.Links))
	}
	description, err := release.Describe(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range description.Signatures {
		if s.About != release.ManifestFile || s.Subject == "" || s.Issuer == "" {
			t.Errorf("got %+v", s)
		}
	}
}

// TestBuildKeyless: a builder whom a certificate names signs everything that a builder signs, and no link, for no layout can name the key.
func TestBuildKeyless(t *testing.T) {
	f := releasetest.New(t)
	done, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: newKeyless(t, "https://token.example.test", "ann@example.test"), Step: release.BuildStep})
	if err != nil {
		t.Fatal(err)
	}
	d := f.Open(t)
	if want := len(d.Release.StatementFiles()) + 1; len(done.Written) != want || len(d.Bundles) != want || len(d.Links) != 0 {
		t.Errorf("wrote %v, and there are %d bundles and %d links, want %d bundles and no link", done.Written, len(d.Bundles), len(d.Links), want)
	}
}
