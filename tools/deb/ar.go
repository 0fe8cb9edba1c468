package deb

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	arMagic      = "!<arch>\n"
	arHeaderSize = 60
	// maxMembers bounds the members of a package; deb(5) has three.
	maxMembers = 16
)

// arMember is a member of an ar archive; data is a part of the archive.
type arMember struct {
	name string
	data []byte
}

// readAr reads an ar archive as deb(5) has it: the common format, with names of at most 16 characters in the header itself.
func readAr(data []byte) ([]arMember, error) {
	rest, found := bytes.CutPrefix(data, []byte(arMagic))
	if !found {
		return nil, fmt.Errorf("expected an ar archive, it begins with %.8q", data)
	}
	var members []arMember
	for len(rest) > 0 {
		at := len(data) - len(rest)
		if len(rest) < arHeaderSize {
			return nil, fmt.Errorf("member header at byte %d: expected %d bytes, %d are left", at, arHeaderSize, len(rest))
		}
		if len(members) == maxMembers {
			return nil, fmt.Errorf("more than %d members", maxMembers)
		}
		header := rest[:arHeaderSize]
		rest = rest[arHeaderSize:]
		if string(header[58:]) != "`\n" {
			return nil, fmt.Errorf("member header at byte %d: no end mark", at)
		}
		name := strings.TrimSuffix(strings.TrimRight(string(header[:16]), " "), "/")
		if name == "" || strings.ContainsAny(name, "/# \x00") {
			return nil, fmt.Errorf("member header at byte %d: expected a short name, got %q", at, header[:16])
		}
		size, err := strconv.ParseUint(strings.TrimRight(string(header[48:58]), " "), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("member %s: expected a decimal size, got %q", name, header[48:58])
		}
		if size > uint64(len(rest)) {
			return nil, fmt.Errorf("member %s: says that it has %d bytes, %d are left", name, size, len(rest))
		}
		members = append(members, arMember{name: name, data: rest[:size]})
		rest = rest[size:]
		if size%2 == 1 && len(rest) > 0 {
			if rest[0] != '\n' {
				return nil, fmt.Errorf("member %s: expected a line feed for padding, got %q", name, rest[0])
			}
			rest = rest[1:]
		}
	}
	if len(members) == 0 {
		return nil, errors.New("the ar archive is empty")
	}
	return members, nil
}
