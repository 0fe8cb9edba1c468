package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// header returns a Spec ID event that declares the algorithms (id, digest size).
func header(algorithms ...[2]uint16) []byte {
	body := append([]byte(specIDSignature), 0, 0, 0, 0, 0, 2, 0, 2)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(algorithms)))
	for _, a := range algorithms {
		body = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(body, a[0]), a[1])
	}
	body = append(body, 0)
	b := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(EvNoAction))
	b = append(b, make([]byte, sha1Size)...)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(body))), body...)
}

var sha384 = [2]uint16{algSHA384, 48}

// event returns an event with digests of zeros.
func event(register, typ uint32, size uint32, data []byte, algorithms ...[2]uint16) []byte {
	b := binary.LittleEndian.AppendUint32(nil, register)
	b = binary.LittleEndian.AppendUint32(b, typ)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(algorithms)))
	for _, a := range algorithms {
		b = append(binary.LittleEndian.AppendUint16(b, a[0]), make([]byte, a[1])...)
	}
	return append(binary.LittleEndian.AppendUint32(b, size), data...)
}

func TestParseRefuses(t *testing.T) {
	sha1, sha256 := [2]uint16{4, 20}, [2]uint16{11, 32}
	good := event(1, 4, 4, make([]byte, 4), sha384)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	tests := []struct {
		name string
		log  []byte
		want error
	}{
		{"empty", nil, ErrTruncated},
		{"legacy SHA-1 log", join(make([]byte, 28), []byte{4, 0, 0, 0, 1, 2, 3, 4}), ErrNoSpecID},
		{"no SHA-384 bank", header(sha1, sha256), ErrNoSHA384},
		{"no algorithms", header(), ErrAlgorithm},
		{"algorithm twice in header", header(sha384, sha384), ErrAlgorithm},
		{"wrong digest size", header([2]uint16{algSHA384, 32}), ErrAlgorithm},
		{"register 0", join(header(sha384), event(0, 4, 4, make([]byte, 4), sha384)), ErrRegister},
		{"register 5", join(header(sha384), event(5, 4, 4, make([]byte, 4), sha384)), ErrRegister},
		{"size beyond the buffer", join(header(sha384), event(1, 4, 1<<31, make([]byte, 4), sha384)), ErrTruncated},
		{"cut in the digest", join(header(sha384), good[:20]), ErrTruncated},
		{"undeclared algorithm", join(header(sha384), event(1, 4, 0, nil, sha256)), ErrAlgorithm},
		{"algorithm twice", join(header(sha384, sha256), event(1, 4, 0, nil, sha384, sha384)), ErrAlgorithm},
		{"only other digests", join(header(sha384, sha256), event(1, 4, 0, nil, sha256)), ErrNoSHA384},
		{"no digests", join(header(sha384), event(1, 4, 0, nil)), ErrAlgorithm},
		{"event after the end", join(header(sha384), []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, good), ErrAfterEnd},
		{"too large", make([]byte, MaxSize+1), ErrTooLarge},
	}
	for _, test := range tests {
		_, err := ParseCCEL(test.log)
		var parse *ParseError
		if !errors.Is(err, test.want) || !errors.As(err, &parse) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestPadding(t *testing.T) {
	log := append(header(sha384), event(2, 4, 4, make([]byte, 4), sha384)...)
	for name, pad := range map[string][]byte{"none": nil, "0xFF": bytes.Repeat([]byte{0xFF}, 1001), "0x00": make([]byte, 1001)} {
		got, err := ParseCCEL(append(bytes.Clone(log), pad...))
		if err != nil || len(got.Events) != 1 || got.Events[0].Register != RTMR1 {
			t.Errorf("%s: %+v (%v), want one event of RTMR1", name, got, err)
		}
	}
}

func TestNoActionIsNotExtended(t *testing.T) {
	log, err := ParseCCEL(append(header(sha384), event(1, uint32(EvNoAction), 0, nil, sha384)...))
	if err != nil {
		t.Fatal(err)
	}
	if got := log.Replay()[RTMR0]; !got.IsZero() {
		t.Errorf("RTMR0 is %s, want zero", got)
	}
}

func TestStartupLocality(t *testing.T) {
	data := append([]byte(startupLocalitySignature), 3)
	log, err := ParseTPM(append(header(sha384), event(0, uint32(EvNoAction), uint32(len(data)), data, sha384)...))
	if err != nil {
		t.Fatal(err)
	}
	want := Digest{47: 3}
	if got := log.Replay()[PCR(0)]; got != want {
		t.Errorf("PCR 0 is %s, want %s", got, want)
	}
}

func TestTPMLogWithAllBanks(t *testing.T) {
	log, err := ParseTPM(load(t, "ccel/dstack-tpm_eventlog.bin.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range log.Events {
		if n := len(log.Events[i].Digests); n != 3 {
			t.Errorf("event %d has %d digests, want 3", i, n)
		}
		if strings.ContainsAny(log.Events[i].Describe(), "\n\x1b\x00") {
			t.Errorf("event %d: description %q has control characters", i, log.Events[i].Describe())
		}
	}
}

func TestRegisterOfPCR(t *testing.T) {
	want := []Register{MRTD, RTMR0, RTMR1, RTMR1, RTMR1, RTMR1, RTMR1, RTMR0, RTMR2, RTMR2, RTMR2, RTMR2, RTMR2, RTMR2, RTMR2, RTMR2}
	for n := range PCRCount {
		got, ok := PCR(n).TDX()
		if ok != (n < len(want)) || ok && got != want[n] {
			t.Errorf("PCR %d is %s, %t", n, got, ok)
		}
	}
}

func TestDstackRefused(t *testing.T) {
	const digest = `"9dde1673f544faa94b921825209593ddde08d0baf9cd6990175dffaf3081f1bb10311d56de189491feb33842a050ad7b"`
	entry := func(imr, typ, digest, rest string) string {
		return `[{"imr":` + imr + `,"event_type":` + typ + `,"digest":` + digest + `,"event":"compose-hash","event_payload":"abcd"` + rest + `}]`
	}
	tests := []struct {
		name, log string
		want      error
	}{
		{"version 2", entry("3", "134217729", digest, `,"version":2`), nil},
		{"version 2 without digest", entry("3", "134217729", `""`, `,"version":2`), nil},
		{"version 2 with preimage", entry("3", "134217729", digest, `,"version":2,"preimage":"7b226e616d65223a22636f6d706f73652d68617368222c227061796c6f6164223a2261626364222c2274797065223a3133343231373732397d"`), nil},
		{"other preimage", entry("3", "134217729", digest, `,"version":2,"preimage":"7b7d"`), ErrDigest},
		{"digest of version 2 as version 1", entry("3", "134217729", digest, ""), ErrDigest},
		{"version 3", entry("3", "134217729", digest, `,"version":3`), ErrVersion},
		{"register 4", entry("4", "134217729", digest, ""), ErrRegister},
		{"firmware event without digest", entry("0", "10", `""`, ""), ErrNoSHA384},
		{"upper case", entry("0", "10", strings.ToUpper(digest), ""), ErrSyntax},
		{"unknown member", entry("0", "10", digest, `,"x":1`), ErrSyntax},
		{"no register", `[{"event_type":10,"digest":` + digest + `,"event":"","event_payload":""}]`, ErrSyntax},
	}
	for _, test := range tests {
		if _, err := ParseDstackJSON([]byte(test.log)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	// A firmware event is not a runtime event, whatever its name.
	log, err := ParseDstackJSON([]byte(entry("0", "134217729", digest, "")))
	if err != nil || log.Events[0].Runtime() {
		t.Errorf("an event of RTMR0 passes as a runtime event (%v)", err)
	}
}

func TestRuntimeLog(t *testing.T) {
	log, err := ParseRuntimeLog([]byte("{\"event\":\"app-id\",\"payload\":\"3q2+7w==\"}\n\n{\"event\":\"compose-hash\",\"payload\":\"q80=\",\"version\":2}\n"))
	if err != nil || len(log.Events) != 2 {
		t.Fatalf("%+v (%v), want two events", log, err)
	}
	if got := log.Events[0].Digest.String(); !strings.HasPrefix(got, "67b4be4e") {
		t.Errorf("app-id is %s", got)
	}
	if got := log.Events[1].Digest.String(); !strings.HasPrefix(got, "9dde1673") {
		t.Errorf("compose-hash is %s", got)
	}
	if _, err := ParseRuntimeLog([]byte(`{"event":"x","payload":"!"}`)); !errors.Is(err, ErrSyntax) {
		t.Errorf("bad base64: %v, want ErrSyntax", err)
	}
}
