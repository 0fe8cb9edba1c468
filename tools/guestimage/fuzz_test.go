package guestimage

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzExtract: whatever an archive says, files are made in one folder and nowhere else.
func FuzzExtract(f *testing.F) {
	for _, name := range []string{"digest.txt", "./a/digest.txt", "a/../b", "/etc/passwd", "a/b/c"} {
		var b bytes.Buffer
		a := tar.NewWriter(&b)
		if err := errors.Join(a.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 1, Mode: 0o600}), func() error { _, err := a.Write([]byte("x")); return err }(), a.Close()); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		parent := t.TempDir()
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(archive); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		from, dir := filepath.Join(parent, "archive"), filepath.Join(parent, "dir")
		if err := errors.Join(os.WriteFile(from, packed.Bytes(), 0o600), os.Mkdir(dir, 0o700)); err != nil {
			t.Fatal(err)
		}
		if err := extract(from, dir); err != nil {
			var refused *RefusedError
			if !errors.As(err, &refused) {
				t.Errorf("got %v, want a RefusedError", err)
			}
		}
		outside, err := os.ReadDir(parent)
		if err != nil || len(outside) != 2 {
			t.Errorf("beside the folder: %v (%v)", outside, err)
		}
		inside, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range inside {
			if !e.Type().IsRegular() {
				t.Errorf("%s is no regular file", e.Name())
			}
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add("# comment\nCONFIG_A=y\nCONFIG_B=\"x\"\n")
	f.Add("CONFIG_A=y\nCONFIG_A=n\n")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := parseConfig([]byte(text))
		for name, value := range values {
			if err != nil || !strings.Contains(text, name+"="+value) {
				t.Errorf("%s=%s is not in %q (%v)", name, value, text, err)
			}
		}
	})
}

// TestMetadataKinds: each member of metadata.json that is read here is refused when it is of another kind.
func TestMetadataKinds(t *testing.T) {
	for document, want := range map[string]string{
		`{"rootfs": 1}`: "rootfs: ", `{"rootfs": "a/b"}`: "rootfs: ", `{"rootfs": ".."}`: "rootfs: ", `{"bios-sev": "/x"}`: "bios-sev: ",
		`{"guest_contents_sha256": "00"}`: "guest_contents_sha256: ", `{"rootfs": "a", "rootfs": "b"}`: "rootfs", `[]`: "metadata.json",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "metadata.json"), []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readMetadata(dir)
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want a refusal with %q", document, err, want)
		}
	}
}

func TestRootParameters(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	got, size, err := rootParameters("a dstack.rootfs_hash=" + hash + " dstack.rootfs_size=4096 b")
	if err != nil || got.String() != hash || size != 4096 {
		t.Errorf("got %s, %d (%v)", got, size, err)
	}
	for _, bad := range []string{
		"", "dstack.rootfs_hash=" + hash, "dstack.rootfs_size=4096", "dstack.rootfs_hash=" + hash + " dstack.rootfs_size=0",
		"dstack.rootfs_hash=" + hash + " dstack.rootfs_size=-4096", "dstack.rootfs_hash=" + hash + " dstack.rootfs_size=04096",
		"dstack.rootfs_hash=" + hash + " dstack.rootfs_size=99999999999999", "dstack.rootfs_hash=" + hash + " dstack.rootfs_size=4096 dstack.rootfs_size=8192",
		"dstack.rootfs_hash=" + strings.ToUpper(hash) + " dstack.rootfs_size=4096",
	} {
		if got, size, err := rootParameters(bad); err == nil {
			t.Errorf("%q: got %s, %d", bad, got, size)
		}
	}
}
