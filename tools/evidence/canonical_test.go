package evidence

import (
	"crypto/sha512"
	"encoding/hex"
	"strings"
	"testing"
)

// vector is the worked example of the package comment; its digest was computed with Python 3.11 hashlib and json.
var vector = struct {
	claims     Claims
	canonical  string
	reportData string
}{
	claims: Claims{
		AgentID:   "finance-acme",
		AgentType: "finance",
		PublicKey: "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
		Nonce:     "00112233445566778899aabbccddeeff",
		Timestamp: "2026-11-22T10:00:00Z",
	},
	canonical: `{"agent_id":"finance-acme","agent_type":"finance","nonce":"00112233445566778899aabbccddeeff",` +
		`"public_key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","timestamp":"2026-11-22T10:00:00Z"}`,
	reportData: "d210cad376b55b85deeecc11ac6eaa0a3738491deb731e12bec1af40c3ba216d" +
		"e6f290ba3c3ac783a19633b6601d5ad223802fb0d5a274d54265eede1ebce856",
}

func TestReportDataVector(t *testing.T) {
	got, err := ReportData(vector.claims)
	if err != nil {
		t.Fatal(err)
	}
	if text := hex.EncodeToString(got[:]); text != vector.reportData {
		t.Errorf("report data\n got %s\nwant %s", text, vector.reportData)
	}
	if byHand := sha512.Sum512([]byte("boardroom-attestation-v1\x00" + vector.canonical)); byHand != got {
		t.Errorf("report data %x is not the SHA-512 of the documented bytes, %x", got, byHand)
	}
}

func TestReportDataDependsOnEveryMember(t *testing.T) {
	seen := map[[64]byte]string{}
	add := func(name string, c Claims) {
		t.Helper()
		data, err := ReportData(c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if other, twice := seen[data]; twice {
			t.Errorf("%s and %s give the same report data", name, other)
		}
		seen[data] = name
	}
	add("vector", vector.claims)
	for name, change := range map[string]func(*Claims){
		"agent_id":   func(c *Claims) { c.AgentID = "finance-acm" },
		"agent_type": func(c *Claims) { c.AgentType = "efinance" },
		"public_key": func(c *Claims) { c.PublicKey = "BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" },
		"nonce":      func(c *Claims) { c.Nonce += "00" },
		"timestamp":  func(c *Claims) { c.Timestamp = "2026-11-22T10:00:01Z" },
		"swapped":    func(c *Claims) { c.AgentID, c.AgentType = c.AgentType, c.AgentID },
	} {
		c := vector.claims
		change(&c)
		add(name, c)
	}
}

func TestDigestRefuses(t *testing.T) {
	ok := map[string]string{"a": "b"}
	for name, c := range map[string]struct {
		tag     string
		members map[string]string
		want    string
	}{
		"empty tag":         {"", ok, "digest tag"},
		"NUL in the tag":    {"a\x00b", ok, "digest tag"},
		"no members":        {"t", nil, "no members"},
		"member name":       {"t", map[string]string{`a"`: "b"}, "member name"},
		"empty value":       {"t", map[string]string{"a": ""}, "member a"},
		"quote":             {"t", map[string]string{"a": `b"`}, "member a"},
		"backslash":         {"t", map[string]string{"a": `b\`}, "member a"},
		"less-than":         {"t", map[string]string{"a": "<"}, "member a"},
		"ampersand":         {"t", map[string]string{"a": "&"}, "member a"},
		"space":             {"t", map[string]string{"a": "b c"}, "member a"},
		"DEL":               {"t", map[string]string{"a": "\x7f"}, "member a"},
		"not ASCII":         {"t", map[string]string{"a": "é"}, "member a"},
		"line separator":    {"t", map[string]string{"a": "\u2028"}, "member a"},
		"longer than 1 KiB": {"t", map[string]string{"a": strings.Repeat("x", 1025)}, "member a"},
	} {
		if _, err := Digest(c.tag, c.members); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestDigestSeparatesTags(t *testing.T) {
	members := map[string]string{"a": "b"}
	one, err := Digest("one", members)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Digest("two", members)
	if err != nil {
		t.Fatal(err)
	}
	if one == two {
		t.Error("two tags give one digest")
	}
}
