package project

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
)

// Bounds of what a site may say of itself. Every visitor's browser loads it.
const (
	maxForms     = 50
	maxProtected = 100
	maxFields    = 8 // as many as the form shows
)

var (
	aFormID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
	// A path goes into a regular expression in the browser, so it holds none of its
	// signs but the point, which matches itself too.
	aPath      = regexp.MustCompile(`^/[A-Za-z0-9._~/%@:-]*$`)
	aFieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,39}$`)

	fieldTypes = []string{"", "text", "email", "tel", "url", "number", "date", "checkbox"}
	channels   = []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel}
	// takenFields are the keys that a sign-in has already (contract 2.3); a field of
	// that name would be overwritten by it, or stand in its place.
	takenFields = []string{"token", "email", "phone", "oauth_token", "user", "status", "identifier", "__proto__"}
	// takenForms would stand in the place of something else where forms are read as
	// members of an object.
	takenForms = []string{"siteCustomization", "constructor", "prototype", "toString", "valueOf", "hasOwnProperty"}
)

// checkSite returns everything that is wrong with what a site says of itself.
func checkSite(s splitpin.Site) error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	if len(s.Forms) > maxForms {
		wrong("form: there are %d; at most %d are allowed", len(s.Forms), maxForms)
	}
	for id, f := range s.Forms {
		if !aFormID.MatchString(id) || slices.Contains(takenForms, id) {
			wrong("form: %q is no id; write letters, digits, - and _, at most 64, the first a letter", id)
		}
		for _, problem := range checkForm(f) {
			wrong("form %s: %w", id, problem)
		}
	}
	if len(s.Protected) > maxProtected {
		wrong("protect: there are %d pages; at most %d are allowed", len(s.Protected), maxProtected)
	}
	for _, p := range s.Protected {
		if !isPath(p.Path) {
			wrong("protect: %q is no path of a page; write /members, or /members* for all that begins so", p.Path)
		}
	}
	if s.DeniedURL != "" && !isPath(s.DeniedURL) && !isPage(s.DeniedURL) {
		wrong("denied-url: must be a path like /denied, or a URL with https")
	}
	if c := s.Completion.URL; c != "" && !isPage(c) {
		wrong("completion-url: must be a URL with https")
	}
	return errors.Join(problems...)
}

func checkForm(f splitpin.Form) (problems []error) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if f.Kind != splitpin.OtherName && f.Kind != splitpin.Email && f.Kind != splitpin.Phone {
		wrong("type: must be email or phone")
	}
	if f.Method != "" && f.Method != "code" && f.Method != "link" {
		wrong("method: must be code or link")
	}
	for _, c := range f.Channels {
		if !slices.Contains(channels, c) {
			wrong("channel: must be sms or whatsapp")
		}
	}
	for _, name := range f.Social {
		if !aFormID.MatchString(name) || strings.ToLower(name) != name {
			wrong("social: %q is no provider; write google", name)
		}
	}
	if len(f.Title) > 60 || strings.ContainsAny(f.Title, "\r\n\t\x00") {
		wrong("title: must be one line of at most 60 bytes")
	}
	for _, c := range []struct{ flag, value string }{{"title-colour", f.TitleColour}, {"background", f.Background}} {
		if c.value != "" && !aColour.MatchString(c.value) {
			wrong("%s: must look like #1a6b4f", c.flag)
		}
	}
	if f.AfterLogin != "" && !isPath(f.AfterLogin) && !isPage(f.AfterLogin) {
		wrong("after-login: must be a path like /members, or a URL with https")
	}
	if f.AfterLogout != "" && !isPath(f.AfterLogout) {
		wrong("after-logout: must be a path like /")
	}
	if len(f.Fields) > maxFields {
		wrong("field: there are %d; at most %d are allowed", len(f.Fields), maxFields)
	}
	seen := map[string]bool{}
	for _, field := range f.Fields {
		switch {
		case !aFieldName.MatchString(field.Name) || slices.Contains(takenFields, field.Name):
			wrong("field: %q is no name for one; write letters, digits and _, and none of %s", field.Name, strings.Join(takenFields[:len(takenFields)-1], ", "))
		case seen[field.Name]:
			wrong("field: %s stands there twice", field.Name)
		case field.Label == "" || len(field.Label) > 80 || strings.ContainsAny(field.Label, "\r\n\t\x00"):
			wrong("field: %s needs a label of one line and at most 80 bytes", field.Name)
		case !slices.Contains(fieldTypes, field.Type):
			wrong("field: %s cannot be of type %q; there are %s", field.Name, field.Type, strings.Join(fieldTypes[1:], ", "))
		}
		seen[field.Name] = true
	}
	return problems
}

// isPath reports whether a browser takes s for a path of the same site: not for
// another host, as it would "//host".
func isPath(s string) bool {
	return len(s) <= 512 && aPath.MatchString(s) && !strings.HasPrefix(s, "//")
}

// isPage reports whether s is an address on the web, with https except on this very
// machine.
func isPage(s string) bool {
	u, err := url.Parse(s)
	if err != nil || len(s) > 1024 || u.User != nil || u.Host == "" || strings.ContainsAny(s, "\\ \t\r\n\x00\"'<>") {
		return false
	}
	host := u.Hostname()
	return u.Scheme == "https" || u.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1")
}
