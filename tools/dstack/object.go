package dstack

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// object reads one JSON object member by member and remembers the first offence.
type object struct {
	path    string
	members map[string]json.RawMessage
	known   map[string]bool
	// foreign: null is absence, and unknown members pass unless the object is closed.
	foreign, closed bool
	first           *error
}

// newObject takes a whole document.
func newObject(text []byte, foreign bool) *object {
	var first error
	o := &object{known: make(map[string]bool), foreign: foreign, first: &first}
	if err := strictjson.Unmarshal(text, &o.members); err != nil {
		o.refuse("", "%w", err)
	} else if o.members == nil {
		o.refuse("", "expected an object, got null")
	} else if err := checkSurrogates(text); err != nil {
		o.refuse("", "%w", err)
	}
	return o
}

// err returns the first offence of the whole document, a [*FieldError], or nil.
func (o *object) err() error { return *o.first }

func (o *object) refuse(name, format string, args ...any) {
	if *o.first != nil {
		return
	}
	field := o.path
	switch {
	case field == "":
		field = name
	case name != "":
		field += "." + name
	}
	*o.first = &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// has says whether a member is there.
func (o *object) has(name string) bool {
	o.known[name] = true
	raw, ok := o.members[name]
	if ok && string(raw) == "null" {
		if !o.foreign {
			o.refuse(name, "expected a value, got null")
		}
		return false
	}
	return ok
}

// read decodes a member, if it is there.
func (o *object) read(name string, to any) bool {
	if !o.has(name) {
		return false
	}
	if err := strictjson.Unmarshal(o.members[name], to); err != nil {
		var place *strictjson.Error
		if errors.As(err, &place) && place.Path == "" {
			err = errors.New(place.Reason)
		}
		o.refuse(name, "%w", err)
		return false
	}
	return true
}

// need decodes a member that has to be there.
func (o *object) need(name string, to any) bool {
	if !o.has(name) {
		o.refuse(name, "the member is missing")
		return false
	}
	return o.read(name, to)
}

// texts reads an array of strings; an absent one is empty.
func (o *object) texts(name string) []string {
	var list []*string // a null would become an empty string otherwise
	o.read(name, &list)
	texts := make([]string, 0, len(list))
	for i, text := range list {
		if text == nil {
			o.refuse(name+"["+strconv.Itoa(i)+"]", "expected a string, got null")
			return nil
		}
		texts = append(texts, *text)
	}
	return texts
}

// object reads a member that is an object, and is nil for one that is absent or is none.
func (o *object) object(name string) *object {
	inner := &object{known: make(map[string]bool), foreign: o.foreign, first: o.first}
	if !o.read(name, &inner.members) {
		return nil
	}
	inner.path = name
	if o.path != "" {
		inner.path = o.path + "." + name
	}
	return inner
}

// objects reads an array of objects.
func (o *object) objects(name string) []*object {
	var list []map[string]json.RawMessage
	o.read(name, &list)
	objects := make([]*object, 0, len(list))
	for i, members := range list {
		path := name + "[" + strconv.Itoa(i) + "]"
		if members == nil {
			o.refuse(path, "expected an object, got null")
			return nil
		}
		if o.path != "" {
			path = o.path + "." + path
		}
		objects = append(objects, &object{path: path, members: members, known: make(map[string]bool), foreign: o.foreign, first: o.first})
	}
	return objects
}

// deprecated members have a meaning for some release of dstack and none that ours may use.
var deprecated = map[string]string{
	"features":       "deprecated; write gateway_enabled",
	"tproxy_enabled": "deprecated; write gateway_enabled",
	"docker_config":  "deprecated, and gone since dstack 0.5.5",
}

// unknown refuses members that nobody read, or lists them where they are let pass.
func (o *object) unknown() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(o.members)) {
		if o.known[name] {
			continue
		}
		if reason := deprecated[name]; reason != "" && o.path == "" && !o.foreign {
			o.refuse(name, "%s", reason)
		}
		if o.closed || !o.foreign {
			o.refuse("", "unknown member %s", shown(name))
		}
		names = append(names, name)
	}
	return names
}
