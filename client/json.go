package client

import (
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf8"
)

// A member is one name and its value in a JSON object.
type member struct {
	name  string
	value []byte // raw JSON without space around it
}

// maxMembers bounds the members of one object, because they are searched one by
// one.
const maxMembers = 100

var (
	errNotObject = errors.New("not a JSON object in UTF-8")
	errTwice     = errors.New("a name stands twice in a JSON object")
	errMembers   = errors.New("too many members in a JSON object")
)

// members splits a JSON object into its members, in order.
//
// encoding/json would match names in any case and let the last of two equal names
// win. Two readers who disagree about which claim counts are how one of them gets
// fooled, so here a name matches exactly and stands once.
func members(data []byte) ([]member, error) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, errNotObject
	}
	// The text is valid JSON from here on: what follows only finds its joints.
	i := space(data, 0)
	if data[i] != '{' {
		return nil, errNotObject
	}
	list := make([]member, 0, 16)
	for i = space(data, i+1); data[i] != '}'; {
		end := value(data, i)
		name, ok := text(data[i:end])
		if !ok {
			return nil, errNotObject
		}
		if _, twice := find(list, name); twice {
			return nil, errTwice
		}
		if len(list) == maxMembers {
			return nil, errMembers
		}
		i = space(data, space(data, end)+1) // past the colon
		end = value(data, i)
		list = append(list, member{name, data[i:end]})
		if i = space(data, end); data[i] == ',' {
			i = space(data, i+1)
		}
	}
	return list, nil
}

// find returns the value of the member with this name.
func find(list []member, name string) ([]byte, bool) {
	for _, m := range list {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// findText returns the string of the member with this name; ok is false when it
// is absent or something else than a string.
func findText(list []member, name string) (string, bool) {
	raw, ok := find(list, name)
	if !ok {
		return "", false
	}
	return text(raw)
}

// findSeconds returns the whole number of the member with this name. Times in
// our tokens are whole seconds after 1970; fractions and exponents are refused.
func findSeconds(list []member, name string) (n int64, present, ok bool) {
	raw, present := find(list, name)
	if !present {
		return 0, false, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	const most = 1 << 40 // the year 36812: far from any overflow
	return n, true, err == nil && n >= 0 && n < most
}

// text decodes a JSON string.
func text(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	plain := raw[1 : len(raw)-1]
	for _, c := range plain {
		if c == '\\' {
			var s string
			err := json.Unmarshal(raw, &s)
			return s, err == nil
		}
	}
	return string(plain), true
}

// space returns the index of the first byte at or after i that is not space.
func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// value returns the index after the JSON value that begins at i.
func value(data []byte, i int) int {
	depth := 0
	for ; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of the object around a number or a literal
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}
