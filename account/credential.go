package account

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/splitpin/splitpin"
)

// MaxLabel is how many characters the name of a credential may have.
const MaxLabel = 64

// Label returns what a person calls a credential as it is kept: NFC, no white space at
// its ends, and nothing that cannot be seen. An empty one is fine.
func Label(s string) (string, bool) {
	if len(s) > 8*MaxLabel || !utf8.ValidString(s) {
		return "", false
	}
	s = strings.TrimSpace(norm.NFC.String(s))
	for _, r := range s {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == utf8.RuneError {
			return "", false
		}
	}
	return s, utf8.RuneCountInString(s) <= MaxLabel
}

// CanDoWithout reports whether a user would still get in without a credential: by a
// message to the proved address or number, which messages says that the project sends, or
// by another credential that opens an account alone, of which others are all that the
// project still takes. A recognised browser does not open one, as it ends with its session;
// where a passkey is required, of who has one, only another passkey does.
func CanDoWithout(now time.Time, p *splitpin.Project, u *splitpin.User, without *splitpin.Credential, others []*splitpin.Credential, messages bool) bool {
	opens := func(c *splitpin.Credential) bool { return c.Number != without.Number && c.Live(now) && c.Kind.Opens() }
	switch {
	case !without.Kind.Opens():
		return true
	case RequiresPasskey(p, u) && hasPasskey(now, others):
		return slices.ContainsFunc(others, func(c *splitpin.Credential) bool { return opens(c) && c.Kind == splitpin.PasskeyCredential })
	}
	return messages && !u.ProvedAt.IsZero() && u.Kind != splitpin.OtherName || slices.ContainsFunc(others, opens)
}
