package delivery

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/splitpin/splitpin"
)

// wholly renders without a form.
func wholly(t *testing.T, templates *Templates, l *Letter, v *Values) {
	t.Helper()
	set, locale := templates.find(splitpin.EmailChannel, "code", v.Locale)
	w := newView(v, locale)
	r, err := set.render(w)
	if err != nil {
		t.Fatal(err)
	}
	l.Subject, l.Text, l.HTML, l.Locale, l.From = r.subject, r.text, r.html, locale, w.Project
	l.Code = splitpin.Secret(w.Code)
}

var aBoundary = regexp.MustCompile(`boundary=("?)([^"\s]+)`)

// withoutBoundary replaces what is drawn at random for each letter, or each form.
func withoutBoundary(t *testing.T, mail []byte) string {
	t.Helper()
	found := aBoundary.FindSubmatch(mail)
	if found == nil {
		t.Fatalf("a mail without a boundary:\n%s", mail)
	}
	return string(bytes.ReplaceAll(mail, found[2], []byte("BOUNDARY")))
}

// A letter that came about by a form is, byte for byte, the one written in full: in
// what Render gives and in what leaves for the mail server. Each row is a form; the
// values in it go through the same one.
func TestForms(t *testing.T) {
	asked := time.Date(2026, 11, 22, 14, 3, 7, 5, time.UTC)
	var addresses []string
	for n := range 40 {
		addresses = append(addresses, strings.Repeat("a", n+1)+"@example.com")
	}
	addresses = append(addresses, "a.b+c_d-e@mail.example.com", "o'neil@example.com", ".a@example.com", "a.@example.com", "a..b@example.com", strings.Repeat("a", 64)+"@"+strings.Repeat("b", 60)+".example.com")
	for _, row := range []struct {
		name     string
		values   Values
		codes    []string
		networks []string
		full     bool // no form is possible, and none is used
	}{
		{name: "a code", codes: []string{"123456", "000000", "999999"}, networks: []string{"203.0.113.7/32", "198.51.10.7/32", "1.2.3.44/32"}},
		{name: "long codes", codes: []string{"ABCDEFGHIJKL", "abcdefghijkl", "zqxjzqxjzqxj"}, networks: []string{"2001:db8::/64", "2001:dbf::/64"}},
		{name: "no network", codes: []string{"1234", "5678"}, networks: []string{""}},
		{name: "names that are quoted and encoded", values: Values{Project: "Ж <b>&\"Ü\" = . " + strings.Repeat("long ", 9)}, codes: []string{"123456", "654321"}, networks: []string{"203.0.113.7/32"}},
		{name: "a name that is a mark", values: Values{Project: marks[codeHole][:6]}, codes: []string{"123456"}, networks: []string{"203.0.113.7/32"}, full: true},
		{name: "a name that is the mark of an address", values: Values{Project: marks[toHole]}, codes: []string{"123456"}, networks: []string{"203.0.113.7/32"}, full: true},
		{name: "codes of other characters", codes: []string{"12<4&6", "=2=4=6"}, networks: []string{"203.0.113.7/32"}, full: true},
		{name: "such codes after a plain one", codes: []string{"123456", "12<4&6", "=2=4=6"}, networks: []string{"203.0.113.7/32"}},
		{name: "a link", values: Values{Link: "https://login.example.com/l/1"}, codes: []string{"123456"}, networks: []string{""}, full: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			templates := Builtin()
			s, err := NewSMTP(SMTPConfig{Host: "localhost", TLS: "none", From: "login@example.com"})
			if err != nil {
				t.Fatal(err)
			}
			byForm := 0
			for i, to := range addresses {
				for _, code := range row.codes {
					for _, network := range row.networks {
						v := row.values
						v.Code, v.Network, v.Device = splitpin.Secret(code), network, "Chrome on Linux"
						v.AskedAt, v.ExpiresAt = asked, asked.Add(10*time.Minute)
						if v.Project == "" {
							v.Project = "Example"
						}
						l := &Letter{ID: fmt.Sprintf("%024d", i), Channel: splitpin.EmailChannel, To: to, At: asked.Add(time.Duration(i) * time.Hour)}
						want := *l
						if err := templates.Render(l, splitpin.EmailChannel, "code", "", &v); err != nil {
							t.Fatal(err)
						}
						wholly(t, templates, &want, &v)
						want.Link = v.Link
						got := *l
						got.by = nil
						if got != want {
							t.Fatalf("rendered by a form:\n%+v\nin full:\n%+v", got, want)
						}
						mail, err := s.compose(l, nil)
						if err != nil {
							t.Fatal(err)
						}
						full, err := s.compose(&want, nil)
						if err != nil {
							t.Fatal(err)
						}
						if withoutBoundary(t, mail) != withoutBoundary(t, full) {
							t.Fatalf("composed by a form:\n%s\nin full:\n%s", mail, full)
						}
						if unread := unread(t, s, templates, *l, &v); withoutBoundary(t, unread) != withoutBoundary(t, full) {
							t.Fatalf("composed before anybody read it:\n%s\nin full:\n%s", unread, full)
						}
						if s.composeByForm(l, nil) != nil {
							byForm++
						}
					}
				}
			}
			if row.full != (byForm == 0) {
				t.Errorf("%d letters came about by a form", byForm)
			}
		})
	}
}

// unread composes a letter as the outbox hands it over: Subject, Text and HTML are
// written where that turns out to be needed.
func unread(t *testing.T, s *SMTP, templates *Templates, l Letter, v *Values) []byte {
	t.Helper()
	l.Subject, l.Text, l.HTML, l.by = "", "", "", nil
	if err := templates.prepare(&l, l.Channel, "code", "", v); err != nil {
		t.Fatal(err)
	}
	if l.by != nil && l.Text != "" {
		t.Fatal("the text of a letter by a form was written, and nobody had asked")
	}
	mail, err := s.compose(&l, nil)
	if err != nil {
		t.Fatal(err)
	}
	return mail
}

// Dots that come to stand at the start of a line, and marks that an encoding broke
// in two: every place on the line is tried.
func TestFormsAnywhereOnTheLine(t *testing.T) {
	s, err := NewSMTP(SMTPConfig{Host: "localhost", TLS: "none", From: "login@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	byForm, dots := 0, 0
	for indent := range 90 {
		line := strings.Repeat("x", indent) + "{{.Network}}{{.Code}}{{.Network}}"
		templates, err := ParseTemplates(fstest.MapFS{
			"en/email/code.subject": {Data: []byte("{{.Code}}")},
			"en/email/code.text":    {Data: []byte(line)},
			"en/email/code.html":    {Data: []byte("<p>" + line + "</p>")},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, network := range []string{"20.0.113.71/32", "203.0.11.71/32", "2.30.113.71/32", "203.10.11.7/32"} {
			v := Values{Code: "123456", Network: network}
			l := &Letter{ID: strings.Repeat("i", 24), Channel: splitpin.EmailChannel, To: "ada@example.com"}
			want := *l
			if err := templates.Render(l, splitpin.EmailChannel, "code", "", &v); err != nil {
				t.Fatal(err)
			}
			wholly(t, templates, &want, &v)
			mail, err := s.compose(l, nil)
			if err != nil {
				t.Fatal(err)
			}
			full, err := s.compose(&want, nil)
			if err != nil {
				t.Fatal(err)
			}
			if withoutBoundary(t, mail) != withoutBoundary(t, full) {
				t.Fatalf("composed by a form:\n%s\nin full:\n%s", mail, full)
			}
			if unread := unread(t, s, templates, *l, &v); withoutBoundary(t, unread) != withoutBoundary(t, full) {
				t.Fatalf("composed before anybody read it:\n%s\nin full:\n%s", unread, full)
			}
			dots += bytes.Count(full, []byte("\r\n.."))
			if l.by != nil {
				byForm++
			}
		}
	}
	if byForm == 0 || dots == 0 {
		t.Errorf("%d letters by a form, %d dots at the start of a line: this tested nothing", byForm, dots)
	}
}

// The memory that forms take is bounded.
func TestFormsAreForgotten(t *testing.T) {
	templates := Builtin()
	for i := range 3 * formsKept {
		v := Values{Code: "123456", Project: fmt.Sprintf("Project %d", i)}
		if err := templates.Render(new(Letter), splitpin.EmailChannel, "code", "", &v); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(templates.forms.known); n > formsKept || n == 0 {
		t.Errorf("%d forms are kept", n)
	}
}

// A letter that somebody changed after it was rendered leaves as it is now.
func TestFormsOfAChangedLetter(t *testing.T) {
	templates := Builtin()
	s, err := NewSMTP(SMTPConfig{Host: "localhost", TLS: "none", From: "login@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"", "", "changed"} {
		l := &Letter{ID: strings.Repeat("i", 24), Channel: splitpin.EmailChannel, To: "ada@example.com"}
		v := Values{Code: "123456", Project: "Example"}
		if err := templates.Render(l, splitpin.EmailChannel, "code", "", &v); err != nil {
			t.Fatal(err)
		}
		if subject != "" {
			l.Subject = subject
		}
		mail, err := s.compose(l, nil)
		if err != nil || !bytes.Contains(mail, []byte("Subject: "+l.Subject+"\r\n")) {
			t.Fatalf("the change is not there (error %v):\n%s", err, mail)
		}
	}
}
