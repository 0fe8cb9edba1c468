package deflate

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// goldenVersion is the Version the digests in golden were recorded for.
const goldenVersion = 1

var golden = []struct {
	name string
	data func() []byte
	sum  string // SHA-256 of AppendGzip(nil, data)
}{
	{"empty", func() []byte { return nil }, "ac73670af3abed54ac6fb4695131f4099be9fbe39d6076c5d0264a6bbdae9d83"},
	{"hello", func() []byte { return []byte("hello, hello, hello\n") }, "f22d3f6d133db52a4207fd48705f08f1e5905b8ae52464bf266eb540d2c0eab7"},
	{"zeros", func() []byte { return make([]byte, 1_000_000) }, "99b018d81c4de7af474208be78d5e9cb5a3e02422457e1c121c25830aa6964b7"},
	{"noise", func() []byte { return noise(100, 700_000) }, "d12f52b3a052e0bb133a545b48cfb59969ea514d4f84074c455bbdd6c027d370"},
	{"text", func() []byte { return text(101, 1_000_000) }, "bfb8ead2d032a2919b43f295a6bf444535eb6974428cea3c79183e890c17bb76"},
	{"records", func() []byte { return records(102, 1_000_000) }, "c44ede0496afd0e1678e97eee512c1a2ccb8f10ded84408162dbe6bf5cd8fbdc"},
	{"mixed", mixed, "84c51a0025d82b7af8a021d949a3924275bc1553646b4f30d392be9022f232a0"},
	{"chunk", func() []byte { return text(103, chunkSize) }, "bd2638a41f1edb33504d555aa17a72a6055c5f4642fc891941fbd0d63a787db3"},
	{"chunk and a byte", func() []byte { return text(103, chunkSize+1) }, "08a31f8dd9d4be7c5ee76ad0d47abc8ce7f0de2a6b3e2a934accd4f3e2053696"},
}

// TestGolden holds the package's guarantee. If it fails because the output was
// meant to change, raise Version and record the new digests with it.
func TestGolden(t *testing.T) {
	if Version != goldenVersion {
		t.Fatalf("Version is %d, the digests are of %d", Version, goldenVersion)
	}
	for _, g := range golden {
		sum := sha256.Sum256(AppendGzip(nil, g.data()))
		if got := hex.EncodeToString(sum[:]); got != g.sum {
			t.Errorf("%s: output is %s, Version %d is %s", g.name, got, Version, g.sum)
		}
	}
}
