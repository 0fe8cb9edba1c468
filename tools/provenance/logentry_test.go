package provenance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/provenancetest"
)

const origin = "log.example.com"

// hashed2 and dsse2 are entries of Rekor v2 as its API has them, with the members that a test may alter.
func hashed2(digest provenance.Digest, signature []byte, verifier map[string]any) map[string]any {
	return map[string]any{"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": map[string]any{"hashedRekordV002": map[string]any{
		"data": map[string]any{"algorithm": "SHA2_256", "digest": digest[:]}, "signature": map[string]any{"content": signature, "verifier": verifier},
	}}}
}

func dsse2(payload provenance.Digest, signature []byte, verifier map[string]any) map[string]any {
	return map[string]any{"apiVersion": "0.0.2", "kind": "dsse", "spec": map[string]any{"dsseV002": map[string]any{
		"payloadHash": map[string]any{"algorithm": "SHA2_256", "digest": payload[:]}, "signatures": []any{map[string]any{"content": signature, "verifier": verifier}},
	}}}
}

// byKey is a verifier of Rekor v2.
func byKey(key provenance.Key) map[string]any {
	block, _ := pem.Decode(key.PEM())
	return map[string]any{"keyDetails": "PKIX_ECDSA_P256_SHA_256", "publicKey": map[string]any{"rawBytes": block.Bytes}}
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	check(t, err)
	return data
}

// record adds an entry to a log, after others, and returns it.
func record(t testing.TB, l *provenancetest.Log, before int, body map[string]any) map[string]any {
	t.Helper()
	for range before {
		l.Add("x", "0.0.2", []byte("x"))
	}
	return l.Add(body["kind"].(string), body["apiVersion"].(string), marshal(t, body))
}

// logged is a bundle with entries, which nobody looked at.
func logged(t testing.TB, b provenance.Bundle, entries ...map[string]any) []byte {
	t.Helper()
	b.LogEntries = nil
	for _, e := range entries {
		b.LogEntries = append(b.LogEntries, marshal(t, e))
	}
	return encoded(t, b)
}

func logs(list ...*provenancetest.Log) (r provenance.TrustRoot) {
	for _, l := range list {
		r.Logs = append(r.Logs, provenance.Log{URL: "https://" + l.Origin, Key: l.Public})
	}
	return r
}

// Wherever an entry stands in a tree of whatever size, its proof verifies.
func TestLogEntries(t *testing.T) {
	b, err := provenance.SignBlob(t.Context(), signer(t, 1), artifact)
	check(t, err)
	p := policy(t, 1)
	p.LogEntries = 1
	for size := 1; size <= 33; size++ {
		for _, index := range []int{0, 1, size / 2, size - 1} {
			l := provenancetest.NewLog(t, origin)
			if index >= size {
				continue
			}
			record(t, l, index, hashed2(b.Signed(), b.Signature(), byKey(signer(t, 1).Key())))
			for range size - index - 1 {
				l.Add("x", "0.0.2", []byte("y"))
			}
			entry := l.Prove(index, "hashedrekord", "0.0.2", marshal(t, hashed2(b.Signed(), b.Signature(), byKey(signer(t, 1).Key()))))
			verified, err := provenance.VerifyBlob([][]byte{logged(t, b, entry)}, provenance.DigestOf(artifact), p, logs(l))
			if err != nil || len(verified.Signers[0].LogEntries) != 1 || verified.Signers[0].LogEntries[0] != (provenance.VerifiedLogEntry{Log: "https://" + origin, Index: int64(index)}) {
				t.Errorf("entry %d of %d: %+v: %v", index, size, verified, err)
			}
		}
	}
	l, other := provenancetest.NewLog(t, origin), provenancetest.NewLog(t, "other.example.com")
	entry := record(t, l, 3, hashed2(b.Signed(), b.Signature(), byKey(signer(t, 1).Key())))
	elsewhere := record(t, other, 3, hashed2(b.Signed(), b.Signature(), byKey(signer(t, 1).Key())))
	verified, err := provenance.VerifyBlob([][]byte{logged(t, b, elsewhere, entry)}, provenance.DigestOf(artifact), p, logs(l))
	if err != nil || strings.Join(verified.NotChecked, " ") != "transparency log entries" {
		t.Errorf("in an unknown log, too: %+v, %v", verified, err)
	}
	p.LogEntries = 2
	if verified, err := provenance.VerifyBlob([][]byte{logged(t, b, elsewhere, entry)}, provenance.DigestOf(artifact), p, logs(l, other)); err != nil || len(verified.Signers[0].LogEntries) != 2 {
		t.Errorf("in two logs: %+v, %v", verified, err)
	}
	var refusal *provenance.Refusal
	var undecided *provenance.PolicyError
	same := logs(l, other)
	same.Logs[0].Operator, same.Logs[1].Operator = "example.com", "example.com"
	if _, err := provenance.VerifyBlob([][]byte{logged(t, b, elsewhere, entry)}, provenance.DigestOf(artifact), p, same); !errors.As(err, &undecided) {
		t.Errorf("two logs of one operator: %v", err)
	}
	if _, err := provenance.VerifyBlob([][]byte{logged(t, b, entry, entry)}, provenance.DigestOf(artifact), p, logs(l, other)); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeLogMissing {
		t.Errorf("in one log twice: %v", err)
	}
	if _, err := provenance.VerifyBlob([][]byte{logged(t, b, entry, elsewhere)}, provenance.DigestOf(artifact), p, logs(l)); err == nil {
		t.Error("two logs of one were taken")
	}

	s, err := provenance.SignStatement(t.Context(), signer(t, 1), statement(t, testType, artifact))
	check(t, err)
	p.LogEntries = 1
	for _, body := range []map[string]any{hashed2(s.Signed(), s.Signature(), byKey(signer(t, 1).Key())), dsse2(provenance.DigestOf(s.Envelope.Payload), s.Signature(), byKey(signer(t, 1).Key()))} {
		if _, err := provenance.VerifyStatement([][]byte{logged(t, s, record(t, l, 2, body))}, provenance.DigestOf(artifact), p, logs(l)); err != nil {
			t.Errorf("a statement as %s: %v", body["kind"], err)
		}
	}
}

func TestLogEntryRefusals(t *testing.T) {
	b, err := provenance.SignBlob(t.Context(), signer(t, 1), artifact)
	check(t, err)
	again, err := provenance.SignBlob(t.Context(), signer(t, 2), artifact)
	check(t, err)
	key := byKey(signer(t, 1).Key())
	l := provenancetest.NewLog(t, origin)
	member := func(v any, path ...string) map[string]any {
		for _, name := range path {
			v = v.(map[string]any)[name]
		}
		return v.(map[string]any)
	}
	tests := []struct {
		name string
		// body is what the log takes, and change what becomes of its entry.
		body   func(map[string]any)
		change func(map[string]any)
		code   provenance.Code
		want   string
	}{
		{"about another artifact", func(b map[string]any) {
			digest := provenance.DigestOf(otherArtifact)
			member(b, "spec", "hashedRekordV002", "data")["digest"] = digest[:]
		}, nil, provenance.CodeLogSubject, "expected an entry about"},
		{"about another signature", func(b map[string]any) {
			member(b, "spec", "hashedRekordV002", "signature")["content"] = again.Signature()
		}, nil, provenance.CodeLogSubject, "about this signature"},
		{"by another key", func(b map[string]any) {
			member(b, "spec", "hashedRekordV002", "signature")["verifier"] = byKey(signer(t, 2).Key())
		}, nil, provenance.CodeLogSubject, "with the signer's key"},
		{"with a certificate", func(b map[string]any) {
			member(b, "spec", "hashedRekordV002", "signature")["verifier"] = map[string]any{
				"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": map[string]any{"rawBytes": member(key, "publicKey")["rawBytes"]}}
		}, nil, provenance.CodeLogSubject, "with the signer's key"},
		{"about an envelope", func(b map[string]any) {
			for name := range b {
				delete(b, name)
			}
			for name, value := range dsse2(provenance.DigestOf(artifact), []byte("x"), key) {
				b[name] = value
			}
		}, nil, provenance.CodeLogSubject, "got one about an envelope"},
		{"another hash", func(b map[string]any) { member(b, "spec", "hashedRekordV002", "data")["algorithm"] = "SHA2_512" }, nil, provenance.CodeLogEntry, "digest: expected SHA2_256"},
		{"another kind of key", func(b map[string]any) {
			member(b, "spec", "hashedRekordV002", "signature", "verifier")["keyDetails"] = "PKIX_ED25519"
		}, nil, provenance.CodeLogEntry, "verifier: expected a certificate or a public key"},
		{"no key", func(b map[string]any) {
			delete(member(b, "spec", "hashedRekordV002", "signature", "verifier"), "publicKey")
		}, nil, provenance.CodeLogEntry, "verifier: expected"},
		{"an unknown member", func(b map[string]any) { b["x"] = 1 }, nil, provenance.CodeLogEntry, `canonicalizedBody: unknown member "x"`},
		{"of another member", func(b map[string]any) { b["spec"] = map[string]any{} }, nil, provenance.CodeLogEntry, "spec: expected hashedRekordV002"},
		{"no envelope", func(b map[string]any) { b["kind"], b["spec"] = "dsse", map[string]any{} }, nil, provenance.CodeLogEntry, "spec: expected dsseV002"},
		{"an unknown kind", func(b map[string]any) { b["kind"] = "rpm" }, nil, provenance.CodeLogEntry, `got "rpm" of version "0.0.2"`},
		{"an unknown version", func(b map[string]any) { b["apiVersion"] = "0.0.3" }, nil, provenance.CodeLogEntry, `got "hashedrekord" of version "0.0.3"`},
		{"another kind inside", nil, func(e map[string]any) { member(e, "kindVersion")["kind"] = "dsse" }, provenance.CodeLogEntry, "canonicalizedBody"},
		{"another version inside", func(b map[string]any) { b["apiVersion"] = "0.0.1" }, func(e map[string]any) { member(e, "kindVersion")["version"] = "0.0.2" }, provenance.CodeLogEntry, `got "hashedrekord" of version "0.0.1"`},
		{"of an unknown log", nil, func(e map[string]any) { member(e, "logId")["keyId"] = provenancetest.NewLog(t, origin).ID() }, provenance.CodeLog, "expected a log of the trust root"},
		{"no log", nil, func(e map[string]any) { delete(e, "logId") }, provenance.CodeLogEntry, "expected logId and kindVersion"},
		{"no kind", nil, func(e map[string]any) { delete(e, "kindVersion") }, provenance.CodeLogEntry, "expected logId and kindVersion"},
		{"an unknown member beside", nil, func(e map[string]any) { e["x"] = 1 }, provenance.CodeLogEntry, `unknown member "x"`},
		{"a number that is none", nil, func(e map[string]any) { e["logIndex"] = "-1" }, provenance.CodeLogEntry, "whole number, not negative"},
		{"a number in another form", nil, func(e map[string]any) { e["logIndex"] = "05" }, provenance.CodeLogEntry, "whole number, not negative"},
		{"no proof", nil, func(e map[string]any) { delete(e, "inclusionProof") }, provenance.CodeLogProof, "expected one with a checkpoint, got none"},
		{"no checkpoint", nil, func(e map[string]any) { delete(member(e, "inclusionProof"), "checkpoint") }, provenance.CodeLogProof, "expected one with a checkpoint, got none"},
		{"another place", nil, func(e map[string]any) { e["logIndex"] = "4" }, provenance.CodeLogProof, "inclusionProof.logIndex: expected 4, got 5"},
		{"another place in both", nil, func(e map[string]any) { e["logIndex"], member(e, "inclusionProof")["logIndex"] = "4", "4" }, provenance.CodeLogProof, "expected hashes that lead to"},
		{"a place beyond the tree", nil, func(e map[string]any) { e["logIndex"], member(e, "inclusionProof")["logIndex"] = "6", "6" }, provenance.CodeLogProof, "expected hashes that lead to"},
		{"another size", nil, func(e map[string]any) { member(e, "inclusionProof")["treeSize"] = "7" }, provenance.CodeLogProof, "size and hash of the checkpoint's tree"},
		{"another root", nil, func(e map[string]any) { member(e, "inclusionProof")["rootHash"] = make([]byte, 32) }, provenance.CodeLogProof, "size and hash of the checkpoint's tree"},
		{"a hash too few", nil, func(e map[string]any) {
			p := member(e, "inclusionProof")
			p["hashes"] = p["hashes"].([]any)[1:]
		}, provenance.CodeLogProof, "expected hashes that lead to"},
		{"a hash too many", nil, func(e map[string]any) {
			p := member(e, "inclusionProof")
			p["hashes"] = append(p["hashes"].([]any), make([]byte, 32))
		}, provenance.CodeLogProof, "expected hashes that lead to"},
		{"a short hash", nil, func(e map[string]any) {
			p := member(e, "inclusionProof")
			p["hashes"] = append([]any{[]byte("x")}, p["hashes"].([]any)[1:]...)
		}, provenance.CodeLogProof, "expected hashes that lead to"},
		{"many hashes", nil, func(e map[string]any) { member(e, "inclusionProof")["hashes"] = make([]any, 65) }, provenance.CodeLogProof, "expected hashes that lead to"},
		{"another checkpoint of the log", nil, func(e map[string]any) {
			longer := provenancetest.NewLog(t, origin)
			longer.Add("x", "0.0.2", []byte("x"))
			member(e, "inclusionProof", "checkpoint")["envelope"] = longer.Checkpoint()
		}, provenance.CodeLogProof, "checkpoint: expected a signature by the log's key"},
		{"checkpoint altered", nil, func(e map[string]any) {
			c := member(e, "inclusionProof", "checkpoint")
			c["envelope"] = strings.Replace(c["envelope"].(string), "\n6\n", "\n7\n", 1)
		}, provenance.CodeLogProof, "checkpoint: expected a signature by the log's key"},
		{"checkpoint that is no note", nil, func(e map[string]any) { member(e, "inclusionProof", "checkpoint")["envelope"] = "x" }, provenance.CodeLogProof, "checkpoint: expected a signed note"},
		{"long checkpoint", nil, func(e map[string]any) {
			member(e, "inclusionProof", "checkpoint")["envelope"] = strings.Repeat("x", 1<<17)
		}, provenance.CodeLogProof, "checkpoint: expected at most 65536 bytes"},
		{"note of another name", nil, func(e map[string]any) {
			member(e, "inclusionProof", "checkpoint")["envelope"] = l.Note("other.example.com\n6\nAAAA\n")
		}, provenance.CodeLogProof, `expected one of "log.example.com"`},
		{"note of another size", nil, func(e map[string]any) {
			member(e, "inclusionProof", "checkpoint")["envelope"] = l.Note(origin + "\n06\nAAAA\n")
		}, provenance.CodeLogProof, `expected the tree's size, got "06"`},
		{"note of another hash", nil, func(e map[string]any) {
			member(e, "inclusionProof", "checkpoint")["envelope"] = l.Note(origin + "\n6\nAAAA\n")
		}, provenance.CodeLogProof, `expected the tree's hash as base64, got "AAAA"`},
		{"note of nothing", nil, func(e map[string]any) { member(e, "inclusionProof", "checkpoint")["envelope"] = l.Note(origin + "\n") }, provenance.CodeLogProof, "expected the log's name, a size and a hash"},
		{"signature in another line", nil, func(e map[string]any) {
			c := member(e, "inclusionProof", "checkpoint")
			c["envelope"] = strings.Replace(c["envelope"].(string), "\n— ", "\n- ", 1)
		}, provenance.CodeLogProof, "expected a signature by the log's key"},
		{"a promise", nil, func(e map[string]any) { e["inclusionPromise"] = map[string]any{"signedEntryTimestamp": []byte("x")} }, provenance.CodeLogProof, "expected none of Rekor v2"},
		{"long", nil, func(e map[string]any) { e["canonicalizedBody"] = make([]byte, 1<<20) }, provenance.CodeLogEntry, "expected at most 1048576 bytes"},
	}
	p := policy(t, 1)
	p.LogEntries = 1
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l = provenancetest.NewLog(t, origin)
			body := hashed2(b.Signed(), b.Signature(), byKey(signer(t, 1).Key()))
			if tt.body != nil {
				tt.body(body)
			}
			entry := record(t, l, 5, body)
			if tt.change != nil {
				tt.change(entry)
			}
			_, err := provenance.VerifyBlob([][]byte{logged(t, b, entry)}, provenance.DigestOf(artifact), p, logs(l))
			var refusal *provenance.Refusal
			if !errors.As(err, &refusal) || refusal.Code() != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %s: %s", err, tt.code, tt.want)
			}
		})
	}
	l = provenancetest.NewLog(t, origin)
	entry := record(t, l, 5, hashed2(b.Signed(), b.Signature(), key))
	var refusal *provenance.Refusal
	// The entry is alice's; bob's signature over the same artifact does not become hers.
	if _, err := provenance.VerifyBlob([][]byte{logged(t, again, entry)}, provenance.DigestOf(artifact), p, logs(l)); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeLogSubject {
		t.Errorf("replayed: %v", err)
	}
	if _, err := provenance.VerifyBlob([][]byte{logged(t, b)}, provenance.DigestOf(artifact), p, logs(l)); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeLogMissing {
		t.Errorf("left out: %v", err)
	}
	// In a tree of one, every proof is empty.
	alone := provenancetest.NewLog(t, origin)
	second := record(t, alone, 0, hashed2(b.Signed(), b.Signature(), key))
	second["logIndex"], member(second, "inclusionProof")["logIndex"] = "1", "1"
	if _, err := provenance.VerifyBlob([][]byte{logged(t, b, second)}, provenance.DigestOf(artifact), p, logs(alone)); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeLogProof {
		t.Errorf("the second of one: %v", err)
	}
	past := logs(l)
	past.Logs[0].Validity.NotAfter = now.Add(-time.Second)
	if _, err := provenance.VerifyBlob([][]byte{logged(t, b, entry)}, provenance.DigestOf(artifact), p, past); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeLog {
		t.Errorf("of a log that is not believed any more: %v", err)
	}
	// Dated to when it was, it is.
	a := provenancetest.NewTimestampAuthority(t, now.Add(-time.Hour), nil)
	dated := b
	check(t, dated.AddTimestamp(a.Stamp(b.Signature(), nil)))
	past.TimestampAuthorities = authorities(whole(a)).TimestampAuthorities
	if _, err := provenance.VerifyBlob([][]byte{logged(t, dated, entry)}, provenance.DigestOf(artifact), p, past); err != nil {
		t.Errorf("of a log that was believed when it was signed: %v", err)
	}
}

func TestAddLogEntry(t *testing.T) {
	b, err := provenance.SignBlob(t.Context(), signer(t, 1), artifact)
	check(t, err)
	l := provenancetest.NewLog(t, origin)
	entry := record(t, l, 0, hashed2(b.Signed(), b.Signature(), byKey(signer(t, 1).Key())))
	entry["inclusionPromise"], entry["integratedTime"] = nil, "0"
	key := signer(t, 1).Key()
	check(t, b.AddLogEntry(marshal(t, entry), key))
	if text := string(b.LogEntries[0]); strings.Contains(text, "null") || strings.Contains(text, "hashes") || strings.Contains(text, "integratedTime") || !strings.Contains(text, `"logIndex":"0"`) {
		t.Errorf("added %s", text)
	}
	p := policy(t, 1)
	p.LogEntries = 1
	if _, err := provenance.VerifyBlob([][]byte{encoded(t, b)}, provenance.DigestOf(artifact), p, logs(l)); err != nil {
		t.Error(err)
	}
	var form *provenance.FormError
	for want, err := range map[provenance.Code]error{
		provenance.CodeLogSubject: b.AddLogEntry(marshal(t, entry), signer(t, 2).Key()),
		provenance.CodeLogEntry:   b.AddLogEntry([]byte("{}"), key),
	} {
		if !errors.As(err, &form) || form.Code != want || len(b.LogEntries) != 1 {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	entry["canonicalizedBody"] = []byte("{}")
	if err := b.AddLogEntry(marshal(t, entry), key); !errors.As(err, &form) || form.Code != provenance.CodeLogEntry {
		t.Errorf("empty: %v", err)
	}
}

// Entries of Rekor v1 about keys; those about certificates are among the conformance tests.
func TestRekor1(t *testing.T) {
	key, err := provenance.ParseKey(read(t, "conformance/managed-key-happy-path.pub"))
	check(t, err)
	root, err := provenance.ParseTrustRoot(read(t, "conformance/roots/public-good.json"))
	check(t, err)
	good := read(t, "conformance/managed-key-happy-path.json")
	p := provenance.Policy{Identities: []provenance.Identity{{Name: "key", Keys: []provenance.ValidKey{{Key: key}}}}, Threshold: 1, At: now, LogEntries: 1}
	digest := provenance.DigestOf(read(t, "conformance/a.txt"))
	b, err := provenance.ParseBundle(good)
	check(t, err)
	var entry map[string]any
	check(t, json.Unmarshal(b.LogEntries[0], &entry))
	body, err := base64.StdEncoding.DecodeString(entry["canonicalizedBody"].(string))
	check(t, err)
	verify := func(e map[string]any) (*provenance.Verified, error) {
		return provenance.VerifyBlob([][]byte{logged(t, b, e)}, digest, p, root)
	}
	verified, err := verify(entry)
	if err != nil || len(verified.Signers[0].Times) != 1 || verified.Signers[0].Times[0].By != "https://rekor.sigstore.dev" || verified.Signers[0].Times[0].At.Year() < 2024 {
		t.Fatalf("verified %+v, %v", verified, err)
	}
	with := func(name string, value any) map[string]any {
		changed := map[string]any{}
		for n, v := range entry {
			changed[n] = v
		}
		changed[name] = value
		return changed
	}
	// Without its promise, a time is nobody's.
	if verified, err := verify(with("inclusionPromise", nil)); err != nil || len(verified.Signers[0].Times) != 0 {
		t.Errorf("without a promise: %+v, %v", verified, err)
	}
	altered := func(old, new string) map[string]any {
		changed := bytes.Replace(body, []byte(old), []byte(new), 1)
		if bytes.Equal(changed, body) {
			t.Fatalf("%q is not in %s", old, body)
		}
		return with("canonicalizedBody", changed)
	}
	for name, tt := range map[string]struct {
		entry map[string]any
		code  provenance.Code
	}{
		"time altered":         {with("integratedTime", "1750000000"), provenance.CodeLogProof},
		"index altered":        {with("logIndex", "7"), provenance.CodeLogProof},
		"body respelled":       {altered("{", " {"), provenance.CodeLogProof},
		"digest altered":       {altered(hex.EncodeToString(digest[:]), strings.Repeat("0", 64)), provenance.CodeLogSubject},
		"digest in upper case": {altered(hex.EncodeToString(digest[:]), strings.ToUpper(hex.EncodeToString(digest[:]))), provenance.CodeLogEntry},
		"another hash":         {altered(`"algorithm":"sha256"`, `"algorithm":"sha512"`), provenance.CodeLogEntry},
		"unknown member":       {altered(`"kind"`, `"x":1,"kind"`), provenance.CodeLogEntry},
		"key that is no PEM":   {altered(`"publicKey":{"content":"`, `"publicKey":{"content":"AAAA`), provenance.CodeLogEntry},
	} {
		var refusal *provenance.Refusal
		if _, err := verify(tt.entry); !errors.As(err, &refusal) || refusal.Code() != tt.code {
			t.Errorf("%s: got %v, want %s", name, err, tt.code)
		}
	}
	early := root
	early.Logs = append([]provenance.Log{}, root.Logs...)
	early.Logs[0].Validity.NotAfter = early.Logs[0].Validity.NotBefore.Add(time.Hour)
	var refusal *provenance.Refusal
	if _, err := provenance.VerifyBlob([][]byte{good}, digest, p, early); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeLogProof {
		t.Errorf("at a time when the log was not believed: %v", err)
	}
}

func FuzzLogEntry(f *testing.F) {
	b, err := provenance.SignBlob(f.Context(), signer(f, 1), artifact)
	check(f, err)
	l := provenancetest.NewLog(f, origin)
	entry := record(f, l, 3, hashed2(b.Signed(), b.Signature(), byKey(signer(f, 1).Key())))
	body := entry["canonicalizedBody"].([]byte)
	f.Add(marshal(f, entry))
	managed, err := provenance.ParseBundle(read(f, "conformance/managed-key-happy-path.json"))
	check(f, err)
	f.Add([]byte(managed.LogEntries[0]))
	p := policy(f, 1)
	p.LogEntries = 1
	f.Fuzz(func(t *testing.T, data []byte) {
		with := b
		with.LogEntries = []json.RawMessage{data}
		bundle, err := with.Encode()
		if err != nil {
			return
		}
		if _, err := provenance.VerifyBlob([][]byte{bundle}, provenance.DigestOf(artifact), p, logs(l)); err != nil {
			return
		}
		var accepted struct {
			Body []byte `json:"canonicalizedBody"`
		}
		check(t, json.Unmarshal(data, &accepted))
		if !bytes.Equal(accepted.Body, body) {
			t.Errorf("accepted %s", data)
		}
	})
}
