package project

import (
	"slices"

	"github.com/splitpin/splitpin"
)

// Lacks says what the settings of a project lack for a method that it names, and what
// gives it: "a country (--add-phone-country DE)". Empty: nothing. Whether the server has
// a sender is not asked.
func Lacks(s splitpin.Settings, method string) string {
	switch {
	case (method == "sms_code" || method == "sms_link") && len(s.Phone.Countries) == 0:
		return "a country (--add-phone-country DE)"
	case method == "social" && len(s.Providers) == 0:
		return "a provider ('splitpin project provider add')"
	case method == "browser" && s.RecogniseDays < 0:
		return "days (--recognise-days 30)"
	}
	return ""
}

// Opens reports whether a project has a method by which somebody can get in who comes for
// the first time, or comes back.
func Opens(s splitpin.Settings) bool {
	for _, method := range s.Methods {
		// A browser is recognised after another method was used in it.
		if method != "browser" && Lacks(s, method) == "" {
			return true
		}
	}
	return len(s.Methods) == 0
}

// HidesPasskeys reports whether pages with Cotter's SDK never ask for a passkey that people
// have. That SDK asks the server first who has one, and with look-ups off nobody has. Only
// projects that moved from Cotter, whose secret was shipped in apps, are taken to have
// such pages.
func HidesPasskeys(p *splitpin.Project) bool {
	s := p.Settings
	return s.Lookup == splitpin.LookupOff && (len(s.Methods) == 0 || slices.Contains(s.Methods, "passkey")) &&
		slices.ContainsFunc(p.Secrets, func(k splitpin.ProjectSecret) bool { return k.Kind == splitpin.AppKey })
}
