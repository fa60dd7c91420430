// Package web is what people see: the sign-in form, the pages that explain a
// refusal, and the inbox of development.
//
// Pages are rendered here by html/template, with every text from a table per
// locale (text/). The browser code is TypeScript without dependencies (src/),
// bundled by go generate into dist/, which is committed: a clone needs Go alone.
//
// One form serves four pages. On /signup and /login it stands in an iframe of the
// customer's page and speaks the Cotter page protocol with its SDK; on /app and
// on /signin it is a page of its own and ends by navigating to the app. All
// call /v1 of the project and nothing else, so whatever the pages do
// anybody can do with a page of their own.
//
// The package knows no project and decides nothing about one: the server checks
// origins and destinations before it renders a form, and sends the header that
// [CSP] returns with every page. Under that policy no inline script, no inline
// handler and no style attribute works; nothing here uses any. The one page that may
// load something from elsewhere is that of a captcha, where an operator configured one.
package web

//go:generate go run ./internal/bundle/cmd

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A Mode says where the form stands and what it does with the result.
type Mode string

const (
	// Frame is /signup and /login: inside an iframe; the result goes to the SDK of the
	// framing page as a message.
	Frame Mode = "frame"
	// App is /app: a page of its own for mobile and command-line clients; the
	// result goes to the redirect URL.
	App Mode = "app"
	// SignIn is /signin, our own page: as App, and the result names the issuer.
	SignIn Mode = "signin"
)

// Look is how a project presents itself. The zero value is a plain page in our
// own colour.
type Look struct {
	ID      string // the project's public key id
	Name    string // shown to people; empty: no name is shown
	Colour  string // #rrggbb; empty or anything else: ours
	LogoURL string // path on this server, or a data: URL; empty: the name's first letter
}

// A Kind is what the form asks for.
type Kind string

const (
	Email Kind = "email"
	Phone Kind = "phone"
	// Nothing is a form of buttons alone: no method of the project wants anything typed.
	Nothing Kind = "nothing"
)

// Form is everything the sign-in form needs to know. The server has checked
// Domain and RedirectURL against the project's origins; the form trusts them.
type Form struct {
	Mode   Mode
	Look   Look
	Base   string // where /v1 of the project is; empty: /p/<Look.ID>/v1
	Locale string // BCP 47; the nearest that exists is taken, at last English
	Nonce  string // of the style-src in the policy that is sent with the page

	Domain      string   // Frame: origin of the framing page; target of messages and the only accepted sender
	MessageID   string   // Frame: prefix of every callbackName
	Challenge   string   // PKCE code challenge, S256
	State       string   // echoed with the result
	RedirectURL string   // App and SignIn: where the result goes; Frame: "" where the SDK said "undefined"
	Kind        Kind     // what the form asks for; empty: Email
	Method      string   // of /v1, which starts with it; empty: email_code
	Channels    []string // Phone: what messages may go over, "sms" and "whatsapp"; the first where the person does not choose
	LinkReturns bool     // a link in the message leads to RedirectURL, not to a page of ours
	CaptchaURL  string   // page of the captcha, see [RenderCaptcha]; empty: none is configured
	Extra       Extra    // Frame: what the operator set for the form of that FormID
	Providers   []Link   // App and SignIn: accounts elsewhere to sign in with; the frame's SDK goes there itself
	Passkey     bool     // App and SignIn: offer one
	OtherURL    string   // SignIn: the same page for the other Kind; empty: there is none
	FormID      string   // allow-list to sign in through; empty: the site's own
	UserID      string   // of the user whose address must be proved; empty: anybody's
	Input       string   // address to begin with

	// RememberDays is for how long a browser that is told to remember the sign-in is
	// recognised; zero: there is no such thing.
	RememberDays int

	DirectLogin bool   // App: start with Input without waiting for a click; not where a link would be sent
	Issuer      string // SignIn: returned as iss; empty: left out
}

// Extra is what a form shows besides, where the framing page asks for nothing of the
// kind. It is written as that page would ask for it (contract 12.2).
type Extra struct {
	Fields    []Field  `json:"additionalFields,omitempty"`
	Providers []string `json:"socialLoginProviders,omitempty"`
}

// A Link leads from a page to an address of this server.
type Link struct{ Label, URL string }

// A Field is one more question of the site.
type Field struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Type  string `json:"type,omitempty"` // of an HTML input; empty: text
}

// config is what the script reads, as JSON in the page.
type config struct {
	Mode        Mode              `json:"mode"`
	Base        string            `json:"base"`
	Locale      string            `json:"locale"`
	Domain      string            `json:"domain"`
	MessageID   string            `json:"messageId"`
	Challenge   string            `json:"challenge"`
	State       string            `json:"state"`
	RedirectURL string            `json:"redirectUrl"`
	FormID      string            `json:"formId"`
	UserID      string            `json:"userId"`
	Extra       Extra             `json:"extra"`
	Input       string            `json:"input"`
	DirectLogin bool              `json:"directLogin"`
	Issuer      string            `json:"issuer"`
	Kind        Kind              `json:"kind"`
	Passkey     bool              `json:"passkey"`
	Method      string            `json:"method"`
	Channels    []string          `json:"channels"`
	LinkReturns bool              `json:"linkReturns"`
	Captcha     bool              `json:"captcha"`
	Project     string            `json:"project"`
	Remember    int               `json:"rememberDays"`
	Text        map[string]string `json:"text"`
}

// RenderForm writes the sign-in form.
func RenderForm(w io.Writer, f Form) error {
	text := textFor(f.Locale)
	base := f.Base
	if base == "" {
		base = "/p/" + url.PathEscape(f.Look.ID) + "/v1"
	}
	p := newPage(text, f.Look, f.Nonce, string(f.Mode))
	p.Script = assetURL("form.js")
	p.Kind, p.CaptchaURL = cmp.Or(f.Kind, Email), f.CaptchaURL
	method := cmp.Or(f.Method, "email_code")
	link := strings.HasSuffix(method, "_link")
	p.Lead, p.Change, p.None, p.Other, p.Switch = "address.code", "code.change.label", "code.resend.none", "remember.other", "address.other"
	p.Bears = link && f.Mode == Frame
	if link {
		p.Lead = "address.link"
	}
	if p.Kind == Phone {
		p.Script = assetURL("phoneform.js")
		p.Lead, p.Change, p.None, p.Other, p.Switch = "phone.code", "phone.change.label", "phone.resend.none", "remember.other.phone", "phone.other"
		if link {
			p.Lead = "phone.link"
		}
	}
	if p.Kind == Nothing {
		p.Lead = "nothing.lead"
		if len(f.Providers) == 0 {
			p.Lead = "nothing.passkey"
		}
	}
	p.Providers, p.Passkey, p.Link = f.Providers, f.Passkey, f.OtherURL
	p.Config = config{
		Mode: f.Mode, Base: base, Locale: text["lang"],
		Domain: f.Domain, MessageID: f.MessageID, Challenge: f.Challenge, State: f.State,
		RedirectURL: f.RedirectURL, FormID: f.FormID, UserID: f.UserID, Extra: f.Extra, Input: f.Input,
		DirectLogin: f.DirectLogin, Issuer: f.Issuer,
		Kind: p.Kind, Passkey: f.Passkey, Method: method, Channels: append([]string{}, f.Channels...), LinkReturns: f.LinkReturns, Captcha: f.CaptchaURL != "",
		Project: f.Look.ID, Remember: f.RememberDays,
		Text: text.only("passkey.", "recovery.", "phone.", "remember.", "link.", "field.", "social.", "legal.", "denied.", "elsewhere.", "bearer.", "nolink.", "address.", "code.", "expired.", "over.", "tries.", "action.", "success.", "finishing.", "unfinished.", "unframed.", "fault."),
	}
	return render(w, "form.html", p)
}

// A Reason is why a page is refused. Each has a title, a text and, where the
// site's owner can do something about it, a hint in the text table.
type Reason string

const (
	NotAllowed     Reason = "refused"  // redirect or framing origin is not listed; the sentence of contract 5.3
	NotFramed      Reason = "unframed" // a form for iframes was opened on its own
	UnknownProject Reason = "unknown"
	Incomplete     Reason = "invalid"   // a parameter is missing or malformed
	NoSuchMethod   Reason = "method"    // the project does not offer this way of signing in
	NotFound       Reason = "notfound"  // no such page
	LinkUnknown    Reason = "nolink"    // no such link, or not any more
	StepLost       Reason = "step.lost" // somebody comes back from a provider whom this browser does not know
	Broken         Reason = "broken"    // our fault
)

// Refusal is a page that explains, without a script, why there is no form.
type Refusal struct {
	Look   Look
	Locale string
	Nonce  string
	Mode   Mode // of the form that would have stood here; empty: a page of its own

	Reason   Reason
	Redirect string // NotAllowed: the redirect URL that was asked for; empty: not mentioned
	Origin   string // NotAllowed: the origin of the framing page; empty: not mentioned
	Page     bool   // NotAllowed: Redirect is of a listed site, and none of its return pages

	Methods []string // NoSuchMethod: what the project offers; empty: not mentioned

	// Incomplete: the parameter that is wrong, for the developer who reads the page.
	Missing      string
	BadChallenge string // a code challenge that is none
	BadUser      string // the id of a user that is none

	Text      string // instead of the reason's text
	RequestID string // Broken: shown, to be found in the log; empty: not shown
}

// RenderRefusal writes a page that explains. The status is the caller's.
func RenderRefusal(w io.Writer, r Refusal) error {
	text := textFor(r.Locale)
	p := newPage(text, r.Look, r.Nonce, string(r.Mode))
	reason := string(r.Reason)
	if _, ok := text[reason+".title"]; !ok {
		reason = string(Broken)
	}
	p.Title = text[reason+".title"]
	p.Text = text[reason+".text"]
	p.Next = text[reason+".next"]
	switch r.Reason {
	case NotAllowed:
		p.Text = fill(text[notAllowed(r)], "redirect", shorten(r.Redirect, 200), "origin", shorten(r.Origin, 200))
		p.Command = "splitpin project set --add-origin ORIGIN"
		if r.Page {
			p.Next, p.Command = text["refused.page.next"], "splitpin project set --add-return-page URL"
		}
	case NoSuchMethod:
		if len(r.Methods) > 0 {
			p.Next = p.T("method.next", "methods", shorten(strings.Join(r.Methods, ", "), 200))
			p.Command = "splitpin project set --method METHOD"
		}
	case Incomplete:
		switch {
		case r.Missing != "":
			p.Next = p.T("invalid.missing", "parameter", r.Missing)
		case r.BadChallenge != "":
			p.Next = p.T("invalid.challenge", "parameter", r.BadChallenge)
		case r.BadUser != "":
			p.Next = p.T("invalid.user", "parameter", r.BadUser)
		}
	}
	if r.Text != "" {
		p.Text, p.Next = r.Text, ""
	}
	if reason == string(Broken) {
		p.RequestID = r.RequestID
	}
	return render(w, "refusal.html", p)
}

// notAllowed chooses the sentence for NotAllowed. The whole one is that of
// contract 5.3; a value that is absent takes its half along.
func notAllowed(r Refusal) string {
	framed := r.Mode == Frame || r.Mode == ""
	switch {
	case r.Page:
		return "refused.page"
	case r.Redirect != "" && r.Origin != "":
		return "refused.text"
	case r.Redirect != "":
		return "refused.redirect"
	case r.Origin != "":
		return "refused.origin"
	case framed:
		return "refused.either"
	}
	return "refused.address"
}

// Landing is the page at which the link of a message leads. It says nothing about that
// link: the script takes it from the page's own address and asks.
type Landing struct {
	Look   Look
	Locale string
	Nonce  string
	Issuer string // returned as iss to an app; empty: left out

	AccountURL string // where people look after their account; empty: no page of ours
}

// landingConfig is what the landing page's script reads.
type landingConfig struct {
	Base    string            `json:"base"`
	Locale  string            `json:"locale"`
	Issuer  string            `json:"issuer"`
	Account string            `json:"accountUrl"`
	Text    map[string]string `json:"text"`
}

// RenderLanding writes the page at which the link of a message leads.
func RenderLanding(w io.Writer, l Landing) error {
	text := textFor(l.Locale)
	p := newPage(text, l.Look, l.Nonce, "link")
	p.Script = assetURL("landing.js")
	p.Config = landingConfig{Base: "/p/" + url.PathEscape(l.Look.ID) + "/v1", Locale: text["lang"], Issuer: l.Issuer, Account: l.AccountURL,
		Text: text.only("bearer.", "recovery.", "nolink.", "unfinished.title", "fault.")}
	return render(w, "landing.html", p)
}

// Home is the page at the server's root.
type Home struct {
	Locale string
	Nonce  string

	Development bool   // say how to go on from here
	DemoURL     string // Development: a demo app; empty: not mentioned
}

// RenderHome writes the page at the server's root.
func RenderHome(w io.Writer, h Home) error {
	p := newPage(textFor(h.Locale), Look{}, h.Nonce, "")
	p.Title, p.Development = p.T("home.title"), h.Development
	p.Link = h.DemoURL
	return render(w, "home.html", p)
}

// Inbox is the page on which a developer reads what would have been sent. The
// page takes the per-run token from its own address and sends it as the header
// Inbox-Token.
type Inbox struct {
	Locale    string
	Nonce     string
	API       string // of the messages; empty: /inbox/api/messages
	SignInURL string // offered while there is no message; empty: not offered
}

// inboxConfig is what the inbox's script reads.
type inboxConfig struct {
	API    string            `json:"api"`
	Locale string            `json:"locale"`
	Text   map[string]string `json:"text"`
}

// RenderInbox writes the inbox page. It must be sent with [InboxCSP].
func RenderInbox(w io.Writer, i Inbox) error {
	text := textFor(i.Locale)
	if i.API == "" {
		i.API = "/inbox/api/messages"
	}
	p := newPage(text, Look{}, i.Nonce, "inbox")
	p.Script = assetURL("inbox.js")
	p.Title = text["inbox.title"]
	p.Link = i.SignInURL
	p.Config = inboxConfig{API: i.API, Locale: text["lang"], Text: text.only("inbox.")}
	return render(w, "inbox.html", p)
}

// A Captcha is somebody else's, whom the operator configured.
type Captcha struct {
	Script    string // address of what the page loads
	Hosts     string // sources that the policy of the page opens for, apart by spaces
	Object    string // global that the script makes
	SiteKey   string
	Invisible bool // it works without a box to tick
}

// captchaConfig is what the captcha's page reads.
type captchaConfig struct {
	Script    string `json:"script"`
	Object    string `json:"object"`
	SiteKey   string `json:"siteKey"`
	Invisible bool   `json:"invisible"`
}

// RenderCaptcha writes the page of a captcha, which the form shows in a frame. It must
// be sent with [CaptchaCSP].
func RenderCaptcha(w io.Writer, c Captcha, locale, nonce string) error {
	p := newPage(textFor(locale), Look{}, nonce, "captcha")
	p.Script = assetURL("widget.js")
	p.Title = p.T("captcha.title")
	p.Config = captchaConfig{Script: c.Script, Object: c.Object, SiteKey: c.SiteKey, Invisible: c.Invisible}
	return render(w, "captcha.html", p)
}

// CaptchaCSP is the policy of a captcha's page: the only one that opens for anybody else,
// and for nobody but the provider. It is framed by the form, and with it by the sites that
// may frame the form. Providers write styles into the page, and know no Trusted Types.
func CaptchaCSP(c Captcha, frameAncestors []string) string {
	return "default-src 'none'; script-src 'self' " + c.Hosts + "; frame-src " + c.Hosts + "; connect-src " + c.Hosts +
		"; img-src 'self' data: " + c.Hosts + "; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'" +
		strings.TrimSuffix(" "+strings.Join(sources(frameAncestors), " "), " ")
}

// FormCSP is CSP for a form that has a captcha: it may frame our own pages, which the
// captcha's is.
func FormCSP(nonce string, frameAncestors []string) string {
	return CSP(nonce, frameAncestors) + "; frame-src 'self'"
}

// CSP is the Content-Security-Policy of every page but the inbox and the captcha's. nonce is the
// one given to the page; frameAncestors are the origins that may frame it, none
// for pages that are never framed. An origin that would break out of its
// directive is left out.
func CSP(nonce string, frameAncestors []string) string {
	ancestors := sources(frameAncestors)
	if len(ancestors) == 0 {
		ancestors = []string{"'none'"}
	}
	return policy("'self' 'nonce-"+nonce+"'", "'none'", strings.Join(ancestors, " "))
}

// sources leaves out what would break out of its directive.
func sources(origins []string) []string {
	var kept []string
	for _, a := range origins {
		if a != "" && !strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r == ';' || r == ',' || r == '\'' || r > '~' }) {
			kept = append(kept, a)
		}
	}
	return kept
}

// PostCSP is CSP for a page without a script whose form is posted to this server.
func PostCSP(nonce string) string {
	return postable(CSP(nonce, nil))
}

// InboxCSP is the policy of the inbox page, which shows mails as their HTML in
// a sandboxed frame. The frame inherits the policy, so the mails' own style
// attributes must be allowed, and one Trusted Types policy that wraps them.
// Scripts and requests stay forbidden.
func InboxCSP() string {
	return policy("'self' 'unsafe-inline'", "inbox", "'none'")
}

// postable lets the form of a page be posted to this server.
func postable(csp string) string {
	return strings.Replace(csp, "form-action 'none'", "form-action 'self'", 1)
}

func policy(style, trusted, ancestors string) string {
	return "default-src 'none'; script-src 'self'; style-src " + style +
		"; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors " + ancestors +
		"; require-trusted-types-for 'script'; trusted-types " + trusted
}

// page is what the templates see.
type page struct {
	Step   *stepView
	text   table
	Look   Look
	Nonce  string
	Mode   string
	Letter string       // stands for the logo that a project lacks
	Style  template.CSS // the project's colours; made from parsed numbers only
	Logo   template.URL

	Sheet, Icon, Script string
	Config              any

	Kind                         Kind
	Providers                    []Link
	Passkey                      bool
	Bears                        bool   // there is a screen for whoever opened a link
	Lead, Change, None           string // keys of texts that depend on what is asked for
	Other, Switch                string // likewise
	CaptchaURL                   string
	Title, Text, Next, RequestID string
	Link                         string
	Command                      string // for the site's owner, after Next
	Development                  bool
	Undo, Keep                   string // the two answers of an undo page; empty: nothing is asked
}

func newPage(text table, look Look, nonce, mode string) *page {
	look.Name = shorten(strings.TrimSpace(look.Name), 60)
	p := &page{
		text: text, Look: look, Nonce: nonce, Mode: mode,
		Style: colours(look.Colour),
		Sheet: assetURL("style.css"), Icon: assetURL("icon.svg"),
	}
	for _, r := range look.Name {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			p.Letter = string(unicode.ToUpper(r))
			break
		}
	}
	// Anything but a path of ours or an image in the page would be a
	// third-party request, and the policy would block it anyway.
	local := strings.HasPrefix(look.LogoURL, "/") && !strings.HasPrefix(look.LogoURL, "//")
	if local || strings.HasPrefix(look.LogoURL, "data:image/") {
		p.Logo = template.URL(look.LogoURL)
	}
	return p
}

// T is a text of the page's locale, with {name} replaced by the value that
// follows "name" in pairs.
func (p *page) T(key string, pairs ...string) string { return fill(p.text[key], pairs...) }

// Named is T of key with the project's name, or of key.plain where it has none.
func (p *page) Named(key string) string {
	if p.Look.Name == "" {
		return p.text[key+".plain"]
	}
	return p.T(key, "name", p.Look.Name)
}

var beforeAtAndDot = regexp.MustCompile(`[@.]?[^@.]*`)

// Pieces is an address in pieces: one that is too long for its line breaks between them.
func (p *page) Pieces(address string) []string { return beforeAtAndDot.FindAllString(address, -1) }

// JSON is the script's configuration. encoding/json escapes <, > and &, so the
// text cannot end the script element it stands in.
func (p *page) JSON() (template.JS, error) {
	b, err := json.Marshal(p.Config)
	if err != nil {
		return "", fmt.Errorf("encoding the page's configuration: %w", err)
	}
	return template.JS(b), nil
}

//go:embed templates/*.html
var templateFiles embed.FS

// templates are parsed for the first page: the other commands, and a server that starts,
// do without.
var templates = sync.OnceValue(func() *template.Template { return template.Must(template.ParseFS(templateFiles, "templates/*.html")) })

func render(w io.Writer, name string, p *page) error {
	if err := templates().ExecuteTemplate(w, name, p); err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	return nil
}

// shorten cuts s to at most n runes, so that no parameter can fill a page.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}
