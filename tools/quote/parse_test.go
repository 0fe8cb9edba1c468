package quote_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Offsets in a version 4 quote with 32 bytes of authentication data; version 5 has 6 bytes more before the signature data, and 64
// more with a TD report of TDX 1.5.
const (
	offSignatureSize = 632
	offOuterType     = 764
	offOuterSize     = 766
	offAuthSize      = 1218
	offInnerType     = 1252
	offInnerSize     = 1254
	offCertificates  = 1258
	longBody         = 70
)

func put16(at int, value uint16) func([]byte) []byte {
	return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[at:], value); return b }
}

func put32(at int, value uint32) func([]byte) []byte {
	return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], value); return b }
}

func TestParseRefuses(t *testing.T) {
	v4, v5 := vectorNamed(t, "dstack-v4-1d0342e3-202604-uptodate"), vectorNamed(t, "go-tdx-guest-v5-cf77a6e9-202601-uptodate")
	four, five := v4.quote(t), v5.quote(t)
	tests := []struct {
		name, code, reason string
		from               []byte
		edit               func([]byte) []byte
	}{
		{"nothing", "quote.size", "at least 1 byte", four, func([]byte) []byte { return nil }},
		{"too long", "quote.size", "at most 65536 bytes, got 65537", four, func(b []byte) []byte { return append(b, make([]byte, 65537-len(b))...) }},
		{"one byte", "quote.truncated", "version", four, func(b []byte) []byte { return b[:1] }},
		{"header", "quote.truncated", "user data", four, func(b []byte) []byte { return b[:47] }},
		{"body", "quote.truncated", "584 bytes of TD report at offset 48, got 583", four, func(b []byte) []byte { return b[:631] }},
		{"no signature data", "quote.truncated", "signature data size", four, func(b []byte) []byte { return b[:632] }},
		{"body of version 5", "quote.truncated", "648 bytes of TD report at offset 54", five, func(b []byte) []byte { return b[:600] }},
		{"last byte", "quote.truncated", "signature data", four, func(b []byte) []byte { return b[:len(b)-1] }},
		{"version 0", "quote.version", "got 0", four, put16(0, 0)},
		{"version 3", "quote.version", "SGX enclave", four, put16(0, 3)},
		{"version 6", "quote.version", "got 6", four, put16(0, 6)},
		{"key type 3", "quote.key_type", "got 3", four, put16(2, 3)},
		{"TEE type 0", "quote.tee_type", "SGX enclave", four, put32(4, 0)},
		{"TEE type 0 in version 5", "quote.tee_type", "SGX enclave", five, put32(4, 0)},
		{"TEE type 0x82", "quote.tee_type", "0x82", four, put32(4, 0x82)},
		{"body type 0", "quote.body_type", "got 0", five, put16(48, 0)},
		{"body type 1", "quote.body_type", "SGX enclave", five, put16(48, 1)},
		{"body type 4", "quote.body_type", "got 4", five, put16(48, 4)},
		{"body type 2 with size 648", "quote.body_type", "expected 584 bytes for body type 2, got 648", five, put16(48, 2)},
		{"body type 3 with size 584", "quote.body_type", "expected 648 bytes for body type 3, got 584", five, put32(50, 584)},
		{"body size 0xffffffff", "quote.body_type", "4294967295", five, put32(50, 0xffffffff)},
		{"signature data size 0", "quote.signature_data", "at least 134 bytes, got 0", four, put32(offSignatureSize, 0)},
		{"signature data size 133", "quote.signature_data", "at least 134 bytes, got 133", four, put32(offSignatureSize, 133)},
		{"signature data size 0x80000000", "quote.truncated", "2147483648", four, put32(offSignatureSize, 0x80000000)},
		{"signature data size 0xffffffff", "quote.truncated", "4294967295", four, put32(offSignatureSize, 0xffffffff)},
		{"signature data size 0x80000000 in version 5", "quote.truncated", "2147483648", five, put32(offSignatureSize+longBody, 0x80000000)},
		{"signature data size 0xffffffff in version 5", "quote.truncated", "4294967295", five, put32(offSignatureSize+longBody, 0xffffffff)},
		{"outer type 5", "quote.certification_type", "chain without QE report", four, put16(offOuterType, 5)},
		{"outer type 1", "quote.certification_type", "PPID", four, put16(offOuterType, 1)},
		{"outer size 0", "quote.signature_data", "got 0", four, put32(offOuterSize, 0)},
		{"outer size 0xffffffff", "quote.signature_data", "4294967295", four, put32(offOuterSize, 0xffffffff)},
		{"outer size one less", "quote.signature_data", "rest of the signature data", four, func(b []byte) []byte { b[offOuterSize]--; return b }},
		{"outer of nothing", "quote.signature_data", "at least 456 bytes, got 0", four, func(b []byte) []byte {
			return put32(offOuterSize, 0)(put32(offSignatureSize, 134)(b))
		}},
		{"authentication data of 0x7fff", "quote.signature_data", "got 32767", four, put16(offAuthSize, 0x7fff)},
		{"authentication data of 0xffff", "quote.signature_data", "got 65535", four, put16(offAuthSize, 0xffff)},
		{"inner type 1", "quote.certification_type", "PPID", four, put16(offInnerType, 1)},
		{"inner type 2", "quote.certification_type", "PPID", four, put16(offInnerType, 2)},
		{"inner type 3", "quote.certification_type", "PPID", four, put16(offInnerType, 3)},
		{"inner type 4", "quote.certification_type", "without its chain", four, put16(offInnerType, 4)},
		{"inner type 6", "quote.certification_type", "got 6", four, put16(offInnerType, 6)},
		{"inner type 7", "quote.certification_type", "platform manifest", four, put16(offInnerType, 7)},
		{"inner size 0", "quote.signature_data", "got 0", four, put32(offInnerSize, 0)},
		{"inner size one more", "quote.signature_data", "rest of the certification data", four, func(b []byte) []byte { b[offInnerSize]++; return b }},
		{"inner size 0x80000000", "quote.signature_data", "2147483648", four, put32(offInnerSize, 0x80000000)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed := tt.edit(bytes.Clone(tt.from))
			q, err := quote.Parse(changed)
			var format *quote.FormatError
			if !errors.As(err, &format) || format.Code != tt.code || !strings.Contains(format.Reason, tt.reason) || q != nil {
				t.Fatalf("%+v, want %s with %q", err, tt.code, tt.reason)
			}
			r := quote.NewVerifier(v4.collateral(t), v4.root(t)).Appraise(changed, quote.Policy{}, v4.at(t))
			if failed := codesOf(r, quote.Fail); !slices.Equal(failed, []string{tt.code}) || r.Accepted || r.Quote != nil {
				t.Errorf("failed %v, accepted %t", failed, r.Accepted)
			}
		})
	}
}

// TestParseKeepsTrailingBytes also holds that a quote takes no more than its own bytes.
func TestParseKeepsTrailingBytes(t *testing.T) {
	v := vectorNamed(t, benchmarked)
	raw := v.quote(t)
	for _, trailing := range [][]byte{nil, {0}, {1}, make([]byte, 3000), raw} {
		q, err := quote.Parse(append(bytes.Clone(raw), trailing...))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(q.Trailing, trailing) {
			t.Errorf("%d trailing bytes, want %d", len(q.Trailing), len(trailing))
		}
		v := quote.NewVerifier(v.collateral(t), v.root(t)).Appraise(append(bytes.Clone(raw), trailing...), quote.Policy{}, v.at(t))
		if zero := len(bytes.Trim(trailing, "\x00")) == 0; v.Accepted != zero {
			t.Errorf("accepted %t with %d trailing bytes", v.Accepted, len(trailing))
		}
	}
}

// withCertificates is a version 4 quote with other text in place of its PCK certificate chain.
func withCertificates(raw, text []byte) []byte {
	b := bytes.Clone(raw[:offCertificates])
	binary.LittleEndian.PutUint32(b[offInnerSize:], uint32(len(text)))
	binary.LittleEndian.PutUint32(b[offOuterSize:], uint32(offCertificates-offOuterSize-4+len(text)))
	binary.LittleEndian.PutUint32(b[offSignatureSize:], uint32(offCertificates-offSignatureSize-4+len(text)))
	return append(b, text...)
}

// TestCertificateText is about what no signature covers: the text that the certificates are in.
func TestCertificateText(t *testing.T) {
	vector := vectorNamed(t, benchmarked)
	raw := vector.quote(t)
	q, err := quote.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	text := string(bytes.TrimRight(q.Certificates, "\x00"))
	const end = "-----END CERTIFICATE-----\n"
	certs := strings.SplitAfter(text, end)[:3]
	leaf, ca, root := certs[0], certs[1], certs[2]
	many := strings.Repeat(leaf, 30)
	v, at := quote.NewVerifier(vector.collateral(t), vector.root(t)), vector.at(t)
	for name, tt := range map[string]struct {
		text   string
		accept bool
	}{
		"as it is":              {text, true},
		"without the last line": {strings.TrimSuffix(text, "\n"), true},
		"with one zero byte":    {text + "\x00", true},
		"with more zero bytes":  {text + "\x00\x00\x00", true},
		"nothing":               {"", false},
		"zero bytes":            {"\x00\x00", false},
		"space after":           {text + " ", false},
		"line feed after":       {text + "\n", false},
		"after a zero byte":     {text + "\x00x", false},
		"certificate after":     {text + "\x00" + leaf, false},
		"line feed between":     {leaf + "\n" + ca + root, false},
		"no line feed between":  {strings.TrimSuffix(leaf, "\n") + ca + root, false},
		"text between":          {leaf + "subject=x\n" + ca + root, false},
		"text before":           {"x\n" + text, false},
		"carriage returns":      {strings.ReplaceAll(text, "\n", "\r\n"), false},
		"header":                {strings.Replace(text, "CATE-----\n", "CATE-----\na: b\n\n", 1), false},
		"short lines":           {leaf[:40] + "\n" + leaf[40:] + ca + root, false},
		"two":                   {leaf + ca, false},
		"one":                   {leaf, false},
		"four":                  {text + root, false},
		"leaf twice":            {leaf + leaf + root, false},
		"CA first":              {ca + leaf + root, false},
		"root first":            {root + ca + leaf, false},
		"root in the middle":    {leaf + root + ca, false},
		"many":                  {many, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := v.Appraise(withCertificates(raw, []byte(tt.text)), quote.Policy{}, at)
			if r.Accepted != tt.accept || r.Quote == nil {
				t.Errorf("accepted %t, failed %v", r.Accepted, codesOf(r, quote.Fail))
			}
			// The collateral's copy of CA and root must not make a difference.
			c := vector.collateral(t)
			c.PCKCRLChain = nil
			chain := quote.NewVerifier(c, vector.root(t)).Appraise(withCertificates(raw, []byte(tt.text)), quote.Policy{}, at)
			for i, check := range chain.Checks {
				if strings.HasPrefix(check.Code, "pck.") && check.Result != r.Checks[i].Result {
					t.Errorf("%s is %s, without the collateral's copy %s", check.Code, r.Checks[i].Result, check.Result)
				}
			}
		})
	}
}

func TestMembersAreBounded(t *testing.T) {
	vector := vectorNamed(t, benchmarked)
	for i, code := range []string{"tcb_info.form", "tcb_info.chain", "qe_identity.form", "qe_identity.chain", "pck_crl.form", "pck_crl.chain", "root_crl.form"} {
		c := vector.collateral(t)
		part := []*[]byte{&c.TCBInfo, &c.TCBInfoChain, &c.QEIdentity, &c.QEIdentityChain, &c.PCKCRL, &c.PCKCRLChain, &c.RootCRL}[i]
		*part = append(bytes.Clone(*part), bytes.Repeat([]byte("\n"), 1<<20)...)
		r := quote.NewVerifier(c, vector.root(t)).Appraise(vector.quote(t), quote.Policy{}, vector.at(t))
		j := slices.IndexFunc(r.Checks, func(c quote.Check) bool { return c.Code == code })
		if check := r.Checks[j]; check.Result != quote.Fail || !strings.Contains(check.Expected+check.Actual, "at most 1048576") {
			t.Errorf("%s: %+v", code, check)
		}
	}
}
