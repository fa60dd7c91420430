// Package table makes the tables of package phone and of the browser code from the
// data of libphonenumber, the time zone database and CLDR. It is used by go generate
// and by the test that holds the committed files against their source, never by the
// program: reading all of that data takes a start twice the time it may take.
package table

import (
	"cmp"
	_ "embed"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// zones names the time zones of each country: country, tab, names. It is made of
// zone.tab and the links of the time zone database 2025b (public domain).
//
//go:embed zones.txt
var zones string

// template is countries.ts without its table.
//
//go:embed countries.ts.tmpl
var template string

// Numbers returns the table of package phone: a line for each region, those that share
// a calling code with its main region first, then a line that begins with a tab for
// each way to write its numbers.
func Numbers() (string, error) {
	regions, err := regions()
	if err != nil {
		return "", err
	}
	names := display.English.Regions()
	var b strings.Builder
	for _, m := range regions {
		fields := []string{
			m.GetId(), strconv.Itoa(int(m.GetCountryCode())), names.Name(language.MustParseRegion(m.GetId())),
			strconv.Itoa(int(slices.Min(m.GeneralDesc.PossibleLength))), strconv.Itoa(int(slices.Max(m.GeneralDesc.PossibleLength))),
			m.GetMobile().GetExampleNumber(),
			m.GetLeadingDigits(), m.GetNationalPrefixForParsing(), m.GetNationalPrefixTransformRule(),
			pattern(m.GeneralDesc),
			pattern(m.PremiumRate, m.TollFree, m.SharedCost), pattern(m.Voip),
			pattern(m.PersonalNumber, m.Pager, m.Uan, m.Voicemail), pattern(m.FixedLine), pattern(m.Mobile),
		}
		b.WriteString(strings.Join(fields, "\t") + "\n")
		formats := m.IntlNumberFormat
		if len(formats) == 0 {
			formats = m.NumberFormat
		}
		for _, f := range formats {
			leading := ""
			if n := len(f.LeadingDigitsPattern); n > 0 {
				leading = f.LeadingDigitsPattern[n-1]
			}
			b.WriteString("\t" + f.GetPattern() + "\t" + f.GetFormat() + "\t" + leading + "\n")
		}
	}
	return b.String(), nil
}

// regions returns what libphonenumber knows of each region, by calling code. Numbers of
// no country are left out: nobody receives a code there, and some cost as much as
// satellites do.
func regions() ([]*phonenumbers.PhoneMetadata, error) {
	all, err := phonenumbers.MetadataCollection()
	if err != nil {
		return nil, fmt.Errorf("reading the numbers: %w", err)
	}
	var list []*phonenumbers.PhoneMetadata
	for _, m := range all.GetMetadata() {
		if m.GetId() != "001" {
			list = append(list, m)
		}
	}
	rank := func(m *phonenumbers.PhoneMetadata) int {
		return slices.Index(phonenumbers.GetRegionCodesForCountryCode(int(m.GetCountryCode())), m.GetId())
	}
	slices.SortFunc(list, func(a, b *phonenumbers.PhoneMetadata) int {
		return cmp.Or(cmp.Compare(a.GetCountryCode(), b.GetCountryCode()), cmp.Compare(rank(a), rank(b)))
	})
	return list, nil
}

// pattern joins the patterns of several kinds of number.
func pattern(kinds ...*phonenumbers.PhoneNumberDesc) string {
	var all []string
	for _, k := range kinds {
		if p := k.GetNationalNumberPattern(); p != "" && p != "NA" {
			all = append(all, p)
		}
	}
	return strings.Join(all, "|")
}

// Browser returns web/src/countries.ts: per country what a form needs to offer it and
// to write its numbers while they are typed.
func Browser(template string) (string, error) {
	regions, err := regions()
	if err != nil {
		return "", err
	}
	byCountry := map[string]string{}
	for line := range strings.Lines(zones) {
		country, names, _ := strings.Cut(strings.TrimSpace(line), "\t")
		byCountry[country] = names
	}
	main := map[int32]bool{}
	lines := map[string]string{}
	for _, m := range regions {
		example, err := phonenumbers.Parse("+"+strconv.Itoa(int(m.GetCountryCode()))+m.GetMobile().GetExampleNumber(), "")
		if m.GetMobile().GetExampleNumber() == "" || err != nil {
			continue // nobody has a mobile number there
		}
		digits := m.GetMobile().PossibleLength
		if len(digits) == 0 {
			digits = m.GeneralDesc.PossibleLength
		}
		written := strings.TrimPrefix(phonenumbers.Format(example, phonenumbers.INTERNATIONAL), fmt.Sprintf("+%d", m.GetCountryCode()))
		code := strconv.Itoa(int(m.GetCountryCode()))
		if leading := m.GetLeadingDigits(); regexp.MustCompile(`^\d+$`).MatchString(leading) {
			code += "-" + leading
		}
		if !main[m.GetCountryCode()] {
			main[m.GetCountryCode()], code = true, code+"!"
		}
		lines[m.GetId()] = strings.TrimRight(strings.Join([]string{m.GetId(), code, m.GetNationalPrefix(),
			fmt.Sprintf("%d-%d", slices.Min(digits), slices.Max(digits)), strings.TrimLeft(written, " -"), byCountry[m.GetId()]}, "|"), "|")
	}
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(lines)) {
		b.WriteString(lines[id] + "\n")
	}
	const mark = "TABLE"
	if strings.Count(template, mark) != 1 {
		return "", fmt.Errorf("the template must have the word %s once", mark)
	}
	return strings.Replace(template, mark, strings.TrimSuffix(b.String(), "\n"), 1), nil
}

// Files returns the files that are made, by their path from folder phone.
func Files(folder string) (map[string]string, error) {
	numbers, err := Numbers()
	if err != nil {
		return nil, err
	}
	browser, err := Browser(template)
	if err != nil {
		return nil, err
	}
	return map[string]string{filepath.Join(folder, "numbers.txt"): numbers, filepath.Join(folder, "..", "web", "src", "countries.ts"): browser}, nil
}
