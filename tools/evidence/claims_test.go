package evidence

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestClaimsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		member string
		change func(*Claims)
	}{
		"id empty":             {"agent_id", func(c *Claims) { c.AgentID = "" }},
		"id upper case":        {"agent_id", func(c *Claims) { c.AgentID = "Finance" }},
		"id space":             {"agent_id", func(c *Claims) { c.AgentID = "a b" }},
		"id starts with dot":   {"agent_id", func(c *Claims) { c.AgentID = ".a" }},
		"id quote":             {"agent_id", func(c *Claims) { c.AgentID = `a"` }},
		"id too long":          {"agent_id", func(c *Claims) { c.AgentID = strings.Repeat("a", 64) }},
		"type empty":           {"agent_type", func(c *Claims) { c.AgentType = "" }},
		"type digit first":     {"agent_type", func(c *Claims) { c.AgentType = "1a" }},
		"type dot":             {"agent_type", func(c *Claims) { c.AgentType = "a.b" }},
		"type too long":        {"agent_type", func(c *Claims) { c.AgentType = strings.Repeat("a", 33) }},
		"nonce empty":          {"nonce", func(c *Claims) { c.Nonce = "" }},
		"nonce 15 bytes":       {"nonce", func(c *Claims) { c.Nonce = c.Nonce[2:] }},
		"nonce odd":            {"nonce", func(c *Claims) { c.Nonce += "0" }},
		"nonce 65 bytes":       {"nonce", func(c *Claims) { c.Nonce = strings.Repeat("00", 65) }},
		"nonce upper case":     {"nonce", func(c *Claims) { c.Nonce = strings.ToUpper(c.Nonce) }},
		"nonce 0x":             {"nonce", func(c *Claims) { c.Nonce = "0x" + c.Nonce }},
		"key empty":            {"public_key", func(c *Claims) { c.PublicKey = "" }},
		"key short":            {"public_key", func(c *Claims) { c.PublicKey = c.PublicKey[:42] }},
		"key padded":           {"public_key", func(c *Claims) { c.PublicKey += "=" }},
		"key line break":       {"public_key", func(c *Claims) { c.PublicKey = "\n" + c.PublicKey }},
		"key standard base64":  {"public_key", func(c *Claims) { c.PublicKey = "/" + c.PublicKey[1:] }},
		"key trailing bits":    {"public_key", func(c *Claims) { c.PublicKey = c.PublicKey[:42] + "9" }},
		"time empty":           {"timestamp", func(c *Claims) { c.Timestamp = "" }},
		"time fraction":        {"timestamp", func(c *Claims) { c.Timestamp = "2026-11-22T10:00:00.5Z" }},
		"time zero fraction":   {"timestamp", func(c *Claims) { c.Timestamp = "2026-11-22T10:00:00.0Z" }},
		"time zone":            {"timestamp", func(c *Claims) { c.Timestamp = "2026-11-22T10:00:00+00:00" }},
		"time lower case":      {"timestamp", func(c *Claims) { c.Timestamp = "2026-11-22t10:00:00z" }},
		"time impossible date": {"timestamp", func(c *Claims) { c.Timestamp = "2026-02-30T10:00:00Z" }},
	} {
		claims := vector.claims
		c.change(&claims)
		_, err := ReportData(claims)
		var refused *ClaimError
		if !errors.As(err, &refused) || refused.Member != c.member {
			t.Errorf("%s: error %v, want a ClaimError for %s", name, err, c.member)
		}
	}
}

func TestNewClaims(t *testing.T) {
	key := make(ed25519.PublicKey, ed25519.PublicKeySize)
	for i := range key {
		key[i] = byte(i)
	}
	now := time.Date(2026, 11, 22, 11, 0, 0, 999, time.FixedZone("CET", 3600))
	got, err := NewClaims("finance-acme", "finance", key, vector.claims.Nonce, now)
	if err != nil {
		t.Fatal(err)
	}
	if got != vector.claims {
		t.Errorf("claims %+v, want %+v", got, vector.claims)
	}
	back, err := got.Key()
	if err != nil || !back.Equal(key) {
		t.Errorf("Key() = %x, %v, want %x", back, err, key)
	}
	when, err := got.Time()
	if want := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC); err != nil || !when.Equal(want) {
		t.Errorf("Time() = %v, %v, want %v", when, err, want)
	}
	if _, err := NewClaims("finance-acme", "finance", key[:31], vector.claims.Nonce, now); err == nil {
		t.Error("a 31-byte key was accepted")
	}
}
