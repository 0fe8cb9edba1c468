package verifier

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Bounds of a document of reference values.
const (
	maxValues  = 4 << 20 // bytes
	maxEntries = 256
	maxName    = 128
)

// document is the JSON form; the package comment describes it.
type document struct {
	Peers           []peer `json:"peers"`
	Policy          policy `json:"policy"`
	Collateral      string `json:"collateral"`
	CollateralCache string `json:"collateral_cache"`
	TrustRoot       string `json:"trust_root"`
}

type peer struct {
	Name        string            `json:"name"`
	AgentType   string            `json:"agent_type"`
	AgentID     string            `json:"agent_id"`
	Application json.RawMessage   `json:"application"`
	Machine     []json.RawMessage `json:"machine"`
}

type policy struct {
	AcceptStatus     []quote.Status `json:"accept_status"`
	DeniedAdvisories []string       `json:"denied_advisories"`
	MinEvaluation    uint32         `json:"min_tcb_evaluation"`
	Platforms        []string       `json:"platforms"`
}

// entry is one peer that is acceptable.
type entry struct {
	name      string
	agentType string
	agentID   string // empty: any
	expect    appraisal.Expectation
}

// values is a document that was understood.
type values struct {
	document
	entries []entry
	policy  quote.Policy
}

// parse reads reference values. The error names the place in one sentence.
func parse(data []byte) (values, error) {
	if len(data) > maxValues {
		return values{}, fmt.Errorf("want at most %d bytes, got %d", maxValues, len(data))
	}
	var v values
	if err := strictjson.Unmarshal(data, &v.document); err != nil {
		return values{}, err
	}
	if len(v.Peers) == 0 || len(v.Peers) > maxEntries {
		return values{}, fmt.Errorf("peers: want 1 to %d entries, got %d", maxEntries, len(v.Peers))
	}
	for i, p := range v.Peers {
		e, err := p.entry()
		if err != nil {
			return values{}, fmt.Errorf("peers[%d].%w", i, err)
		}
		if slices.ContainsFunc(v.entries, func(other entry) bool { return other.name == e.name }) {
			return values{}, fmt.Errorf("peers[%d].name: want a name that no other entry has, got %q again", i, e.name)
		}
		v.entries = append(v.entries, e)
	}
	var err error
	v.policy, err = v.Policy.parse()
	if err != nil {
		return values{}, fmt.Errorf("policy.%w", err)
	}
	return v, nil
}

func (p peer) entry() (entry, error) {
	e := entry{name: p.Name, agentType: p.AgentType, agentID: p.AgentID}
	if p.Name == "" || len(p.Name) > maxName {
		return entry{}, fmt.Errorf("name: want 1 to %d bytes, got %d", maxName, len(p.Name))
	}
	if err := evidence.CheckAgentType(p.AgentType); err != nil {
		return entry{}, fmt.Errorf("agent_type: %w", err)
	}
	if p.AgentID != "" {
		if err := evidence.CheckAgentID(p.AgentID); err != nil {
			return entry{}, fmt.Errorf("agent_id: %w", err)
		}
	}
	application, err := p.application()
	if err != nil {
		return entry{}, fmt.Errorf("application: %w", err)
	}
	if len(p.Machine) == 0 {
		return entry{}, errors.New("machine: want measurements of the machine, at least one document with mrtd and rtmr0 to rtmr2, got none: " +
			"without them anyone's firmware could claim to run the application")
	}
	for i, m := range p.Machine {
		if err := checkMachine(m); err != nil {
			return entry{}, fmt.Errorf("machine[%d]: %w", i, err)
		}
	}
	list, err := json.Marshal(p.Machine)
	if err != nil {
		return entry{}, fmt.Errorf("machine: %w", err)
	}
	machine, err := appraisal.ParseExpectation(list)
	if err != nil {
		return entry{}, fmt.Errorf("machine: %w", err)
	}
	if e.expect, err = machine.And(application); err != nil {
		return entry{}, fmt.Errorf("machine: %w", err)
	}
	return e, nil
}

// applicationMembers are what tells an application. os_image_hash and the like belong to the machine.
var applicationMembers = []string{"app_id", "compose_hash", "key_provider"}

func (p peer) application() (appraisal.Expectation, error) {
	const want = "want app_id or compose_hash: measurements of the machine alone are the same for every application that dstack runs"
	if p.Application == nil {
		return appraisal.Expectation{}, errors.New(want + ", got nothing")
	}
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(p.Application, &members); err != nil {
		return appraisal.Expectation{}, err
	}
	for name := range members {
		if !slices.Contains(applicationMembers, name) {
			return appraisal.Expectation{}, fmt.Errorf("want only %v, got %.40q", applicationMembers, name)
		}
	}
	_, app := members["app_id"]
	_, compose := members["compose_hash"]
	if !app && !compose {
		return appraisal.Expectation{}, errors.New(want + ", got neither")
	}
	return appraisal.ParseExpectation(p.Application)
}

// machineMembers are what has to be known of a machine before the events that its software writes mean anything.
var machineMembers = []string{"mrtd", "rtmr0", "rtmr1", "rtmr2"}

// checkMachine holds a document to have these; a statement of reference values always does.
func checkMachine(document json.RawMessage) error {
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(document, &members); err != nil {
		return err
	}
	if _, statement := members["_type"]; statement {
		return nil
	}
	for _, name := range machineMembers {
		if _, ok := members[name]; !ok {
			return fmt.Errorf("want all of %v, got none of the name %q", machineMembers, name)
		}
	}
	return nil
}

// acceptable are the statuses that policy may add to UpToDate.
var acceptable = []quote.Status{
	quote.UpToDate, quote.SWHardeningNeeded, quote.ConfigurationNeeded, quote.ConfigurationAndSWHardeningNeeded, quote.TDRelaunchAdvised,
	quote.TDRelaunchAdvisedConfigurationNeeded, quote.OutOfDate, quote.OutOfDateConfigurationNeeded,
}

func (p policy) parse() (quote.Policy, error) {
	parsed := quote.Policy{AcceptStatus: p.AcceptStatus, DeniedAdvisories: p.DeniedAdvisories, MinEvaluation: p.MinEvaluation}
	for i, s := range p.AcceptStatus {
		if !slices.Contains(acceptable, s) {
			return quote.Policy{}, fmt.Errorf("accept_status[%d]: want one of %v, got %.60q", i, acceptable, s)
		}
	}
	for i, a := range p.DeniedAdvisories {
		if a == "" {
			return quote.Policy{}, fmt.Errorf("denied_advisories[%d]: want an id such as INTEL-SA-01192, got nothing", i)
		}
	}
	if p.Platforms != nil && len(p.Platforms) == 0 {
		return quote.Policy{}, errors.New("platforms: want at least one PPID, or leave the member out, got an empty list")
	}
	for i, text := range p.Platforms {
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != 16 || hex.EncodeToString(raw) != text {
			return quote.Policy{}, fmt.Errorf("platforms[%d]: want a PPID, 32 lower-case hex digits, got %.60q", i, text)
		}
		parsed.Platforms = append(parsed.Platforms, [16]byte(raw))
	}
	return parsed, nil
}

// entriesFor returns the entries that a peer may match.
func (v values) entriesFor(agentType, agentID string) []entry {
	var found []entry
	for _, e := range v.entries {
		if e.agentType == agentType && (e.agentID == "" || e.agentID == agentID) {
			found = append(found, e)
		}
	}
	return found
}
