package appraisal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Types of the statement that `boardroom measure --format reference-values` prints (in-toto attestation framework 1.0).
const (
	StatementType       = "https://in-toto.io/Statement/v1"
	ReferenceValuesType = "https://boardroom-tee.github.io/reference-values/v1"
	// ReleaseReferenceValuesType is that of the statement of a release: a choice among its guests, applications and machines.
	ReleaseReferenceValuesType = "https://boardroom-tee.github.io/release-reference-values/v1"
)

// Bounds of what expectations say.
const (
	MaxExpectation  = 1 << 20 // bytes of a document
	maxAlternatives = 256
)

// Expectation is a set of reference values, or several sets of which one has to hold in full. What is absent in a set is not
// compared. The zero value holds for nothing.
type Expectation struct {
	sets []valueSet
}

// valueSet has values by member name, in the one spelling that they are compared in.
type valueSet map[string]string

// member is something that can be expected.
type member struct {
	name string
	size int                                   // bytes; zero: not hexadecimal
	body func(*quote.Body) []byte              // of the signed quote
	boot func(*dstack.Boot) (string, error)    // of the boot that the event log proves
	read func(json.RawMessage) (string, error) // if not hexadecimal of size
}

// composeHashMember is the member for which application runs.
const composeHashMember = "compose_hash"

// predictedMembers is how many of members, from the first, a prediction has: mrtd and rtmr0 to rtmr2.
const predictedMembers = 4

// members lists everything in the order in which it is compared.
var members = []member{
	{name: "mrtd", size: 48, body: func(b *quote.Body) []byte { return b.MRTD[:] }},
	{name: "rtmr0", size: 48, body: func(b *quote.Body) []byte { return b.RTMR[0][:] }},
	{name: "rtmr1", size: 48, body: func(b *quote.Body) []byte { return b.RTMR[1][:] }},
	{name: "rtmr2", size: 48, body: func(b *quote.Body) []byte { return b.RTMR[2][:] }},
	{name: "rtmr3", size: 48, body: func(b *quote.Body) []byte { return b.RTMR[3][:] }},
	{name: "mrseam", size: 48, body: func(b *quote.Body) []byte { return b.MRSEAM[:] }},
	{name: "mrsignerseam", size: 48, body: func(b *quote.Body) []byte { return b.MRSIGNERSEAM[:] }},
	{name: "mrconfigid", size: 48, body: func(b *quote.Body) []byte { return b.MRCONFIGID[:] }},
	{name: "mrowner", size: 48, body: func(b *quote.Body) []byte { return b.MROWNER[:] }},
	{name: "mrownerconfig", size: 48, body: func(b *quote.Body) []byte { return b.MROWNERCONFIG[:] }},
	{name: "mrservicetd", size: 48, body: func(b *quote.Body) []byte { return b.MRSERVICETD[:] }},
	{name: "report_data", size: 64, body: func(b *quote.Body) []byte { return b.ReportData[:] }},
	{name: "td_attributes", size: 8, body: func(b *quote.Body) []byte { return b.TDAttributes[:] }},
	{name: "xfam", size: 8, body: func(b *quote.Body) []byte { return b.XFAM[:] }},
	{name: "app_id", size: 20, boot: func(b *dstack.Boot) (string, error) { return b.App.String(), nil }},
	{name: composeHashMember, size: 32, boot: func(b *dstack.Boot) (string, error) { return b.Compose.String(), nil }},
	{name: "instance_id", boot: func(b *dstack.Boot) (string, error) { return b.Instance.String(), nil }, read: readInstanceID},
	{name: "os_image_hash", size: 32, boot: imageHash},
	{name: "key_provider", boot: func(b *dstack.Boot) (string, error) { return string(b.KeyProvider.Payload()), nil }, read: readKeyProvider},
}

// imageHash is what the KMS told the guest. vm_config has one too, which the host wrote and nothing binds.
func imageHash(b *dstack.Boot) (string, error) {
	if b.Image == nil {
		return "", errors.New("the boot has no os-image-hash event, which only a KMS gives")
	}
	return b.Image.String(), nil
}

func readInstanceID(value json.RawMessage) (string, error) {
	var text string
	if err := readString(value, &text); err != nil {
		return "", err
	}
	_, err := dstack.ParseInstanceID(text)
	return text, err
}

// readKeyProvider wants the id too: the name alone would hold for a key provider that anyone runs.
func readKeyProvider(value json.RawMessage) (string, error) {
	var k struct {
		Name *string `json:"name"`
		ID   *string `json:"id"`
	}
	if err := strictjson.Unmarshal(value, &k); err != nil {
		return "", err
	}
	if k.Name == nil || k.ID == nil {
		return "", errors.New(`expected members name and id, as in {"name":"kms","id":"<public key in hexadecimal>"}`)
	}
	id, err := hex.DecodeString(*k.ID)
	if err != nil || hex.EncodeToString(id) != *k.ID {
		return "", fmt.Errorf("id: expected lower-case hexadecimal, got %d characters", len(*k.ID))
	}
	for _, kind := range []dstack.KeyProvider{dstack.KeyProviderNone, dstack.KeyProviderLocal, dstack.KeyProviderKMS, dstack.KeyProviderTPM} {
		if payload := (dstack.KeyProviderInfo{Kind: kind, ID: id}).Payload(); strings.HasPrefix(string(payload), `{"name":"`+*k.Name+`"`) {
			return string(payload), nil
		}
	}
	return "", fmt.Errorf("name: expected none, local-sgx, kms or tpm, got %.40q", *k.Name)
}

func readString(value json.RawMessage, to *string) error {
	if len(value) == 0 || value[0] != '"' {
		return errors.New("expected a string")
	}
	return strictjson.Unmarshal(value, to)
}

func (m *member) parse(value json.RawMessage) (string, error) {
	if m.read != nil {
		return m.read(value)
	}
	var text string
	if err := readString(value, &text); err != nil {
		return "", err
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != m.size || hex.EncodeToString(raw) != text {
		return "", fmt.Errorf("expected %d lower-case hexadecimal digits, got %d characters", 2*m.size, len(text))
	}
	return text, nil
}

// ParseExpectation reads one JSON document: the output of `boardroom measure --output json`, its in-toto statement of reference
// values, that of a release, or an object with one or more of the members
//
//	mrtd rtmr0 rtmr1 rtmr2 rtmr3 mrseam mrsignerseam mrconfigid mrowner mrownerconfig mrservicetd
//	report_data td_attributes xfam app_id compose_hash instance_id os_image_hash key_provider
//
// whose values are lower-case hexadecimal, but for key_provider, which is an object with name and id. The statement of a release is a
// choice: one of its applications, on one of the machines that it names, in one of its production guests. An array of such documents
// is a choice, too: one of them has to hold in full. Anything else is refused, as is a document that expects nothing.
func ParseExpectation(data []byte) (Expectation, error) {
	if len(data) > MaxExpectation {
		return Expectation{}, fmt.Errorf("reference values: expected at most %d bytes, got %d", MaxExpectation, len(data))
	}
	documents := []json.RawMessage{data}
	text := bytes.TrimLeft(data, " \t\r\n")
	choice := len(text) > 0 && text[0] == '['
	if choice {
		documents = nil
		if err := strictjson.Unmarshal(data, &documents); err != nil {
			return Expectation{}, fmt.Errorf("reference values: %w", err)
		}
		if len(documents) == 0 || len(documents) > maxAlternatives {
			return Expectation{}, fmt.Errorf("reference values: expected 1 to %d documents in the array, got %d", maxAlternatives, len(documents))
		}
	}
	var e Expectation
	for i, document := range documents {
		sets, err := parseSets(document)
		if err != nil && choice {
			return Expectation{}, fmt.Errorf("reference values: [%d]: %w", i, err)
		}
		if err != nil {
			return Expectation{}, fmt.Errorf("reference values: %w", err)
		}
		e.sets = append(e.sets, sets...)
		if len(e.sets) > maxAlternatives {
			return Expectation{}, fmt.Errorf("reference values: expected at most %d sets, got more", maxAlternatives)
		}
	}
	return e, nil
}

// parseSets reads a document that may be a choice by itself.
func parseSets(document []byte) ([]valueSet, error) {
	var head map[string]json.RawMessage
	if err := strictjson.Unmarshal(document, &head); err != nil {
		return nil, err
	}
	var kind string
	if err := readString(head["predicateType"], &kind); err == nil && kind == ReleaseReferenceValuesType {
		return parseRelease(document)
	}
	set, err := parseSet(document)
	return []valueSet{set}, err
}

func parseSet(document []byte) (valueSet, error) {
	var values map[string]json.RawMessage
	if err := strictjson.Unmarshal(document, &values); err != nil {
		return nil, err
	}
	if values == nil {
		return nil, errors.New("expected an object, got null")
	}
	for _, name := range []string{"_type", "predicateType", "predicate"} {
		if _, ok := values[name]; ok {
			return parseStatement(document, values)
		}
	}
	if predicted(values) {
		// What measure prints beside the values: the firmware's layout, remarks, the machine, and the events that lead to the values.
		for _, name := range []string{"layout", "notes", "machine", "events"} {
			delete(values, name)
		}
	}
	set := valueSet{}
	for i := range members {
		m := &members[i]
		value, ok := values[m.name]
		if !ok {
			continue
		}
		text, err := m.parse(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		set[m.name] = text
		delete(values, m.name)
	}
	if len(values) > 0 {
		var names []string
		for name := range values {
			names = append(names, fmt.Sprintf("%.40q", name))
		}
		slices.Sort(names)
		return nil, fmt.Errorf("unknown member %s", names[0])
	}
	if len(set) == 0 {
		return nil, errors.New("expected at least one value, got none")
	}
	return set, nil
}

// predicted tells the output of measure, which always has these.
func predicted(values map[string]json.RawMessage) bool {
	for i := range members[:predictedMembers] {
		if _, ok := values[members[i].name]; !ok {
			return false
		}
	}
	_, layout := values["layout"]
	_, notes := values["notes"]
	return layout && notes
}

// parseStatement reads a statement; which files it is about is not an appraisal's matter.
func parseStatement(document []byte, head map[string]json.RawMessage) (valueSet, error) {
	for _, is := range []struct{ name, want string }{{"_type", StatementType}, {"predicateType", ReferenceValuesType}} {
		var got string
		if err := readString(head[is.name], &got); err != nil {
			return nil, fmt.Errorf("%s: %w", is.name, err)
		}
		if got != is.want {
			return nil, fmt.Errorf("%s: expected %q, got %.80q", is.name, is.want, got)
		}
	}
	var s struct {
		Type          string            `json:"_type"`
		Subject       []json.RawMessage `json:"subject"`
		PredicateType string            `json:"predicateType"`
		Predicate     struct {
			Machine json.RawMessage            `json:"machine"`
			Cmdline json.RawMessage            `json:"cmdline"`
			Layout  json.RawMessage            `json:"layout"`
			Values  map[string]json.RawMessage `json:"values"`
			Notes   json.RawMessage            `json:"notes"`
		} `json:"predicate"`
	}
	if err := strictjson.Unmarshal(document, &s); err != nil {
		return nil, err
	}
	if len(s.Subject) == 0 {
		return nil, errors.New("subject: expected at least one, got none")
	}
	set := valueSet{}
	for i := range members[:predictedMembers] {
		m := &members[i]
		value, err := m.parse(s.Predicate.Values[m.name])
		if err != nil {
			return nil, fmt.Errorf("predicate.values.%s: %w", m.name, err)
		}
		set[m.name] = value
	}
	if len(s.Predicate.Values) != len(set) {
		return nil, fmt.Errorf("predicate.values: expected mrtd and rtmr0 to rtmr2, got %d members", len(s.Predicate.Values))
	}
	return set, nil
}

// And returns the expectation that both hold: every set of the one with every set of the other, less those that contradict each
// other. It is an error if that leaves nothing, or too many.
func (e Expectation) And(other Expectation) (Expectation, error) {
	var both Expectation
	for _, a := range e.sets {
		for _, b := range other.sets {
			set, ok := join(a, b)
			if !ok {
				continue
			}
			if len(both.sets) == maxAlternatives {
				return Expectation{}, fmt.Errorf("reference values: expected at most %d combinations, got more", maxAlternatives)
			}
			both.sets = append(both.sets, set)
		}
	}
	if len(both.sets) == 0 {
		return Expectation{}, errors.New("reference values: they contradict each other, so that nothing could be as expected")
	}
	return both, nil
}

func join(a, b valueSet) (valueSet, bool) {
	set := valueSet{}
	for name, value := range a {
		set[name] = value
	}
	for name, value := range b {
		if was, ok := set[name]; ok && was != value {
			return nil, false
		}
		set[name] = value
	}
	return set, true
}

// reference compares with the sets. The values of the set that holds are listed, or else those of the set that differs least.
func (a *appraiser) reference() {
	if a.request.Expect == nil {
		a.skip(codeReference, notAsked)
		return
	}
	if a.quote == nil {
		a.skip(codeReference, noQuote)
		return
	}
	var sets []valueSet
	for _, e := range a.request.Expect {
		sets = append(sets, e.sets...)
	}
	var nearest []quote.Check
	var fewest, index int
	for i, set := range sets {
		checks, failures := a.compareSet(set)
		if nearest == nil || failures < fewest {
			nearest, fewest, index = checks, failures, i
		}
	}
	expected := fmt.Sprintf("one of %d sets in full", len(sets))
	switch {
	case len(sets) == 0:
		a.fail(codeReference, "at least one set of reference values", "none")
	case fewest > 0:
		a.fail(codeReference, expected, fmt.Sprintf("set %d comes nearest, %d of its %d values differ", index+1, fewest, len(nearest)))
	default:
		a.pass(codeReference, fmt.Sprintf("set %d of %d", index+1, len(sets)))
	}
	a.checks = append(a.checks, nearest...)
}

func (a *appraiser) compareSet(set valueSet) (checks []quote.Check, failures int) {
	for i := range members {
		m := &members[i]
		want, ok := set[m.name]
		if !ok {
			continue
		}
		c := quote.Check{Code: codeReferenceValue + m.name, Result: quote.Pass, Expected: want, Actual: a.actual(m)}
		if c.Actual != want {
			c.Result = quote.Fail
			failures++
		}
		checks = append(checks, c)
	}
	return checks, failures
}

// actual is the value that was proven, or why there is none, which is equal to no value.
func (a *appraiser) actual(m *member) string {
	if m.name == "mrservicetd" && a.quote.Body.Kind == quote.TD10 {
		return "the TD report of TDX 1.0 does not say"
	}
	if m.body != nil {
		return hex.EncodeToString(m.body(&a.quote.Body))
	}
	if a.boot == nil {
		return noBoot
	}
	value, err := m.boot(a.boot)
	if err != nil {
		return err.Error()
	}
	return value
}
