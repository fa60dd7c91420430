package signin

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
)

// The address by which somebody who opened a link comes back to the customer's page
// (contract 12.5). Two write it: the method of the link, into a message, and the engine,
// where a hand-over goes on to that page. Therefore it stands here, and not with the method,
// which the engine does not know.

// ReturnLink returns the address of a page of the customer's with what the web SDK
// takes there to finish a sign-in (contract 12.5). What the address has of these
// parameters is left out, as is what a social sign-in left in it; its fragment stays
// behind. Data that the site gave is not among them: it is kept here (security 29).
func ReturnLink(to string, a *splitpin.Attempt, token splitpin.Secret, derive Derive) (splitpin.Secret, error) {
	id, err := challengeID(derive)
	if err != nil {
		return "", err
	}
	return splitpin.Secret(returnLink(to, a, token.Reveal(), id)), nil
}

func returnLink(to string, a *splitpin.Attempt, token string, id int32) string {
	kind := "EMAIL"
	if a.Kind == splitpin.Phone {
		kind = "PHONE"
	}
	page, kept, fragment := withoutReturned(to)
	kept = append(kept, "auth_method=MAGIC_LINK", "challenge_id="+strconv.Itoa(int(id)), "challenge="+token,
		"id_type="+kind, "id="+url.QueryEscape(account.Mask(a.Identifier)))
	return inASCII(page + "?" + strings.Join(kept, "&") + fragment)
}

// ReturnLinkLength returns how many characters [ReturnLink] takes at most in a message to
// a phone, for the link of an attempt: see [PhoneLength].
func ReturnLinkLength(to string, a *splitpin.Attempt) int {
	return PhoneLength(returnLink(to, a, strings.Repeat("x", linkTokenLength), math.MaxInt32))
}

// linkTokenLength is the length of what LinkToken returns.
const linkTokenLength = 45

// PhoneLength returns how many characters a text in ASCII takes in a message to a phone,
// where some are written as two (3GPP TS 23.038, 6.2.1.1).
func PhoneLength(text string) int {
	n := len(text)
	for _, c := range []byte(text) {
		if strings.IndexByte("[\\]^`{|}~", c) >= 0 {
			n++
		}
	}
	return n
}

// WithoutReturned returns an address without what ReturnLink, or a social sign-in, put
// into it: a page at which a link was opened names itself as the place to return to.
func WithoutReturned(to string) string {
	page, kept, fragment := withoutReturned(to)
	if len(kept) > 0 {
		page += "?" + strings.Join(kept, "&")
	}
	return page + fragment
}

func withoutReturned(to string) (page string, query []string, fragment string) {
	page = to
	if i := strings.IndexByte(page, '#'); i >= 0 {
		page, fragment = page[:i], page[i:]
	}
	page, all, _ := strings.Cut(page, "?")
	for pair := range strings.SplitSeq(all, "&") {
		if name, _, _ := strings.Cut(pair, "="); name != "" && !returned(name) {
			query = append(query, pair)
		}
	}
	return page, query, fragment
}

// inASCII escapes what an address may not hold as it is, and browsers show nevertheless.
func inASCII(address string) string {
	var b strings.Builder
	for _, c := range []byte(address) {
		if c <= ' ' || c > '~' || strings.IndexByte("\"<>`", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func returned(name string) bool {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	switch name {
	case "auth_method", "challenge_id", "challenge", "id_type", "id", "client_json", "code", "state":
		return true
	}
	return false
}
