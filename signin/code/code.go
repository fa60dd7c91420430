// Package code is the methods of a short code: it is sent to an address or a phone
// number, and whoever reads it there has proved that.
package code

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/signin"
)

// Defaults of the settings that a project may change.
const (
	DefaultLength   = 6
	DefaultAlphabet = "0123456789"
	DefaultLifetime = 10 * time.Minute // the most that OWASP ASVS 6.5.5 allows
	DefaultTries    = 5

	// hardened is how many codes there must at least be to choose from where the
	// guessing budget is spent: ten digits.
	hardened = 1e10

	// MaxLength bounds what people can be asked to type.
	MaxLength = 16
)

// Email is the method "email_code".
type Email struct{ short }

var _ signin.Messenger = Email{}

func (Email) Name() string { return "email_code" }

func (Email) Begin(_ context.Context, req signin.BeginRequest) (signin.Begun, error) {
	if req.Kind != splitpin.Email {
		return signin.Begun{}, account.ErrIdentifier
	}
	return begin(req.Project.Settings, data{}), nil
}

// Message is always the same mail.
func (Email) Message(*splitpin.Attempt) signin.Message {
	return signin.Message{Channel: splitpin.EmailChannel, Template: "code"}
}

// short is what the methods share: everything but the way the code goes.
type short struct{}

func (short) AuthMethod() string { return "OTP" }

// data is what an attempt keeps of this method: how the code looks, not what it
// is.
type data struct {
	Length   int    `json:"l"`
	Alphabet string `json:"a,omitempty"` // empty: digits

	// The way to a phone; empty for mail.
	Channel  splitpin.Channel `json:"c,omitempty"`
	Fallback splitpin.Channel `json:"f,omitempty"`
	Theirs   bool             `json:"t,omitempty"` // the provider of Channel makes the code
	Right    []byte           `json:"r,omitempty"` // MAC of the code that the provider found right, which is not asked again
}

func (d data) alphabet() string {
	if d.Alphabet == "" {
		return DefaultAlphabet
	}
	return d.Alphabet
}

// Shape returns length and alphabet of a project's codes.
func Shape(s splitpin.Settings) (length int, alphabet string) {
	length, alphabet = s.CodeLength, s.CodeAlphabet
	if length <= 0 {
		length = DefaultLength
	}
	if len(alphabet) < 2 { // one character makes one code
		alphabet = DefaultAlphabet
	}
	return length, alphabet
}

// Space returns how many different codes a project's settings give.
func Space(s splitpin.Settings) float64 {
	length, alphabet := Shape(s)
	return math.Pow(float64(len(alphabet)), float64(length))
}

// begin makes codes of the project's shape; way is the rest of what the attempt keeps.
func begin(s splitpin.Settings, way data) signin.Begun {
	length, alphabet := Shape(s)
	begun := signin.Begun{
		Data: way.with(length, alphabet), Hardened: way.with(harden(length, alphabet)),
		Lifetime: s.CodeLifetime, Tries: s.CodeTries,
	}
	if begun.Lifetime == 0 {
		begun.Lifetime = DefaultLifetime
	}
	if begun.Tries == 0 {
		begun.Tries = DefaultTries
	}
	return begun
}

// harden returns the shape of the codes that replace those of the given shape
// where the guessing budget is spent. An alphabet of so few characters that
// nobody would type the length it takes makes way for ten digits.
func harden(length int, alphabet string) (int, string) {
	for length <= MaxLength && math.Pow(float64(len(alphabet)), float64(length)) < hardened {
		length++
	}
	if length > MaxLength {
		return 10, DefaultAlphabet
	}
	return length, alphabet
}

func (d data) with(length int, alphabet string) []byte {
	d.Length = length
	if alphabet != DefaultAlphabet {
		d.Alphabet = alphabet
	}
	b, _ := json.Marshal(d) // cannot fail: an int and texts
	return b
}

func (short) Describe(a *splitpin.Attempt) signin.Form {
	var d data
	if json.Unmarshal(a.Data, &d) != nil {
		return signin.Form{}
	}
	return signin.Form{CodeLength: d.Length, CodeAlphabet: d.alphabet()}
}

// Secret returns the code of an attempt. It is the same however often it is
// sent: a resend repeats it (security 9).
func (short) Secret(a *splitpin.Attempt, derive signin.Derive) (signin.Told, error) {
	code, err := secret(a, derive)
	return signin.Told{Code: code}, err
}

func secret(a *splitpin.Attempt, derive signin.Derive) (splitpin.Secret, error) {
	var d data
	if err := json.Unmarshal(a.Data, &d); err != nil {
		return "", fmt.Errorf("reading the shape of a code: %w", err)
	}
	if d.Length < 1 || d.Length > MaxLength || len(d.alphabet()) < 2 {
		return "", fmt.Errorf("a code of %d characters out of %d", d.Length, len(d.alphabet()))
	}
	key, err := derive("code")
	if err != nil {
		return "", err
	}
	return splitpin.Secret(spell(key, d.Length, d.alphabet())), nil
}

// spell writes 256 random bits as a code. The remainder of so large a number is
// even over all codes to within 2^-190.
func spell(key [32]byte, length int, alphabet string) string {
	code := make([]byte, length)
	n, digit, base := new(big.Int).SetBytes(key[:]), new(big.Int), big.NewInt(int64(len(alphabet)))
	for i := length - 1; i >= 0; i-- {
		n.DivMod(n, base, digit)
		code[i] = alphabet[digit.Int64()]
	}
	return string(code)
}

// Check compares in constant time. Spaces and hyphens are not part of an answer,
// and where the alphabet has no lower-case letters its case does not matter.
func (m short) Check(c signin.Check) (signin.Proof, bool) {
	given, ok := typed(c.Answer)
	if !ok {
		return signin.Proof{}, false
	}
	right, err := secret(c.Attempt, c.Derive)
	if err != nil {
		return signin.Proof{}, false
	}
	if alphabet := m.Describe(c.Attempt).CodeAlphabet; strings.ToUpper(alphabet) == alphabet {
		given = strings.ToUpper(given)
	}
	return signin.Proof{}, subtle.ConstantTimeCompare([]byte(given), []byte(right.Reveal())) == 1
}

// typed returns the code in an answer, as it is compared.
func typed(answer json.RawMessage) (code string, ok bool) {
	var a struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return "", false
	}
	return strings.NewReplacer(" ", "", "-", "", "\u00a0", "", "\t", "", "\n", "").Replace(a.Code), true
}
