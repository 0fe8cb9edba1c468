package release_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
)

var updateDescription = flag.Bool("update-description", false, "write the golden description anew")

// TestDescribe holds what people see to a golden file. Guest images are left out: their digests follow from other packages.
func TestDescribe(t *testing.T) {
	d := releasetest.New(t, releasetest.Options{NoGuests: true}).Open(t)
	// What is said is not believed, and does not reach the terminal as it is.
	d.Bundles["x.sigstore.json"] = []byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"\u001b[2J"}},` +
		`"dsseEnvelope":{"payload":"e30=","payloadType":"x","signatures":[{"sig":"AAAA"}]}}`)
	d.Bundles["y.sigstore.json"] = []byte("garbage")
	description, err := release.Describe(d)
	if err != nil {
		t.Fatal(err)
	}
	if description.Verified {
		t.Error("it says that it was verified")
	}
	var got bytes.Buffer
	if err := description.Print(&got); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "description.txt")
	if *updateDescription {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestDescribeDevelopment(t *testing.T) {
	d := releasetest.New(t, releasetest.Options{Flavours: []guestimage.Flavour{guestimage.Development}}).Open(t)
	description, err := release.Describe(d)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := description.Print(&got); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "test-guest-dev 0.5.11, DEVELOPMENT, ") {
		t.Errorf("a development guest does not stand out: %s", got.String())
	}
}
