package dstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Normalize rewrites a JSON text in the form of docs/normalized-app-compose.md: members sorted, no space, raw UTF-8, arrays
// as they are. encoding/json can not write it: it escapes < > & unless told otherwise, and U+2028 and U+2029 always, and
// either changes a hash.
//
// dstack's tools and RFC 8785 disagree about some values, which Normalize refuses rather than choose: numbers that
// JavaScript, Python and Go do not all write alike (1.0, 1e3, 2^53 and above), member names beyond the Basic Multilingual
// Plane (sorted by UTF-16 unit or by code point), and lone surrogates. NaN and Infinity, which that page maps to null, are
// not JSON. What is accepted has therefore one form, under dstack's rules and under JCS.
func Normalize(text []byte) ([]byte, error) {
	var raw json.RawMessage
	if err := strictjson.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	if err := checkSurrogates(raw); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	return appendNormal(nil, "", value)
}

// appendNormal writes a value that json.Decoder.UseNumber can give. path is for errors.
func appendNormal(to []byte, path string, value any) ([]byte, error) {
	var err error
	switch v := value.(type) {
	case nil:
		return append(to, "null"...), nil
	case bool:
		return strconv.AppendBool(to, v), nil
	case string:
		return appendText(to, v), nil
	case json.Number:
		if err := checkNumber(v.String()); err != nil {
			return nil, at(path, err)
		}
		return append(to, v...), nil
	case []any:
		to = append(to, '[')
		for i, element := range v {
			if i > 0 {
				to = append(to, ',')
			}
			if to, err = appendNormal(to, path+"["+strconv.Itoa(i)+"]", element); err != nil {
				return nil, err
			}
		}
		return append(to, ']'), nil
	case map[string]any:
		to = append(to, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if strings.ContainsFunc(name, func(r rune) bool { return r > 0xffff }) {
				return nil, at(path, fmt.Errorf("member %s: expected a name within the Basic Multilingual Plane, as languages sort others differently", shown(name)))
			}
			if i > 0 {
				to = append(to, ',')
			}
			to = append(appendText(to, name), ':')
			if to, err = appendNormal(to, strings.TrimPrefix(path+"."+name, "."), v[name]); err != nil {
				return nil, err
			}
		}
		return append(to, '}'), nil
	default:
		return nil, at(path, fmt.Errorf("a %T has no JSON form", value))
	}
}

func at(path string, err error) error {
	if path == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// appendText writes a string as RFC 8785 section 3.2.2.2, JSON.stringify and Python's ensure_ascii=False do.
func appendText(to []byte, s string) []byte {
	const digits = "0123456789abcdef"
	to = append(to, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			to = append(to, '\\', c)
		case '\b':
			to = append(to, '\\', 'b')
		case '\t':
			to = append(to, '\\', 't')
		case '\n':
			to = append(to, '\\', 'n')
		case '\f':
			to = append(to, '\\', 'f')
		case '\r':
			to = append(to, '\\', 'r')
		default:
			if c < 0x20 {
				to = append(to, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			} else {
				to = append(to, c)
			}
		}
	}
	return append(to, '"')
}

// maxExact is 2^53 - 1: JavaScript's numbers are exact up to there (ECMAScript Number.MAX_SAFE_INTEGER).
const maxExact = 1<<53 - 1

// checkNumber accepts a literal that is already what JavaScript, Python, Go and RFC 8785 write for its value.
func checkNumber(literal string) error {
	if n, err := strconv.ParseInt(literal, 10, 64); err == nil {
		if n > maxExact || n < -maxExact || literal == "-0" {
			return fmt.Errorf("number %s: expected a whole number that every language holds, up to %d", literal, maxExact)
		}
		return nil
	}
	f, err := strconv.ParseFloat(literal, 64)
	// Python writes exponents below 1e-4 and from 1e16 on, JavaScript and Go at other borders.
	if size := math.Abs(f); err != nil || f == math.Trunc(f) || size < 1e-4 || size >= 1e16 || strconv.FormatFloat(f, 'f', -1, 64) != literal {
		return fmt.Errorf("number %s: expected one that every language writes alike: a whole number, or a fraction without an exponent", shown(literal))
	}
	return nil
}

var errSurrogate = errors.New(`half of a surrogate pair (\ud800 to \udfff alone) stands for no character`)

// checkSurrogates finds what encoding/json would replace silently. text is valid JSON.
func checkSurrogates(text []byte) error {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		unit, ok := escapedUnit(text[i:])
		if !ok {
			i++ // the escaped character
			continue
		}
		i += 5
		switch {
		case unit < 0xd800 || unit > 0xdfff:
		case unit > 0xdbff:
			return errSurrogate
		default:
			low, ok := escapedUnit(text[i+1:])
			if !ok || low < 0xdc00 || low > 0xdfff {
				return errSurrogate
			}
			i += 6
		}
	}
	return nil
}

// escapedUnit reads \uXXXX at the beginning of text.
func escapedUnit(text []byte) (uint16, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return uint16(unit), err == nil
}
