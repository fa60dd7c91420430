package account

import (
	"strings"
	"unicode/utf8"
)

// Mask returns an identifier as it may be shown to whoever is not known to be its owner
// and should recognise it if they are: "a…@example.org", "+49…89". Of a name nothing is
// left but its first letter.
func Mask(identifier string) string {
	first, size := utf8.DecodeRuneInString(identifier)
	if size == 0 {
		return ""
	}
	if at := strings.LastIndexByte(identifier, '@'); at >= 0 {
		if at <= size {
			return "…" + identifier[at:] // one letter would be all of it
		}
		return string(first) + "…" + identifier[at:]
	}
	if first == '+' && len(identifier) >= 8 {
		return identifier[:3] + "…" + identifier[len(identifier)-2:]
	}
	return string(first) + "…"
}
