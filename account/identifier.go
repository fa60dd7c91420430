// Package account decides about people: how an identifier is written, who is
// found or created by a proof, what is exported and erased.
package account

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/phone"
)

// ErrIdentifier refuses what is no identifier.
var ErrIdentifier = &splitpin.Error{Kind: splitpin.Invalid, Code: "invalid_identifier", Field: "identifier",
	Message: "Please enter an email address like ada@example.org."}

const maxIdentifier = 254 // bytes: the longest address that fits an SMTP path (RFC 5321, 4.5.3.1.3)

// ParseIdentifier returns the canonical form of an identifier and what it is.
// Every face uses it, so that one person has one spelling (security 3):
//
//   - email: one addr-spec, dot-atom local part in ASCII, the domain as IDNA
//     A-labels with at least one dot, lower-cased;
//   - phone: a number that exists, in E.164; see package phone;
//   - anything else: NFC, no control or format characters, no white space at the
//     ends, and nothing that looks like an address or a number.
//
// Its error is ErrIdentifier, for a number with what is wrong about it as its message.
func ParseIdentifier(raw string) (string, splitpin.IdentifierKind, error) {
	s := strings.TrimSpace(raw)
	if s == "" || len(s) > 4*maxIdentifier || !utf8.ValidString(s) {
		return "", 0, ErrIdentifier
	}
	switch {
	case strings.ContainsRune(s, '@'):
		address, ok := parseEmail(s)
		if !ok {
			return "", 0, ErrIdentifier
		}
		return address, splitpin.Email, nil
	case s[0] == '+':
		number, err := phone.Parse(s)
		if err != nil {
			refusal := *ErrIdentifier
			refusal.Message = err.Error()
			return "", 0, &refusal
		}
		return number.E164, splitpin.Phone, nil
	}
	name, ok := parseName(s)
	if !ok {
		return "", 0, ErrIdentifier
	}
	return name, splitpin.OtherName, nil
}

// domains maps to A-labels as browsers do when they look a name up, and refuses
// what could not be looked up.
var domains = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true))

func parseEmail(s string) (string, bool) {
	local, domain, _ := strings.Cut(s, "@")
	// "=?" begins a word that mail programs decode into something else (RFC 2047).
	if local == "" || len(local) > 64 || strings.ContainsRune(domain, '@') || strings.Contains(local, "=?") && strings.Contains(local, "?=") {
		return "", false
	}
	for _, label := range strings.Split(local, ".") {
		if label == "" || strings.IndexFunc(label, notAtext) >= 0 {
			return "", false
		}
	}
	ascii, err := domains.ToASCII(domain)
	if err != nil || !strings.Contains(ascii, ".") || strings.HasSuffix(ascii, ".") {
		return "", false
	}
	if last := ascii[strings.LastIndexByte(ascii, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return "", false // an IP address, not a name
	}
	address := strings.ToLower(local + "@" + ascii)
	return address, len(address) <= maxIdentifier
}

// notAtext reports what RFC 5322 does not allow in a dot-atom.
func notAtext(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

func parseName(s string) (string, bool) {
	s = norm.NFC.String(s)
	for _, r := range s {
		switch {
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp), r == utf8.RuneError:
			return "", false
		case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), r == '\u2800': // nobody sees them
			return "", false
		}
	}
	// What only looks like an address or a number in another width is none either.
	plain := norm.NFKC.String(s)
	return s, s != "" && len(s) <= maxIdentifier && !strings.ContainsRune(plain, '@') && !strings.HasPrefix(strings.TrimSpace(plain), "+")
}

// Fold returns what limits count an identifier as: tags after + and dots in the
// local part of an address do not make another mailbox in the eyes of a limit,
// though they do make another identifier. A phone number has one spelling, and nobody
// has a second for nothing: it is counted as it is.
func Fold(identifier string) string {
	local, domain, isEmail := strings.Cut(identifier, "@")
	if !isEmail {
		return identifier
	}
	local, _, _ = strings.Cut(local, "+")
	return strings.ReplaceAll(local, ".", "") + "@" + domain
}
