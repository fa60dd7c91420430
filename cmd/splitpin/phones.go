package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// phones are the settings of messages to phones that create and set share. What is
// not given stays as it is.
type phones struct {
	PhoneChannel       []string `help:"Way to send codes to phones, replacing the list; repeat for several, the first is the ordinary one: sms or whatsapp. Empty: sms." placeholder:"NAME"`
	PhoneFallback      *bool    `help:"Send over the other channel what the first cannot deliver. It may then cost twice." negatable:""`
	AddPhoneCountry    []string `help:"Allow messages to the numbers of a country, by its code of two letters; * allows all. At first none is allowed." placeholder:"CC"`
	RemovePhoneCountry []string `help:"Allow them no longer." placeholder:"CC"`
	PhoneBudgetDay     *string  `help:"What messages to phones may cost in any 24 hours; 0: 20." placeholder:"AMOUNT"`
	PhoneBudgetHour    *string  `help:"The same in any hour; 0: half of the day's." placeholder:"AMOUNT"`
	PhonePrice         []string `help:"Price of one message to a country, in the place of the shipped estimate; * is for all others. Without an amount: the estimate again." placeholder:"CC=AMOUNT" sep:"none"`
	PhoneLimit         []string `help:"How many messages may go to one number, or to strangers of one prefix, country or network, in an hour and a day; 0: the ordinary." placeholder:"KIND=HOUR/DAY" sep:"none"`
}

func (f *phones) apply(s *splitpin.PhoneSettings) error {
	if f.PhoneChannel != nil {
		s.Channels = nil
		for _, c := range f.PhoneChannel {
			if c != "" {
				s.Channels = append(s.Channels, splitpin.Channel(strings.ToLower(c)))
			}
		}
	}
	set(&s.Fallback, f.PhoneFallback)
	for _, country := range f.AddPhoneCountry {
		if country = strings.ToUpper(country); !slices.Contains(s.Countries, country) {
			s.Countries = append(s.Countries, country)
		}
	}
	s.Countries = slices.DeleteFunc(s.Countries, func(c string) bool {
		return slices.ContainsFunc(f.RemovePhoneCountry, func(gone string) bool { return strings.EqualFold(gone, c) })
	})
	for _, b := range []struct {
		flag  string
		given *string
		to    *int64
	}{{flag: "phone-budget-day", given: f.PhoneBudgetDay, to: &s.BudgetDay}, {flag: "phone-budget-hour", given: f.PhoneBudgetHour, to: &s.BudgetHour}} {
		if b.given == nil {
			continue
		}
		var err error
		if *b.to, err = signin.ParseAmount(*b.given); err != nil {
			return fmt.Errorf("%s: %w", b.flag, err)
		}
	}
	for _, given := range f.PhonePrice {
		country, text, ok := strings.Cut(given, "=")
		country = strings.ToUpper(country)
		if !ok {
			return fmt.Errorf("phone-price: write %q like DE=0.0795", given)
		}
		if text == "" {
			delete(s.Prices, country)
			continue
		}
		price, err := signin.ParseAmount(text)
		if err != nil {
			return fmt.Errorf("phone-price: %w", err)
		}
		if s.Prices == nil {
			s.Prices = map[string]int64{}
		}
		s.Prices[country] = price
	}
	rates := map[string]*splitpin.Rate{"number": &s.Limits.Number, "prefix": &s.Limits.Prefix, "country": &s.Limits.Country, "network": &s.Limits.Network}
	for _, given := range f.PhoneLimit {
		kind, text, _ := strings.Cut(given, "=")
		hour, day, ok := strings.Cut(text, "/")
		rate := rates[kind]
		h, err := strconv.Atoi(hour)
		d, err2 := strconv.Atoi(day)
		if rate == nil || !ok || err != nil || err2 != nil {
			return fmt.Errorf("phone-limit: write %q like prefix=30/100; there are limits of number, prefix, country and network", given)
		}
		*rate = splitpin.Rate{Hour: h, Day: d}
	}
	return nil
}

// phoneRisk says in words what the settings for phones can cost.
func phoneRisk(s splitpin.PhoneSettings) string {
	if len(s.Countries) == 0 {
		return "Phones: no country is allowed, so nothing is sent to them and they cost nothing."
	}
	if signin.WorstCost(s) == 0 {
		return "Phones: messages to the countries that are allowed cost nothing."
	}
	return fmt.Sprintf("Phones: with these settings an attacker can cost at most %s in any 24 hours.", signin.Amount(signin.WorstCost(s)))
}

// phoneRows shows the settings for phones of a project that allows a country.
func phoneRows(s splitpin.PhoneSettings) [][2]string {
	if len(s.Countries) == 0 {
		return nil
	}
	var channels, prices []string
	for _, c := range s.Channels {
		channels = append(channels, string(c))
	}
	day, hour := signin.PhoneBudget(s)
	way := otherwise(strings.Join(channels, ", "), string(splitpin.SMSChannel))
	if s.Fallback {
		way += ", one in the place of the other"
	}
	rows := [][2]string{
		{"Phones", strings.Join(s.Countries, "  ") + " by " + way},
		{"Budget", fmt.Sprintf("%s in any 24 hours, %s in any hour", signin.Amount(day), signin.Amount(hour))},
	}
	for _, c := range slices.Sorted(maps.Keys(s.Prices)) {
		prices = append(prices, c+" "+signin.Amount(s.Prices[c]))
	}
	if text := strings.Join(prices, "  "); text != "" {
		rows = append(rows, [2]string{"Prices", text})
	} else {
		rows = append(rows, [2]string{"Prices", "shipped estimates: set your provider's with --phone-price"})
	}
	for _, l := range []struct {
		kind string
		own  splitpin.Rate
	}{{"number", s.Limits.Number}, {"prefix", s.Limits.Prefix}, {"country", s.Limits.Country}, {"network", s.Limits.Network}} {
		if l.own != (splitpin.Rate{}) {
			rows = append(rows, [2]string{"Limit", fmt.Sprintf("%d an hour and %d a day to one %s (0: ordinary)", l.own.Hour, l.own.Day, l.kind)})
		}
	}
	return rows
}

// checkMethods refuses names that no method has.
func checkMethods(names, have []string) error {
	for _, name := range names {
		if !slices.Contains(have, name) {
			return fmt.Errorf("method: there is no %q; there are %s", name, strings.Join(have, ", "))
		}
	}
	return nil
}
