package secret

import "log/slog"

// Text is a secret string. Every way of printing or encoding it gives "[secret]" or "[unset]"; only [Text.Reveal] gives
// the value. The zero Text is unset.
type Text struct {
	// A pointer, because fmt prints what it finds by reflection, without asking methods, for some verbs and within
	// unexported fields; of a nested pointer it prints the address.
	value *string
}

// New returns a set secret.
func New(value string) Text { return Text{&value} }

// IsSet says whether there is a value, even an empty one.
func (t Text) IsSet() bool { return t.value != nil }

// Reveal returns the value, empty when unset.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// String implements fmt.Stringer without the value.
func (t Text) String() string {
	if t.value == nil {
		return "[unset]"
	}
	return "[secret]"
}

// LogValue implements [slog.LogValuer] without the value.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText implements [encoding.TextMarshaler] without the value; JSON and XML encoders use it.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }
