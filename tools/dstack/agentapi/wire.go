package agentapi

import (
	"context"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	legacysha3 "golang.org/x/crypto/sha3"
)

// maxMessage is dstack's limit of a message, in bytes.
const maxMessage = 10 << 20

// refusal is an error in dstack's own words.
type refusal string

func (r refusal) Error() string { return string(r) }

const (
	refusedLength    refusal = "Report data is too long"
	refusedRequest   refusal = "Failed to decode request"
	refusedAlgorithm refusal = "Unsupported algorithm"
)

// hexBytes are bytes as prpc's JSON has them: lower-case hex, and 0x is tolerated.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(strings.TrimPrefix(string(text), "0x"))
	return err
}

func (b hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

// method is one RPC: from a request, in JSON, to a response.
type method struct {
	// since and until are the releases of dstack that have it.
	since, until [3]int
	call         func(ctx context.Context, request []byte) (any, error)
}

var (
	always = [3]int{0, 5, 2}
	never  = [3]int{1 << 20}
)

// rpc reads the request into a value of its type.
func rpc[T any](f func(context.Context, T) (any, error)) func(context.Context, []byte) (any, error) {
	return func(ctx context.Context, request []byte) (any, error) {
		var r T
		if len(request) > 0 {
			if err := json.Unmarshal(request, &r); err != nil {
				return nil, fmt.Errorf("%w: %w", refusedRequest, err)
			}
		}
		return f(ctx, r)
	}
}

type (
	none       struct{}
	quoteQuery struct {
		ReportData hexBytes `json:"report_data"`
	}
	eventQuery struct {
		Event   string   `json:"event"`
		Payload hexBytes `json:"payload"`
	}
	keyQuery struct {
		Path      string `json:"path"`
		Purpose   string `json:"purpose"`
		Algorithm string `json:"algorithm"`
	}
	tlsQuery struct {
		Subject     string   `json:"subject"`
		AltNames    []string `json:"alt_names"`
		RATLS       bool     `json:"usage_ra_tls"`
		ServerAuth  bool     `json:"usage_server_auth"`
		ClientAuth  bool     `json:"usage_client_auth"`
		NotBefore   *uint64  `json:"not_before"`
		NotAfter    *uint64  `json:"not_after"`
		WithAppInfo bool     `json:"with_app_info"`
	}
	tdxQuery struct {
		ReportData hexBytes `json:"report_data"`
		Algorithm  string   `json:"hash_algorithm"`
		Prefix     string   `json:"prefix"`
	}
)

type (
	quoteAnswer struct {
		Quote      hexBytes `json:"quote"`
		EventLog   string   `json:"event_log"`
		ReportData hexBytes `json:"report_data"`
		VMConfig   string   `json:"vm_config,omitempty"`
	}
	tdxAnswer struct {
		Quote     hexBytes `json:"quote"`
		EventLog  string   `json:"event_log"`
		Algorithm string   `json:"hash_algorithm"`
		Prefix    string   `json:"prefix"`
	}
	keyAnswer struct {
		Key   hexBytes   `json:"key"`
		Chain []hexBytes `json:"signature_chain"`
	}
	tlsAnswer struct {
		Key   string   `json:"key"`
		Chain []string `json:"certificate_chain"`
	}
	attestAnswer struct {
		Attestation hexBytes `json:"attestation"`
	}
	versionAnswer struct {
		Version string `json:"version"`
		Rev     string `json:"rev"`
	}
)

// agent answers for a guest.
type agent struct {
	guest Guest
	// says is what an unknown method is refused with, after the method's name.
	says string
}

// Dstack is the service on dstack.sock, each method where the guest's release of dstack has it, and the quotes and the certificates of
// its predecessor under /prpc/Tappd. says names the program in refusals.
func Dstack(guest Guest, says string) http.Handler {
	a := &agent{guest, says}
	return a.serve(map[string]method{
		"GetQuote":  {always, never, rpc(a.getQuote)},
		"Info":      {always, never, rpc(a.info)},
		"GetKey":    {always, never, rpc(a.getKey)},
		"GetTlsKey": {always, never, rpc(a.getTLSKey)},
		"EmitEvent": {always, [3]int{0, 6, 0}, rpc(a.emitEvent)},
		"Attest":    {[3]int{0, 5, 6}, never, rpc(a.attest)},
		"Version":   {[3]int{0, 5, 8}, never, rpc(a.version)},
	}, a.tappd(), "Tappd.")
}

// Tappd is the service on tappd.sock.
func Tappd(guest Guest, says string) http.Handler {
	a := &agent{guest, says}
	return a.serve(nil, a.tappd(), "Tappd.")
}

// Worker is the service on the public port, under /prpc. Where the application keeps its measurements to itself, tcbInfo is false.
func Worker(guest Guest, says string, tcbInfo bool) http.Handler {
	a := &agent{guest, says}
	info := func(ctx context.Context, q none) (any, error) {
		answer, err := guest.Info(ctx)
		if !tcbInfo {
			answer.TCBInfo, answer.VMConfig = "", ""
		}
		return answer, err
	}
	return a.serve(nil, map[string]method{
		"Info":    {always, never, rpc(info)},
		"Version": {[3]int{0, 5, 8}, never, rpc(a.version)},
	}, "Worker.")
}

// Questions is a service of methods that take nothing, at the root, in the same form. The guest is only asked for its release.
func Questions(guest Guest, says string, answers map[string]func(context.Context) (any, error)) http.Handler {
	methods := make(map[string]method)
	for name, answer := range answers {
		methods[name] = method{always, never, rpc(func(ctx context.Context, _ none) (any, error) { return answer(ctx) })}
	}
	return (&agent{guest, says}).serve(methods, nil, "")
}

func (a *agent) tappd() map[string]method {
	return map[string]method{
		"TdxQuote": {always, never, rpc(a.tdxQuote)},
		"RawQuote": {always, never, rpc(a.rawQuote)},
		"Info":     {always, never, rpc(a.info)},
	}
}

// since tells whether the guest's dstack is of this release or later.
func (a *agent) since(release [3]int) bool {
	r := a.guest.Release()
	return slices.Compare([]int{r.Major, r.Minor, r.Patch}, release[:]) >= 0
}

// serve answers direct methods at the root, and others under /prpc with or without the name of their service.
func (a *agent) serve(direct, others map[string]method, service string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, available := strings.TrimPrefix(r.URL.Path, "/"), direct
		if other, ok := strings.CutPrefix(name, "prpc/"); ok {
			name, available = strings.TrimPrefix(other, service), others
		}
		w.Header().Set("X-App-Version", a.guest.Release().String())
		m, known := available[name]
		if !known || !a.since(m.since) || a.since(m.until) {
			refuse(w, r, fmt.Errorf("method %.100q is not in %s of dstack %s", name, a.says, a.guest.Release()))
			return
		}
		request, err := message(w, r, name)
		if err != nil {
			refuse(w, r, err)
			return
		}
		answer, err := m.call(r.Context(), request)
		if err != nil {
			refuse(w, r, err)
			return
		}
		respond(w, http.StatusOK, answer)
	})
}

// jsonCall tells the two forms of prpc apart: JSON by method GET, by content type, or by "json" in the query.
func jsonCall(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodGet || kind == "application/json" || r.URL.Query().Has("json")
}

// message is the request as JSON.
func message(w http.ResponseWriter, r *http.Request, name string) ([]byte, error) {
	switch {
	case r.Method == http.MethodGet:
		return queryMessage(r.URL.Query(), name)
	case r.Method != http.MethodPost:
		return nil, fmt.Errorf("expected GET or POST, got %s", r.Method)
	case !jsonCall(r):
		return nil, errors.New("the guest agent speaks JSON only: set Content-Type to application/json")
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
}

// queryMessage makes a request of a query string. Text stays text, and the members that are none are converted.
func queryMessage(query url.Values, name string) ([]byte, error) {
	members := make(map[string]any)
	types := make(map[string]reflect.Kind)
	if name == "GetTlsKey" {
		for field := range reflect.TypeFor[tlsQuery]().Fields() {
			kind := field.Type.Kind()
			if kind == reflect.Pointer {
				kind = field.Type.Elem().Kind()
			}
			types[field.Tag.Get("json")] = kind
		}
	}
	for member, values := range query {
		var err error
		switch types[member] {
		case reflect.Bool:
			members[member], err = strconv.ParseBool(values[0])
		case reflect.Uint64:
			members[member], err = strconv.ParseUint(values[0], 10, 64)
		case reflect.Slice:
			members[member] = values
		default:
			members[member] = values[0]
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", member, err)
		}
	}
	return json.Marshal(members)
}

func respond(w http.ResponseWriter, status int, answer any) {
	body := mustMarshal(answer)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

// refuse answers as prpc does: status 400, and the text as JSON or as field 1 of a protobuf message.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if jsonCall(r) {
		respond(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	text := err.Error()
	if len(text) > 127 {
		text = text[:127] // lengths up to here take one byte
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusBadRequest)
	w.Write(append([]byte{0x0a, byte(len(text))}, text...)) //nolint:gosec // not for browsers, and not text to them
}

// pad64 pads report data with zeros on the right, as dstack does.
func pad64(data []byte) (padded [64]byte, err error) {
	if len(data) > len(padded) {
		return padded, refusedLength
	}
	copy(padded[:], data)
	return padded, nil
}

func (a *agent) getQuote(ctx context.Context, q quoteQuery) (any, error) {
	data, err := pad64(q.ReportData)
	if err != nil {
		return nil, err
	}
	e, err := a.guest.Quote(ctx, data)
	answer := quoteAnswer{Quote: e.Quote, EventLog: string(e.EventLog), ReportData: data[:]}
	if a.since([3]int{0, 5, 4}) {
		answer.VMConfig = e.VMConfig
	}
	return answer, err
}

// QuoteAnswer is the whole answer of a guest to GetQuote over up to 64 bytes, in JSON.
func QuoteAnswer(ctx context.Context, guest Guest, reportData []byte) ([]byte, error) {
	answer, err := (&agent{guest: guest}).getQuote(ctx, quoteQuery{reportData})
	if err != nil {
		return nil, err
	}
	return mustMarshal(answer), nil
}

func (a *agent) rawQuote(ctx context.Context, q quoteQuery) (any, error) {
	data, err := pad64(q.ReportData)
	if err != nil {
		return nil, err
	}
	e, err := a.guest.Quote(ctx, data)
	return tdxAnswer{Quote: e.Quote, EventLog: string(e.EventLog)}, err
}

// reportHashes are the algorithms of TdxQuote.
var reportHashes = map[string]func() hash.Hash{
	"sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
	"sha3-256":  func() hash.Hash { return sha3.New256() },
	"sha3-384":  func() hash.Hash { return sha3.New384() },
	"sha3-512":  func() hash.Hash { return sha3.New512() },
	"keccak256": legacysha3.NewLegacyKeccak256, "keccak512": legacysha3.NewLegacyKeccak512,
}

// tdxQuote hashes what it is given under a prefix, by default "app-data" and SHA-512; "raw" takes 64 bytes as they are.
func (a *agent) tdxQuote(ctx context.Context, q tdxQuery) (any, error) {
	if q.Algorithm == "" {
		q.Algorithm = "sha512"
	}
	var data [64]byte
	if q.Algorithm == "raw" {
		if len(q.ReportData) != len(data) {
			return nil, fmt.Errorf("report_data: expected 64 bytes with raw, got %d", len(q.ReportData))
		}
		data = [64]byte(q.ReportData)
	} else {
		newHash, ok := reportHashes[q.Algorithm]
		if !ok {
			return nil, fmt.Errorf("hash_algorithm: %.100q is not in %s", q.Algorithm, a.says)
		}
		if q.Prefix == "" {
			q.Prefix = "app-data"
		}
		h := newHash()
		h.Write([]byte(q.Prefix + ":"))
		h.Write(q.ReportData)
		copy(data[:], h.Sum(nil))
	}
	e, err := a.guest.Quote(ctx, data)
	return tdxAnswer{Quote: e.Quote, EventLog: string(e.EventLog), Algorithm: q.Algorithm, Prefix: q.Prefix}, err
}

func (a *agent) attest(ctx context.Context, q quoteQuery) (any, error) {
	data, err := pad64(q.ReportData)
	if err != nil {
		return nil, err
	}
	container, err := a.guest.Attest(ctx, data)
	return attestAnswer{container}, err
}

func (a *agent) emitEvent(ctx context.Context, q eventQuery) (any, error) {
	return none{}, a.guest.EmitEvent(ctx, q.Event, q.Payload)
}

func (a *agent) version(context.Context, none) (any, error) {
	return versionAnswer{Version: a.guest.Release().String(), Rev: a.guest.Revision()}, nil
}

func (a *agent) info(ctx context.Context, _ none) (any, error) { return a.guest.Info(ctx) }

func (a *agent) getKey(_ context.Context, q keyQuery) (any, error) {
	switch q.Algorithm {
	case "", "secp256k1", "k256", "ed25519":
	default:
		return nil, refusedAlgorithm
	}
	key, err := a.guest.Key(KeyRequest(q))
	return keyAnswer{Key: key.Key, Chain: []hexBytes{key.Chain[0], key.Chain[1]}}, err
}

func (a *agent) getTLSKey(ctx context.Context, q tlsQuery) (any, error) {
	r := TLSRequest{
		Subject: q.Subject, AltNames: q.AltNames, RATLS: q.RATLS, ServerAuth: q.ServerAuth, ClientAuth: q.ClientAuth, WithAppInfo: q.WithAppInfo,
	}
	const limit = 253402300799 // the end of the year 9999, where X.509 ends
	for _, bound := range []struct {
		from *uint64
		to   *time.Time
	}{{q.NotBefore, &r.NotBefore}, {q.NotAfter, &r.NotAfter}} {
		if bound.from == nil {
			continue
		}
		if *bound.from > limit {
			return nil, fmt.Errorf("validity: expected seconds since 1970 up to %d, got %d", limit, *bound.from)
		}
		*bound.to = time.Unix(int64(*bound.from), 0).UTC()
	}
	key, err := a.guest.TLSKey(ctx, r)
	return tlsAnswer(key), err
}
