package corim

import (
	"crypto/sha256"

	"github.com/fxamacker/cbor/v2"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

// CBOR tags of the draft's registry and of RFC 9090 (an object identifier).
const (
	tagOID   = 111
	tagCoRIM = 501 // tagged-unsigned-corim-map
	tagCoMID = 506 // tagged-concise-mid-tag
)

// The class of the environment.
const (
	vendor = "Intel Corporation"
	model  = "TDX trust domain"
)

// algorithmSHA384 is that of the "Named Information Hash Algorithm Registry" of IANA.
const algorithmSHA384 = 7

// intelProfile is the object identifier 2.16.840.1.113741.1.16.1 in BER without tag and length (X.690 section 8.19).
var intelProfile = []byte{0x60, 0x86, 0x48, 0x01, 0x86, 0xF8, 0x4D, 0x01, 0x10, 0x01}

// Values are the measurements of a trust domain.
type Values struct {
	MRTD, RTMR0, RTMR1, RTMR2 eventlog.Digest
}

type corimMap struct {
	ID      []byte     `cbor:"0,keyasint"` // corim-id: uuid-type
	Tags    []cbor.Tag `cbor:"1,keyasint"`
	Profile cbor.Tag   `cbor:"3,keyasint"`
}

// comidMap is a concise-mid-tag.
type comidMap struct {
	Identity tagIdentity `cbor:"1,keyasint"`
	Triples  triples     `cbor:"4,keyasint"`
}

type tagIdentity struct {
	ID []byte `cbor:"0,keyasint"` // tag-id: uuid-type
}

type triples struct {
	Reference []referenceTriple `cbor:"0,keyasint"`
}

type referenceTriple struct {
	_            struct{} `cbor:",toarray"`
	Environment  environment
	Measurements []measurement
}

type environment struct {
	Class class `cbor:"0,keyasint"`
}

type class struct {
	Vendor string `cbor:"1,keyasint"`
	Model  string `cbor:"2,keyasint"`
}

type measurement struct {
	Value measurementValues `cbor:"1,keyasint"`
}

// measurementValues is a measurement-values-map with the extension tee.mrtee.
type measurementValues struct {
	IntegrityRegisters map[uint][]digest `cbor:"14,keyasint"`
	MRTEE              []digest          `cbor:"-83,keyasint"`
}

type digest struct {
	_         struct{} `cbor:",toarray"`
	Algorithm int
	Value     []byte
}

func sha384(d eventlog.Digest) []digest {
	return []digest{{Algorithm: algorithmSHA384, Value: d[:]}}
}

// Encode returns the CoRIM of the values. Its identifiers are made of its content, so that other values have other ones.
func Encode(v Values) ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	content := triples{Reference: []referenceTriple{{
		Environment: environment{Class: class{Vendor: vendor, Model: model}},
		Measurements: []measurement{{Value: measurementValues{
			IntegrityRegisters: map[uint][]digest{0: sha384(v.RTMR0), 1: sha384(v.RTMR1), 2: sha384(v.RTMR2)},
			MRTEE:              sha384(v.MRTD),
		}}},
	}}}
	encoded, err := mode.Marshal(content)
	if err != nil {
		return nil, err
	}
	comid, err := mode.Marshal(comidMap{Identity: tagIdentity{ID: uuid("comid", encoded)}, Triples: content})
	if err != nil {
		return nil, err
	}
	return mode.Marshal(cbor.Tag{Number: tagCoRIM, Content: corimMap{
		ID:      uuid("corim", comid),
		Tags:    []cbor.Tag{{Number: tagCoMID, Content: comid}},
		Profile: cbor.Tag{Number: tagOID, Content: intelProfile},
	}})
}

// uuid is a UUID of version 8, variant 1 (RFC 9562 section 5.8): SHA-256 of purpose, NUL and content.
func uuid(purpose string, content []byte) []byte {
	h := sha256.New()
	h.Write([]byte(purpose + "\x00"))
	h.Write(content)
	id := h.Sum(nil)[:16]
	id[6] = id[6]&0x0F | 0x80
	id[8] = id[8]&0x3F | 0x80
	return id
}
