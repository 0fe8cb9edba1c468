package eventlog

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// RuntimeDigest returns what dstack extends into RTMR3 for an event: version 1 hashes the type (u32, little-endian), a colon,
// the name, a colon and the payload; version 2 hashes canonical JSON (RFC 8785) of name, payload in hexadecimal and type. The
// name must be UTF-8. Other versions are [ErrVersion].
func RuntimeDigest(version int, name string, payload []byte) (Digest, error) {
	preimage, err := runtimePreimage(version, name, payload)
	if err != nil {
		return Digest{}, err
	}
	return Sum(preimage), nil
}

func runtimePreimage(version int, name string, payload []byte) ([]byte, error) {
	if !utf8.ValidString(name) {
		return nil, fmt.Errorf("%w: event name is not UTF-8", ErrSyntax)
	}
	switch version {
	case 1:
		b := binary.LittleEndian.AppendUint32(nil, uint32(EvDstackRuntime))
		b = append(append(append(b, ':'), name...), ':')
		return append(b, payload...), nil
	case 2:
		b := appendCanonical([]byte(`{"name":`), name)
		b = hex.AppendEncode(append(b, `,"payload":"`...), payload)
		b = append(b, `","type":`...)
		return append(strconv.AppendUint(b, uint64(EvDstackRuntime), 10), '}'), nil
	default:
		return nil, fmt.Errorf("%w %d, want 1 or 2", ErrVersion, version)
	}
}

// appendCanonical appends a string as RFC 8785 section 3.2.2.2 serialises it.
func appendCanonical(b []byte, s string) []byte {
	const short = "btn\x00fr" // the letters of the escapes for 0x08 to 0x0D; 0x0B has none
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= 0x08 && c <= 0x0D && c != 0x0B:
			b = append(b, '\\', short[c-0x08])
		case c < 0x20:
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// jsonEvent is an entry of the log that the dstack guest agent and its certificates carry. Pointers mark required members.
type jsonEvent struct {
	IMR      *uint32 `json:"imr"`
	Type     *uint32 `json:"event_type"`
	Digest   *string `json:"digest"`
	Event    *string `json:"event"`
	Payload  *string `json:"event_payload"`
	Version  *int    `json:"version"`
	Preimage *string `json:"preimage"`
}

// ParseDstackJSON reads the JSON event log of dstack, an array of events. The digest of every runtime event is recomputed from
// its name and payload and must agree; it may be absent ("") for these events only. Digests of other events are taken as they
// are. A log stripped of the events of some registers parses, but does not replay to their values.
func ParseDstackJSON(data []byte) (*Log, error) {
	if len(data) > MaxSize {
		return nil, &ParseError{Event: -1, Offset: 0, Err: ErrTooLarge, Detail: fmt.Sprintf("%d bytes, at most %d are read", len(data), MaxSize)}
	}
	var entries []jsonEvent
	if err := strictjson.Unmarshal(data, &entries); err != nil {
		return nil, &ParseError{Event: -1, Offset: -1, Err: ErrSyntax, Detail: err.Error()}
	}
	log := &Log{Kind: KindDstack, Events: make([]Event, len(entries))}
	for i := range entries {
		e, err := entries[i].event()
		if err != nil {
			err.Event, err.Offset = i, -1
			return nil, err
		}
		e.Index = i
		log.Events[i] = e
	}
	return log, nil
}

func (j *jsonEvent) event() (Event, *ParseError) {
	if j.IMR == nil || j.Type == nil || j.Digest == nil || j.Event == nil || j.Payload == nil {
		return Event{}, &ParseError{Err: ErrSyntax, Detail: "want members imr, event_type, digest, event and event_payload"}
	}
	if *j.IMR >= rtmrCount {
		return Event{}, &ParseError{Err: ErrRegister, Detail: fmt.Sprintf("imr %d, want 0 to %d", *j.IMR, rtmrCount-1)}
	}
	e := Event{Register: Register(*j.IMR), Type: EventType(*j.Type), Name: *j.Event}
	var err error
	if e.Data, err = hex.DecodeString(*j.Payload); err != nil {
		return e, &ParseError{Err: ErrSyntax, Detail: "event_payload: " + err.Error()}
	}
	if !e.Runtime() {
		if *j.Digest == "" {
			return e, &ParseError{Err: ErrNoSHA384, Detail: "only runtime events can do without"}
		}
		if e.Digest, err = ParseDigest(*j.Digest); err != nil {
			return e, &ParseError{Err: ErrSyntax, Detail: err.Error()}
		}
		return e, nil
	}
	return e, j.checkRuntime(&e)
}

// checkRuntime computes the digest of a runtime event and compares it with what the log says.
func (j *jsonEvent) checkRuntime(e *Event) *ParseError {
	version := 1
	if j.Version != nil {
		version = *j.Version
	}
	preimage, err := runtimePreimage(version, e.Name, e.Data)
	if err != nil {
		return &ParseError{Err: ErrVersion, Detail: err.Error()}
	}
	e.Digest = Sum(preimage)
	if j.Preimage != nil {
		claimed, err := hex.DecodeString(*j.Preimage)
		if err != nil {
			return &ParseError{Err: ErrSyntax, Detail: "preimage: " + err.Error()}
		}
		if !bytes.Equal(claimed, preimage) {
			return &ParseError{Err: ErrDigest, Detail: "the preimage is not that of name, payload and type"}
		}
	}
	if *j.Digest == "" {
		return nil
	}
	claimed, err := ParseDigest(*j.Digest)
	if err != nil {
		return &ParseError{Err: ErrSyntax, Detail: err.Error()}
	}
	if claimed != e.Digest {
		return &ParseError{Err: ErrDigest, Detail: fmt.Sprintf("%s has %s, its name and payload give %s", printable(e.Name), claimed, e.Digest)}
	}
	return nil
}

// runtimeLine is one line of the runtime log inside the guest.
type runtimeLine struct {
	Event   *string `json:"event"`
	Payload *string `json:"payload"`
	Version *int    `json:"version"`
}

// ParseRuntimeLog reads dstack's runtime log: one JSON object per line with the name of the event, its payload in standard
// base64 and optionally the digest version. All its events belong to RTMR3.
func ParseRuntimeLog(data []byte) (*Log, error) {
	if len(data) > MaxSize {
		return nil, &ParseError{Event: -1, Offset: 0, Err: ErrTooLarge, Detail: fmt.Sprintf("%d bytes, at most %d are read", len(data), MaxSize)}
	}
	log := &Log{Kind: KindDstackRuntime}
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		e, err := parseRuntimeLine(line)
		if err != nil {
			err.Event, err.Offset = len(log.Events), -1
			return nil, err
		}
		e.Index = len(log.Events)
		log.Events = append(log.Events, e)
	}
	return log, nil
}

func parseRuntimeLine(line []byte) (Event, *ParseError) {
	e := Event{Register: RTMR3, Type: EvDstackRuntime}
	var entry runtimeLine
	if err := strictjson.Unmarshal(line, &entry); err != nil {
		return e, &ParseError{Err: ErrSyntax, Detail: err.Error()}
	}
	if entry.Event == nil || entry.Payload == nil {
		return e, &ParseError{Err: ErrSyntax, Detail: "want members event and payload"}
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(*entry.Payload)
	if err != nil {
		return e, &ParseError{Err: ErrSyntax, Detail: "payload: " + err.Error()}
	}
	version := 1
	if entry.Version != nil {
		version = *entry.Version
	}
	e.Name, e.Data = *entry.Event, payload
	if e.Digest, err = RuntimeDigest(version, e.Name, payload); err != nil {
		return e, &ParseError{Err: ErrVersion, Detail: err.Error()}
	}
	return e, nil
}
