package appraisal

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func file(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// eventLog reads the event log of a published case.
func eventLog(t testing.TB, id string) []byte {
	t.Helper()
	path := filepath.Join("testdata", "event-logs", id)
	if data, err := os.ReadFile(path + ".json"); err == nil {
		return data
	}
	r, err := gzip.NewReader(bytes.NewReader(file(t, path+".bin.gz")))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// getQuote is the answer of a real dstack guest, whose quote Intel's hardware signed.
func getQuote(t testing.TB) Evidence {
	t.Helper()
	e, err := ReadEvidence(file(t, "../dstack/testdata/verifier-fixtures/tdx-lite-getquote.json"))
	if err != nil {
		t.Fatal(err)
	}
	return e
}
