package quote_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

const benchmarked = "dstack-v4-1d0342e3-202604-uptodate"

// bare is a signature that an appraisal can not do without.
type bare struct {
	key    *ecdsa.PublicKey
	digest [32]byte
	der    []byte
	r, s   *big.Int
}

func raw(key *ecdsa.PublicKey, signed, signature []byte) bare {
	return bare{key: key, digest: sha256.Sum256(signed), r: new(big.Int).SetBytes(signature[:32]), s: new(big.Int).SetBytes(signature[32:])}
}

// bareSignatures are those of the quote, the QE report and the PCK certificate.
func bareSignatures(tb testing.TB, q *quote.Quote) []bare {
	tb.Helper()
	attestation, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{4}, q.AttestationKey[:]...))
	if err != nil {
		tb.Fatal(err)
	}
	leafPEM, rest := pem.Decode(q.Certificates)
	caPEM, _ := pem.Decode(rest)
	leaf, err := x509.ParseCertificate(leafPEM.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	ca, err := x509.ParseCertificate(caPEM.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return []bare{
		raw(attestation, q.Signed, q.Signature[:]),
		raw(leaf.PublicKey.(*ecdsa.PublicKey), q.QEReport, q.QEReportSignature[:]),
		{key: ca.PublicKey.(*ecdsa.PublicKey), digest: sha256.Sum256(leaf.RawTBSCertificate), der: leaf.Signature},
	}
}

func BenchmarkBareSignatures(b *testing.B) {
	v := vectorNamed(b, benchmarked)
	q, err := quote.Parse(v.quote(b))
	if err != nil {
		b.Fatal(err)
	}
	signatures := bareSignatures(b, q)
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range signatures {
			if s.der != nil && !ecdsa.VerifyASN1(s.key, s.digest[:], s.der) || s.der == nil && !ecdsa.Verify(s.key, s.digest[:], s.r, s.s) {
				b.Fatal("not verified")
			}
		}
	}
}

// BenchmarkAppraise has collateral whose signatures are checked.
func BenchmarkAppraise(b *testing.B) {
	vector := vectorNamed(b, benchmarked)
	v, raw, at := quote.NewVerifier(vector.collateral(b), vector.root(b)), vector.quote(b), vector.at(b)
	b.ReportAllocs()
	for b.Loop() {
		if !v.Appraise(raw, quote.Policy{}, at).Accepted {
			b.Fatal("refused")
		}
	}
}

func BenchmarkNewVerifierAndAppraise(b *testing.B) {
	vector := vectorNamed(b, benchmarked)
	c, root, raw, at := vector.collateral(b), vector.root(b), vector.quote(b), vector.at(b)
	b.ReportAllocs()
	for b.Loop() {
		if !quote.NewVerifier(c, root).Appraise(raw, quote.Policy{}, at).Accepted {
			b.Fatal("refused")
		}
	}
}

func BenchmarkParse(b *testing.B) {
	vector := vectorNamed(b, benchmarked)
	raw := vector.quote(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := quote.Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
