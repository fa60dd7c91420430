package project

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/phone"
	"github.com/splitpin/splitpin/signin"
)

const (
	maxPrice  = 100_000_000           // 100: no message costs as much
	maxBudget = 1_000_000 * 1_000_000 // a million a day
)

// checkPhone returns everything that is wrong with the settings for phones, joined.
func checkPhone(s splitpin.PhoneSettings) error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	isCountry := func(c string) bool {
		_, ok := phone.Name(c)
		return ok || c == signin.AnyCountry
	}
	for i, c := range s.Channels {
		if c != splitpin.SMSChannel && c != splitpin.WhatsAppChannel || slices.Contains(s.Channels[:i], c) {
			wrong("phone-channel: %q must be sms or whatsapp, and each stand once", c)
		}
	}
	if s.Fallback && len(s.Channels) < 2 {
		wrong("phone-fallback: needs two channels; name them with --phone-channel")
	}
	for _, c := range s.Countries {
		if !isCountry(c) {
			wrong("phone-country: %q is none; %s, or * for all", c, countryHint(c))
		}
	}
	for c, price := range s.Prices {
		if !isCountry(c) {
			wrong("phone-price: %q is no country; %s, or * for all others", c, countryHint(c))
		}
		if price < 0 || price > maxPrice {
			wrong("phone-price: must be between 0 and %s for %s", signin.Amount(maxPrice), c)
		}
	}
	if s.BudgetDay < 0 || s.BudgetDay > maxBudget || s.BudgetHour < 0 || s.BudgetHour > maxBudget {
		wrong("phone-budget: must be between 0 and %s; 0 is the default", signin.Amount(maxBudget))
		return errors.Join(problems...)
	}
	for _, r := range []splitpin.Rate{s.Limits.Number, s.Limits.Prefix, s.Limits.Country, s.Limits.Network} {
		if r.Hour < 0 || r.Day < 0 {
			wrong("phone-limit: must not be negative; 0 is the default")
		}
	}
	// A budget that pays for no message would refuse everybody, and say "try again later".
	for _, c := range s.Countries {
		price := signin.PhonePrice(s, c)
		if s.Fallback {
			price *= 2
		}
		if least := signin.LeastBudget(price); s.BudgetDay != 0 && s.BudgetDay < least {
			wrong("phone-budget-day: %s pays for no message to a stranger in %s, which takes %s; set at least %s", signin.Amount(s.BudgetDay), c, signin.Amount(price), signin.Amount(least))
		} else if _, hour := signin.PhoneBudget(s); hour < least {
			wrong("phone-budget-hour: %s pays for no message to a stranger in %s, which takes %s; set at least %s", signin.Amount(hour), c, signin.Amount(price), signin.Amount(least))
		}
	}
	return errors.Join(problems...)
}

// countryHint says what to write in the place of what is no country: its code of two
// letters (ISO 3166-1 alpha-2), where the name was written, or UK, which is none.
func countryHint(given string) string {
	if strings.EqualFold(given, "UK") {
		given = "United Kingdom"
	}
	for _, country := range phone.Countries() {
		if name, _ := phone.Name(country); strings.EqualFold(name, given) {
			return "write " + country + " for " + name
		}
	}
	return "write two letters like DE"
}
