package registry

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/boardroom-tee/boardroom/tools/release"
)

func fuzzSubject() v1.Descriptor { return describe([]byte("a release")) }

// Whatever is accepted is a file of one of three folders, and has one manifest.
func FuzzParseVoucher(f *testing.F) {
	for _, file := range []string{"bundles/release-0123456789abcdef.sigstore.json", "log/a", "../a", "log/../a", ""} {
		v, err := newVoucher(file, []byte("content"), fuzzSubject())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(v.Manifest)
		f.Add(bytes.Replace(v.Manifest, []byte(`"size":7`), []byte(`"size":-7`), 1))
	}
	f.Add([]byte(`{"layers":[{}]}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		v, err := parseVoucher(manifest, fuzzSubject())
		if err != nil {
			return
		}
		folders := []string{release.BundlesFolder, release.LinksFolder, release.LogFolder}
		if folder, name := path.Split(v.File); !slices.Contains(folders, path.Clean(folder)) || strings.Count(v.File, "/") != 1 || strings.Trim(name, ".") == "" {
			t.Errorf("accepted %q", v.File)
		}
		if v.Size < 0 || v.Size > release.MaxVoucher {
			t.Errorf("accepted %d bytes", v.Size)
		}
		if again, err := voucherManifest(v.File, v.Digest, v.Size, fuzzSubject()); err != nil || !bytes.Equal(again, manifest) {
			t.Errorf("read as %+v, which is written as %s: %v", v, again, err)
		}
	})
}

// What others put into a list stays there, and what is added is there once.
func FuzzIndex(f *testing.F) {
	own, err := newVoucher("log/a", []byte("content"), fuzzSubject())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`))
	f.Add([]byte(`{"manifests":[{"digest":"sha256:` + strings.Repeat("0", 64) + `","x":1}],"annotations":{"a":"b"},"y":[2]}`))
	f.Add([]byte(`{"manifests":null}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseIndex(data)
		if err != nil {
			return
		}
		before := slices.Clone(all.referrers)
		if _, err := merge(&all, [][]byte{own.Manifest, own.Manifest}, nil); err != nil {
			t.Fatal(err)
		}
		written, err := all.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseIndex(written)
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if n := len(again.referrers); !again.has(hashOf(own.Manifest)) || n < len(before) || n > len(before)+1 {
			t.Errorf("%d were listed, %d are: %s", len(before), n, written)
		}
		for i, r := range before {
			if again.referrers[i].descriptor.Digest != r.descriptor.Digest {
				t.Errorf("%s was listed, and %s is", r.descriptor.Digest, again.referrers[i].descriptor.Digest)
			}
		}
		if changed, err := merge(&again, [][]byte{own.Manifest}, nil); err != nil || changed {
			t.Errorf("it is added again: %v", err)
		}
	})
}
