package guestimage_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
)

// TestInspectNamesWhatWasChanged changes one byte at several places of each file.
func TestInspectNamesWhatWasChanged(t *testing.T) {
	dir := built(t, guestimage.Production)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 9 {
		t.Fatalf("the image has %d files, want 9", len(entries))
	}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			name := filepath.Join(dir, e.Name())
			good, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			places := []int{0, len(good) / 3, len(good) - 1}
			if strings.HasPrefix(e.Name(), "rootfs") {
				// The superblock of the file system, the tree's with its UUID, and what neither reaches.
				places = append(places, 600, 40000, 1<<20, 1<<20+100, 1<<20+8192, 1<<20+8192+17, 1<<20+8192+600, 1<<20+8192+4096, len(good)-(1<<20)-1, len(good)-(1<<19))
			}
			for _, at := range places {
				bad := slices.Clone(good)
				bad[at] ^= 1
				write(t, name, bad)
				_, err := guestimage.Inspect(dir, guestimage.Options{})
				var refused *guestimage.RefusedError
				want := e.Name()
				if want == dstack.ChecksumFile {
					want = "" // it says of another file what does not hold
				}
				if !errors.As(err, &refused) || want != "" && refused.What != want {
					t.Errorf("byte %d: got %v, want a refusal of %s", at, err, want)
				}
			}
			write(t, name, append(slices.Clone(good), 0))
			if _, err := guestimage.Inspect(dir, guestimage.Options{}); err == nil {
				t.Error("a byte more was not seen")
			}
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			if _, err := guestimage.Inspect(dir, guestimage.Options{}); err == nil || !strings.Contains(err.Error(), e.Name()+": expected a file, got none") {
				t.Errorf("without the file: got %v", err)
			}
			if err := os.Symlink("/dev/null", name); err != nil {
				t.Fatal(err)
			}
			if _, err := guestimage.Inspect(dir, guestimage.Options{}); err == nil || !strings.Contains(err.Error(), e.Name()+": expected a regular file") {
				t.Errorf("with a link: got %v", err)
			}
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			write(t, name, good)
		})
	}
	if _, err := guestimage.Inspect(dir, guestimage.Options{}); err != nil {
		t.Errorf("the image as it was: %v", err)
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// resum writes the checksums and the digest of whatever is there now, as who makes a false image would.
func resum(t *testing.T, dir string) {
	t.Helper()
	var sums []dstack.FileSum
	for _, name := range []string{"ovmf.fd", "bzImage", "initramfs.cpio.gz", "metadata.json", "measurement.tdx.cbor"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, dstack.FileSum{Name: name, Sum: sha256.Sum256(data)})
	}
	list, err := dstack.WriteChecksums(sums)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "sha256sum.txt"), list)
	write(t, filepath.Join(dir, "digest.txt"), dstack.WriteDigestFile(dstack.ImageHashOf(list)))
}

// TestInspectSeesThroughNewSums changes a file and makes the checksums fit again.
func TestInspectSeesThroughNewSums(t *testing.T) {
	for name, tt := range map[string]struct{ file, old, new, want string }{
		"command line":     {"metadata.json", "console=ttyS0", "console=ttyS1", "measurement.tdx.cbor: cmdline: expected"},
		"kernel header":    {"metadata.json", `"is_dev": false`, `"kernel_header_normalized": true, "is_dev": false`, "measurement.tdx.cbor: kernel_header_normalized: expected true"},
		"root hash":        {"metadata.json", "dstack.rootfs_hash=", "dstack.rootfs_hash=0", "cmdline"},
		"root size":        {"metadata.json", "dstack.rootfs_size=", "dstack.rootfs_size=1", ""},
		"flavour":          {"metadata.json", `"is_dev": false`, `"is_dev": true`, "guest-contents.json: flavour: "},
		"list":             {"metadata.json", `"guest_contents_sha256": "`, `"guest_contents_sha256": "0`, "guest_contents_sha256: "},
		"no list":          {"metadata.json", `"guest_contents_sha256"`, `"guest_contents"`, "guest-contents.json: is no file of the image"},
		"root elsewhere":   {"metadata.json", "rootfs.img.parted.verity", "../rootfs.img.verity", "rootfs: expected the name of a file"},
		"no root":          {"metadata.json", `"rootfs"`, `"rootfs_"`, "rootfs: expected the name of a file in the folder, got none"},
		"kernel is initrd": {"metadata.json", `"kernel": "bzImage"`, `"kernel": "initramfs.cpio.gz"`, ""},
		"firmware variant": {"metadata.json", "pre202505", "pre202506", "ovmf_variant: "},
		"unlisted kernel":  {"metadata.json", `"kernel": "bzImage"`, `"kernel": "digest.txt"`, "expected a line for digest.txt, the kernel"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := built(t, guestimage.Production)
			file := filepath.Join(dir, tt.file)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(data), tt.old, tt.new, 1)
			if changed == string(data) {
				t.Fatalf("%s has no %q", tt.file, tt.old)
			}
			write(t, file, []byte(changed))
			resum(t, dir)
			_, err = guestimage.Inspect(dir, guestimage.Options{})
			var refused *guestimage.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a refusal with %q", err, tt.want)
			}
		})
	}
}

// TestInspectReleases: what dstack's releases have that an image of ours does not.
func TestInspectReleases(t *testing.T) {
	const metadata, measurement = "metadata.json", "measurement.tdx.cbor"
	for name, change := range map[string]struct {
		normalized  bool
		measurement func(m *dstack.TDXMeasurement)
	}{
		"0.5.11":          {false, nil},
		"0.5.13 and on":   {true, nil},
		"0.6.0 candidate": {false, func(m *dstack.TDXMeasurement) { m.Version, m.Cmdline = 3, "" }},
		"0.6.0 and on":    {true, func(m *dstack.TDXMeasurement) { m.Normalized = true }},
	} {
		t.Run(name, func(t *testing.T) {
			dir := built(t, guestimage.Production)
			edit := func(name string, change func(data []byte) []byte) {
				t.Helper()
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, name), change(data))
			}
			if change.normalized {
				edit(metadata, func(data []byte) []byte {
					return bytes.Replace(data, []byte(`"is_dev"`), []byte(`"kernel_header_normalized": true, "sealed_env": true, "is_dev"`), 1)
				})
			}
			if change.measurement == nil {
				if err := os.Remove(filepath.Join(dir, measurement)); err != nil {
					t.Fatal(err)
				}
			} else {
				edit(measurement, func(data []byte) []byte {
					m, err := dstack.ParseTDXMeasurement(data)
					if err != nil {
						t.Fatal(err)
					}
					change.measurement(m)
					if data, err = m.Bytes(); err != nil {
						t.Fatal(err)
					}
					return data
				})
			}
			resum(t, dir)
			if _, err := guestimage.Inspect(dir, guestimage.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInspectRefusesOtherFiles(t *testing.T) {
	dir := built(t, guestimage.Production)
	write(t, filepath.Join(dir, "extra"), nil)
	if _, err := guestimage.Inspect(dir, guestimage.Options{}); err == nil || !strings.Contains(err.Error(), "extra: is no file of the image") {
		t.Errorf("got %v", err)
	}
	var refused *guestimage.RefusedError
	if _, err := guestimage.Inspect(filepath.Join(dir, "none"), guestimage.Options{}); err == nil || errors.As(err, &refused) {
		t.Errorf("a folder that is not there: got %v, want a fault and no verdict", err)
	}
}

func TestInspectWantsTheDigest(t *testing.T) {
	dir := built(t, guestimage.Production)
	im, err := guestimage.Inspect(dir, guestimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := guestimage.Inspect(dir, guestimage.Options{Digest: &im.Digest}); err != nil {
		t.Error(err)
	}
	other := im.Digest
	other[31] ^= 1
	if _, err := guestimage.Inspect(dir, guestimage.Options{Digest: &other}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("expected the image with digest %s, got %s", other, im.Digest)) {
		t.Errorf("got %v", err)
	}
}
