package registration

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/secret"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

const nonce = "00112233445566778899aabbccddeeff"

var (
	shared    = secret.New("0123456789abcdef0123456789abcdef")
	when      = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	endpoints = Endpoints{API: "https://finance-acme.example.com", Attestation: "https://finance-acme-29344.example.com"}
)

// key returns a fixed key; different seeds give different keys.
func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune(seed)), ed25519.SeedSize)))
}

func signer(k ed25519.PrivateKey) func([]byte) []byte {
	return func(m []byte) []byte { return ed25519.Sign(k, m) }
}

func statement(t testing.TB, k ed25519.PrivateKey) Statement {
	t.Helper()
	claims, err := evidence.NewClaims("finance-acme", "finance", k.Public().(ed25519.PublicKey), nonce, when)
	if err != nil {
		t.Fatal(err)
	}
	return Statement{Claims: claims, Model: "AdaptLLM/finance-LLM", Endpoints: endpoints}
}

func attested(t testing.TB, s Statement) *evidence.Evidence {
	t.Helper()
	e, err := evidence.New(s.Claims, []byte{4, 0}, "[]", "")
	if err != nil {
		t.Fatal(err)
	}
	return &e
}

func encode(t testing.TB, m Message) string {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestVector is the worked example of the package comment, computed with Python 3.11 hashlib, hmac and json.
func TestVector(t *testing.T) {
	s := statement(t, key('k'))
	s.Claims.PublicKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	var digest [64]byte
	for _, c := range []struct{ hub, want, wantMAC string }{
		{
			"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8",
			"05f50631ba976420390a4255a4f59011f13486447cff3ad14c7392734697c7ac2644938a413f8fce8e3ba4f206387897131942a899cbdb8ab64443b3fd5a6166",
			"b7fb45e4f7986f97ce29e0298a1734e26f1bc2ca991eff9b578750f38d39a604",
		},
		{
			"",
			"715197638797a59b8132854026084f3f4e3b363b2ddec0e38c7d0ebf256bfe928f91bacc4414abf39bf0b8879ffe6ccc10752fa5961fdf395448e1eba5380627",
			"3935634e79ac57d9d7cd0ac10c2db5dec353a47f261acd1b514ffed4dde33883",
		},
	} {
		s.HubPublicKey = c.hub
		var err error
		if digest, err = s.Digest(); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(digest[:]); got != c.want {
			t.Errorf("digest\n got %s\nwant %s", got, c.want)
		}
		if got := hex.EncodeToString(authenticator(shared, digest)); got != c.wantMAC {
			t.Errorf("HMAC %s, want %s", got, c.wantMAC)
		}
	}
	if data, err := evidence.ReportData(s.Claims); err != nil || data == digest {
		t.Errorf("what is signed is what is quoted: %v", err)
	}
}

func TestMessageRoundTrip(t *testing.T) {
	k := key('k')
	s := statement(t, k)
	with, err := Compose(s, attested(t, s), "", signer(k), shared)
	if err != nil {
		t.Fatal(err)
	}
	without, err := Compose(s, nil, "no dstack guest agent", signer(k), secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	s.HubPublicKey = evidence.EncodeKey(key('h').Public().(ed25519.PublicKey))
	named, err := Compose(s, nil, "no dstack guest agent", signer(k), secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	s.HubPublicKey = ""
	for name, m := range map[string]Message{"with evidence": with, "without evidence": without, "with a hub": named} {
		got, err := Parse([]byte(encode(t, m)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%s: parsed %+v, want %+v", name, got, m)
		}
		if err := got.CheckSignature(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := with.CheckHMAC(shared); err != nil || !with.HasHMAC() {
		t.Errorf("HMAC: %v", err)
	}
	if without.HasHMAC() {
		t.Error("an unset secret made an HMAC")
	}
	empty, err := Compose(s, nil, "none", signer(k), secret.New(""))
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]struct {
		m      Message
		shared secret.Text
	}{
		"another secret": {with, secret.New("x123456789abcdef0123456789abcdef")},
		"no secret":      {with, secret.Text{}},
		"no HMAC":        {without, shared},
		"neither":        {without, secret.Text{}},
		"empty secret":   {without, secret.New("")},
		"empty to unset": {empty, secret.Text{}},
	} {
		if err := bad.m.CheckHMAC(bad.shared); !errors.Is(err, ErrHMAC) {
			t.Errorf("%s: error %v, want ErrHMAC", name, err)
		}
	}
}

func TestSignatureCoversEverything(t *testing.T) {
	k := key('k')
	s := statement(t, k)
	s.HubPublicKey = evidence.EncodeKey(key('h').Public().(ed25519.PublicKey))
	m, err := Compose(s, nil, "none", signer(k), secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	good := encode(t, m)
	for name, change := range map[string][2]string{
		"hub":                  {s.HubPublicKey, evidence.EncodeKey(key('x').Public().(ed25519.PublicKey))},
		"hub left out":         {`"hub_public_key":"` + s.HubPublicKey + `",`, ""},
		"API endpoint":         {"https://finance-acme.example.com", "https://evil.example.com"},
		"attestation endpoint": {"https://finance-acme-29344.example.com", "https://evil.example.com"},
		"endpoints swapped": {`"api":"https://finance-acme.example.com","attestation":"https://finance-acme-29344.example.com"`,
			`"api":"https://finance-acme-29344.example.com","attestation":"https://finance-acme.example.com"`},
		"model":     {"AdaptLLM/finance-LLM", "AdaptLLM/finance-LLN"},
		"id":        {`"agent_id":"finance-acme"`, `"agent_id":"ceo-acme"`},
		"type":      {`"agent_type":"finance"`, `"agent_type":"ceo"`},
		"nonce":     {nonce, strings.Repeat("ab", 16)},
		"timestamp": {"2026-11-22T10:00:00Z", "2026-11-22T10:00:01Z"},
		"key":       {s.Claims.PublicKey, evidence.EncodeKey(key('x').Public().(ed25519.PublicKey))},
	} {
		if !strings.Contains(good, change[0]) {
			t.Fatalf("%s: the message has no %s", name, change[0])
		}
		got, err := Parse([]byte(strings.Replace(good, change[0], change[1], 1)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := got.CheckSignature(); !errors.Is(err, ErrSignature) {
			t.Errorf("%s changed: error %v, want ErrSignature", name, err)
		}
	}
}

func TestComposeRefuses(t *testing.T) {
	k := key('k')
	s := statement(t, k)
	other := s
	other.Claims.AgentID = "ceo-acme"
	badHub := s
	badHub.HubPublicKey = s.Claims.PublicKey + "="
	badURL := s
	badURL.Endpoints.API = "http://user:hunter2@example.com"
	for name, c := range map[string]struct {
		s      Statement
		e      *evidence.Evidence
		reason string
		key    ed25519.PrivateKey
	}{
		"another key":             {s, nil, "none", key('x')},
		"evidence of another":     {s, attested(t, other), "", k},
		"evidence and reason":     {s, attested(t, s), "none", k},
		"neither":                 {s, nil, "", k},
		"unprintable reason":      {s, nil, "a\nb", k},
		"long reason":             {s, nil, strings.Repeat("a", maxReason+1), k},
		"key of the hub":          {badHub, nil, "none", k},
		"endpoint":                {badURL, nil, "none", k},
		"statement without model": {Statement{Claims: s.Claims, Endpoints: s.Endpoints}, nil, "none", k},
	} {
		if _, err := Compose(c.s, c.e, c.reason, signer(c.key), shared); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	k := key('k')
	s := statement(t, k)
	m, err := Compose(s, attested(t, s), "", signer(k), shared)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := Compose(s, nil, "none", signer(k), secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	good, plain := encode(t, m), encode(t, bare)
	replace := func(text, old, with string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("the message has no %s", old)
		}
		return strings.Replace(text, old, with, 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"empty":                  {"", ""},
		"not an object":          {"[]", ""},
		"trailing":               {good + "1", "after"},
		"too large":              {good + strings.Repeat(" ", MaxSize), "at most"},
		"unknown member":         {replace(good, `"model"`, `"x":1,"model"`), "x"},
		"unknown in evidence":    {replace(good, `"quote"`, `"x":1,"quote"`), "x"},
		"case variant":           {replace(good, `"model"`, `"Model"`), "Model"},
		"duplicate":              {replace(good, `"model"`, `"model":"a","model"`), "model"},
		"duplicate in evidence":  {replace(good, `"quote"`, `"quote":"00","quote"`), "quote"},
		"both":                   {replace(good, `"model"`, `"unattested":{"agent_data":{},"reason":"x"},"model"`), "exactly one"},
		"neither":                {replace(plain, `"unattested"`, `"evidence":null,"unattested":null,"x"`), ""},
		"null evidence":          {replace(good, `"evidence":{`, `"evidence":null,"x":{`), ""},
		"claims beside evidence": {replace(good, `"model"`, `"agent_data":{},"model"`), "agent_data"},
		"no reason":              {replace(plain, `"reason":"none"`, `"reason":""`), "reason"},
		"reason with a break":    {replace(plain, `"reason":"none"`, `"reason":"a\nb"`), "reason"},
		"bad claims":             {replace(plain, `"agent_id":"finance-acme"`, `"agent_id":"A"`), "agent_id"},
		"no model":               {replace(plain, `"model":"AdaptLLM/finance-LLM"`, `"model":""`), "model"},
		"endpoint with user":     {replace(plain, `"https://finance-acme.example.com"`, `"https://u:hunter2@a.example.com"`), "endpoints.api"},
		"endpoint of a file":     {replace(plain, `"https://finance-acme-29344.example.com"`, `"file:///etc/passwd"`), "endpoints.attestation"},
		"short signature":        {replace(plain, `"signature":"`, `"signature":"AAAA`), "signature"},
		"no signature":           {replace(plain, `"signature":"`, `"signature":"","x":"`), ""},
		"short HMAC":             {replace(good, `"hmac":"`, `"hmac":"00`), "hmac"},
	} {
		_, err := Parse([]byte(c.text))
		var form *FormError
		if !errors.As(err, &form) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a FormError with %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error repeats a password: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	k := key('k')
	s := statement(f, k)
	for _, e := range []*evidence.Evidence{nil, attested(f, s)} {
		reason := ""
		if e == nil {
			reason = "none"
		}
		m, err := Compose(s, e, reason, signer(k), shared)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(encode(f, m)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data)
		if err != nil {
			return
		}
		again, err := Parse([]byte(encode(t, m)))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("parsed %+v, then %+v, %v", m, again, err)
		}
	})
}
