// Package phone knows the telephone numbers of the world: which are valid, of which
// country they are, and how they are written.
//
// What it knows comes from libphonenumber's data and stands in numbers.txt, which go
// generate makes. Reading that data as libphonenumber's Go port does, at every start,
// would take as long as a start may take in all (docs/decisions/0017-phone-numbers.md);
// a test holds this package against that port.
package phone

import (
	_ "embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run ./internal/table/cmd

//go:embed numbers.txt
var numbers string

// A Number is a valid telephone number.
type Number struct {
	E164    string // "+442079460123"
	Country string // ISO 3166-1 alpha-2: "GB"
	Use     Use
}

// A Use tells what kind of line has a number.
type Use int

const (
	Mobile Use = iota // or one that may be mobile: some countries do not tell
	Voice             // over the Internet: messages may arrive
	Fixed             // a landline
	Other             // pagers, premium rate, personal numbers and the like: nobody signs in with one, and some are dear to reach
)

// A Fault is why a text is no number. It is written for the person who typed it, and
// repeats nothing of it but the calling code.
type Fault string

func (f Fault) Error() string { return string(f) }

const (
	faultForm Fault = "Please enter a phone number with its country code, like +44 7400 123456."
	faultCode Fault = "No country has that code. Please check the digits after the +."
)

// Parse reads a number in international form: a plus sign, and digits with spaces and
// the usual punctuation between them. A national prefix that people write although it
// does not belong there, as in +44 (0)20, is taken off. Its error is a Fault.
func Parse(text string) (Number, error) {
	digits, ok := digitsOf(text)
	if !ok {
		return Number{}, faultForm
	}
	code, regions := regionsOf(digits)
	if len(regions) == 0 {
		return Number{}, faultCode
	}
	main := regions[0]
	national := main.withoutPrefix(digits[len(code):])
	for _, r := range regions {
		if r.leading != "" && !matchesStart(r.leading, national) {
			continue
		}
		use, ok := r.use(national)
		if ok {
			return Number{E164: "+" + code + national, Country: r.id, Use: use}, nil
		}
		if r.leading != "" {
			main = r
			break
		}
	}
	where := fmt.Sprintf("+%s (%s)", code, main.name)
	switch n := len(national); {
	case n < main.shortest || n < len(main.example)-1: // some countries have short numbers too, but few
		return Number{}, Fault("That number is too short for " + where + ". Please check it.")
	case n > main.longest:
		return Number{}, Fault("That number is too long for " + where + ". Please check it.")
	case main.example == "":
		return Number{}, Fault("There is no such number in " + where + ". Please check it.")
	}
	return Number{}, Fault("There is no such number in " + where + ". Please check it; numbers there look like " +
		Format("+"+code+main.example) + ".")
}

// Format writes a number, given as Number.E164, as it is written in international
// form: "+44 20 7946 0123". What is no number it returns as it is.
func Format(e164 string) string {
	code, regions := regionsOf(strings.TrimPrefix(e164, "+"))
	if len(regions) == 0 {
		return e164
	}
	national := e164[1+len(code):]
	// As libphonenumber does, by the formats of the main region.
	for _, f := range regions[0].formats {
		if f.leading != "" && !matchesStart(f.leading, national) || !matches(f.pattern, national) {
			continue
		}
		return "+" + code + " " + compiled(f.pattern).ReplaceAllString(national, f.format)
	}
	return "+" + code + " " + national
}

// Prefix returns the first digits of a number: the calling code and a few more, which
// is how networks sell numbers in ranges.
func Prefix(e164 string) string {
	return e164[:min(len(e164), 1+6)]
}

// Area returns the digits of a number by which a provider opens a country: the calling
// code, and in North America, where countries share it, three more.
func Area(e164 string) string {
	code, _ := regionsOf(strings.TrimPrefix(e164, "+"))
	n := 1 + len(code)
	if code == "1" {
		n += 3
	}
	return e164[:min(len(e164), n)]
}

// Name returns the English name of a country; false where no number is of that country.
func Name(country string) (string, bool) {
	r := world().byID[country]
	if r == nil {
		return "", false
	}
	return r.name, true
}

// CallingCode returns what numbers of a country begin with: "+44"; empty: no such country.
func CallingCode(country string) string {
	r := world().byID[country]
	if r == nil {
		return ""
	}
	return "+" + r.code
}

// Countries returns the countries that have numbers, by calling code.
func Countries() []string { return world().ids }

// A region is a part of the world whose numbers are alike: one line of numbers.txt.
type region struct {
	id, code, name    string
	shortest, longest int
	example           string // of a mobile number, without the calling code; empty: there is none
	leading           string // pattern of the first digits, where they tell the region; empty: they do not
	prefix, transform string // what is taken off before a national number, and what takes its place
	general           string
	costly            string // premium rate, toll-free and shared cost
	voice, silent     string // silent: personal numbers, pagers, voice mail and numbers of companies
	fixed, mobile     string
	formats           []format
}

type format struct{ pattern, format, leading string }

type table struct {
	byID   map[string]*region
	byCode map[string][]*region
	ids    []string
}

// world reads numbers.txt when it is first asked. Patterns are compiled when a number
// of their country is: most servers see few.
var world = sync.OnceValue(func() *table {
	t := &table{byID: map[string]*region{}, byCode: map[string][]*region{}}
	var r *region
	for line := range strings.Lines(numbers) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if f[0] == "" {
			r.formats = append(r.formats, format{f[1], f[2], f[3]})
			continue
		}
		r = &region{id: f[0], code: f[1], name: f[2], example: f[5], leading: f[6], prefix: f[7], transform: f[8],
			general: f[9], costly: f[10], voice: f[11], silent: f[12], fixed: f[13], mobile: f[14]}
		r.shortest, _ = strconv.Atoi(f[3])
		r.longest, _ = strconv.Atoi(f[4])
		t.byID[r.id], t.byCode[r.code], t.ids = r, append(t.byCode[r.code], r), append(t.ids, r.id)
	}
	return t
})

func regionsOf(digits string) (code string, regions []*region) {
	for n := 1; n <= 3 && n <= len(digits); n++ {
		if regions := world().byCode[digits[:n]]; regions != nil {
			return digits[:n], regions
		}
	}
	return "", nil
}

// use returns what kind of line a national number of the region has; false: there is
// no such number.
func (r *region) use(national string) (Use, bool) {
	if !matches(r.general, national) {
		return 0, false
	}
	// In this order: the patterns overlap.
	for _, kind := range []struct {
		pattern string
		use     Use
	}{{r.costly, Other}, {r.voice, Voice}, {r.silent, Other}, {r.mobile, Mobile}, {r.fixed, Fixed}} {
		if kind.pattern != "" && matches(kind.pattern, national) {
			return kind.use, true
		}
	}
	return 0, false
}

// withoutPrefix takes the national prefix off, unless that would spoil a valid number.
func (r *region) withoutPrefix(national string) string {
	if r.prefix == "" {
		return national
	}
	expr := compiled("^(?:" + r.prefix + ")")
	groups := expr.FindStringSubmatchIndex(national)
	if groups == nil {
		return national
	}
	rest := national[groups[1]:]
	if r.transform != "" && groups[len(groups)-2] >= 0 {
		rest = expr.ReplaceAllString(national, r.transform)
	}
	if matches(r.general, national) && !matches(r.general, rest) || len(rest) < r.shortest {
		return national
	}
	return rest
}

func matches(pattern, s string) bool      { return compiled("^(?:" + pattern + ")$").MatchString(s) }
func matchesStart(pattern, s string) bool { return compiled("^(?:" + pattern + ")").MatchString(s) }

// expressions keeps what was compiled: at most some thousand, as many as numbers.txt has.
var expressions sync.Map // string to *regexp.Regexp

func compiled(pattern string) *regexp.Regexp {
	if e, ok := expressions.Load(pattern); ok {
		return e.(*regexp.Regexp)
	}
	e, _ := expressions.LoadOrStore(pattern, regexp.MustCompile(pattern))
	return e.(*regexp.Regexp)
}

// maxDigits is the most that a number has, with its calling code (ITU-T E.164).
const maxDigits = 15

func digitsOf(text string) (string, bool) {
	text, ok := strings.CutPrefix(text, "+")
	if !ok || len(text) > 64 {
		return "", false
	}
	digits := make([]byte, 0, maxDigits+3)
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			digits = append(digits, byte(r))
		case strings.ContainsRune(" -./()\u00a0\u2010\u2011\u2012\u2013\u202f", r):
		default:
			return "", false
		}
	}
	return string(digits), len(digits) > 0
}
