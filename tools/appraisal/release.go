package appraisal

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// releaseValues is the predicate of a statement of [ReleaseReferenceValuesType], which package release writes.
type releaseValues struct {
	Machines []struct {
		Name string `json:"name"`
		// Machine and Processor say what the name stands for; no evidence says on which machine it was made.
		Machine   json.RawMessage `json:"machine"`
		Processor json.RawMessage `json:"processor"`
	} `json:"machines"`
	Guests []struct {
		Name        string          `json:"name"`
		OSImageHash json.RawMessage `json:"os_image_hash"`
		Development *bool           `json:"development"`
		Layout      json.RawMessage `json:"layout"`
		Cmdline     json.RawMessage `json:"cmdline"`
		Values      []machineValues `json:"values"`
	} `json:"guests"`
	Applications []struct {
		Name        string          `json:"name"`
		ComposeHash json.RawMessage `json:"compose_hash"`
		Machines    []string        `json:"machines"`
	} `json:"applications"`
}

// machineValues are the registers on one machine.
type machineValues struct {
	Machine string          `json:"machine"`
	MRTD    json.RawMessage `json:"mrtd"`
	RTMR0   json.RawMessage `json:"rtmr0"`
	RTMR1   json.RawMessage `json:"rtmr1"`
	RTMR2   json.RawMessage `json:"rtmr2"`
	Notes   []string        `json:"notes"`
}

// parseRelease reads the statement of a release. Each set has the registers of a production guest on a machine and the compose hash of an
// application that may run there; a release without applications leaves the compose hash to the asker. Development guests accept
// simulated hardware, so that nothing can be told from a quote of theirs: they are checked for form and give no set.
func parseRelease(document []byte) ([]valueSet, error) {
	var s struct {
		Type          string            `json:"_type"`
		Subject       []json.RawMessage `json:"subject"`
		PredicateType string            `json:"predicateType"`
		Predicate     releaseValues     `json:"predicate"`
	}
	if err := strictjson.Unmarshal(document, &s); err != nil {
		return nil, err
	}
	if s.Type != StatementType {
		return nil, fmt.Errorf("_type: expected %q, got %.80q", StatementType, s.Type)
	}
	if len(s.Subject) == 0 {
		return nil, errors.New("subject: expected at least one, got none")
	}
	machines, err := s.Predicate.machines()
	if err != nil {
		return nil, fmt.Errorf("predicate.%w", err)
	}
	applications, err := s.Predicate.applications(machines)
	if err != nil {
		return nil, fmt.Errorf("predicate.%w", err)
	}
	var sets []valueSet
	var guests []string
	production := false
	for i, g := range s.Predicate.Guests {
		at := fmt.Sprintf("predicate.guests[%d].", i)
		switch {
		case g.Name == "" || slices.Contains(guests, g.Name):
			return nil, fmt.Errorf("%sname: expected a name that no other guest has, got %.80q", at, g.Name)
		case g.Development == nil:
			return nil, fmt.Errorf("%sdevelopment: expected true or false, got nothing", at)
		}
		guests = append(guests, g.Name)
		if _, err := memberNamed("os_image_hash").parse(g.OSImageHash); err != nil {
			return nil, fmt.Errorf("%sos_image_hash: %w", at, err)
		}
		var covered []string
		for j, v := range g.Values {
			registers, err := v.registers()
			if err != nil {
				return nil, fmt.Errorf("%svalues[%d].%w", at, j, err)
			}
			if !slices.Contains(machines, v.Machine) || slices.Contains(covered, v.Machine) {
				return nil, fmt.Errorf("%svalues[%d].machine: expected each of the machines once, got %.80q", at, j, v.Machine)
			}
			covered = append(covered, v.Machine)
			if !*g.Development {
				sets = append(sets, applications.on(v.Machine, registers)...)
			}
			if len(sets) > maxAlternatives {
				return nil, fmt.Errorf("expected at most %d sets, got more", maxAlternatives)
			}
		}
		if len(covered) != len(machines) {
			return nil, fmt.Errorf("%svalues: expected values for each of %d machines, got %d", at, len(machines), len(covered))
		}
		production = production || !*g.Development
	}
	if !production {
		return nil, errors.New("predicate.guests: expected a guest for production, got none; what a development guest says proves nothing")
	}
	return sets, nil
}

func (v *releaseValues) machines() ([]string, error) {
	var names []string
	for i, m := range v.Machines {
		if m.Name == "" || slices.Contains(names, m.Name) {
			return nil, fmt.Errorf("machines[%d].name: expected a name that no other machine has, got %.80q", i, m.Name)
		}
		if m.Machine == nil {
			return nil, fmt.Errorf("machines[%d].machine: expected an object, got none", i)
		}
		names = append(names, m.Name)
	}
	if len(names) == 0 {
		return nil, errors.New("machines: expected at least one, got none")
	}
	return names, nil
}

// runnable are the compose hashes that may run on a machine; nil without applications.
type runnable map[string][]string

func (v *releaseValues) applications(machines []string) (runnable, error) {
	if len(v.Applications) == 0 {
		return nil, nil //nolint:nilnil // none is no fault
	}
	on := make(runnable)
	var names []string
	for i, a := range v.Applications {
		at := fmt.Sprintf("applications[%d].", i)
		if a.Name == "" || slices.Contains(names, a.Name) {
			return nil, fmt.Errorf("%sname: expected a name that no other application has, got %.80q", at, a.Name)
		}
		names = append(names, a.Name)
		hash, err := memberNamed(composeHashMember).parse(a.ComposeHash)
		if err != nil {
			return nil, fmt.Errorf("%scompose_hash: %w", at, err)
		}
		if len(a.Machines) == 0 {
			return nil, fmt.Errorf("%smachines: expected at least one, got none", at)
		}
		for j, m := range a.Machines {
			if !slices.Contains(machines, m) || slices.Contains(a.Machines[:j], m) {
				return nil, fmt.Errorf("%smachines[%d]: expected one of the machines, once, got %.80q", at, j, m)
			}
			if !slices.Contains(on[m], hash) {
				on[m] = append(on[m], hash)
			}
		}
	}
	return on, nil
}

// on adds compose hashes to the registers of a guest on a machine.
func (r runnable) on(machine string, registers valueSet) []valueSet {
	if r == nil {
		return []valueSet{registers}
	}
	var sets []valueSet
	for _, hash := range r[machine] {
		set, _ := join(registers, valueSet{composeHashMember: hash})
		sets = append(sets, set)
	}
	return sets
}

func (v machineValues) registers() (valueSet, error) {
	set := valueSet{}
	texts := map[string]json.RawMessage{"mrtd": v.MRTD, "rtmr0": v.RTMR0, "rtmr1": v.RTMR1, "rtmr2": v.RTMR2}
	for i := range members[:predictedMembers] {
		m := &members[i]
		value, err := m.parse(texts[m.name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		set[m.name] = value
	}
	return set, nil
}

func memberNamed(name string) *member {
	return &members[slices.IndexFunc(members, func(m member) bool { return m.name == name })]
}
