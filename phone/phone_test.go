package phone

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	tests := []struct {
		text, want, country string
		use                 Use
	}{
		{"+4915112345678", "+4915112345678", "DE", Mobile},
		{"+49 (0) 151 / 123-456.78", "+4915112345678", "DE", Mobile},
		{"+49 0151 12345678", "+4915112345678", "DE", Mobile},
		{"+44\u00a020\u202f7946\u20110123", "+442079460123", "GB", Fixed},
		{"+12025550123", "+12025550123", "US", Mobile},
		{"+1 416 555 0123", "+14165550123", "CA", Mobile},
		{"+1 268 464 1234", "+12684641234", "AG", Mobile},
		{"+7 701 234 5678", "+77012345678", "KZ", Mobile},
		{"+39 02 1234 5678", "+390212345678", "IT", Fixed},
		{"+54 11 15 2345 6789", "+5491123456789", "AR", Mobile},
		{"+44 70 1234 5678", "+447012345678", "GB", Other},
		{"+1 900 555 0123", "+19005550123", "US", Other},
		{"+44 800 123 4567", "+448001234567", "GB", Other},
	}
	for _, test := range tests {
		got, err := Parse(test.text)
		if want := (Number{test.want, test.country, test.use}); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", test.text, got, err, want)
		}
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"": "country code", "0151 12345678": "country code", "+": "country code", "++4915112345678": "country code",
		"+49 151 x": "country code", "+٤٩١٧٠١٢٣٤٥٦٧٨": "country code", "+" + strings.Repeat(" ", 100): "country code",
		"+999 123456":         "No country has that code",
		"+0491701234567":      "No country has that code",
		"+800 1234 5678":      "No country has that code", // of no country: who has it pays, or lets pay
		"+881 612 345 678":    "No country has that code",
		"+44 7400 1":          "too short for +44 (United Kingdom)",
		"+44 7400 123456 789": "too long for +44 (United Kingdom)",
		"+44 3333":            "too short for +44 (United Kingdom)",
		"+1 268 464":          "too short for +1 (Antigua & Barbuda)",
		"+1 202 155 0123":     "no such number in +1 (United States)",
		"+49 151 123":         "too short for +49 (Germany)",
		"+49 1":               "too short for +49 (Germany)",
		"+44 1111 111111":     "numbers there look like +44 7400 123456.",
	} {
		got, err := Parse(text)
		var fault Fault
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v; want a fault with %q", text, got, err, want)
		}
	}
}

// theirs is what libphonenumber's Go port makes of a text; empty: no number of a country.
func theirs(text string) (e164, country string, kind phonenumbers.PhoneNumberType) {
	n, err := phonenumbers.Parse(text, "")
	if err != nil || !phonenumbers.IsValidNumber(n) {
		return "", "", 0
	}
	country = phonenumbers.GetRegionCodeForNumber(n)
	if country == "001" {
		return "", "", 0
	}
	return phonenumbers.Format(n, phonenumbers.E164), country, phonenumbers.GetNumberType(n)
}

func (u Use) is(kind phonenumbers.PhoneNumberType) bool {
	switch kind {
	case phonenumbers.MOBILE, phonenumbers.FIXED_LINE_OR_MOBILE:
		return u == Mobile
	case phonenumbers.FIXED_LINE:
		return u == Fixed
	case phonenumbers.VOIP:
		return u == Voice
	}
	return u == Other
}

func agree(t interface{ Fatalf(string, ...any) }, text string) {
	e164, country, kind := theirs(text)
	got, err := Parse(text)
	switch {
	case (err == nil) != (e164 != ""), got.E164 != e164, got.Country != country, err == nil && !got.Use.is(kind):
		t.Fatalf("%s: got %+v, %v; libphonenumber says %q of %s, kind %d", text, got, err, e164, country, kind)
	case err == nil:
		n, _ := phonenumbers.Parse(text, "")
		if want := phonenumbers.Format(n, phonenumbers.INTERNATIONAL); Format(e164) != want {
			t.Fatalf("%s is written %q; libphonenumber writes %q", e164, Format(e164), want)
		}
	}
}

// Every example that libphonenumber has, as it is, with the trunk prefix of its country,
// and too short and too long by a digit.
func TestAgreesWithLibphonenumber(t *testing.T) {
	kinds := []phonenumbers.PhoneNumberType{phonenumbers.FIXED_LINE, phonenumbers.MOBILE, phonenumbers.TOLL_FREE, phonenumbers.PREMIUM_RATE,
		phonenumbers.SHARED_COST, phonenumbers.VOIP, phonenumbers.PERSONAL_NUMBER, phonenumbers.PAGER, phonenumbers.UAN, phonenumbers.VOICEMAIL}
	seen := 0
	for region := range phonenumbers.GetSupportedRegions() {
		code := phonenumbers.GetCountryCodeForRegion(region)
		for _, kind := range kinds {
			n := phonenumbers.GetExampleNumberForType(region, kind)
			if n == nil {
				continue
			}
			seen++
			national := phonenumbers.GetNationalSignificantNumber(n)
			trunk := phonenumbers.GetNddPrefixForRegion(region, true)
			for _, digits := range []string{national, trunk + national, national[:len(national)-1], national + "0", national + "1234567"} {
				agree(t, fmt.Sprintf("+%d%s", code, digits))
			}
		}
	}
	if seen < 1000 {
		t.Errorf("there were only %d examples", seen)
	}
}

// Any digits, close to those that exist.
func TestAgreesWithLibphonenumberOnAnyDigits(t *testing.T) {
	ids := Countries()
	rapid.Check(t, func(t *rapid.T) {
		r := world().byID[rapid.SampledFrom(ids).Draw(t, "country")]
		start := r.example[:rapid.IntRange(0, len(r.example)).Draw(t, "kept")]
		agree(t, "+"+r.code+start+rapid.StringMatching(`[0-9]{0,12}`).Draw(t, "digits"))
	})
}

// The browser takes a trunk prefix of 0 off whatever stands behind it (countries.ts).
func TestNumbersWithATrunkPrefix(t *testing.T) {
	for id, r := range world().byID {
		if phonenumbers.GetNddPrefixForRegion(id, true) != "0" {
			continue
		}
		zero := regexp.MustCompile(`^0`)
		rapid.Check(t, func(t *rapid.T) {
			digits := rapid.StringMatching(r.mobile).Draw(t, id)
			if r.mobile != "" && zero.MatchString(digits) {
				t.Fatalf("%s has the number %s", id, digits)
			}
		})
	}
}

func TestNames(t *testing.T) {
	if name, ok := Name("GB"); name != "United Kingdom" || !ok || CallingCode("GB") != "+44" {
		t.Errorf("GB is %q, %v, %s", name, ok, CallingCode("GB"))
	}
	if name, ok := Name("gb"); name != "" || ok || CallingCode("XX") != "" {
		t.Errorf("gb is %q, %v", name, ok)
	}
	if got := Prefix("+442079460123"); got != "+442079" {
		t.Errorf("the prefix is %s", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"+4915112345678", "+49 (0)151 12345678", "+54 11 15 2345 6789", "+1 (202) 555-0123", "+44", "+"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(n.E164); err != nil || again != n {
			t.Fatalf("%q gives %+v, and that gives %+v, %v", text, n, again, err)
		}
		if written, err := Parse(Format(n.E164)); err != nil || written != n {
			t.Fatalf("%q gives %+v, written %q, which is %+v, %v", text, n, Format(n.E164), written, err)
		}
	})
}

func BenchmarkFirstParse(b *testing.B) {
	for range b.N {
		Parse("+4915112345678")
	}
}

func TestArea(t *testing.T) {
	for number, want := range map[string]string{"+4915112345678": "+49", "+14155550100": "+1415", "+35312345678": "+353", "+77012345678": "+7", "+1": "+1", "": "", "+999123": "+"} {
		if got := Area(number); got != want {
			t.Errorf("Area(%q) = %q, want %q", number, got, want)
		}
	}
}
