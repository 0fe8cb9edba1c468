package eventlog

import "fmt"

// typeByName is the inverse of typeNames.
var typeByName = func() map[string]EventType {
	types := make(map[string]EventType, len(typeNames))
	for t, name := range typeNames {
		types[name] = t
	}
	return types
}()

// UnmarshalText reads what [EventType.MarshalText] writes.
func (t *EventType) UnmarshalText(text []byte) error {
	if named, ok := typeByName[string(text)]; ok {
		*t = named
		return nil
	}
	var n uint32
	if _, err := fmt.Sscanf(string(text), "0x%08X", &n); err != nil || EventType(n).String() != string(text) {
		return fmt.Errorf("event type %q: expected a name of the TCG profile or 0x and 8 hexadecimal digits", text)
	}
	*t = EventType(n)
	return nil
}

// UnmarshalText reads what [Register.MarshalText] writes.
func (r *Register) UnmarshalText(text []byte) error {
	for known := range firstPCR + PCRCount {
		if _, isPCR := known.PCRIndex(); (isPCR || known <= MRTD) && known.String() == string(text) {
			*r = known
			return nil
		}
	}
	return fmt.Errorf("register %q: expected mrtd, rtmr0 to rtmr3 or pcr0 to pcr%d", text, PCRCount-1)
}
