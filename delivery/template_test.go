package delivery_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
)

// full returns values with every field set.
func full() delivery.Values {
	asked := time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)
	return delivery.Values{
		Code: "123456", Link: "https://login.example.com/l/abc", Project: "Example", Colour: "#0a7d4f", Locale: "en",
		Device: "Chrome on Linux", Network: "203.0.113.7/32", AskedAt: asked, ExpiresAt: asked.Add(10 * time.Minute),
	}
}

func render(t *testing.T, v delivery.Values, locale string) *delivery.Letter {
	t.Helper()
	l := new(delivery.Letter)
	if err := delivery.Builtin().Render(l, splitpin.EmailChannel, "code", locale, &v); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCodeMail(t *testing.T) {
	l := render(t, full(), "en")
	if want := "123456 is your code for Example"; l.Subject != want {
		t.Errorf("subject %q, want %q", l.Subject, want)
	}
	wantText := `Your code for Example:

    123456

Enter it where you asked for it. It works for 10 minutes, until 14:13
UTC, and only once.

Asked for at 14:03 UTC on 22 November 2026, from Chrome on Linux,
network address 203.0.113.7.

Keep the code to yourself. Nobody from Example will ever ask you for it,
by mail, by phone or in a chat.

Was this not you? Then you can ignore this message: nobody can sign in
without the code, and nothing about your account has changed.
`
	if l.Text != wantText {
		t.Errorf("text is\n%s\nwant\n%s", l.Text, wantText)
	}
	for _, want := range []string{
		`<html lang="en"`, `>123456<`, `border-top:4px solid #0a7d4f`, "from Chrome on Linux", "203.0.113.7",
		"22 November 2026", `name="color-scheme" content="light dark"`, "Was this not you?",
	} {
		if !strings.Contains(l.HTML, want) {
			t.Errorf("the HTML lacks %q", want)
		}
	}
	// Nothing is fetched from anywhere when it is opened.
	for _, bad := range []string{"<img", "url(", "@import", "<script", "<link", "http://", "src="} {
		if strings.Contains(l.HTML, bad) {
			t.Errorf("the HTML holds %q", bad)
		}
	}
	if l.From != "Example" || l.Locale != "en" || l.Code != "123456" {
		t.Errorf("from %q, locale %q, code %q", l.From, l.Locale, l.Code.Reveal())
	}
}

// Every locale has every template that English has, with the same parts, and
// each shows what it must and fits where it goes.
func TestEveryLocale(t *testing.T) {
	templates := delivery.Builtin()
	channels, err := filepath.Glob("templates/en/*")
	if err != nil || len(channels) == 0 {
		t.Fatalf("channels: %v, %v", channels, err)
	}
	for _, locale := range templates.Locales() {
		for _, dir := range channels {
			channel := splitpin.Channel(filepath.Base(dir))
			names := templates.Names(channel)
			if len(names) == 0 {
				t.Errorf("channel %s has no templates", channel)
			}
			for _, name := range names {
				t.Run(fmt.Sprint(locale, "/", channel, "/", name), func(t *testing.T) {
					for _, kind := range []string{".subject", ".text", ".html"} {
						_, english := os.Stat(filepath.Join(dir, name+kind))
						_, here := os.Stat(filepath.Join("templates", locale, string(channel), name+kind))
						if (english == nil) != (here == nil) {
							t.Errorf("%s is there: %v, in English: %v", kind, here == nil, english == nil)
						}
					}
					v := full()
					l := new(delivery.Letter)
					if err := templates.Render(l, channel, name, locale, &v); err != nil {
						t.Fatal(err)
					}
					if l.Locale != locale {
						t.Errorf("rendered in %q", l.Locale)
					}
					asks := name == "code" || name == "link"
					if channel != splitpin.EmailChannel {
						checkShort(t, channel, asks, l)
						return
					}
					for part, text := range map[string]string{"text": l.Text, "HTML": l.HTML} {
						wants := []string{"Example", "Chrome on Linux", "203.0.113.7", "14:03", "2026"}
						if asks {
							wants = append(wants, "123456", "14:13")
						} else {
							wants = append(wants, v.Link.Reveal())
						}
						for _, want := range wants {
							if !strings.Contains(text, want) {
								t.Errorf("the %s does not show %q", part, want)
							}
						}
					}
					if asks && !strings.HasPrefix(l.Subject, "123456") {
						t.Errorf("subject %q does not lead with the code", l.Subject)
					}
					for line := range strings.Lines(l.Text) {
						if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 72 && !strings.Contains(line, "https://") {
							t.Errorf("%d columns: %q", n, line)
						}
					}
					if !strings.Contains(l.HTML, `lang="`+locale+`"`) {
						t.Error("the HTML does not say its language")
					}
				})
			}
		}
	}
}

// checkShort looks at a message for phones.
func checkShort(t *testing.T, channel splitpin.Channel, asks bool, l *delivery.Letter) {
	if l.Subject != "" || l.HTML != "" {
		t.Errorf("a phone shows neither subject %q nor HTML %q", l.Subject, l.HTML)
	}
	for _, want := range []string{"123456", "Example"} {
		if !strings.Contains(l.Text, want) && (asks || want != "123456") {
			t.Errorf("the text does not show %q: %q", want, l.Text)
		}
	}
	if strings.Contains(l.Text, "\n\n\n") || strings.HasPrefix(l.Text, "\n") || !strings.HasSuffix(l.Text, "\n") || strings.HasSuffix(l.Text, "\n\n") {
		t.Errorf("white space in %q", l.Text)
	}
	if n, units, _ := delivery.Segments(strings.TrimSuffix(l.Text, "\n")); channel == splitpin.SMSChannel && n != 1 {
		t.Errorf("%d segments, %d units: %q", n, units, l.Text)
	}
}

func TestRenderHostileValues(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alter func(*delivery.Values)
		not   []string // in no part
		html  []string // in the HTML
		text  []string // in the text
	}{
		{name: "markup in the name", alter: func(v *delivery.Values) { v.Project = `<script>alert(1)</script>&"'` },
			html: []string{"&lt;script&gt;alert(1)&lt;/script&gt;&amp;"}, text: []string{`<script>alert(1)</script>&"'`}},
		{name: "a header in the name", alter: func(v *delivery.Values) { v.Project = "A\r\nBcc: all@example.com\x00\x1b[31m" },
			not: []string{"\r", "\x00", "\x1b", "A\nBcc"}, text: []string{"A Bcc: all@example.com[31m"}},
		{name: "reordering in the name", alter: func(v *delivery.Values) { v.Project = "safe\u202egnp\u2066\u200b" },
			not: []string{"\u202e", "\u2066", "\u200b"}},
		{name: "a very long name", alter: func(v *delivery.Values) { v.Project = strings.Repeat("Nordwind Überseehandel ", 40) },
			text: []string{"Nordwind", "…"}},
		{name: "a style in the colour", alter: func(v *delivery.Values) { v.Colour = "red;background:url(//evil.example)" },
			not: []string{"evil.example"}, html: []string{"solid #3b6ef6"}},
		{name: "a raw header as device", alter: func(v *delivery.Values) { v.Device = "Mozilla/5.0 <b>visit evil.example</b>" },
			not: []string{"evil.example", "Mozilla"}},
		{name: "text as network", alter: func(v *delivery.Values) { v.Network = "call +1 555 0100" }, not: []string{"555"}},
		{name: "a zone in the network", alter: func(v *delivery.Values) { v.Network = "fe80::1%evil/64" }, not: []string{"evil"}},
		{name: "a network of IPv6", alter: func(v *delivery.Values) { v.Network = "2001:db8:1:2::/64" },
			html: []string{"2001:db8:1:2::/64"}, text: []string{"2001:db8:1:2::/64"}},
		{name: "nothing known", alter: func(v *delivery.Values) { v.Device, v.Network, v.Colour, v.Link = "", "", "", "" },
			not: []string{"from  ", ", .", "network"}, text: []string{"on 22 November 2026."}},
		{name: "a minute", alter: func(v *delivery.Values) { v.ExpiresAt = v.AskedAt.Add(time.Minute) },
			not: []string{"1 minutes"}, text: []string{"1 minute,"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := full()
			tt.alter(&v)
			l := render(t, v, "en")
			if strings.Contains(l.HTML, "<script") || strings.Contains(l.HTML, "ZgotmplZ") {
				t.Error("the HTML was broken out of")
			}
			if strings.ContainsAny(l.Subject, "\r\n") || utf8.RuneCountInString(l.Subject) > 100 || !strings.HasPrefix(l.Subject, "123456 ") {
				t.Errorf("subject %q", l.Subject)
			}
			for _, part := range []string{l.Subject, l.Text, l.HTML, l.From} {
				for _, not := range tt.not {
					if strings.Contains(part, not) {
						t.Errorf("%q is in\n%s", not, part)
					}
				}
			}
			for _, want := range tt.html {
				if !strings.Contains(l.HTML, want) {
					t.Errorf("%q is not in the HTML\n%s", want, l.HTML)
				}
			}
			for _, want := range tt.text {
				if !strings.Contains(strings.ReplaceAll(l.Text, "\n", " "), want) {
					t.Errorf("%q is not in the text\n%s", want, l.Text)
				}
			}
			for line := range strings.Lines(l.Text) {
				if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 72 {
					t.Errorf("longer than 72 columns: %q", line)
				}
			}
		})
	}
}

func TestLocaleFallback(t *testing.T) {
	tree := fstest.MapFS{}
	for _, locale := range []string{"en", "de", "pt", "pt-BR"} {
		tree[locale+"/email/code.text"] = &fstest.MapFile{Data: []byte(locale + " {{.Code}}")}
	}
	templates, err := delivery.ParseTemplates(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ message, project, want string }{
		{"pt-BR", "de", "pt-BR"},
		{"pt-PT", "de", "pt"},
		{"pt-Latn-BR", "de", "pt"},
		{"fr", "de", "de"},
		{"fr-CA", "de-AT", "de"},
		{"fr", "it", "en"},
		{"", "de", "de"},
		{"", "", "en"},
		{"../../etc", "-", "en"},
	} {
		v := full()
		v.Locale = tt.project
		l := new(delivery.Letter)
		if err := templates.Render(l, splitpin.EmailChannel, "code", tt.message, &v); err != nil {
			t.Fatal(err)
		}
		if l.Locale != tt.want || !strings.HasPrefix(l.Text, tt.want+" ") {
			t.Errorf("message in %q of a project in %q: rendered in %q (%q), want %q", tt.message, tt.project, l.Locale, l.Text, tt.want)
		}
	}
	if err := templates.Render(new(delivery.Letter), "sms", "code", "en", &delivery.Values{}); err == nil {
		t.Error("a channel without templates rendered something")
	}
}

func TestParseTemplatesNamesEveryProblem(t *testing.T) {
	_, err := delivery.ParseTemplates(fstest.MapFS{
		"en/email/code.text":   {Data: []byte("{{.Code}}")},
		"en/email/open.text":   {Data: []byte("{{if .Code}}")},
		"en/email/field.text":  {Data: []byte("{{.Password}}")},
		"en/email/alone.html":  {Data: []byte("<p>")},
		"en/email/code.txt":    {Data: []byte("")},
		"english/x/email/code": {Data: []byte("")},
	})
	if err == nil {
		t.Fatal("broken templates were taken")
	}
	for _, want := range []string{"open.text", "Password", "alone: has no .text", "code.txt", "english/x/email/code"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
}

// FuzzRender holds that no value breaks a line, a subject or the markup.
func FuzzRender(f *testing.F) {
	f.Add("Example", "#123456", "Chrome on Linux", "203.0.113.7/32", "123456")
	f.Add("<script>\r\n", "url(x)", "\x00", "::/0", "\u202e")
	templates := delivery.Builtin()
	plain := full()
	plain.Project = "Example"
	want := new(delivery.Letter)
	if err := templates.Render(want, splitpin.EmailChannel, "code", "en", &plain); err != nil {
		f.Fatal(err)
	}
	tags := strings.Count(want.HTML, "<")
	f.Fuzz(func(t *testing.T, project, colour, device, network, code string) {
		v := full()
		v.Project, v.Colour, v.Device, v.Network, v.Code = project, colour, device, network, splitpin.Secret(code)
		l := new(delivery.Letter)
		if err := templates.Render(l, splitpin.EmailChannel, "code", "en", &v); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(l.Subject, "\r\n\x00") || strings.ContainsAny(l.From, "\r\n\x00") {
			t.Errorf("subject %q, from %q", l.Subject, l.From)
		}
		if got := strings.Count(l.HTML, "<"); got != tags {
			t.Errorf("%d tags, want %d:\n%s", got, tags, l.HTML)
		}
		if !utf8.ValidString(l.Subject + l.Text + l.HTML) {
			t.Error("not UTF-8")
		}
	})
}
