package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/splitpin/splitpin"
)

// Custom are claims that a backend added to the tokens of a session: the text of a
// JSON object, in the form in which it is written into tokens. Empty: none. Only
// ParseCustom and Merge make one.
type Custom string

// Bounds of custom claims. A token that carries the most of them stays below what
// verifiers look at.
const (
	MaxCustom     = 4 << 10 // bytes, as written into tokens
	maxCustomName = 128     // bytes
	maxCustomDeep = 5       // objects and arrays inside each other, the outermost counted
)

// ErrClaims refuses custom claims. Its message says what is wrong with them.
var ErrClaims = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_claims",
	Message: "Custom claims must be one JSON object."}

// reserved are the names that custom claims may not take: those that tokens have
// here, and those by which verifiers elsewhere decide who and what is let in. A
// backend that decodes without regard to case would take SUB for sub, so case does
// not help.
var reserved = []string{
	"sub", "aud", "iss", "exp", "iat", "nbf", "jti", "type", "scope", "authentication_method", // contract 7.5
	"identifier", "client_user_id", "auth_time",
	"identifiers",                                                             // what very old clients read
	"acr", "act", "amr", "azp", "client_id", "cnf", "may_act", "nonce", "sid", // RFC 7800, RFC 8693, OpenID Connect Core
	"__proto__", // which JavaScript does not take for a name
}

func isReserved(name string) bool {
	for _, r := range reserved {
		if strings.EqualFold(r, name) {
			return true
		}
	}
	return false
}

// ParseCustom reads custom claims as a backend sent them. Names that are reserved,
// that occur twice in one object or are longer than 128 bytes are refused, and so is
// what is nested more than five deep, or all in all longer than MaxCustom. Its error
// is ErrClaims.
func ParseCustom(raw []byte) (Custom, error) { return Custom("").Merge(raw) }

// Merge returns c with the claims that a backend sent on top: what it names takes the
// place of what was there, and null takes it away. Its errors are those of
// ParseCustom.
func (c Custom) Merge(raw []byte) (Custom, error) {
	members, err := parseMembers(raw)
	if err != nil {
		return "", err
	}
	var held []member
	if c != "" {
		if held, err = parseMembers([]byte(c)); err != nil {
			return "", fmt.Errorf("reading the claims that are there: %w", err)
		}
	}
	for _, m := range members {
		held = put(held, m)
	}
	return join(held)
}

// put sets one member, or with null takes it away.
func put(held []member, m member) []member {
	kept := held[:0]
	for _, h := range held {
		if h.name != m.name {
			kept = append(kept, h)
		}
	}
	if string(m.value) == "null" {
		return kept
	}
	return append(kept, m)
}

// A member is one claim: its value is JSON of plain ASCII.
type member struct {
	name  string
	value []byte
}

func parseMembers(raw []byte) ([]member, error) {
	p := customParser{d: json.NewDecoder(bytes.NewReader(raw))}
	p.d.UseNumber()
	if t, err := p.d.Token(); err != nil || t != json.Delim('{') {
		return nil, ErrClaims
	}
	var members []member
	seen := map[string]bool{}
	for p.d.More() {
		name, err := p.name(seen)
		if err != nil {
			return nil, err
		}
		if isReserved(name) {
			return nil, refuseClaims("The claim %s is set by this server and cannot be chosen. Use another name.", name)
		}
		value, err := p.value(nil, 1)
		if err != nil {
			return nil, err
		}
		members = append(members, member{name, value})
	}
	if _, err := p.d.Token(); err != nil {
		return nil, ErrClaims.Because(err)
	}
	if _, err := p.d.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrClaims
	}
	return members, nil
}

// refuseClaims says in the message what is wrong.
func refuseClaims(format string, args ...any) error {
	e := *ErrClaims
	e.Message = fmt.Sprintf(format, args...)
	return &e
}

// A customParser writes JSON anew as it reads it, so that what stands in a token is
// nobody's bytes but ours.
type customParser struct{ d *json.Decoder }

func (p *customParser) name(seen map[string]bool) (string, error) {
	t, err := p.d.Token()
	name, ok := t.(string)
	switch {
	case err != nil || !ok:
		return "", ErrClaims.Because(err)
	case name == "" || len(name) > maxCustomName:
		return "", refuseClaims("The name of a custom claim must have 1 to %d bytes.", maxCustomName)
	case seen[name]:
		return "", refuseClaims("The custom claim %s stands there twice.", shortened(name))
	}
	seen[name] = true
	return name, nil
}

// value appends the next value. deep is how many objects and arrays it lies in.
func (p *customParser) value(b []byte, deep int) ([]byte, error) {
	t, err := p.d.Token()
	if err != nil {
		return nil, ErrClaims.Because(err)
	}
	switch v := t.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		if v {
			return append(b, "true"...), nil
		}
		return append(b, "false"...), nil
	case json.Number:
		if _, err := v.Float64(); err != nil {
			return nil, refuseClaims("A number in the custom claims is too large for those who will read it.")
		}
		return append(b, v.String()...), nil
	case string:
		return appendString(b, v), nil
	}
	if deep++; deep > maxCustomDeep {
		return nil, refuseClaims("Custom claims may be nested %d deep.", maxCustomDeep)
	}
	open := t.(json.Delim)
	b = append(b, byte(open))
	seen := map[string]bool{}
	for first := true; p.d.More(); first = false {
		if !first {
			b = append(b, ',')
		}
		if open == '{' {
			name, err := p.name(seen)
			if err != nil {
				return nil, err
			}
			b = append(appendString(b, name), ':')
		}
		if b, err = p.value(b, deep); err != nil {
			return nil, err
		}
	}
	closing, err := p.d.Token()
	if err != nil {
		return nil, ErrClaims.Because(err)
	}
	return append(b, byte(closing.(json.Delim))), nil
}

func join(members []member) (Custom, error) {
	if len(members) == 0 {
		return "", nil
	}
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, m.name), ':')
		b = append(b, m.value...)
	}
	b = append(b, '}')
	if len(b) > MaxCustom {
		return "", refuseClaims("Custom claims may be %d bytes long, counted as they stand in a token. These are %d.", MaxCustom, len(b))
	}
	return Custom(b), nil
}

// shortened keeps a name fit for a message.
func shortened(name string) string {
	if len(name) <= 32 {
		return name
	}
	cut := 32
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + "…"
}

// customOf returns the claims of a payload of ours that are not ours.
func customOf(payload []byte) (Custom, error) {
	p := customParser{d: json.NewDecoder(bytes.NewReader(payload))}
	p.d.UseNumber()
	if _, err := p.d.Token(); err != nil {
		return "", err
	}
	var members []member
	seen := map[string]bool{}
	for p.d.More() {
		name, err := p.name(seen)
		if err != nil {
			return "", err
		}
		value, err := p.value(nil, 1)
		if err != nil {
			return "", err
		}
		if !isReserved(name) {
			members = append(members, member{name, value})
		}
	}
	return join(members)
}

// appendCustom adds custom claims behind ours, before the end of the object.
func appendCustom(b []byte, c Custom) []byte {
	if len(c) < 3 {
		return b
	}
	b = append(b, ',')
	return append(b, c[1:len(c)-1]...)
}
