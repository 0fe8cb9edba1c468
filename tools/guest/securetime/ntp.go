package securetime

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Places in a packet (RFC 5905 section 7.3), in bytes; numbers are big-endian.
const (
	stratumAt    = 1
	rootDelayAt  = 4
	rootSpreadAt = 8
	referenceAt  = 12
	originAt     = 24
	receivedAt   = 32
	sentAt       = 40
	headerSize   = 48
)

// Extension fields (RFC 8915 section 5): type and length, both of two bytes, the length with these four, then the value.
const (
	fieldIdentifier    = 0x0104
	fieldCookie        = 0x0204
	fieldAuthenticator = 0x0404
	fieldHead          = 4
)

const (
	// request is the first byte of what a client sends: version 4, mode 3.
	request = 4<<3 | 3
	answers = 4<<3 | 4
	// maxPacket bounds an answer in bytes; one is as long as its request, at most.
	maxPacket   = 2048
	nonceSize   = 16
	identifiers = 32 // at least, for unique identifiers (RFC 8915 section 5.3)
	// maxDistance bounds how wrong a server may say that it is, as in MAXDIST (RFC 5905 section 11.1).
	maxDistance = 1500 * time.Millisecond
	// maxStratum is that of the last server that has a time.
	maxStratum = 15
)

// earliest is before every time that is taken: servers tell 32 bits of seconds, which begin again in 2036 (RFC 5905 section 6), and are read as the
// first such time from here on.
var earliest = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// ntpEpoch is when the seconds of NTP begin.
var ntpEpoch = time.Date(1900, time.January, 1, 0, 0, 0, 0, time.UTC)

// query is a request with what its answer has to repeat.
type query struct {
	packet     []byte
	identifier []byte
}

// newQuery makes a request. Its time is random, so that it tells nothing of the guest's clock.
func newQuery(s *session, cookie []byte) query {
	q := query{packet: make([]byte, headerSize), identifier: make([]byte, identifiers)}
	nonce := make([]byte, nonceSize)
	q.packet[0] = request
	rand.Read(q.packet[sentAt:])
	rand.Read(q.identifier)
	rand.Read(nonce)
	q.packet = appendField(q.packet, fieldIdentifier, q.identifier)
	q.packet = appendField(q.packet, fieldCookie, cookie)
	q.packet = appendField(q.packet, fieldAuthenticator, authenticator(s.toServer, q.packet, nonce, nil))
	return q
}

// appendField appends an extension field, of a value whose length is a multiple of 4.
func appendField(packet []byte, kind uint16, value []byte) []byte {
	packet = binary.BigEndian.AppendUint16(packet, kind)
	packet = binary.BigEndian.AppendUint16(packet, uint16(fieldHead+len(value)))
	return append(packet, value...)
}

// authenticator is the value of the field that vouches for the packet up to there (RFC 8915 section 5.6).
func authenticator(key *siv, packet, nonce, plain []byte) []byte {
	sealed := key.seal(plain, packet, nonce)
	value := binary.BigEndian.AppendUint16(nil, uint16(len(nonce)))
	value = binary.BigEndian.AppendUint16(value, uint16(len(sealed)))
	value = append(value, nonce...)
	return append(value, sealed...)
}

// reply is what an authenticated answer tells.
type reply struct {
	received, sent time.Time
	// distance bounds the error that the server says it has.
	distance time.Duration
}

// parseReply reads the answer to a query. An error that is errAuthentication or wraps it tells that it is not the server's answer to this.
func parseReply(packet []byte, q query, key *siv) (reply, error) {
	if len(packet) < headerSize || len(packet) > maxPacket {
		return reply{}, fmt.Errorf("%w: expected %d to %d bytes, got %d", errAuthentication, headerSize, maxPacket, len(packet))
	}
	end, err := checkFields(packet, q, key)
	if err != nil {
		return reply{}, err
	}
	header := packet[:end]
	if header[0]&0x3f != answers {
		return reply{}, fmt.Errorf("expected an answer of version 4, got 0x%02x", header[0])
	}
	if !bytes.Equal(header[originAt:receivedAt], q.packet[sentAt:headerSize]) {
		return reply{}, errors.New("expected the time of the request to be repeated")
	}
	stratum := header[stratumAt]
	if stratum == 0 {
		return reply{}, fmt.Errorf("the server refuses to tell the time: %q", header[referenceAt:referenceAt+4])
	}
	if stratum > maxStratum || header[0]>>6 == 3 {
		return reply{}, errors.New("the server says that it does not know the time")
	}
	r := reply{distance: shortTime(header[rootDelayAt:])/2 + shortTime(header[rootSpreadAt:])}
	if r.distance > maxDistance {
		return reply{}, fmt.Errorf("expected a server whose error is at most %v, got %v", maxDistance, r.distance)
	}
	if r.received, err = timestamp(header[receivedAt:]); err != nil {
		return reply{}, err
	}
	if r.sent, err = timestamp(header[sentAt:]); err != nil {
		return reply{}, err
	}
	if r.sent.Before(r.received) {
		return reply{}, errors.New("the server says that it answered before it was asked")
	}
	return r, nil
}

// checkFields checks identifier and authenticator, and returns where what is authenticated ends. What stands behind, anybody could have added.
func checkFields(packet []byte, q query, key *siv) (end int, err error) {
	identified := false
	for at := headerSize; len(packet)-at >= fieldHead; {
		kind := binary.BigEndian.Uint16(packet[at:])
		length := int(binary.BigEndian.Uint16(packet[at+2:]))
		if length < fieldHead || length%4 != 0 || length > len(packet)-at {
			return 0, fmt.Errorf("%w: expected an extension field within the packet, got one of %d bytes", errAuthentication, length)
		}
		value := packet[at+fieldHead : at+length]
		switch kind {
		case fieldIdentifier:
			if identified || !bytes.Equal(value, q.identifier) {
				return 0, fmt.Errorf("%w: expected the identifier of the request once", errAuthentication)
			}
			identified = true
		case fieldAuthenticator:
			if !identified {
				return 0, fmt.Errorf("%w: expected the identifier of the request", errAuthentication)
			}
			return at, checkAuthenticator(value, packet[:at], key)
		}
		at += length
	}
	if identified && packet[stratumAt] == 0 {
		return 0, fmt.Errorf("%w: the server, or somebody on the way, refuses: %q", errAuthentication, packet[referenceAt:referenceAt+4])
	}
	return 0, fmt.Errorf("%w: expected an authenticator, got none", errAuthentication)
}

// checkAuthenticator opens an authenticator. What is encrypted in it are cookies for more requests, and none is made.
func checkAuthenticator(value, packet []byte, key *siv) error {
	if len(value) < 4 {
		return fmt.Errorf("%w: expected an authenticator of at least 4 bytes, got %d", errAuthentication, len(value))
	}
	nonce, sealed := int(binary.BigEndian.Uint16(value)), int(binary.BigEndian.Uint16(value[2:]))
	value = value[4:]
	padded := (nonce + 3) &^ 3
	if nonce == 0 || padded+sealed > len(value) {
		return fmt.Errorf("%w: expected a nonce and a text in %d bytes, got %d and %d bytes", errAuthentication, len(value), nonce, sealed)
	}
	_, err := key.open(value[padded:padded+sealed], packet, value[:nonce])
	return err
}

// shortTime reads 16 bits of seconds and 16 of their fraction.
func shortTime(b []byte) time.Duration {
	return time.Duration(uint64(binary.BigEndian.Uint32(b)) * uint64(time.Second) >> 16)
}

// timestamp reads 32 bits of seconds and 32 of their fraction.
func timestamp(b []byte) (time.Time, error) {
	seconds, fraction := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if seconds == 0 && fraction == 0 {
		return time.Time{}, errors.New("expected a time, got none")
	}
	first := earliest.Unix() - ntpEpoch.Unix()
	since := first + int64(seconds-uint32(first))
	return time.Unix(ntpEpoch.Unix()+since, int64(uint64(fraction)*uint64(time.Second)>>32)).UTC(), nil
}
