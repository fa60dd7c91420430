package splitpin

import (
	"strings"
	"unicode/utf8"
)

// ErrText is the refusal of a text that is no text, see IsText.
var ErrText = &Error{Kind: Invalid, Code: "invalid_text",
	Message: "A text in this request holds a character that cannot be kept. Please leave it out."}

// IsText reports whether every store can keep s: it is UTF-8 without zero bytes, for
// which PostgreSQL has no place.
func IsText(s string) bool {
	return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}
