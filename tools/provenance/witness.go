package provenance

import (
	"errors"
	"fmt"
	"time"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// clockSkew is how far the clock of whoever judges may be behind those of timestamp authorities and logs.
const clockSkew = 5 * time.Minute

// What bundles may have, and nobody looks at if the trust root lists nobody who could have made it.
const (
	notCheckedTimestamps = "timestamps"
	notCheckedLogEntries = "transparency log entries"
)

// witness asks everybody in the trust root who says something about a bundle's signature. What somebody says who is listed has to be right;
// what others say does not count, and the first such reason is returned beside, in case that something is missing without it.
func (v *verification) witness(b Bundle, key Key, signer *VerifiedSigner) (unknown, reason *Reason) {
	dated, err := v.timestamps(b, signer)
	if err != nil {
		if !errors.Is(err, errUnknown) {
			return nil, reasonFor(err)
		}
		unknown = reasonFor(err)
		v.notChecked = append(v.notChecked, notCheckedTimestamps)
	}
	if dated < v.policy.Timestamps {
		if unknown != nil {
			return nil, unknown
		}
		return nil, &Reason{Code: CodeTimestampMissing, Text: fmt.Sprintf("expected timestamps of %d authorities of the trust root, got %d", v.policy.Timestamps, dated)}
	}
	recorded, err := v.logEntries(b, key, signer)
	if err != nil {
		if !errors.Is(err, errUnknown) {
			return nil, reasonFor(err)
		}
		v.notChecked = append(v.notChecked, notCheckedLogEntries)
		if unknown == nil {
			unknown = reasonFor(err)
		}
		if recorded < v.policy.LogEntries {
			return nil, reasonFor(err)
		}
	}
	if recorded < v.policy.LogEntries {
		return nil, &Reason{Code: CodeLogMissing, Text: fmt.Sprintf("expected entries in %d logs of the trust root, got %d", v.policy.LogEntries, recorded)}
	}
	for _, t := range signer.Times {
		if t.At.After(v.policy.At.Add(clockSkew)) {
			return nil, &Reason{Code: CodeTime, Text: fmt.Sprintf("expected a signature made before %s, got one of %s, as %s says",
				v.policy.At.UTC().Format(time.RFC3339), t.At.Format(time.RFC3339), t.By)}
		}
	}
	return unknown, nil
}

func reasonFor(err error) *Reason {
	r := reasonOf(0, err)
	return &r
}

// timestamps counts the authorities that dated a signature. An error that wraps errUnknown is about those that are not counted.
func (v *verification) timestamps(b Bundle, signer *VerifiedSigner) (int, error) {
	if len(v.root.TimestampAuthorities) == 0 {
		if len(b.Timestamps) > 0 {
			v.notChecked = append(v.notChecked, notCheckedTimestamps)
		}
		return 0, nil
	}
	counted := make(operators)
	var unknown error
	for i, raw := range b.Timestamps {
		var wire timestampJSON
		if err := strictjson.Unmarshal(raw, &wire); err != nil {
			return 0, malformed(CodeTimestamp, "number %d: %w", i, err)
		}
		t, authority, err := v.root.timestamp(wire.SignedTimestamp, b.Signature())
		if errors.Is(err, errUnknown) {
			unknown = err
			continue
		}
		if err != nil {
			return 0, err
		}
		counted.add(v.root.TimestampAuthorities[authority].Operator, authority)
		signer.Times = append(signer.Times, VerifiedTime{t.at, v.root.TimestampAuthorities[authority].URI})
	}
	return len(counted), unknown
}

// logEntries counts the logs in which a signature is recorded. An error that wraps errUnknown is about those that are not counted.
func (v *verification) logEntries(b Bundle, key Key, signer *VerifiedSigner) (int, error) {
	if len(v.root.Logs) == 0 {
		if len(b.LogEntries) > 0 {
			v.notChecked = append(v.notChecked, notCheckedLogEntries)
		}
		return 0, nil
	}
	counted := make(operators)
	var entries []logEntry
	var unknown error
	for _, raw := range b.LogEntries {
		e, err := v.root.logEntry(raw, b, key)
		if errors.Is(err, errUnknown) {
			unknown = err
			continue
		}
		if err != nil {
			return 0, err
		}
		l := v.root.Logs[e.log]
		counted.add(l.Operator, e.log)
		entries = append(entries, e)
		signer.LogEntries = append(signer.LogEntries, VerifiedLogEntry{l.URL, e.index})
		if !e.at.IsZero() {
			signer.Times = append(signer.Times, VerifiedTime{e.at, l.URL})
		}
	}
	// A log that gives no time has to be believed when others say that it was signed, or now if nobody does.
	for _, e := range entries {
		times := signer.Times
		if len(times) == 0 {
			times = []VerifiedTime{{At: v.policy.At}}
		}
		for _, t := range times {
			if l := v.root.Logs[e.log]; !l.Validity.contains(t.At) {
				return 0, malformed(CodeLog, "expected a log that the trust root believes at %s, got one believed %s", t.At.UTC().Format(time.RFC3339), l.Validity)
			}
		}
	}
	return len(counted), unknown
}
