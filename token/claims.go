package token

import (
	"encoding/base64"
	"unicode/utf16"
	"unicode/utf8"
)

// headerOf returns the header of the tokens that the key kid signs, in
// base64url. It is the same for every one of them.
func headerOf(kid string) string {
	b := append([]byte(nil), `{"alg":"ES256","kid":`...)
	b = appendString(b, kid)
	b = append(b, `,"typ":"JWT"}`...)
	return base64.RawURLEncoding.EncodeToString(b)
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string of plain ASCII without '>', '?', '~'
// and U+007F, which are escaped like everything else that is not plain.
//
// The Cotter SDK for iOS decodes a payload as standard base64 and drops the
// characters '-' and '_' of base64url. They stand for the values 62 and 63. In
// text whose bytes are all below 0x80, only the last of three bytes can give
// such a value, and only if its low six bits are 62 or 63: those four characters.
//
// Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ' || c == '>' || c == '?' || c == '~' || c == 0x7f:
				b = appendEscape(b, rune(c))
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
			b = appendEscape(b, high)
			b = appendEscape(b, low)
		} else {
			b = appendEscape(b, r)
		}
	}
	return append(b, '"')
}

func appendEscape(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// appendClaim appends one string claim, with a comma before it unless it is the
// first. name is ours and plain.
func appendClaim(b []byte, name, value string) []byte {
	b = appendName(b, name)
	return appendString(b, value)
}

func appendName(b []byte, name string) []byte {
	if len(b) > 0 && b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}
