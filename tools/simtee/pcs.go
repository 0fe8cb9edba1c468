//go:build simtee

package simtee

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
)

// Paths of the PCS API version 4.
const (
	pathTCB        = "/tdx/certification/v4/tcb"
	pathQEIdentity = "/tdx/certification/v4/qe/identity"
	pathPCKCRL     = "/sgx/certification/v4/pckcrl"
	pathRootCRL    = "/IntelSGXRootCA.der"               // on certificates.trustedservices.intel.com, which has no API
	pathPCCSRoot   = "/sgx/certification/v4/rootcacrl"   // of a PCCS; Intel's PCS has it elsewhere only
	chainTCB       = "TCB-Info-Issuer-Chain"             // headers
	chainIdentity  = "SGX-Enclave-Identity-Issuer-Chain" //
	chainPCKCRL    = "SGX-PCK-CRL-Issuer-Chain"          //
)

// PCS serves the platform's collateral as Intel's PCS does, API version 4, and the root's revocation list, which is on another
// host of Intel's. It is also where a PCCS has it, as hex text, because a client takes any address but Intel's for one of a PCCS. A
// family or CA of another platform is not found.
func (p *Platform) PCS() http.Handler {
	mux := http.NewServeMux()
	p.serveDocuments(mux)
	mux.HandleFunc("GET "+pathPCKCRL, func(w http.ResponseWriter, r *http.Request) {
		c := p.collateral
		switch r.URL.Query().Get("encoding") {
		case "der":
			p.servePCKCRL(w, r, "application/pkix-crl", c.PCKCRL)
		case "", "pem":
			p.servePCKCRL(w, r, "application/x-pem-file", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: c.PCKCRL}))
		default:
			http.Error(w, "", http.StatusBadRequest)
		}
	})
	mux.HandleFunc("GET "+pathRootCRL, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/pkix-crl")
		w.Write(p.collateral.RootCRL)
	})
	p.servePCCSRoot(mux)
	return mux
}

// PCCS serves the same as Intel's caching service, PCCS, does: revocation lists as hex text.
func (p *Platform) PCCS() http.Handler {
	mux := http.NewServeMux()
	p.serveDocuments(mux)
	mux.HandleFunc("GET "+pathPCKCRL, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("encoding") == "der" {
			p.servePCKCRL(w, r, "application/pkix-crl", p.collateral.PCKCRL)
			return
		}
		p.servePCKCRL(w, r, "text/html; charset=utf-8", []byte(hex.EncodeToString(p.collateral.PCKCRL)))
	})
	p.servePCCSRoot(mux)
	return mux
}

func (p *Platform) servePCCSRoot(mux *http.ServeMux) {
	mux.HandleFunc("GET "+pathPCCSRoot, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(hex.EncodeToString(p.collateral.RootCRL)))
	})
}

func (p *Platform) serveDocuments(mux *http.ServeMux) {
	mux.HandleFunc("GET "+pathTCB, func(w http.ResponseWriter, r *http.Request) {
		family, err := hex.DecodeString(r.URL.Query().Get("fmspc"))
		switch {
		case err != nil || len(family) != 6:
			http.Error(w, "", http.StatusBadRequest)
		case !bytes.Equal(family, p.design.SGX.FMSPC):
			http.Error(w, "", http.StatusNotFound)
		default:
			serveChained(w, chainTCB, p.collateral.TCBInfoChain, "application/json", p.collateral.TCBInfo)
		}
	})
	mux.HandleFunc("GET "+pathQEIdentity, func(w http.ResponseWriter, _ *http.Request) {
		serveChained(w, chainIdentity, p.collateral.QEIdentityChain, "application/json", p.collateral.QEIdentity)
	})
}

func (p *Platform) servePCKCRL(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	ours := "platform"
	if p.design.PCKCA.Name == NameProcessorCA {
		ours = "processor"
	}
	switch r.URL.Query().Get("ca") {
	case ours:
		serveChained(w, chainPCKCRL, p.collateral.PCKCRLChain, kind, body)
	case "platform", "processor":
		http.Error(w, "", http.StatusNotFound)
	default:
		http.Error(w, "", http.StatusBadRequest)
	}
}

// serveChained sends a body, and in a header the chain that vouches for it: PEM in percent-encoding, a blank as %20.
func serveChained(w http.ResponseWriter, header string, chain []byte, kind string, body []byte) {
	w.Header()[header] = []string{strings.ReplaceAll(url.QueryEscape(string(chain)), "+", "%20")}
	w.Header().Set("Content-Type", kind)
	w.Write(body)
}
