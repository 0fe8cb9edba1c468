package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// Identity is who a process is: an id, a type and an Ed25519 key. Printing one shows the public key only.
type Identity struct {
	ID     string
	Type   string
	Public ed25519.PublicKey
	// A function, because fmt prints a key behind an unexported field by reflection, and a function only as an address.
	sign func([]byte) []byte
}

// NewIdentity takes the key from the configuration, or makes one that lives as long as the process; ephemeral says which.
func NewIdentity(c Config) (identity Identity, ephemeral bool, err error) {
	seed := []byte(c.Seed.Reveal())
	if !c.Seed.IsSet() {
		seed = make([]byte, ed25519.SeedSize)
		if _, err := rand.Read(seed); err != nil {
			return Identity{}, false, fmt.Errorf("make a key: %w", err)
		}
	}
	key := ed25519.NewKeyFromSeed(seed)
	return Identity{
		ID:     c.ID,
		Type:   c.Type,
		Public: key.Public().(ed25519.PublicKey),
		sign:   func(message []byte) []byte { return ed25519.Sign(key, message) },
	}, !c.Seed.IsSet(), nil
}

// Sign signs with Ed25519. What is signed must be domain-separated by the caller.
func (i Identity) Sign(message []byte) []byte { return i.sign(message) }

// String names the identity by its public half.
func (i Identity) String() string { return i.ID + " " + evidence.EncodeKey(i.Public) }

// LogValue implements [slog.LogValuer].
func (i Identity) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("agent_id", i.ID), slog.String("agent_type", i.Type), slog.String("public_key", evidence.EncodeKey(i.Public)))
}
