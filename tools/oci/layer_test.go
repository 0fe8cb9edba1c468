package oci_test

import (
	"archive/tar"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/boardroom-tee/boardroom/tools/oci"
)

var epoch = time.Unix(1_000_000_000, 0)

var files = []oci.File{
	{Path: "/usr/bin/agent", Mode: 0o755, Content: []byte("program")},
	{Path: "/app/data", Dir: true, Mode: 0o750, UID: 10001, GID: 10002},
	{Path: "/app", Dir: true, Mode: 0o711},
	{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0::/:\n")},
}

func digestOf(t *testing.T, l v1.Layer) string {
	t.Helper()
	h, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func TestLayerContent(t *testing.T) {
	l, err := oci.Layer(files, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Layer(l); err != nil {
		t.Errorf("go-containerregistry finds the layer unsound: %v", err)
	}
	r, err := l.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		name     string
		mode     int64
		uid, gid int
		content  string
	}
	var got []entry
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) || h.Uname != "" || h.Gname != "" || h.Format != tar.FormatUSTAR {
			t.Errorf("%s: time %v, owner %q:%q, format %v", h.Name, h.ModTime, h.Uname, h.Gname, h.Format)
		}
		got = append(got, entry{h.Name, h.Mode, h.Uid, h.Gid, string(content)})
	}
	want := []entry{
		{"app/", 0o711, 0, 0, ""},
		{"app/data/", 0o750, 10001, 10002, ""},
		{"etc/", 0o755, 0, 0, ""},
		{"etc/passwd", 0o644, 0, 0, "root:x:0:0::/:\n"},
		{"usr/", 0o755, 0, 0, ""},
		{"usr/bin/", 0o755, 0, 0, ""},
		{"usr/bin/agent", 0o755, 0, 0, "program"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("layer holds\n%v\nwant\n%v", got, want)
	}
}

func TestLayerIgnoresOrder(t *testing.T) {
	l, err := oci.Layer(files, epoch)
	if err != nil {
		t.Fatal(err)
	}
	want := digestOf(t, l)
	shuffled := slices.Clone(files)
	for range 20 {
		rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		l, err := oci.Layer(shuffled, epoch)
		if err != nil {
			t.Fatal(err)
		}
		if got := digestOf(t, l); got != want {
			t.Fatalf("order %v: digest %s, want %s", shuffled, got, want)
		}
	}
	later, err := oci.Layer(files, epoch.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if digestOf(t, later) == want {
		t.Error("another epoch gives the same digest")
	}
}

func TestLayerRefuses(t *testing.T) {
	tests := []struct {
		name  string
		files []oci.File
		want  string
	}{
		{"relative", []oci.File{{Path: "a"}}, `path "a"`},
		{"root", []oci.File{{Path: "/", Dir: true}}, `path "/"`},
		{"dots", []oci.File{{Path: "/a/../b"}}, `path "/a/../b"`},
		{"trailing slash", []oci.File{{Path: "/a/"}}, `path "/a/"`},
		{"twice", []oci.File{{Path: "/a"}, {Path: "/a"}}, "/a: stands twice"},
		{"file as folder", []oci.File{{Path: "/a"}, {Path: "/a/b/c"}}, "/a/b/c: lies below /a, which is a file"},
		{"setuid", []oci.File{{Path: "/a", Mode: 0o4755}}, "/a: mode 04755"},
		{"long name", []oci.File{{Path: "/" + strings.Repeat("a", 300)}}, "tar"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := oci.Layer(tt.files, epoch); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
		})
	}
}
