package eventlog

import (
	"bytes"
	"encoding/binary"
)

// Kind is the form a log was read from.
type Kind string

// The kinds of logs.
const (
	KindCCEL          Kind = "ccel"
	KindTPM           Kind = "tpm"
	KindDstack        Kind = "dstack"
	KindDstackRuntime Kind = "dstack-runtime"
)

// MaxSize is the largest log that is read, in bytes. Firmware reserves 64 KiB for a log, the largest seen is 256 KiB.
const MaxSize = 4 << 20

// Log is a parsed event log.
type Log struct {
	Kind Kind
	// Events are in log order. The Spec ID event that heads a binary log is not among them.
	Events []Event
}

// Event is one entry of a log.
type Event struct {
	// Index is the position in the log, from 0.
	Index    int
	Register Register
	Type     EventType
	// Digest is the SHA-384 value that was extended. It has no meaning for EV_NO_ACTION.
	Digest Digest
	// Digests holds the values of all banks in a binary log, in log order.
	Digests []BankDigest
	// Data is the event field of a binary log or the payload of a dstack event; stripped logs leave it empty.
	Data []byte
	// Name is the event name of a dstack event.
	Name string
}

// BankDigest is the digest of an event in one bank.
type BankDigest struct {
	// Algorithm is a TPM_ALG_ID (TCG Algorithm Registry).
	Algorithm uint16
	// Value has the length that the head of the log gives the algorithm.
	Value []byte
}

// Runtime reports whether the event is one that dstack itself extends. A name means nothing in any other event: firmware
// registers and foreign types can carry any name.
func (e *Event) Runtime() bool { return e.Register == RTMR3 && e.Type == EvDstackRuntime }

// Replay extends all events in order and returns the resulting register contents: RTMR0 to RTMR3, or PCR 0 to 23.
func (l *Log) Replay() map[Register]Digest {
	bank := NewBank(l.Kind)
	for i := range l.Events {
		l.extend(bank, &l.Events[i])
	}
	return bank.Values()
}

// Running returns, for each event, the content of its register after the event.
func (l *Log) Running() []Digest {
	bank := NewBank(l.Kind)
	running := make([]Digest, len(l.Events))
	for i := range l.Events {
		running[i] = l.extend(bank, &l.Events[i])
	}
	return running
}

func (l *Log) extend(bank *Bank, e *Event) Digest {
	if e.Type != EvNoAction {
		return bank.Extend(e.Register, e.Digest)
	}
	if locality, ok := startupLocality(e); ok && l.Kind == KindTPM {
		v := bank.values[e.Register]
		v[len(v)-1] = locality
		bank.values[e.Register] = v
	}
	return bank.values[e.Register]
}

// startupLocalitySignature heads the EV_NO_ACTION event that says from which locality TPM2_Startup came; that number is the
// initial content of PCR 0 (PFP 1.06 section 10.4.5.3).
const startupLocalitySignature = "StartupLocality\x00"

func startupLocality(e *Event) (byte, bool) {
	if e.Register != PCR(0) || len(e.Data) != len(startupLocalitySignature)+1 || !bytes.HasPrefix(e.Data, []byte(startupLocalitySignature)) {
		return 0, false
	}
	return e.Data[len(startupLocalitySignature)], true
}

// DataCheck is the result of [Event.CheckData].
type DataCheck uint8

const (
	// DataUnbound means that the digest of this type of event covers something that is not in the log.
	DataUnbound DataCheck = iota
	// DataMatches means that the digest is that of the data.
	DataMatches
	// DataDiffers means that the data was altered, or comes from firmware that hashes otherwise.
	DataDiffers
)

// CheckData recomputes the digest from the event data, for the types where the log holds what was hashed (PFP 1.06 table 27).
// A replay does not notice altered data; this does, for these types.
func (e *Event) CheckData() DataCheck {
	switch e.Type {
	case EvSeparator, EvEFIAction, EvAction, EvSCRTMVersion, EvEFIVariableDriverConfig, EvEFIVariableAuthority, EvEFIGPTEvent:
		return matches(e.Digest == Sum(e.Data))
	case EvEFIVariableBoot:
		// edk2 hashes the data of the variable only (SecurityPkg Tcg2Dxe, MeasureVariable).
		v, ok := parseVariable(e.Data)
		return matches(ok && e.Digest == Sum(v.data))
	default:
		return DataUnbound
	}
}

func matches(ok bool) DataCheck {
	if ok {
		return DataMatches
	}
	return DataDiffers
}

// variableData is UEFI_VARIABLE_DATA (PFP 1.06 section 10.2.6): GUID, u64 name length in characters, u64 data length, name, data.
type variableData struct {
	name string
	data []byte
}

func parseVariable(b []byte) (variableData, bool) {
	const head = 16 + 8 + 8
	if len(b) < head {
		return variableData{}, false
	}
	nameLen, dataLen := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	rest := b[head:]
	if nameLen > uint64(len(rest))/2 || dataLen != uint64(len(rest))-2*nameLen {
		return variableData{}, false
	}
	return variableData{name: utf16String(rest[:2*nameLen]), data: rest[2*nameLen:]}, true
}
