package eventlog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// MaxDocument is the largest document that [Parse] reads, in bytes: a log in a string of an answer to GetQuote, where each byte
// takes up to six, beside a quote.
const MaxDocument = 6*MaxSize + 4<<20

// Parse finds out what a log is, and reads it: a CC event log, a TPM log, dstack's JSON array, an answer to dstack's GetQuote or
// Info that has such an array as event_log, or dstack's runtime log. Binary logs are told apart by the register of their first
// event, which is PCR 0 in a TPM log, while the numbers of a CC event log begin with 1.
func Parse(data []byte) (*Log, error) {
	if len(data) > MaxDocument {
		return nil, &ParseError{Event: -1, Offset: 0, Err: ErrTooLarge, Detail: fmt.Sprintf("%d bytes, at most %d are read", len(data), MaxDocument)}
	}
	switch text := bytes.TrimLeft(data, " \t\r\n"); {
	case len(text) > 0 && text[0] == '[':
		return ParseDstackJSON(data)
	case len(text) > 0 && text[0] == '{':
		return parseObject(text)
	case len(data) >= 4 && binary.LittleEndian.Uint32(data) == 0:
		return ParseTPM(data)
	default:
		return ParseCCEL(data)
	}
}

// parseObject reads an answer of the guest agent, or lines of a runtime log.
func parseObject(data []byte) (*Log, error) {
	// The first value tells which; the parser that then reads all of it is strict.
	var first map[string]json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&first); err != nil {
		return nil, &ParseError{Event: -1, Offset: -1, Err: ErrSyntax, Detail: err.Error()}
	}
	if _, ok := first["event_log"]; !ok {
		return ParseRuntimeLog(data)
	}
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(data, &members); err != nil {
		return nil, &ParseError{Event: -1, Offset: -1, Err: ErrSyntax, Detail: err.Error()}
	}
	log := []byte(members["event_log"])
	switch log[0] {
	case 'n':
		return nil, &ParseError{Event: -1, Offset: -1, Err: ErrSyntax, Detail: "event_log: expected a log, got null"}
	case '"':
		var text string
		if err := strictjson.Unmarshal(log, &text); err != nil {
			return nil, &ParseError{Event: -1, Offset: -1, Err: ErrSyntax, Detail: "event_log: " + err.Error()}
		}
		log = []byte(text)
	}
	return ParseDstackJSON(log)
}
