package provenancetest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"
)

// Log is one of Rekor v2, in memory.
type Log struct {
	t       testing.TB
	Origin  string
	Public  ed25519.PublicKey
	private ed25519.PrivateKey
	leaves  [][sha256.Size]byte
	// Change alters an entry before it is sent, and Answer is what is sent in its place.
	Change func(map[string]any)
	Answer func(http.ResponseWriter) bool
}

// NewLog makes an empty one.
func NewLog(t testing.TB, origin string) *Log {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	return &Log{t: t, Origin: origin, Public: public, private: private}
}

// ID names the log's key.
func (l *Log) ID() []byte {
	sum := sha256.Sum256(append([]byte(l.Origin+"\n\x01"), l.Public...))
	return sum[:]
}

// Checkpoint is the head of the tree as it is now, signed.
func (l *Log) Checkpoint() string {
	root := tree(l.leaves)
	return l.Note(fmt.Sprintf("%s\n%d\n%s\n", l.Origin, len(l.leaves), base64.StdEncoding.EncodeToString(root[:])))
}

// Note is a text, signed by the log.
func (l *Log) Note(text string) string {
	signature := append(append([]byte{}, l.ID()[:4]...), ed25519.Sign(l.private, []byte(text))...)
	return fmt.Sprintf("%s\n— %s %s\n", text, l.Origin, base64.StdEncoding.EncodeToString(signature))
}

// Add takes an entry and returns it as bundles have it, with the members that a test may alter.
func (l *Log) Add(kind, version string, body []byte) map[string]any {
	l.leaves = append(l.leaves, sha256.Sum256(append([]byte{0}, body...)))
	return l.Prove(len(l.leaves)-1, kind, version, body)
}

// Prove returns an entry that was added before, with its proof in the tree as it is now.
func (l *Log) Prove(index int, kind, version string, body []byte) map[string]any {
	root := tree(l.leaves)
	hashes := []any{}
	for _, hash := range path(index, l.leaves) {
		hashes = append(hashes, hash[:])
	}
	return map[string]any{
		"logIndex": strconv.Itoa(index), "logId": map[string]any{"keyId": l.ID()}, "kindVersion": map[string]any{"kind": kind, "version": version},
		"inclusionProof": map[string]any{
			"logIndex": strconv.Itoa(index), "rootHash": root[:], "treeSize": strconv.Itoa(len(l.leaves)), "hashes": hashes, "checkpoint": map[string]any{"envelope": l.Checkpoint()},
		},
		"canonicalizedBody": body,
	}
}

// ServeHTTP takes entries over Rekor's API.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		HashedRekord struct {
			Digest    []byte          `json:"digest"`
			Signature json.RawMessage `json:"signature"`
		} `json:"hashedRekordRequestV002"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || r.Method != http.MethodPost || r.URL.Path != "/api/v2/log/entries" {
		l.t.Errorf("asked %s %s: %v", r.Method, r.URL, err)
	}
	if l.Answer != nil && l.Answer(w) {
		return
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": map[string]any{"hashedRekordV002": map[string]any{
		"data": map[string]any{"algorithm": "SHA2_256", "digest": request.HashedRekord.Digest}, "signature": request.HashedRekord.Signature,
	}}})
	check(l.t, err)
	entry := l.Add("hashedrekord", "0.0.2", body)
	// As the gateway of Rekor v2 writes what is not there.
	entry["inclusionPromise"], entry["integratedTime"] = nil, "0"
	if l.Change != nil {
		l.Change(entry)
	}
	w.WriteHeader(http.StatusCreated)
	check(l.t, json.NewEncoder(w).Encode(entry))
}

// tree is the hash of RFC 9162 section 2.1.1.
func tree(leaves [][sha256.Size]byte) [sha256.Size]byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	left, right := tree(leaves[:k]), tree(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// path is the inclusion proof of RFC 9162 section 2.1.3.1.
func path(index int, leaves [][sha256.Size]byte) [][sha256.Size]byte {
	if len(leaves) == 1 {
		return nil
	}
	k := split(len(leaves))
	if index < k {
		return append(path(index, leaves[:k]), tree(leaves[k:]))
	}
	return append(path(index-k, leaves[k:]), tree(leaves[:k]))
}
