package transparency_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	theirs "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// tesseraPolicy is that of testdata/tessera.
var tesseraPolicy = transparency.Policy{
	Origin: "example.com/log/testdata",
	Key:    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
}

func tesseraCheckpoint(t testing.TB, size int) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "tessera", fmt.Sprintf("checkpoint.%d", size)))
	check(t, err)
	return data
}

// A log that another program wrote.
func TestOpenTessera(t *testing.T) {
	for size := range 16 {
		head, witnesses, err := tesseraPolicy.Open(tesseraCheckpoint(t, size))
		if err != nil || head.Size != uint64(size) || head.Origin != tesseraPolicy.Origin || len(witnesses) != 0 {
			t.Errorf("size %d: got %v with %d witnesses: %v", size, head, len(witnesses), err)
		}
	}
	head, _, err := tesseraPolicy.Open(tesseraCheckpoint(t, 5))
	check(t, err)
	if got, want := head.Root.String(), "gy5gl3aksFyiCO95a/1vLXz88A3dRq+0l9Sxte8ZqZQ="; got != want {
		t.Errorf("root is %s, want %s", got, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 3)
	w1, w2 := witnessSigner(t, "witness.example/1", 11), witnessSigner(t, "witness.example/2", 12)
	p := l.policy()
	p.Witnesses, p.WitnessThreshold = []transparency.Witness{witness(w1), witness(w2)}, 2
	unwitnessed := p
	unwitnessed.WitnessThreshold = 0
	plain := l.checkpoint(3)
	good := cosign(t, plain, w1, w2)
	text := l.at(3).Text()
	lines := strings.SplitAfter(text, "\n")
	line := func(s *transparency.Signer) string {
		whole, err := s.Cosign(plain, witnessed)
		check(t, err)
		return whole
	}
	other := newLog(t, 2)
	other.grow("entry", 3)
	elsewhere := logSigner(t, "example.com/elsewhere", 1)

	if head, witnesses, err := p.Open(good); err != nil || head != l.at(3) || len(witnesses) != 2 || witnesses[0].Name != w1.Name() || !witnesses[1].At.Equal(witnessed) {
		t.Fatalf("the good one gives %v, %v: %v", head, witnesses, err)
	}
	tests := []struct {
		name       string
		checkpoint []byte
		policy     transparency.Policy
		code       transparency.Code
	}{
		{"nothing", nil, p, transparency.CodeCheckpoint},
		{"no signatures", []byte(text), p, transparency.CodeCheckpoint},
		{"signatures stripped", []byte(text + "\n"), p, transparency.CodeCheckpoint},
		{"too long", append(slices.Clone(good), bytes.Repeat([]byte(line(w1)), 1000)...), p, transparency.CodeCheckpoint},
		{"more than 100 signatures", append(slices.Clone(good), bytes.Repeat([]byte(line(w1)), 100)...), p, transparency.CodeCheckpoint},
		{"no line end", good[:len(good)-1], p, transparency.CodeCheckpoint},
		{"a line that is no signature", append(slices.Clone(good), "hello\n"...), p, transparency.CodeCheckpoint},
		{"two lines", sign(t, l.signer, lines[0]+lines[1]), p, transparency.CodeCheckpoint},
		{"a size with a zero before it", sign(t, l.signer, lines[0]+"03\n"+lines[2]), p, transparency.CodeCheckpoint},
		{"a negative size", sign(t, l.signer, lines[0]+"-3\n"+lines[2]), p, transparency.CodeCheckpoint},
		{"a size of 2^63", sign(t, l.signer, lines[0]+"9223372036854775808\n"+lines[2]), p, transparency.CodeCheckpoint},
		{"a root of 31 bytes", sign(t, l.signer, lines[0]+lines[1]+base64.StdEncoding.EncodeToString(make([]byte, 31))+"\n"), p, transparency.CodeCheckpoint},
		{"a root that is not canonical", sign(t, l.signer, lines[0]+lines[1]+strings.Repeat("A", 42)+"B=\n"), p, transparency.CodeCheckpoint},
		{"an empty extension line", sign(t, l.signer, text+"\nextension\n"), p, transparency.CodeCheckpoint},
		{"an empty tree with entries", sign(t, l.signer, lines[0]+"0\n"+lines[2]), p, transparency.CodeCheckpoint},
		{"a control character", sign(t, l.signer, text+"\x1b[2J\n"), p, transparency.CodeCheckpoint},
		{"another log's", sign(t, elsewhere, "example.com/elsewhere\n"+lines[1]+lines[2]), p, transparency.CodeOrigin},
		{"another log's, named after this one", sign(t, logSigner(t, origin, 9), text), unwitnessed, transparency.CodeKey},
		{"another origin, signed by this log", sign(t, l.signer, "example.com/elsewhere\n"+lines[1]+lines[2]), p, transparency.CodeOrigin},
		{"another key's", other.checkpoint(3), unwitnessed, transparency.CodeKey},
		{"only witnesses", []byte(text + "\n" + line(w1) + line(w2)), p, transparency.CodeKey},
		{"a root that was not signed", bytes.Replace(good, []byte(lines[2]), []byte(l.at(2).Root.String()+"\n"), 1), p, transparency.CodeSignature},
		{"a size that was not signed", bytes.Replace(good, []byte("\n3\n"), []byte("\n4\n"), 1), p, transparency.CodeSignature},
		{"one witness of two", cosign(t, plain, w1), p, transparency.CodeWitness},
		{"one witness twice", cosign(t, plain, w1, w1), p, transparency.CodeWitness},
		{"a stranger as witness", cosign(t, plain, w1, witnessSigner(t, "witness.example/3", 13)), p, transparency.CodeWitness},
		{"a stranger with a witness's name", cosign(t, plain, w1, witnessSigner(t, w2.Name(), 13)), p, transparency.CodeWitness},
		{"the log as witness", cosign(t, plain, w1, witnessSigner(t, origin, 1)), p, transparency.CodeWitness},
		{"a cosignature of another tree", append(slices.Clone(plain), cosign(t, l.checkpoint(2), w1, w2)[len(l.checkpoint(2)):]...), p, transparency.CodeWitness},
		{"a cosignature without a time", append(cosign(t, plain, w1), cosignature(t, w2, 12, text, 0)...), p, transparency.CodeWitness},
		{"a cosignature of 2^63", append(cosign(t, plain, w1), cosignature(t, w2, 12, text, 1<<63)...), p, transparency.CodeWitness},
		{"a plain signature as cosignature", append(cosign(t, plain, w1), plainAsCosignature(t, w2, 12, text)...), p, transparency.CodeWitness},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := tt.policy.Open(tt.checkpoint)
			refused(t, err, tt.code)
		})
	}
}

// cosignature is a line with any time, signed as the specification says.
func cosignature(t testing.TB, s *transparency.Signer, number byte, text string, at uint64) string {
	t.Helper()
	signature := ed25519.Sign(privateKey(number), fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at, text))
	return cosignatureLine(s, at, signature)
}

// plainAsCosignature is a line with a signature over the text alone.
func plainAsCosignature(t testing.TB, s *transparency.Signer, number byte, text string) string {
	t.Helper()
	return cosignatureLine(s, uint64(witnessed.Unix()), ed25519.Sign(privateKey(number), []byte(text)))
}

func cosignatureLine(s *transparency.Signer, at uint64, signature []byte) string {
	line := []byte{byte(s.KeyHash() >> 24), byte(s.KeyHash() >> 16), byte(s.KeyHash() >> 8), byte(s.KeyHash())}
	for i := 7; i >= 0; i-- {
		line = append(line, byte(at>>(8*i)))
	}
	return fmt.Sprintf("— %s %s\n", s.Name(), base64.StdEncoding.EncodeToString(append(line, signature...)))
}

// Lines of the log for others do no harm, and signatures of strangers are left alone.
func TestOpenAcceptsExtensionsAndStrangers(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 3)
	data := sign(t, l.signer, l.at(3).Text()+"an extension\n")
	data = append(data, "— example.com/stranger c3RyYW5nZQ==\n"...)
	head, _, err := l.policy().Open(data)
	if err != nil || head != l.at(3) {
		t.Errorf("got %v: %v", head, err)
	}
}

func TestPolicyRefuses(t *testing.T) {
	l := newLog(t, 1)
	w1, w2 := witnessSigner(t, "witness.example/1", 11), witnessSigner(t, "witness.example/2", 12)
	tests := []struct {
		name  string
		alter func(*transparency.Policy)
		want  string
	}{
		{"no origin", func(p *transparency.Policy) { p.Origin = "" }, "origin"},
		{"an origin with a space", func(p *transparency.Policy) { p.Origin = "a log" }, "origin"},
		{"an origin with an escape", func(p *transparency.Policy) { p.Origin = "a\x1blog" }, "origin"},
		{"no key", func(p *transparency.Policy) { p.Key = "" }, "key"},
		{"a key with another ID", func(p *transparency.Policy) { p.Key = strings.Replace(p.Key, "+", "+0", 1) }, "key ID"},
		{"a key in another case", func(p *transparency.Policy) {
			name, rest, _ := strings.Cut(p.Key, "+")
			id, key, _ := strings.Cut(rest, "+")
			p.Key = name + "+" + strings.ToUpper(id) + "+" + key
		}, "key ID"},
		{"the key of another log", func(p *transparency.Policy) { p.Key = logSigner(t, "example.com/other", 1).Key() }, "origin"},
		{"the key of a witness", func(p *transparency.Policy) { p.Key = w1.Key() }, "type 1"},
		{"a log as witness", func(p *transparency.Policy) { p.Witnesses[0].Key = logSigner(t, "witness.example/1", 11).Key() }, "type 4"},
		{"the log as witness", func(p *transparency.Policy) { p.Witnesses[0].Key = witnessSigner(t, "witness.example/1", 1).Key() }, "that of the log"},
		{"one key twice", func(p *transparency.Policy) { p.Witnesses[1].Key = p.Witnesses[0].Key }, "witness witness.example/1"},
		{"one public key under two names", func(p *transparency.Policy) { p.Witnesses[1].Key = witnessSigner(t, "witness.example/2", 11).Key() }, "witness witness.example/1"},
		{"one name twice", func(p *transparency.Policy) { p.Witnesses[1].Name = p.Witnesses[0].Name }, "witnesses[1].name"},
		{"a witness without a name", func(p *transparency.Policy) { p.Witnesses[1].Name = "" }, "witnesses[1].name"},
		{"a negative threshold", func(p *transparency.Policy) { p.WitnessThreshold = -1 }, "witness_threshold"},
		{"a threshold that can not be met", func(p *transparency.Policy) { p.WitnessThreshold = 3 }, "witness_threshold"},
		{"too many witnesses", func(p *transparency.Policy) { p.Witnesses = slices.Repeat(p.Witnesses, 17) }, "at most 32"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := l.policy()
			p.Witnesses, p.WitnessThreshold = []transparency.Witness{witness(w1), witness(w2)}, 1
			check(t, p.Check())
			tt.alter(&p)
			var policy *transparency.PolicyError
			if err := p.Check(); !errors.As(err, &policy) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want a PolicyError with %q", err, tt.want)
			}
			if _, _, err := p.Open(l.head); !errors.As(err, &policy) {
				t.Errorf("Open says %v, want a PolicyError", err)
			}
		})
	}
}

// What our log signs, note.Open of golang.org/x/mod accepts; what their cosigner signs, we accept, and the other way round.
func TestSignaturesAgainstOthers(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 2)
	verifier, err := note.NewVerifier(l.signer.Key())
	check(t, err)
	if _, err := note.Open(l.head, note.VerifierList(verifier)); err != nil {
		t.Errorf("theirs refuses a checkpoint of ours: %v", err)
	}

	ours := witnessSigner(t, "witness.example/1", 11)
	verifier, err = theirs.NewVerifierForCosignatureV1(ours.Key())
	check(t, err)
	n, err := note.Open(cosign(t, l.head, ours), note.VerifierList(verifier))
	check(t, err)
	if at, err := theirs.CoSigV1Timestamp(n.Sigs[0]); err != nil || !at.Equal(witnessed) {
		t.Errorf("they read the time %v: %v", at, err)
	}

	secret, public, err := note.GenerateKey(bytes.NewReader(make([]byte, 64)), "witness.example/2")
	check(t, err)
	signer, err := theirs.NewSignerForCosignatureV1(secret)
	check(t, err)
	key, err := theirs.VKeyToCosignatureV1(public)
	check(t, err)
	n, err = note.Open(l.head, note.VerifierList(mustVerifier(t, l.signer.Key())))
	check(t, err)
	before := time.Now().Truncate(time.Second)
	signed, err := note.Sign(n, signer)
	check(t, err)
	p := l.policy()
	p.Witnesses, p.WitnessThreshold = []transparency.Witness{{Name: "two", Key: key}}, 1
	_, witnesses, err := p.Open(signed)
	if err != nil || len(witnesses) != 1 || witnesses[0].Name != "two" || witnesses[0].At.Before(before) {
		t.Errorf("ours reads %v: %v", witnesses, err)
	}
}

func mustVerifier(t testing.TB, key string) note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(key)
	check(t, err)
	return v
}

func TestSignersKeepToTheirKind(t *testing.T) {
	log, w := logSigner(t, origin, 1), witnessSigner(t, "witness.example/1", 2)
	if _, err := w.Sign([]byte("text\n")); err == nil {
		t.Error("a witness signs as a log")
	}
	if _, err := log.Cosign(sign(t, log, "a\n0\nb\n"), witnessed); err == nil {
		t.Error("a log cosigns as a witness")
	}
	if _, err := w.Cosign(sign(t, log, "a\n0\nb\n"), time.Unix(0, 0)); err == nil {
		t.Error("a witness cosigns without a time")
	}
	for _, name := range []string{"", "a b", "a+b", "a\nb", strings.Repeat("a", 256)} {
		if _, err := transparency.NewLogSigner(name, privateKey(1)); err == nil {
			t.Errorf("a log is called %q", name)
		}
	}
	if got := fmt.Sprintf("%v %+v %s %x", log, log, log, log); strings.Count(got, "signer "+log.Key()) != 4 || len(got) > 4*len("signer "+log.Key())+3 {
		t.Errorf("printed as %s", got)
	}
}

func FuzzOpen(f *testing.F) {
	l := newLog(f, 1)
	l.grow("entry", 2)
	w := witnessSigner(f, "witness.example/1", 11)
	p := l.policy()
	p.Witnesses, p.WitnessThreshold = []transparency.Witness{witness(w)}, 1
	want := l.at(2)
	f.Add(l.head)
	f.Add(cosign(f, l.head, w))
	f.Add(tesseraCheckpoint(f, 5))
	// The examples of C2SP's tlog-checkpoint and tlog-cosignature.
	f.Add([]byte("example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" +
		"— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n" +
		"— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		head, witnesses, err := p.Open(data)
		if err != nil {
			var refusal *transparency.Refusal
			if !errors.As(err, &refusal) || refusal.Code == "" || strings.Contains(refusal.Reason, "\n") {
				t.Fatalf("%q: error is %v, want a refusal in one line", data, err)
			}
			return
		}
		// Nobody who does not have the keys gets in: the text is one that was signed.
		if !bytes.HasPrefix(data, []byte(want.Text())) || head != want || len(witnesses) != 1 {
			t.Fatalf("%q was accepted", data)
		}
	})
}
