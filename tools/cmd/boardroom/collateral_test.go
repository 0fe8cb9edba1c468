package main

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/collateral"
)

// genuineCollateral copies a quote with its collateral, out of the test data of package collateral: genuine NAME DIR.
func genuineCollateral(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: genuine NAME DIR")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(filepath.Join("..", "..", "collateral", "testdata", args[0]))))
}

// servePCCS serves the collateral in a folder as a PCCS does, as it is when asked, at $PCCS: pccs DIR.
func servePCCS(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pccs DIR")
	}
	dir := ts.MkAbs(args[0])
	send := func(w http.ResponseWriter, header, chain, body string, encode func([]byte) string) {
		data, err := os.ReadFile(filepath.Join(dir, body))
		if err == nil && header != "" {
			var pem []byte
			pem, err = os.ReadFile(filepath.Join(dir, chain))
			w.Header().Set(header, strings.ReplaceAll(url.QueryEscape(string(pem)), "+", "%20"))
		}
		if err != nil {
			http.Error(w, "", http.StatusNotFound)
			return
		}
		w.Write([]byte(encode(data)))
	}
	raw := func(data []byte) string { return string(data) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tdx/certification/v4/tcb", func(w http.ResponseWriter, _ *http.Request) {
		send(w, "TCB-Info-Issuer-Chain", "tcb_info_issuer_chain.pem", "tcb_info.json", raw)
	})
	mux.HandleFunc("GET /tdx/certification/v4/qe/identity", func(w http.ResponseWriter, _ *http.Request) {
		send(w, "SGX-Enclave-Identity-Issuer-Chain", "qe_identity_issuer_chain.pem", "qe_identity.json", raw)
	})
	mux.HandleFunc("GET /sgx/certification/v4/pckcrl", func(w http.ResponseWriter, _ *http.Request) {
		send(w, "SGX-PCK-CRL-Issuer-Chain", "pck_crl_issuer_chain.pem", "pck_crl.der", raw)
	})
	mux.HandleFunc("GET /sgx/certification/v4/rootcacrl", func(w http.ResponseWriter, _ *http.Request) {
		send(w, "", "", "root_ca_crl.der", hex.EncodeToString)
	})
	server := httptest.NewServer(mux)
	ts.Defer(server.Close)
	ts.Setenv("PCCS", server.URL)
}

// What is too large to be collateral is refused, and what can not be read is not.
func TestShownFault(t *testing.T) {
	for want, err := range map[int]error{
		cmdline.ExitRefused: fmt.Errorf("collateral: %w", &collateral.SizeError{Name: "tcb_info.json", Limit: collateral.MaxMember}),
		cmdline.ExitUnknown: fmt.Errorf("collateral: %w", os.ErrPermission),
	} {
		if code := cmdline.ExitCode(shownFault(err)); code != want {
			t.Errorf("%v: exit code %d, want %d", err, code, want)
		}
	}
}
