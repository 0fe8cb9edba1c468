//go:build simtee

package simtee

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
)

// SGXExtension is what a PCK certificate says of the platform (PCK certificate profile, section 1.3.5).
type SGXExtension struct {
	PPID   []byte  // 16 bytes
	SVNs   [16]int // of the components, 0 to 255
	PCESVN int
	CPUSVN []byte // 16 bytes
	PCEID  []byte // 2 bytes
	FMSPC  []byte // 6 bytes
	Type   int    // 0 standard, 1 scalable, 2 scalable with integrity
	// InstanceID, 16 bytes, and the configuration are in certificates of the Platform CA only; an empty id leaves out both.
	InstanceID                            []byte
	DynamicPlatform, CachedKeys, SMTInUse bool
	// EditTCB and Edit change the entries of arc .2 and of the whole extension.
	EditTCB, Edit func([]Entry) []Entry
}

// Entry is one element of the SGX extension.
type Entry struct {
	ID    asn1.ObjectIdentifier
	Value asn1.RawValue // a complete DER value in FullBytes
}

// SGXArc is the OID 1.2.840.113741.1.13.1 followed by the given arcs.
func SGXArc(arcs ...int) asn1.ObjectIdentifier {
	return slices.Concat(asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}, arcs)
}

// NewEntry encodes a value as encoding/asn1 does.
func NewEntry(value any, arcs ...int) Entry {
	der, err := asn1.Marshal(value)
	if err != nil {
		panic(err) // only for types that ASN.1 has no form for
	}
	return Entry{ID: SGXArc(arcs...), Value: asn1.RawValue{FullBytes: der}}
}

func (e SGXExtension) extension() (pkix.Extension, error) {
	var tcb []Entry
	for i, svn := range e.SVNs {
		tcb = append(tcb, NewEntry(svn, 2, i+1))
	}
	tcb = append(tcb, NewEntry(e.PCESVN, 2, 17), NewEntry(e.CPUSVN, 2, 18))
	if e.EditTCB != nil {
		tcb = e.EditTCB(tcb)
	}
	entries := []Entry{
		NewEntry(e.PPID, 1), NewEntry(tcb, 2), NewEntry(e.PCEID, 3), NewEntry(e.FMSPC, 4), NewEntry(asn1.Enumerated(e.Type), 5),
	}
	if len(e.InstanceID) > 0 {
		entries = append(entries, NewEntry(e.InstanceID, 6), NewEntry([]Entry{
			NewEntry(e.DynamicPlatform, 7, 1), NewEntry(e.CachedKeys, 7, 2), NewEntry(e.SMTInUse, 7, 3),
		}, 7))
	}
	if e.Edit != nil {
		entries = e.Edit(entries)
	}
	value, err := asn1.Marshal(entries)
	return pkix.Extension{Id: SGXArc(), Value: value}, err
}
