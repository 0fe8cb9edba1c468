package quote

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// seeds are the files of the vectors whose names end so.
func seeds(f *testing.F, suffix string) [][]byte {
	f.Helper()
	names, err := filepath.Glob("testdata/vectors/files/*" + suffix)
	if err != nil || len(names) == 0 {
		f.Fatalf("no files for %s: %v", suffix, err)
	}
	var all [][]byte
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, data)
	}
	return all
}

func FuzzParse(f *testing.F) {
	for _, data := range seeds(f, "-quote.bin") {
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := Parse(data)
		if err != nil {
			var format *FormatError
			if !errors.As(err, &format) || format.Code == "" || format.Reason == "" {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if !bytes.Equal(q.Signed, data[:len(q.Signed)]) || !bytes.HasSuffix(data, q.Trailing) {
			t.Fatal("parts are not of the quote")
		}
		at := 0
		for _, field := range q.Describe() {
			if field.Offset+field.Size > len(data) || field.Offset < 0 {
				t.Fatalf("field %+v lies outside of %d bytes", field, len(data))
			}
			if field.Offset >= at {
				at = field.Offset + field.Size
			}
		}
		if at != len(data) {
			t.Fatalf("described %d of %d bytes", at, len(data))
		}
		_, _ = q.Platform()
	})
}

func FuzzTCBInfo(f *testing.F) {
	for _, data := range seeds(f, "-tcb-info.json") {
		f.Add(data)
		if object, err := openTCBInfo(data); err == nil {
			f.Add(object.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if object, err := openTCBInfo(data); err == nil && (len(object.signature) != 64 || !bytes.Contains(data, object.bytes)) {
			t.Fatal("the signed object is not of the document")
		}
		if cut, is := cutDocument(data, "tcbInfo"); is {
			if _, err := parseTCBInfo(cut.bytes); err == nil {
				if object, err := openTCBInfo(data); err != nil || !bytes.Equal(object.bytes, cut.bytes) || !bytes.Equal(object.signature, cut.signature) {
					t.Fatalf("the compact form is read as another document: %v", err)
				}
			}
		}
		info, err := parseTCBInfo(data)
		if err != nil || !info.forTDX() {
			return
		}
		for i := 1; i < len(info.levels); i++ {
			if info.levels[i-1].order(&info.levels[i]) >= 0 {
				t.Fatal("levels out of order")
			}
		}
		e := evaluate(info, &qeIdentity{levels: []enclaveLevel{{0, level{status: UpToDate}}}}, &Platform{}, &Body{Kind: TD15}, 0)
		if e.status == "" {
			t.Fatal("no status")
		}
	})
}

func FuzzQEIdentity(f *testing.F) {
	for _, data := range seeds(f, "-qe-identity.json") {
		f.Add(data)
		if object, err := openIdentity(data); err == nil {
			f.Add(object.bytes)
		}
	}
	report := make([]byte, qeReportSize)
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = openIdentity(data)
		if identity, err := parseIdentity(data); err == nil {
			l := newLedger()
			l.identity(report, identity)
			matchEnclave(identity.levels, 0)
		}
	})
}

func FuzzPCKExtension(f *testing.F) {
	for _, data := range seeds(f, "-quote.bin") {
		q, err := Parse(data)
		if err != nil {
			continue
		}
		block, _ := pem.Decode(q.Certificates)
		if block == nil {
			continue
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			f.Fatal(err)
		}
		for _, extension := range leaf.Extensions {
			if extension.Id.Equal(oidSGX) {
				f.Add(extension.Value)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p, again Platform
		if p.readExtension(data) != nil {
			return
		}
		// There is one encoding: no byte can be left out or be another without a difference.
		if len(data) > 0 && again.readExtension(data[:len(data)-1]) == nil {
			t.Fatal("read without its last byte")
		}
	})
}

func FuzzCRL(f *testing.F) {
	for _, data := range append(seeds(f, "-root.crl"), seeds(f, "-pck.crl")...) {
		f.Add(data)
	}
	issuer := IntelRoot().cert
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseRevocations(data)
		if err != nil {
			return
		}
		if list.list.Number == nil || list.list.NextUpdate.IsZero() {
			t.Fatal("a list without number or end")
		}
		_ = list.checkSignature(issuer)
		list.has(issuer)
	})
}

func FuzzCertificates(f *testing.F) {
	for _, data := range seeds(f, "-chain.pem") {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ders, err := splitPEM(data, 2)
		if err != nil {
			return
		}
		canonical := append(encodePEM(ders[0]), encodePEM(ders[1])...)
		if !bytes.Equal(data, canonical) && !bytes.Equal(data, canonical[:len(canonical)-1]) {
			t.Fatal("two texts for the same certificates")
		}
		for _, der := range ders {
			if cert, err := x509.ParseCertificate(der); err == nil {
				_ = roleTCBSigning.check(cert, IntelRoot().cert)
				_, _ = platformOf(cert)
			}
		}
	})
}

func signedBytes(t *testing.T, open func([]byte) (signedObject, error), data []byte) []byte {
	t.Helper()
	object, err := open(data)
	if err != nil {
		t.Fatal(err)
	}
	return object.bytes
}

// FuzzAppraise changes one part of genuine evidence. Where the changed part is accepted, what is signed in it has to be as it was.
func FuzzAppraise(f *testing.F) {
	data, err := os.ReadFile("testdata/vectors/cases.json")
	if err != nil {
		f.Fatal(err)
	}
	var cases []struct {
		ID       string            `json:"id"`
		Files    map[string]string `json:"files"`
		Expected struct {
			At string `json:"as_of_time"`
		} `json:"expected"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		f.Fatal(err)
	}
	var good [8][]byte
	var at time.Time
	kinds := [8]string{"quote", "tcb_info", "tcb_info_chain", "qe_identity", "qe_identity_chain", "pck_crl", "pck_crl_chain", "root_crl"}
	for _, c := range cases {
		if c.ID != "go-tdx-guest-v5-cf77a6e9-202601-uptodate" {
			continue
		}
		for i, kind := range kinds {
			if good[i], err = os.ReadFile("testdata/vectors/files/" + c.Files[kind]); err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), good[i])
		}
		if at, err = time.Parse(time.RFC3339, c.Expected.At); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, changed []byte) {
		parts := good
		i := int(which) % len(parts)
		parts[i] = changed
		v := NewVerifier(Collateral{
			TCBInfo: parts[1], TCBInfoChain: parts[2], QEIdentity: parts[3], QEIdentityChain: parts[4], PCKCRL: parts[5], PCKCRLChain: parts[6], RootCRL: parts[7],
		}, IntelRoot())
		r := v.Appraise(parts[0], Policy{}, at)
		if len(r.Checks) != int(codeCount) {
			t.Fatalf("%d checks", len(r.Checks))
		}
		if !r.Accepted {
			return
		}
		before, after := good[i], changed
		switch kinds[i] {
		case "quote":
			q, err := Parse(good[0])
			if err != nil {
				t.Fatal(err)
			}
			before, after = q.Signed, r.Quote.Signed
		case "tcb_info":
			before, after = signedBytes(t, openTCBInfo, before), signedBytes(t, openTCBInfo, after)
		case "qe_identity":
			before, after = signedBytes(t, openIdentity, before), signedBytes(t, openIdentity, after)
		default:
			before, after = bytes.TrimSuffix(before, []byte("\n")), bytes.TrimSuffix(after, []byte("\n"))
		}
		if !bytes.Equal(before, after) {
			t.Fatalf("accepted with another %s", kinds[i])
		}
	})
}
