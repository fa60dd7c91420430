package web

import (
	"path/filepath"
	"testing"

	"github.com/evanw/esbuild/pkg/api"
)

// What countries.ts makes of what people type, in a real browser: names and zones are
// the browser's own.
func TestCountries(t *testing.T) {
	s := startStage(t)
	source, err := filepath.Abs("src/countries.ts")
	if err != nil {
		t.Fatal(err)
	}
	built := api.Build(api.BuildOptions{EntryPoints: []string{source}, Bundle: true, Format: api.FormatIIFE, GlobalName: "c", Write: false})
	if len(built.Errors) > 0 {
		t.Fatal(built.Errors[0].Text)
	}
	page := s.open(t, s.ours+"/signin?code_challenge=c&redirect_url=https%3A%2F%2Fshop.example%2Fback")
	page.eval("(() => {" + string(built.OutputFiles[0].Contents) + "window.c = c; return ''; })()")
	tests := []struct{ name, expression, want string }{
		{"there are many", `c.countries("en").length > 230`, "true"},
		{"in order of their names", `c.countries("en").slice(0, 3).map((x) => x.name)`, `["Afghanistan","Åland Islands","Albania"]`},
		{"in another language", `c.countries("de").find((x) => x.id === "DE")`, `{"id":"DE","code":"+49","example":"1512 3456789","name":"Deutschland"}`},
		{"in a language that is none", `c.countries("").length > 230`, "true"},

		{"by time zone, whatever the language", `c.guess([], "Europe/Berlin", ["en-US"]).id`, `"DE"`},
		{"by an old name of a time zone", `c.guess([], "Asia/Calcutta", ["en-US"]).id`, `"IN"`},
		{"by a zone with two slashes", `c.guess([], "America/Argentina/Cordoba", []).id`, `"AR"`},
		{"by language, where the zone tells nothing", `c.guess([], "UTC", ["de"]).id`, `"DE"`},
		{"by language with its region", `c.guess([], "Etc/GMT+3", ["xx", "de-AT"]).id`, `"AT"`},
		{"a language that is none", `c.guess([], "", ["?", "fr"]).id`, `"FR"`},
		{"nothing known", `c.guess([], "", []).id`, `"US"`},
		{"the site names one", `c.guess(["+62"], "Europe/Berlin", ["de"]).id`, `"ID"`},
		{"the site names some, and this is one", `c.guess(["+1", "+49"], "Europe/Berlin", []).id`, `"DE"`},
		{"the site names some, and this is none", `c.guess(["+44", "+49"], "Asia/Tokyo", ["ja"]).id`, `"GB"`},
		{"within a shared code", `c.guess(["+1"], "America/Toronto", []).id`, `"CA"`},
		{"by id", `c.guess(["at"], "Europe/Berlin", []).id`, `"AT"`},
		{"the site names nonsense", `c.guess(["+0", ""], "Europe/Berlin", []).id`, `"DE"`},

		{"as dialled at home", `c.whole("0151 1234-5678", c.country("DE"))`, `"+4915112345678"`},
		{"without the zero", `c.whole("15112345678", c.country("DE"))`, `"+4915112345678"`},
		{"with another country's code", `c.whole("+44 (0)7400 123456", c.country("DE"))`, `"+447400123456"`},
		{"with 00", `c.whole("0044 7400 123456", c.country("DE"))`, `"+447400123456"`},
		{"a code tells the country", `c.read("+1 268 464 1234", c.country("US")).country.id`, `"AG"`},
		{"a shared code keeps the choice", `c.read("+1 416 555 0123", c.country("CA")).country.id`, `"CA"`},
		{"a shared code without a choice", `c.read("+1 416 555 0123", c.country("DE")).country.id`, `"US"`},
		{"no country's code", `c.whole("+999 1", c.country("DE"))`, `"+499991"`},
		{"Italy keeps its zero", `c.whole("02 1234 5678", c.country("IT"))`, `"+390212345678"`},
		{"the one of America", `c.whole("1 (202) 555-0123", c.country("US"))`, `"+12025550123"`},
		{"the eight of Russia", `c.whole("8 912 345-67-89", c.country("RU"))`, `"+79123456789"`},

		{"too short", `c.fault("0151 1", c.country("DE"))`, `"short"`},
		{"too long", `c.fault("0151 123456789012", c.country("DE"))`, `"long"`},
		{"neither", `c.fault("0151 12345678", c.country("DE"))`, `""`},
		{"too short elsewhere", `c.fault("+44 7400", c.country("DE"))`, `"short"`},

		{"a start", `c.grouped("20", c.country("US"))`, `"20"`},
		{"a first group is whole", `c.grouped("202555", c.country("US"))`, `"202-555"`},
		{"a number", `c.grouped("2025550123", c.country("US"))`, `"202-555-0123"`},
		{"more than one has", `c.grouped("20255501234", c.country("US"))`, `"202-555-01234"`},
		{"with its zero", `c.grouped("07400123456", c.country("GB"))`, `"07400 123456"`},
		{"with its one", `c.grouped("12025550123", c.country("US"))`, `"1 202-555-0123"`},
		{"grouped by hand", `c.grouped("07 4001 23", c.country("GB"))`, `"07400 123"`},
		{"with a code", `c.grouped("+44 7400", c.country("GB"))`, `"+44 7400"`},
		{"nothing", `c.grouped("", c.country("GB"))`, `""`},
		{"the caret stays behind its digit", `c.caret("2025", 4, "202-5")`, `5`},
		{"the caret at the start", `c.caret("2025", 0, "202-5")`, `0`},
	}
	for _, test := range tests {
		got := page.eval(test.expression)
		if got != test.want {
			t.Errorf("%s: %s is %s, want %s", test.name, test.expression, got, test.want)
		}
	}
}
