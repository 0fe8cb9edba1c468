//go:build simtee

package simtee_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

// everything is all bytes that a platform gives out.
func everything(p *simtee.Platform) []byte {
	c := p.Collateral()
	return slices.Concat(p.Quote(4, body(p, "TD10")), p.Quote(5, body(p, "TD15")), c.TCBInfo, c.TCBInfoChain, c.QEIdentity, c.QEIdentityChain, c.PCKCRL,
		c.PCKCRLChain, c.RootCRL, p.RootPEM())
}

func TestSameSeedSameBytes(t *testing.T) {
	if !bytes.Equal(everything(newPlatform(t)), everything(newPlatform(t))) {
		t.Error("two platforms of one seed and time differ")
	}
	var answers [2][]byte
	for i := range answers {
		td := boot(t, simtee.Launch{Compose: []byte(kmsCompose)})
		for _, method := range []string{"GetQuote", "GetTlsKey", "GetTlsKey", "GetKey", "Info", "Attest"} {
			_, answer := post(td, method, `{"usage_ra_tls":true}`, "application/json")
			answers[i] = append(answers[i], answer...)
		}
	}
	if !bytes.Equal(answers[0], answers[1]) {
		t.Error("two trust domains of one seed, time and launch differ")
	}
	later, err := simtee.New(seed, at.Add(1000*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(later.RootPEM(), newPlatform(t).RootPEM()) {
		t.Error("the root of a seed changed with the time")
	}
	other, err := simtee.New(simtee.Seed{9}, at)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(other.RootPEM(), newPlatform(t).RootPEM()) || other.Design().PCK.Serial.Cmp(newPlatform(t).Design().PCK.Serial) == 0 {
		t.Error("two seeds gave one platform")
	}
	if first, second := simtee.NewSeed(), simtee.NewSeed(); first == second {
		t.Error("two random seeds are equal")
	}
}

// TestBytesAreKept holds the bytes to those of the day that fixtures were made from them: who changes what a seed gives changes
// this number, and knows.
func TestBytesAreKept(t *testing.T) {
	const want = "d6fee22bbb1da367c5837fbce4b648359ecf85f553dcc5fa227e9ed979ccaeb7"
	if got := fmt.Sprintf("%x", sha256.Sum256(everything(newPlatform(t)))); got != want {
		t.Errorf("SHA-256 of everything is %s, want %s", got, want)
	}
}

func TestParseSeed(t *testing.T) {
	if got, err := simtee.ParseSeed(seed.String()); err != nil || got != seed {
		t.Errorf("%v, %v, want %v", got, err, seed)
	}
	for _, text := range []string{"", "00", seed.String() + "00", strings.ToUpper("ab" + seed.String()[2:]), "0x" + seed.String()[2:], strings.Repeat("zz", 32)} {
		if _, err := simtee.ParseSeed(text); err == nil || !strings.Contains(err.Error(), "expected 64 lower-case hex digits") {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

// TestCertificates holds the certificates to the form of Intel's.
func TestCertificates(t *testing.T) {
	p := newPlatform(t)
	der := append(p.CertificatesDER(), p.TCBSigningDER())
	signs, certifies := x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	wants := []struct {
		name, issuer string
		ca           bool
		pathLen      int
		usage        x509.KeyUsage
	}{
		{simtee.NamePCK, simtee.NamePlatformCA, false, -1, signs}, {simtee.NamePlatformCA, simtee.NameRoot, true, 0, certifies},
		{simtee.NameRoot, simtee.NameRoot, true, 1, certifies}, {simtee.NameTCBSigning, simtee.NameRoot, false, -1, signs},
	}
	for i, want := range wants {
		c, err := x509.ParseCertificate(der[i])
		if err != nil {
			t.Fatal(err)
		}
		// The attributes' order in the encoding: CN, O, L, ST, C.
		order := [][]byte{[]byte(want.name), []byte("Intel Corporation"), []byte("Santa Clara"), []byte("CA"), []byte("US")}
		last := -1
		for _, value := range order {
			at := bytes.Index(c.RawSubject[last+1:], value) + last + 1
			if at <= last {
				t.Errorf("%s: %s is not where Intel has it", want.name, value)
			}
			last = at
		}
		if c.Subject.CommonName != want.name || c.Issuer.CommonName != want.issuer || c.IsCA != want.ca || c.MaxPathLen != want.pathLen ||
			c.KeyUsage != want.usage || !c.BasicConstraintsValid || c.SignatureAlgorithm != x509.ECDSAWithSHA256 ||
			len(c.SubjectKeyId) != 20 || len(c.AuthorityKeyId) != 20 || len(c.CRLDistributionPoints) != 1 {
			t.Errorf("%s: %+v", want.name, c)
		}
	}
	leaf, err := x509.ParseCertificate(der[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range leaf.Extensions {
		// Real ones have 554 bytes, too.
		if e.Id.Equal(simtee.SGXArc()) && (e.Critical || len(e.Value) != 554) {
			t.Errorf("SGX extension of %d bytes, critical: %v", len(e.Value), e.Critical)
		}
	}
}

// TestDocumentsAreSignedAsSent checks the two documents with nothing but the standard library.
func TestDocumentsAreSignedAsSent(t *testing.T) {
	p := newPlatform(t)
	c := p.Collateral()
	signer, err := x509.ParseCertificate(p.TCBSigningDER())
	if err != nil {
		t.Fatal(err)
	}
	for member, document := range map[string][]byte{"tcbInfo": c.TCBInfo, "enclaveIdentity": c.QEIdentity} {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(document, &members); err != nil {
			t.Fatal(err)
		}
		var signature string
		if err := json.Unmarshal(members["signature"], &signature); err != nil || len(members) != 2 {
			t.Fatalf("%s: %v in %v", member, err, members)
		}
		raw, err := hex.DecodeString(signature)
		if err != nil || len(raw) != 64 {
			t.Fatalf("%s: signature %s", member, signature)
		}
		hash := sha256.Sum256(members[member])
		if !ecdsa.VerifyASN1(signer.PublicKey.(*ecdsa.PublicKey), hash[:], asn1Signature(raw)) {
			t.Errorf("%s: the signature is not over the object", member)
		}
		if bytes.ContainsAny(document, " \n") && member == "enclaveIdentity" {
			t.Errorf("%s is not compact", member)
		}
	}
}

// asn1Signature makes a DER signature of r ‖ s.
func asn1Signature(raw []byte) []byte {
	integer := func(b []byte) []byte {
		b = bytes.TrimLeft(b, "\x00")
		if b[0] >= 0x80 {
			b = append([]byte{0}, b...)
		}
		return append([]byte{2, byte(len(b))}, b...)
	}
	body := append(integer(raw[:32]), integer(raw[32:])...)
	return append([]byte{0x30, byte(len(body))}, body...)
}

// TestLayout holds the encoding to the offsets that Intel documents, counted by hand.
func TestLayout(t *testing.T) {
	p := newPlatform(t)
	for _, tt := range []struct {
		version   uint16
		kind      string
		body, end int
	}{{4, "TD10", 48, 632}, {5, "TD10", 54, 638}, {5, "TD15", 54, 702}} {
		b := p.Body()
		b.Kind = tt.kind
		b.MRTD, b.ReportData, b.MRSERVICETD = [48]byte{1}, [64]byte{2}, [48]byte{3}
		parts := p.Parts(tt.version, b)
		parts.Sign()
		raw := parts.Bytes()
		if raw[0] != byte(tt.version) || raw[2] != 2 || raw[4] != 0x81 || raw[12] != 0x93 {
			t.Errorf("%v: header %x", tt, raw[:48])
		}
		if raw[tt.body+136] != 1 || raw[tt.body+520] != 2 || tt.kind == "TD15" && raw[tt.body+600] != 3 {
			t.Errorf("%v: MRTD, REPORTDATA or MRSERVICETD are somewhere else", tt)
		}
		if tt.version == 5 && (raw[48] != map[string]byte{"TD10": 2, "TD15": 3}[tt.kind] || int(raw[50])|int(raw[51])<<8 != tt.end-54) {
			t.Errorf("%v: body descriptor %x", tt, raw[48:54])
		}
		size := int(raw[tt.end]) | int(raw[tt.end+1])<<8
		if tt.end+4+size != len(raw) {
			t.Errorf("%v: signature data of %d bytes, %d are there", tt, size, len(raw)-tt.end-4)
		}
		ak := tt.end + 4 + 64
		if !bytes.Equal(raw[ak:ak+64], parts.AttestationKey[:]) || raw[ak+64] != simtee.CertificationQEReport {
			t.Errorf("%v: attestation key or certification type are somewhere else", tt)
		}
		report := ak + 64 + 6
		if bound := sha256.Sum256(slices.Concat(parts.AttestationKey[:], parts.AuthData)); !bytes.Equal(raw[report+320:report+352], bound[:]) {
			t.Errorf("%v: the QE report does not bind the attestation key", tt)
		}
		inner := report + 384 + 64 + 2 + 32
		if raw[report+384+64] != 32 || raw[inner] != simtee.CertificationPCKChain || !bytes.HasPrefix(raw[inner+6:], []byte("-----BEGIN")) {
			t.Errorf("%v: authentication data or certificates are somewhere else", tt)
		}
	}
}

func get(t *testing.T, h http.Handler, path string) (*http.Response, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), body
}

func TestPCS(t *testing.T) {
	p := newPlatform(t)
	processor := newPlatform(t, simtee.ProcessorCA)
	c := p.Collateral()
	crlPEM := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: c.PCKCRL})
	tests := []struct {
		from           http.Handler
		path           string
		status         int
		header         string
		chain, content []byte
	}{
		{p.PCS(), "/tdx/certification/v4/tcb?fmspc=53494D000000", 200, "TCB-Info-Issuer-Chain", c.TCBInfoChain, c.TCBInfo},
		{p.PCS(), "/tdx/certification/v4/tcb?fmspc=53494d000000&update=early", 200, "TCB-Info-Issuer-Chain", c.TCBInfoChain, c.TCBInfo},
		{p.PCS(), "/tdx/certification/v4/tcb?fmspc=00806f050000", 404, "", nil, nil},
		{p.PCS(), "/tdx/certification/v4/tcb?fmspc=00", 400, "", nil, nil},
		{p.PCS(), "/tdx/certification/v4/tcb", 400, "", nil, nil},
		{p.PCS(), "/sgx/certification/v4/tcb?fmspc=53494D000000", 404, "", nil, nil},
		{p.PCS(), "/tdx/certification/v4/qe/identity", 200, "SGX-Enclave-Identity-Issuer-Chain", c.QEIdentityChain, c.QEIdentity},
		{p.PCS(), "/sgx/certification/v4/pckcrl?ca=platform&encoding=der", 200, "SGX-PCK-CRL-Issuer-Chain", c.PCKCRLChain, c.PCKCRL},
		{p.PCS(), "/sgx/certification/v4/pckcrl?ca=platform", 200, "SGX-PCK-CRL-Issuer-Chain", c.PCKCRLChain, crlPEM},
		{p.PCS(), "/sgx/certification/v4/pckcrl?ca=platform&encoding=xml", 400, "", nil, nil},
		{p.PCS(), "/sgx/certification/v4/pckcrl?ca=processor&encoding=der", 404, "", nil, nil},
		{p.PCS(), "/sgx/certification/v4/pckcrl?encoding=der", 400, "", nil, nil},
		{processor.PCS(), "/sgx/certification/v4/pckcrl?ca=processor&encoding=der", 200, "SGX-PCK-CRL-Issuer-Chain",
			processor.Collateral().PCKCRLChain, processor.Collateral().PCKCRL},
		{p.PCS(), "/IntelSGXRootCA.der", 200, "", nil, c.RootCRL},
		{p.PCS(), "/sgx/certification/v4/rootcacrl", 200, "", nil, []byte(hex.EncodeToString(c.RootCRL))},
		{p.PCCS(), "/sgx/certification/v4/rootcacrl", 200, "", nil, []byte(hex.EncodeToString(c.RootCRL))},
		{p.PCCS(), "/sgx/certification/v4/pckcrl?ca=platform", 200, "SGX-PCK-CRL-Issuer-Chain", c.PCKCRLChain, []byte(hex.EncodeToString(c.PCKCRL))},
		{p.PCCS(), "/sgx/certification/v4/pckcrl?ca=platform&encoding=der", 200, "SGX-PCK-CRL-Issuer-Chain", c.PCKCRLChain, c.PCKCRL},
		{p.PCCS(), "/tdx/certification/v4/qe/identity", 200, "SGX-Enclave-Identity-Issuer-Chain", c.QEIdentityChain, c.QEIdentity},
	}
	for _, tt := range tests {
		response, body := get(t, tt.from, tt.path)
		if response.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d", tt.path, response.StatusCode, tt.status)
		}
		if tt.status != 200 {
			continue
		}
		if !bytes.Equal(body, tt.content) {
			t.Errorf("%s: %.80q", tt.path, body)
		}
		if tt.header == "" {
			continue
		}
		value := response.Header[tt.header]
		if len(value) != 1 || strings.ContainsAny(value[0], " +\n/=") {
			t.Errorf("%s: header %q", tt.path, value)
			continue
		}
		if chain, err := url.PathUnescape(value[0]); err != nil || chain != string(tt.chain) {
			t.Errorf("%s: chain %q, %v", tt.path, chain, err)
		}
	}
}

func TestWriteCollateral(t *testing.T) {
	p := newPlatform(t)
	dir := filepath.Join(t.TempDir(), "new", "collateral")
	for range 2 { // the second time, what the first wrote is replaced
		if err := p.WriteCollateral(dir); err != nil {
			t.Fatal(err)
		}
	}
	c := p.Collateral()
	want := map[string][]byte{
		"tcb_info.json": c.TCBInfo, "tcb_info_issuer_chain.pem": c.TCBInfoChain, "qe_identity.json": c.QEIdentity,
		"qe_identity_issuer_chain.pem": c.QEIdentityChain, "pck_crl.der": c.PCKCRL, "pck_crl_issuer_chain.pem": c.PCKCRLChain,
		"root_ca_crl.der": c.RootCRL, "root_ca.pem": p.RootPEM(),
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(want) {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	for name, content := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %v, or another content", name, err)
		}
	}
	if beside, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(beside) != 1 {
		t.Errorf("%d entries beside the directory, %v: something was left", len(beside), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "note"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteCollateral(dir); !errors.Is(err, simtee.ErrOccupied) || !strings.Contains(err.Error(), "note") {
		t.Errorf("error %v, want ErrOccupied and the file's name", err)
	}
	for _, name := range []string{"note", simtee.RootFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.WriteCollateral(dir); !errors.Is(err, simtee.ErrOccupied) {
		t.Errorf("error %v, want ErrOccupied: what has no root of its own may be Intel's", err)
	}
}

// TestEdits shows that each hook reaches what is signed, and nothing that it should not.
func TestEdits(t *testing.T) {
	leaf := func(p *simtee.Platform) *x509.Certificate {
		c, err := x509.ParseCertificate(p.CertificatesDER()[0])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	p := newPlatform(t, func(d *simtee.Design) {
		d.TCBInfo.Levels[0].Status = quote.Revoked
		d.EditTCBInfo = func(text []byte) []byte { return bytes.Replace(text, []byte(`"tcbType":0`), []byte(`"tcbType": 0`), 1) }
		d.SGX.Edit = func(e []simtee.Entry) []simtee.Entry { return append(e, e[0]) }
		d.SGX.EditTCB = func(e []simtee.Entry) []simtee.Entry { e[0] = simtee.NewEntry(256, 2, 1); return e }
		d.PCK.Edit = func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }
		d.PCKCRL.Edit = func(l *x509.RevocationList) { l.Number.SetInt64(77) }
	})
	c := p.Collateral()
	if !bytes.Contains(c.TCBInfo, []byte(`"tcbStatus":"Revoked"`)) || !bytes.Contains(c.TCBInfo, []byte(`"tcbType": 0`)) {
		t.Error("TCB info was not edited")
	}
	if leaf(p).KeyUsage != x509.KeyUsageKeyAgreement {
		t.Error("the certificate was not edited")
	}
	for _, e := range leaf(p).Extensions {
		if e.Id.Equal(simtee.SGXArc()) && (!bytes.Contains(e.Value, []byte{2, 2, 1, 0}) || bytes.Count(e.Value, p.Design().SGX.PPID) != 2) {
			t.Errorf("the SGX extension was not edited: %x", e.Value)
		}
	}
	if list, err := x509.ParseRevocationList(c.PCKCRL); err != nil || list.Number.Int64() != 77 {
		t.Errorf("revocation list: %v, %v", list, err)
	}
	// The edits of one platform do not reach the next.
	if !bytes.Contains(newPlatform(t).Collateral().TCBInfo, []byte(`"tcbStatus":"UpToDate"`)) {
		t.Error("an edit stayed for the next platform")
	}
	if _, err := simtee.New(seed, at, func(d *simtee.Design) { d.PCKCRL.NextUpdate = time.Time{} }); err == nil {
		t.Error("a list that can not be encoded was")
	}
}
