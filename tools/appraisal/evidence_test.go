package appraisal

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

func TestReadEvidence(t *testing.T) {
	genuine := getQuote(t)
	if len(genuine.Quote) < 4000 || len(genuine.EventLog) < 4000 || genuine.VMConfig == "" || genuine.ReportData == nil {
		t.Fatalf("GetQuote: got %d bytes of quote, %d of log, vm_config %q", len(genuine.Quote), len(genuine.EventLog), genuine.VMConfig)
	}
	only := Evidence{Quote: genuine.Quote}
	digits := hex.EncodeToString(genuine.Quote)
	var wrapped []string
	for i := 0; i < len(digits); i += 64 {
		wrapped = append(wrapped, digits[i:min(i+64, len(digits))])
	}
	logged := Evidence{Quote: genuine.Quote, EventLog: []byte(`[]`)}
	tests := map[string]struct {
		file string
		want Evidence
	}{
		"raw":                   {string(genuine.Quote), only},
		"raw that is truncated": {string(genuine.Quote[:1]), Evidence{Quote: genuine.Quote[:1]}},
		"raw with a brace":      {"{\x00 not JSON", Evidence{Quote: []byte("{\x00 not JSON")}},
		"hex":                   {digits, only},
		"hex in capitals":       {strings.ToUpper(digits), only},
		"hex with 0x":           {"0x" + digits + "\n", only},
		"hex in lines":          {"  " + strings.Join(wrapped, "\r\n\t") + "\n\n", only},
		"quote":                 {`{"quote":"` + digits + `"}`, only},
		"0x, nulls":             {`{"quote":"0x` + digits + `","event_log":null,"report_data":null,"vm_config":null,"attestation":null}`, only},
		"no text":               {`{"quote":"` + digits + `","event_log":"","report_data":"","vm_config":""}`, Evidence{Quote: genuine.Quote, EventLog: []byte{}}},
		"log as text":           {`{"quote":"` + digits + `","event_log":"[]"}`, logged},
		"log as array":          {"\n" + `{"event_log":[],"quote":"` + digits + `"}`, logged},
		"verifier's request":    {`{"quote":"` + digits + `","event_log":"[]","pccs_url":"https://pccs.example","debug":true}`, logged},
		"a later release":       {`{"quote":"` + digits + `","event_log":"[]","verified":true}`, logged},
		"tappd":                 {`{"quote":"` + digits + `","event_log":"[]","hash_algorithm":"sha512","prefix":"app-data:"}`, logged},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ReadEvidence([]byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestReadEvidenceRefuses(t *testing.T) {
	tests := map[string]struct{ file, want string }{
		"nothing":              {"", "got nothing"},
		"white space":          {" \n", "got nothing"},
		"text":                 {"this is no quote", "expected a raw quote, hexadecimal text of one, an answer to GetQuote or an evidence document, got text"},
		"odd digits":           {"0400020", "odd length"},
		"0x and no more":       {"0x", "got 0 digits"},
		"too many digits":      {strings.Repeat("00", 64<<10+1), "got 131074 digits"},
		"PEM":                  {"-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n", "got text"},
		"array":                {"[]", "got text"},
		"other object":         {`{"mrtd":"00"}`, "quote: expected a quote"},
		"container only":       {`{"attestation":"00"}`, "quote: expected a quote"},
		"not an object's end":  {`{"quote":"04"`, "ends too early"},
		"twice":                {`{"quote":"04","quote":"05"}`, `member "quote" stands twice`},
		"other case":           {`{"quote":"04","Event_Log":"[]"}`, `event_log: expected the name in lower case, got "Event_Log"`},
		"second object":        {`{"quote":"04"}{"quote":"05"}`, "data after"},
		"quote is null":        {`{"quote":null}`, "quote: expected hexadecimal, got null"},
		"quote is empty":       {`{"quote":""}`, "quote: expected 1 to"},
		"quote is base64":      {`{"quote":"BAACAIEAAAA="}`, "quote: expected hexadecimal"},
		"quote is large":       {`{"quote":"` + strings.Repeat("00", 64<<10+1) + `"}`, "quote: expected 1 to 65536 bytes"},
		"log is a number":      {`{"quote":"04","event_log":7}`, "event_log: expected text or an array"},
		"report data is short": {`{"quote":"04","report_data":"00"}`, "report_data: expected 64 bytes"},
		"report data no hex":   {`{"quote":"04","report_data":"` + strings.Repeat("x", 128) + `"}`, "report_data: expected 64 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ReadEvidence([]byte(tt.file))
			var form *FormError
			if !errors.As(err, &form) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error is %v, want %q in it", err, tt.want)
			}
			if !reflect.DeepEqual(got, Evidence{}) {
				t.Errorf("got %+v beside the error", got)
			}
			if len(err.Error()) > 400 {
				t.Errorf("the error has %d characters", len(err.Error()))
			}
		})
	}
	if _, err := ReadEvidence(make([]byte, eventlog.MaxDocument+1)); err == nil || !strings.Contains(err.Error(), "expected at most") {
		t.Errorf("large file: error is %v", err)
	}
}

// An agent's document is read by package evidence, and with all that is signed in it.
func TestReadEvidenceDocument(t *testing.T) {
	key := ed25519.PublicKey(bytes.Repeat([]byte{7}, ed25519.PublicKeySize))
	claims, err := evidence.NewClaims("finance-acme", "finance", key, strings.Repeat("5a", 32), time.Unix(1_770_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	document, err := evidence.New(claims, []byte{4, 0, 2}, `[]`, `{}`)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadEvidence(append([]byte("\n "), text...))
	if err != nil {
		t.Fatal(err)
	}
	want := Evidence{Quote: []byte{4, 0, 2}, EventLog: []byte(`[]`), VMConfig: `{}`, Claims: &claims, ReportData: &document.ReportData}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	altered := strings.Replace(string(text), base64.RawURLEncoding.EncodeToString(key), "short", 1)
	var claim *evidence.ClaimError
	if _, err := ReadEvidence([]byte(altered)); !errors.As(err, &claim) || claim.Member != "public_key" {
		t.Errorf("error is %v, want one about public_key", err)
	}
}
