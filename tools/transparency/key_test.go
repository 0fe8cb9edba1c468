package transparency

import (
	"encoding/base64"
	"strings"
	"testing"
)

// The example of C2SP's signed-note ("Verifier keys").
func TestVerifierKeyExample(t *testing.T) {
	const text = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
	k, err := parseKey(text, typeLog)
	if err != nil {
		t.Fatal(err)
	}
	if k.String() != text || k.Name() != "example.com/foo" || k.KeyHash() != 0x530d903a {
		t.Errorf("read as %s", k)
	}
	raw, err := base64.StdEncoding.DecodeString("Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=")
	if err != nil {
		t.Fatal(err)
	}
	if !k.Verify([]byte("This is an example message.\n"), raw[4:]) {
		t.Error("the example's signature does not verify")
	}
	if k.Verify([]byte("This is an example message"), raw[4:]) {
		t.Error("the example's signature verifies over another text")
	}
	if _, err := parseKey(text, typeWitness); err == nil || !strings.Contains(err.Error(), "type 4") {
		t.Errorf("as a witness's key: %v", err)
	}
}

// The key of a witness that runs, and the time in the example of C2SP's tlog-cosignature ("Ed25519 signed message").
func TestCosignatureExamples(t *testing.T) {
	k, err := parseKey("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2", typeWitness)
	if err != nil || k.KeyHash() != 0xda77ade7 {
		t.Errorf("read as %v: %v", k, err)
	}
	raw, err := base64.StdEncoding.DecodeString("jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==")
	if err != nil {
		t.Fatal(err)
	}
	at, _, ok := splitCosignature(raw[4:])
	if !ok || at != 1679315147 {
		t.Errorf("the time is %d", at)
	}
	const text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	if got, want := string(cosigned(at, []byte(text))), "cosignature/v1\ntime 1679315147\n"+text; got != want {
		t.Errorf("signed is %q, want %q", got, want)
	}
}
