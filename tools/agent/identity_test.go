package agent

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/agent/secret"
)

func TestIdentity(t *testing.T) {
	const raw = "0123456789abcdef0123456789abcdef"
	i, ephemeral, err := NewIdentity(Config{ID: "finance-acme", Type: "finance", Seed: secret.New(raw)})
	if err != nil || ephemeral {
		t.Fatalf("ephemeral %v, %v", ephemeral, err)
	}
	want := ed25519.NewKeyFromSeed([]byte(raw)).Public().(ed25519.PublicKey)
	if !i.Public.Equal(want) || !ed25519.Verify(want, []byte("m"), i.Sign([]byte("m"))) {
		t.Error("the key is not that of the seed")
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "identity", i, "nested", []any{&i})
	text, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	type hidden struct{ i Identity }
	printed := log.String() + string(text) + fmt.Sprintf("%v %+v %#v %x %v %#v", i, i, i, i, hidden{i}, &hidden{i})
	for _, leak := range []string{raw, fmt.Sprintf("%x", raw), fmt.Sprint([]byte(raw))[1:20], base64.StdEncoding.EncodeToString([]byte(raw))[:40], "0x30, 0x31, 0x32"} {
		if strings.Contains(printed, leak) {
			t.Errorf("the private key is printed as %s:\n%s", leak, printed)
		}
	}
}

func TestEphemeralIdentity(t *testing.T) {
	one, ephemeral, err := NewIdentity(Config{})
	if err != nil || !ephemeral {
		t.Fatalf("ephemeral %v, %v", ephemeral, err)
	}
	two, _, err := NewIdentity(Config{})
	if err != nil || one.Public.Equal(two.Public) {
		t.Errorf("two processes have one key, %v", err)
	}
}
