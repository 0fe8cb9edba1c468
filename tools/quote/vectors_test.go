package quote_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// vector is a case of testdata/vectors/cases.json.
type vector struct {
	ID       string            `json:"id"`
	Version  int               `json:"quote_version"`
	Files    map[string]string `json:"files"`
	Expected struct {
		ChainOK *bool   `json:"signature_chain_ok"`
		Status  *string `json:"tcb_status"`
		Detail  struct {
			QEStatus     string `json:"qe_status"`
			Module       string `json:"tdx_module_status"`
			SGX          string `json:"sgx_level_status"`
			PlatformDate string `json:"platform_tcb_date"`
			ModuleDate   string `json:"tdx_module_tcb_date"`
			QEDate       string `json:"qe_tcb_date"`
			Evaluation   *struct {
				Info     uint32 `json:"tcb_info"`
				Identity uint32 `json:"qe_identity"`
			} `json:"tcb_evaluation_data_number"`
		} `json:"tcb_detail"`
		At         string   `json:"as_of_time"`
		Advisories []string `json:"advisory_ids"`
		Accept     bool     `json:"strict_accept"`
		Reasons    []string `json:"strict_refusal_reasons"`

		MRTD           string `json:"mrtd"`
		RTMR0          string `json:"rtmr0"`
		RTMR1          string `json:"rtmr1"`
		RTMR2          string `json:"rtmr2"`
		RTMR3          string `json:"rtmr3"`
		ReportData     string `json:"report_data"`
		MRCONFIGID     string `json:"mrconfigid"`
		MROWNER        string `json:"mrowner"`
		MROWNERCONFIG  string `json:"mrownerconfig"`
		MRSEAM         string `json:"mrseam"`
		MRSIGNERSEAM   string `json:"mrsignerseam"`
		SEAMAttributes string `json:"seam_attributes"`
		TDAttributes   string `json:"td_attributes"`
		XFAM           string `json:"xfam"`
		TEETCBSVN      string `json:"tee_tcb_svn"`
		TEETCBSVN2     string `json:"tee_tcb_svn2"`
		MRSERVICETD    string `json:"mrservicetd"`
		Trailing       int    `json:"trailing_bytes"`
		FMSPC          string `json:"fmspc"`
		PCEID          string `json:"pceid"`
		PCESVN         uint16 `json:"pcesvn"`
		SGXSVNs        []int  `json:"pck_sgx_tcb_svns"`
		CA             string `json:"pck_ca"`
		NotBefore      string `json:"pck_not_before"`
		Serial         string `json:"pck_serial"`
	} `json:"expected"`
}

var vectors = sync.OnceValues(func() ([]vector, error) {
	data, err := os.ReadFile("testdata/vectors/cases.json")
	if err != nil {
		return nil, err
	}
	var all []vector
	return all, json.Unmarshal(data, &all)
})

func allVectors(t testing.TB) []vector {
	t.Helper()
	all, err := vectors()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func vectorNamed(t testing.TB, id string) vector {
	t.Helper()
	all := allVectors(t)
	i := slices.IndexFunc(all, func(v vector) bool { return v.ID == id })
	if i < 0 {
		t.Fatalf("no vector %s", id)
	}
	return all[i]
}

// file is a file of the vector, nil if it has none.
func (v *vector) file(t testing.TB, kind string) []byte {
	t.Helper()
	name := v.Files[kind]
	if name == "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join("testdata/vectors/files", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (v *vector) quote(t testing.TB) []byte { return v.file(t, "quote") }

func (v *vector) collateral(t testing.TB) quote.Collateral {
	return quote.Collateral{
		TCBInfo: v.file(t, "tcb_info"), TCBInfoChain: v.file(t, "tcb_info_chain"), QEIdentity: v.file(t, "qe_identity"),
		QEIdentityChain: v.file(t, "qe_identity_chain"), PCKCRL: v.file(t, "pck_crl"), PCKCRLChain: v.file(t, "pck_crl_chain"),
		RootCRL: v.file(t, "root_crl"),
	}
}

func (v *vector) root(t testing.TB) quote.TrustRoot {
	t.Helper()
	pem := v.file(t, "root_ca")
	if pem == nil {
		return quote.IntelRoot()
	}
	root, err := quote.ParseTrustRoot(pem)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// at is the time of the vector; without collateral, a day after the PCK certificate was issued.
func (v *vector) at(t testing.TB) time.Time {
	t.Helper()
	text, add := v.Expected.At, time.Duration(0)
	if text == "" {
		text, add = v.Expected.NotBefore, 24*time.Hour
	}
	if text == "" {
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return instant(t, text).Add(add)
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func (v *vector) appraise(t testing.TB, p quote.Policy) quote.Result {
	t.Helper()
	return quote.NewVerifier(v.collateral(t), v.root(t)).Appraise(v.quote(t), p, v.at(t))
}

// codesOf are the codes with an outcome.
func codesOf(r quote.Result, o quote.Outcome) []string {
	var codes []string
	for _, c := range r.Checks {
		if c.Result == o {
			codes = append(codes, c.Code)
		}
	}
	return codes
}

// reasonCodes are our codes for the reasons of the vectors. An empty code: it is no matter of this package, or the case that has
// it is refused before that could be seen.
var reasonCodes = map[string]string{
	"debug":                                      "td.debug",
	"mrservicetd-nonzero":                        "td.service_td",
	"trailing-bytes-nonzero":                     "quote.trailing",
	"pck_crl:expired":                            "pck_crl.validity",
	"pck_crl:not-yet-valid":                      "pck_crl.validity",
	"qe_identity-not-yet-valid":                  "qe_identity.validity",
	"tcb_info-not-yet-valid":                     "tcb_info.validity",
	"cert-chain-der-not-pem":                     "pck.chain",
	"xfam-x87-sse-not-set":                       "td.xfam",
	"pck-revoked":                                "revocation.pck",
	"seam-attributes-nonzero":                    "td.seam_attributes",
	"qe-mrsigner":                                "qe_identity.mrsigner",
	"qe-isvprodid":                               "qe_identity.isvprodid",
	"qe-identity-id":                             "qe_identity.id",
	"tdx-module-mismatch:no-identity":            "tcb.module",
	"tdx-module-mismatch:seamattributes":         "tcb.module",
	"td-attributes-bit29-migratable-or-reserved": "td.migratable",
	"version":                                    "quote.version",
	"wrong-tee-type":                             "", // version 3, an SGX quote, has no TEE type; it is refused by version, and the reason says SGX
	"signature/chain":                            "", // two SGX quotes
	"root-key-invalid":                           "", // one of them
	"no-collateral":                              "", // not checked, see below
	"no-crl":                                     "", // not checked, see below
	"eventlog-mismatch":                          "", // of an event log, which package appraisal replays
}

// TestVectors holds verdict, status, advisories, dates and reasons to those that are recorded.
func TestVectors(t *testing.T) {
	for _, v := range allVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			t.Parallel()
			r := v.appraise(t, quote.Policy{})
			want := &v.Expected
			if r.Accepted != want.Accept {
				t.Errorf("accepted %t, want %t", r.Accepted, want.Accept)
			}
			status := ""
			if want.Status != nil {
				status = *want.Status
			}
			if string(r.Status) != status {
				t.Errorf("status %q, want %q", r.Status, status)
			}
			slices.Sort(want.Advisories)
			if !slices.Equal(r.AdvisoryIDs, want.Advisories) {
				t.Errorf("advisories %v, want %v", r.AdvisoryIDs, want.Advisories)
			}
			if e := want.Detail.Evaluation; e != nil && (e.Info != r.TCBInfoEval || e.Identity != r.IdentityEval) {
				t.Errorf("evaluation numbers %d and %d, want %d and %d", r.TCBInfoEval, r.IdentityEval, e.Info, e.Identity)
			}
			if v.Files["root_ca"] == "" == r.Simulated {
				t.Errorf("simulated %t with root %q", r.Simulated, v.Files["root_ca"])
			}
			v.checkDate(t, r)
			v.checkReasons(t, r)
			v.checkChain(t, r)
		})
	}
}

func (v *vector) checkDate(t *testing.T, r quote.Result) {
	var oldest time.Time
	for _, text := range []string{v.Expected.Detail.PlatformDate, v.Expected.Detail.ModuleDate, v.Expected.Detail.QEDate} {
		if text == "" {
			continue
		}
		if d := instant(t, text); oldest.IsZero() || d.Before(oldest) {
			oldest = d
		}
	}
	if r.Status == quote.NotSupported && v.Expected.Detail.PlatformDate == "" {
		return // the record then has dates of some parts only
	}
	if !r.TCBDate.Equal(oldest) {
		t.Errorf("TCB date %v, want %v", r.TCBDate, oldest)
	}
}

func (v *vector) checkReasons(t *testing.T, r quote.Result) {
	var codes []string
	for _, reason := range v.Expected.Reasons {
		code, known := reasonCodes[reason]
		if strings.HasPrefix(reason, "tcb_status=") {
			code, known = "tcb.status", true
		}
		if !known {
			t.Errorf("reason %s has no code", reason)
		}
		if r.Quote == nil && !strings.HasPrefix(code, "quote.") {
			continue // not a TDX quote: nothing else is looked at
		}
		if code != "" {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	failed := codesOf(r, quote.Fail)
	slices.Sort(failed)
	if !slices.Equal(failed, codes) {
		t.Errorf("failed %v, want %v for %v", failed, codes, v.Expected.Reasons)
	}
	unchecked := codesOf(r, quote.NotChecked)
	for reason, prefixes := range map[string][]string{
		"no-collateral": {"tcb_info.", "qe_identity.", "root_crl.", "pck_crl.", "revocation.", "tcb.status"},
		"no-crl":        {"root_crl.", "pck_crl.", "revocation."},
	} {
		if !slices.Contains(v.Expected.Reasons, reason) {
			continue
		}
		for _, c := range r.Checks {
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(c.Code, p) }) && c.Result != quote.NotChecked {
				t.Errorf("%s: %s is %s, want not_checked", reason, c.Code, c.Result)
			}
		}
	}
	if len(unchecked) > 0 && r.Accepted {
		t.Errorf("accepted, with %v not checked", unchecked)
	}
}

// checkChain compares what the record has of signatures without collateral.
func (v *vector) checkChain(t *testing.T, r quote.Result) {
	if r.Quote == nil || v.Expected.ChainOK == nil {
		return
	}
	ok := true
	for _, c := range r.Checks {
		if c.Code == "quote.signature" || c.Code == "qe.report_data" || c.Code == "qe.report_signature" || strings.HasPrefix(c.Code, "pck.") {
			ok = ok && c.Result == quote.Pass
		}
	}
	want := *v.Expected.ChainOK
	if v.ID == "intel-qvl-sample-tdx-v4" {
		want = false // its certificates are in DER, which is refused before they are read; the record read them
	}
	if ok != want {
		t.Errorf("signature chain %t, want %t", ok, want)
	}
}

func TestVectorFields(t *testing.T) {
	for _, v := range allVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			q, err := quote.Parse(v.quote(t))
			if v.Version == 3 {
				var format *quote.FormatError
				if !errors.As(err, &format) || format.Code != "quote.version" || !strings.Contains(format.Reason, "SGX") {
					t.Errorf("SGX quote: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want, b := &v.Expected, &q.Body
			for _, f := range []struct {
				name string
				got  []byte
				want string
			}{
				{"MRTD", b.MRTD[:], want.MRTD}, {"RTMR0", b.RTMR[0][:], want.RTMR0}, {"RTMR1", b.RTMR[1][:], want.RTMR1},
				{"RTMR2", b.RTMR[2][:], want.RTMR2}, {"RTMR3", b.RTMR[3][:], want.RTMR3}, {"REPORTDATA", b.ReportData[:], want.ReportData},
				{"MRCONFIGID", b.MRCONFIGID[:], want.MRCONFIGID}, {"MROWNER", b.MROWNER[:], want.MROWNER},
				{"MROWNERCONFIG", b.MROWNERCONFIG[:], want.MROWNERCONFIG}, {"MRSEAM", b.MRSEAM[:], want.MRSEAM},
				{"MRSIGNERSEAM", b.MRSIGNERSEAM[:], want.MRSIGNERSEAM}, {"SEAMATTRIBUTES", b.SEAMAttributes[:], want.SEAMAttributes},
				{"TDATTRIBUTES", b.TDAttributes[:], want.TDAttributes}, {"XFAM", b.XFAM[:], want.XFAM}, {"TEE_TCB_SVN", b.TEETCBSVN[:], want.TEETCBSVN},
			} {
				if hex.EncodeToString(f.got) != f.want {
					t.Errorf("%s %x, want %s", f.name, f.got, f.want)
				}
			}
			if b.Kind == quote.TD15 && (hex.EncodeToString(b.TEETCBSVN2[:]) != want.TEETCBSVN2 || hex.EncodeToString(b.MRSERVICETD[:]) != want.MRSERVICETD) {
				t.Errorf("TEE_TCB_SVN_2 %x, MRSERVICETD %x", b.TEETCBSVN2, b.MRSERVICETD)
			}
			if len(q.Trailing) != want.Trailing {
				t.Errorf("%d trailing bytes, want %d", len(q.Trailing), want.Trailing)
			}
			v.checkPlatform(t, q)
		})
	}
}

func (v *vector) checkPlatform(t *testing.T, q *quote.Quote) {
	want := &v.Expected
	p, err := q.Platform()
	if v.ID == "intel-qvl-sample-tdx-v4" {
		if err == nil {
			t.Error("a chain in DER was read")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(p.FMSPC[:]) != want.FMSPC || hex.EncodeToString(p.PCEID[:]) != want.PCEID || p.PCESVN != want.PCESVN ||
		p.CA != want.CA || p.SerialNumber != want.Serial {
		t.Errorf("platform %+v", p)
	}
	for i, svn := range want.SGXSVNs {
		if int(p.SGXSVNs[i]) != svn {
			t.Errorf("SGX SVNs %v, want %v", p.SGXSVNs, want.SGXSVNs)
		}
	}
}

// TestDescribe holds the description to the bytes: fields follow each other without gap, and hexadecimal values are the bytes.
func TestDescribe(t *testing.T) {
	for _, v := range allVectors(t) {
		raw := v.quote(t)
		q, err := quote.Parse(raw)
		if err != nil {
			continue
		}
		at := 0
		for _, f := range q.Describe() {
			if strings.HasPrefix(f.Name, "PCK certificate: ") {
				continue
			}
			if f.Offset != at {
				t.Errorf("%s: %s at %d, want %d", v.ID, f.Name, f.Offset, at)
			}
			at = f.Offset + f.Size
			if value, err := hex.DecodeString(f.Value); err == nil && f.Size > 4 && !bytes.Equal(value, raw[f.Offset:at]) {
				t.Errorf("%s: %s is %s, want %x", v.ID, f.Name, f.Value, raw[f.Offset:at])
			}
		}
		if at != len(raw) {
			t.Errorf("%s: described up to %d of %d", v.ID, at, len(raw))
		}
	}
}
