package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/browser"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/passkey"
)

type projectCommand struct {
	Create   projectCreate   `cmd:"" help:"Make a project with its own keys. Prints its id and its server secret."`
	List     projectList     `cmd:"" help:"List the projects."`
	Show     projectShow     `cmd:"" help:"Show the settings of a project."`
	Set      projectSet      `cmd:"" help:"Change the settings of a project. The running server notices within a second."`
	Form     projectForm     `cmd:"" help:"Change how one sign-in form of a site looks and what it asks, for pages that name it by its id."`
	Provider providerCommand `cmd:"" help:"Sign-in with accounts elsewhere: Google, GitHub and others."`
	Rotate   projectRotate   `cmd:"" name:"rotate-secret" help:"Give a project a new server secret; the old one stays good for a day."`
}

// look is the settings that create and set share. What is not given stays as it
// is.
type look struct {
	Name            *string        `help:"Shown to people." placeholder:"TEXT"`
	Issuer          *string        `help:"The iss claim of tokens. Empty: the server's own URL; for every project but the default, with /p/ and the API key id after it." placeholder:"URL"`
	Origin          []string       `help:"Site or app scheme that may use the project, replacing the list; repeat for several." placeholder:"URL" sep:"none"`
	ReturnPage      []string       `help:"Page of a listed site or app scheme to which a sign-in may return, replacing the list; repeat for several. A site that has one is returned to there alone, with any query and fragment. Empty: to any page. See docs/links.md." placeholder:"URL" sep:"none"`
	Colour          *string        `help:"Accent colour of pages and mails." placeholder:"#RRGGBB"`
	Logo            *string        `help:"Image for pages: PNG, JPEG, WebP or SVG, at most 64 KiB. Empty: none." placeholder:"FILE"`
	Locale          *string        `help:"Language of pages and mails where a person's own is not there." placeholder:"TAG"`
	Lookup          *string        `help:"What strangers learn who ask about a user: off or minimal." placeholder:"off|minimal"`
	Captcha         *string        `help:"When a captcha is asked, on a server that has a provider of captchas: never, escalation (of a network that starts many), phone (for every number) or always." placeholder:"RULE"`
	LinkApproval    *string        `help:"Whether who opens a link on another device may let the asking screen in, by its two digits: on or off. See docs/links.md for what a phisher makes of it." placeholder:"on|off"`
	AccountPage     *string        `help:"Whether people can look after their account at /account of this server: on or off." placeholder:"on|off"`
	PasskeyRequired *string        `help:"Whether who has a passkey must sign in with it: on or off. A code then begins a recovery, which is announced and waits. See docs/operate/passkeys.md." placeholder:"on|off"`
	PasskeySite     *string        `help:"The one host that all passkeys of the project are for, so that one works on all its sites. Empty: the host of each page. Best chosen before there are any. See docs/operate/passkeys.md." placeholder:"HOST"`
	RecoveryDelay   *time.Duration `help:"How long a recovery waits, between 1h and 720h; 0: 24h." placeholder:"DURATION"`
	RecogniseDays   *string        `help:"For how many days a browser is recognised that was told to remember a sign-in, at most 30: it then asks for no code. off: never." placeholder:"DAYS|off"`
	CodeLength      *int           `help:"Characters of a code; 0: 6." placeholder:"N"`
	CodeAlphabet    *string        `help:"What codes are made of. Empty: digits." placeholder:"CHARS"`
	CodeLifetime    *time.Duration `help:"How long a code is good, at most 10m." placeholder:"DURATION"`
	CodeTries       *int           `help:"Answers that one code takes." placeholder:"N"`
	AccessLifetime  *time.Duration `help:"Life of access and id tokens; 0: 1h." placeholder:"DURATION"`
	Method          []string       `help:"Way to sign in that is offered, replacing the list; repeat for several. Empty: all that the server has." placeholder:"NAME"`

	StartsPerNetwork   *int `help:"Sign-ins from one network in 5 minutes before a puzzle is asked; 0: 10." placeholder:"N"`
	RefusePerNetwork   *int `help:"The same before they are refused; 0: 200." placeholder:"N"`
	MessagesPerAddress *int `help:"Messages that strangers may cause to one address in 10 minutes; 0: 3." placeholder:"N"`
	MessagesPerDay     *int `help:"The same in a day; 0: 10." placeholder:"N"`

	phones
}

func (l *look) apply(s *splitpin.Settings) error {
	if l.Name != nil && strings.TrimSpace(*l.Name) == "" {
		return errors.New("name: must not be empty, since people are told what they sign in to; leave --name out to keep the one that is there")
	}
	set(&s.Name, l.Name)
	set(&s.Issuer, l.Issuer)
	if l.Origin != nil {
		s.Origins = origins(l.Origin)
	}
	if l.ReturnPage != nil {
		s.ReturnPages = returnPages(l.ReturnPage)
	}
	set(&s.Colour, l.Colour)
	set(&s.Locale, l.Locale)
	if l.Lookup != nil {
		s.Lookup = splitpin.Lookup(*l.Lookup)
		if *l.Lookup == "off" {
			s.Lookup = splitpin.LookupOff
		}
	}
	if err := onOff("link-approval", l.LinkApproval, &s.LinkApproval); err != nil {
		return err
	}
	accountPage := !s.NoAccountPage
	if err := onOff("account-page", l.AccountPage, &accountPage); err != nil {
		return err
	}
	s.NoAccountPage = !accountPage
	if err := onOff("passkey-required", l.PasskeyRequired, &s.PasskeyRequired); err != nil {
		return err
	}
	set(&s.RecoveryDelay, l.RecoveryDelay)
	set(&s.PasskeySite, l.PasskeySite)
	if l.RecogniseDays != nil {
		days, err := strconv.Atoi(*l.RecogniseDays)
		switch {
		case *l.RecogniseDays == "off":
			days = -1
		case err != nil || days < 1:
			return fmt.Errorf("recognise-days: must be between 1 and %d, or off, and is %q", browser.MaxDays, *l.RecogniseDays)
		}
		s.RecogniseDays = days
	}
	if l.Captcha != nil {
		s.Captcha = splitpin.CaptchaRule(*l.Captcha)
		if *l.Captcha == "never" {
			s.Captcha = splitpin.CaptchaNever
		}
	}
	if l.Logo != nil {
		s.Logo, s.LogoType = nil, ""
		if *l.Logo != "" {
			image, err := os.ReadFile(*l.Logo)
			if err != nil {
				return fmt.Errorf("reading the logo: %w", err)
			}
			project.SetLogo(s, image)
		}
	}
	set(&s.CodeLength, l.CodeLength)
	set(&s.CodeAlphabet, l.CodeAlphabet)
	set(&s.CodeLifetime, l.CodeLifetime)
	set(&s.CodeTries, l.CodeTries)
	set(&s.AccessLifetime, l.AccessLifetime)
	set(&s.Limits.StartsPerNetwork, l.StartsPerNetwork)
	set(&s.Limits.RefusePerNetwork, l.RefusePerNetwork)
	set(&s.Limits.MessagesPerAddress, l.MessagesPerAddress)
	set(&s.Limits.MessagesPerDay, l.MessagesPerDay)
	if l.Method != nil {
		s.Methods = slices.DeleteFunc(slices.Clone(l.Method), func(name string) bool { return name == "" })
	}
	return l.phones.apply(&s.Phone)
}

// onOff sets a switch of a project; nil leaves it as it is.
func onOff(name string, given *string, to *bool) error {
	if given == nil {
		return nil
	}
	if *given != "on" && *given != "off" {
		return fmt.Errorf("%s: must be on or off, and is %q", name, *given)
	}
	*to = *given == "on"
	return nil
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// origins forgives the slash that people copy along.
func origins(given []string) []string {
	out := []string{}
	for _, o := range given {
		if o = strings.TrimSpace(o); o == "" {
			continue
		}
		if canonical, ok := splitpin.ParseOrigin(strings.TrimSuffix(o, "/")); ok && canonical == strings.ToLower(strings.TrimSuffix(o, "/")) {
			o = canonical
		}
		if !slices.Contains(out, o) {
			out = append(out, o)
		}
	}
	return out
}

// returnPages writes pages as browsers do. What is none stays, for the check to say so.
func returnPages(given []string) []string {
	var out []string
	for _, page := range given {
		page = strings.TrimSpace(page)
		if canonical, ok := splitpin.ParseReturnPage(page); ok {
			page = canonical
		}
		if page != "" && !slices.Contains(out, page) {
			out = append(out, page)
		}
	}
	return out
}

type projectCreate struct {
	where
	look
	ID     string          `help:"API key id from outside: a team that moves in keeps its own." placeholder:"ID"`
	Secret splitpin.Secret `help:"Server secret from outside. Better: leave it out." placeholder:"SECRET" env:"SPLITPIN_PROJECT_SECRET"`
	AppKey bool            `help:"The secret shipped in apps, as Cotter's did: know it and let it open nothing."`
}

func (c *projectCreate) Run(ctx context.Context, t terminal) error {
	in, err := c.opened(ctx, true)
	if err != nil {
		return err
	}
	defer in.Close()
	d := project.Draft{ID: c.ID, Secret: c.Secret, AppKey: c.AppKey}
	if err := c.apply(&d.Settings); err != nil {
		return err
	}
	if c.AppKey && c.Lookup == nil {
		d.Settings.Lookup = splitpin.LookupMinimal // its clients ask before they sign anybody up
	}
	if err := checkMethods(d.Settings.Methods, in.engine.Methods()); err != nil {
		return err
	}
	if err := project.CheckPasskeySite(d.Settings, in.publicURL); err != nil {
		return err
	}
	p, secret, err := in.projects.Create(ctx, d)
	if err != nil {
		return err
	}
	t.printf("API key id     %s\n", p.ID)
	t.printf("Issuer         %s\n", issuer(in, p))
	if secret != "" {
		t.printf("Server secret  %s\n               shown this once; keep it on servers only\n", secret.Reveal())
	} else {
		t.printf("Server secret  none: make one with 'splitpin project rotate-secret %s'\n", p.ID)
	}
	if p.Default {
		t.printf("This is the default project: the root of the server serves it.\n")
	} else {
		t.printf("Base path      /p/%s\n", p.ID)
	}
	if len(p.Settings.Origins) == 0 {
		t.printf("It lists no origin, so nobody can sign in yet: name your site with 'splitpin project set %s --add-origin https://…'\n", p.ID)
	}
	t.printf("%s\n%s\n", risk(p.Settings), phoneRisk(p.Settings.Phone))
	return c.doubts(t, p)
}

// project returns a project by its API key id; the empty id is the default one.
func (in *installation) project(id string) (*splitpin.Project, error) {
	p, err := in.engine.Project(id)
	switch {
	case err == nil:
		return p, nil
	case len(in.engine.Projects()) == 0:
		return nil, errors.New("there is no project yet: make one with 'splitpin project create'")
	case id == "":
		return nil, errors.New("no project is the default here: name one by its API key id")
	}
	return nil, fmt.Errorf("there is no project with the API key id %s: 'splitpin project list' shows them", id)
}

// recognised says for how long browsers are.
func recognised(s splitpin.Settings) string {
	days := browser.Days(s)
	if days < 0 {
		return "never"
	}
	return fmt.Sprintf("%d days, in browsers that were told to remember", days)
}

// risk says in words what the settings of codes mean.
func risk(s splitpin.Settings) string {
	return fmt.Sprintf("Guessing: at most a %s chance per address and day (weaker than %s is refused).",
		project.Odds(project.GuessProbability(s)), project.Odds(signin.MaxGuessProbability))
}

type projectList struct{ where }

func (c *projectList) Run(ctx context.Context, t terminal) error {
	in, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	all := in.engine.Projects()
	if len(all) == 0 {
		t.printf("There is no project yet. Make one with 'splitpin project create'.\n")
	}
	for _, p := range all {
		mark := ""
		if p.Default {
			mark = "  (default)"
		}
		sites := "no origin"
		if n := len(p.Settings.Origins); n > 0 {
			sites = p.Settings.Origins[0]
			if n > 1 {
				sites += fmt.Sprintf(" and %d more", n-1)
			}
		}
		t.printf("%s  %s%s  %s\n", p.ID, p.Name(), mark, sites)
	}
	return nil
}

type projectShow struct {
	where
	ID string `arg:"" optional:"" help:"API key id. Empty: the default project."`
}

func (c *projectShow) Run(ctx context.Context, t terminal) error {
	in, p, err := c.openProject(ctx, c.ID)
	if err != nil {
		return err
	}
	defer in.Close()
	s := p.Settings
	length, alphabet := code.Shape(s)
	rows := [][2]string{
		{"API key id", p.ID}, {"Default", yes(p.Default)}, {"Name", p.Name()},
		{"Issuer", issuer(in, p)}, {"Base path", "/p/" + p.ID},
		{"Origins", strings.Join(s.Origins, "  ")}, {"Returns to", otherwise(strings.Join(s.ReturnPages, "  "), "any page of the origins")},
		{"Colour", s.Colour}, {"Locale", s.Locale},
		{"Lookup", otherwise(string(s.Lookup), "off")},
		{"Approval", onOrOff(s.LinkApproval) + ", by the two digits, of links opened elsewhere"},
		{"Account", otherwise(in.engine.AccountURL(p), "off")},
		{"Passkeys", passkeyRule(p)},
		{"Recognised", recognised(s)},
		{"Captcha", otherwise(string(s.Captcha), "never")},
		{"Methods", offered(s, in.engine.Methods())},
		{"Code", fmt.Sprintf("%d of %q", length, alphabet)},
		{"Made", p.CreatedAt.Format(time.RFC3339)}, {"Changed", p.UpdatedAt.Format(time.RFC3339)},
	}
	for _, l := range limits(s.Limits) {
		rows = append(rows, [2]string{"Limit", l})
	}
	if len(s.Logo) > 0 {
		rows = append(rows, [2]string{"Logo", fmt.Sprintf("%s, %d bytes", s.LogoType, len(s.Logo))})
	}
	for _, form := range slices.Sorted(maps.Keys(s.Forms)) {
		list := s.Forms[form]
		who := slices.Clone(list.Identifiers)
		for _, d := range list.Domains {
			who = append(who, "@"+d)
		}
		rows = append(rows, [2]string{"Admits", otherwise(strings.Join(who, "  "), "nobody") + " (" + otherwise(form, "every form without a list") + ")"})
	}
	for _, o := range s.Providers {
		rows = append(rows, [2]string{"Provider", o.Name + ", " + o.Kind + ", client " + o.ClientID})
	}
	rows = append(rows, siteRows(s.Site)...)
	rows = append(rows, phoneRows(s.Phone)...)
	for _, k := range p.Secrets {
		text := string(k.Kind) + " since " + k.CreatedAt.Format(time.RFC3339)
		if !k.RetiresAt.IsZero() {
			text += ", good until " + k.RetiresAt.Format(time.RFC3339)
		}
		rows = append(rows, [2]string{"Secret", text})
	}
	for _, r := range rows {
		t.printf("%-12s %s\n", r[0], otherwise(r[1], "-"))
	}
	t.printf("%s\n%s\n", risk(s), phoneRisk(s.Phone))
	return c.doubts(t, p)
}

// offered says which methods a project offers, and what others need. all is every method
// that there is.
func offered(s splitpin.Settings, all []string) string {
	text := ""
	if len(s.Methods) == 0 {
		text = "all: "
	} else {
		all = s.Methods
	}
	var have, lacking []string
	for _, method := range all {
		if lack := project.Lacks(s, method); lack != "" {
			lacking = append(lacking, method+" needs "+lack)
		} else {
			have = append(have, method)
		}
	}
	text += otherwise(strings.Join(have, "  "), "none")
	if len(lacking) > 0 {
		text += "; " + strings.Join(lacking, "; ")
	}
	return text
}

// doubts says what settings of a project cannot work.
func (w where) doubts(t terminal, p *splitpin.Project) error {
	s := p.Settings
	if !project.Opens(s) {
		t.printf("Nobody can sign in. Methods that work: %s.\n", offered(s, nil))
	}
	c, err := w.load()
	if err != nil {
		return err
	}
	if s.Captcha != splitpin.CaptchaNever && c.Captcha.Provider == "" {
		t.printf("No captcha is asked while the configuration of the server has no captcha.provider.\n")
	}
	for _, doubt := range unreachable(p, c.reaches()) {
		t.printf("No request reaches %s%s.\n", doubt, ifMeant)
	}
	return nil
}

// relatedPages says what browsers must find at the one site of a project's passkeys.
func relatedPages(p *splitpin.Project, publicURL string) string {
	related := passkey.RelatedOrigins(p.Settings, publicURL)
	if len(related) == 0 {
		return ""
	}
	document, err := json.Marshal(map[string][]string{"origins": related})
	if err != nil {
		return ""
	}
	site := p.Settings.PasskeySite
	text := fmt.Sprintf("Browsers ask https://%s/.well-known/webauthn which other pages may use its passkeys. It must answer, as application/json:\n  %s\n", site, document)
	if public, err := url.Parse(publicURL); err == nil && public.Hostname() == site {
		text = fmt.Sprintf("Browsers ask https://%s/.well-known/webauthn, which this server answers, which other pages may use its passkeys: %s\n", site, strings.Join(related, "  "))
	}
	if len(related) > passkey.MaxRelated {
		text += fmt.Sprintf("These are %d pages. Of pages whose names differ before the public suffix, some browsers look at the first %d only.\n", len(related), passkey.MaxRelated)
	}
	return text
}

// passkeyRule says in words what passkeys are to a project.
func passkeyRule(p *splitpin.Project) string {
	text := "not required"
	if p.Settings.PasskeyRequired {
		text = "required of who has one; a recovery waits " + account.RecoveryDelay(p).String()
	}
	if site := p.Settings.PasskeySite; site != "" {
		text += "; all for " + site
	}
	if project.HidesPasskeys(p) {
		text += "; pages with Cotter's SDK ask for none while look-ups are off"
	}
	return text
}

// limits says in words which limits of a project are not the ordinary ones.
func limits(l splitpin.Limits) []string {
	var out []string
	for _, row := range []struct {
		own, ordinary int
		text          string
	}{
		{l.StartsPerNetwork, signin.DefaultStartsPerNetwork, "sign-ins from one network in 5 minutes before a puzzle is asked"},
		{l.RefusePerNetwork, signin.DefaultRefusePerNetwork, "sign-ins from one network in 5 minutes before they are refused"},
		{l.MessagesPerAddress, signin.DefaultMessagesPerAddress, "messages that strangers may cause to one address in 10 minutes"},
		{l.MessagesPerDay, signin.DefaultMessagesPerDay, "messages that strangers may cause to one address in a day"},
	} {
		if row.own != 0 && row.own != row.ordinary {
			out = append(out, fmt.Sprintf("%d %s (ordinarily %d)", row.own, row.text, row.ordinary))
		}
	}
	return out
}

// issuer is the iss claim of a project's tokens. In a folder that no server has
// served yet nobody knows its URL.
func issuer(in *installation, p *splitpin.Project) string {
	text := in.tokens.Issuer(p)
	if text == "" || text[0] == '/' {
		return "the server's own URL" + text
	}
	return text
}

func onOrOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func otherwise(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

type projectSet struct {
	where
	look
	AddOrigin        []string `help:"Add one to the list of sites." placeholder:"URL" sep:"none"`
	RemoveOrigin     []string `help:"Take one off the list of sites." placeholder:"URL" sep:"none"`
	AddReturnPage    []string `help:"Add one to the list of return pages." placeholder:"URL" sep:"none"`
	RemoveReturnPage []string `help:"Take one off the list of return pages." placeholder:"URL" sep:"none"`
	GiveUp           []string `name:"give-up-passkeys" help:"Host whose passkeys nobody can use after this change, which is refused otherwise." placeholder:"HOST" sep:"none"`
	Protect          []string `help:"Put a page of the site, or with * all that begin so, on the list of those for people who are signed in." placeholder:"PATH" sep:"none"`
	Unprotect        []string `help:"Take a page off that list." placeholder:"PATH" sep:"none"`
	DeniedURL        *string  `help:"Where the site's pages lead who may not see them. Empty: the root of the site." placeholder:"URL"`
	Completion       *string  `name:"completion-url" help:"Address of your backend that hears of every completed form of Cotter's loader. Prints the secret that signs what it is told, once; each time another. Empty: none." placeholder:"URL"`
	Form             string   `help:"Form that --admit and --admit-all are about. Empty: the project's own list, for every form that has none." placeholder:"ID"`
	Admit            []string `help:"Put an address, or everybody at @domain, on the list of who may sign in." placeholder:"ADDRESS" sep:"none"`
	AdmitAll         bool     `help:"Take the list away. A project without lists admits everybody."`
	ID               string   `arg:"" optional:"" help:"API key id. Empty: the default project."`
}

func (c *projectSet) Run(ctx context.Context, t terminal) error {
	in, p, err := c.openProject(ctx, c.ID)
	if err != nil {
		return err
	}
	defer in.Close()
	var before, phonesBefore string
	alter := func(p *splitpin.Project) error {
		before, phonesBefore = risk(p.Settings), phoneRisk(p.Settings.Phone)
		if err := c.apply(&p.Settings); err != nil {
			return err
		}
		if err := checkMethods(p.Settings.Methods, in.engine.Methods()); err != nil {
			return err
		}
		p.Settings.Origins = origins(append(slices.Clone(p.Settings.Origins), c.AddOrigin...))
		gone := origins(c.RemoveOrigin)
		p.Settings.Origins = slices.DeleteFunc(p.Settings.Origins, func(o string) bool { return slices.Contains(gone, o) })
		p.Settings.ReturnPages = returnPages(append(slices.Clone(p.Settings.ReturnPages), c.AddReturnPage...))
		noLonger := returnPages(c.RemoveReturnPage)
		p.Settings.ReturnPages = slices.DeleteFunc(p.Settings.ReturnPages, func(page string) bool { return slices.Contains(noLonger, page) })
		c.protect(&p.Settings.Site)
		if c.Completion != nil {
			p.Settings.Site.Completion = project.NewCompletion(in.ring, *c.Completion)
		}
		if c.AdmitAll {
			delete(p.Settings.Forms, c.Form)
		}
		giveUp(&p.Settings, c.GiveUp, in.publicURL)
		if err := project.CheckPasskeySite(p.Settings, in.publicURL); err != nil {
			return err
		}
		return admit(&p.Settings, c.Form, c.Admit)
	}
	if err := in.orphans(ctx, p, alter); err != nil {
		return err
	}
	if p, err = in.projects.Change(ctx, p.ID, alter); err != nil {
		return err
	}
	t.printf("Changed %s (%s).\n", p.ID, p.Name())
	if c.Completion != nil && *c.Completion != "" {
		secret, err := project.CompletionSecret(in.ring, p)
		if err != nil {
			return err
		}
		t.printf("Completion secret  %s\n                   shown this once; for %s\n", secret.Reveal(), *c.Completion)
	}
	switch hidden := project.HidesPasskeys(p) && (c.Lookup != nil || c.PasskeyRequired != nil); {
	case hidden && p.Settings.PasskeyRequired:
		t.printf("Pages with Cotter's SDK ask for a passkey only with --lookup minimal: without it, people with a passkey cannot sign in there.\n")
	case hidden && c.Lookup != nil:
		t.printf("Pages with Cotter's SDK ask for a passkey only with --lookup minimal: people sign in there by other ways.\n")
	}
	if c.PasskeySite != nil || p.Settings.PasskeySite != "" && (c.Origin != nil || c.AddOrigin != nil || c.RemoveOrigin != nil) {
		t.printf("%s", relatedPages(p, in.publicURL))
	}
	for _, method := range p.Settings.Methods {
		if lack := project.Lacks(p.Settings, method); lack != "" && c.Method != nil {
			t.printf("%s is not offered yet: it needs %s.\n", method, lack)
		}
	}
	if after := risk(p.Settings); after != before {
		t.printf("%s\n", after)
	}
	if after := phoneRisk(p.Settings.Phone); after != phonesBefore {
		t.printf("%s\n", after)
	}
	return c.doubts(t, p)
}

// giveUp notes the hosts whose passkeys are given up. One that is a site of the project
// (again) is not.
func giveUp(s *splitpin.Settings, hosts []string, publicURL string) {
	sites := passkey.Sites(*s, publicURL)
	s.FormerSites = slices.DeleteFunc(append(slices.Clone(s.FormerSites), hosts...), func(host string) bool { return slices.Contains(sites, host) })
	slices.Sort(s.FormerSites)
	s.FormerSites = slices.Compact(s.FormerSites)
}

// orphans refuses a change after which there are passkeys that nobody can use any more.
func (in *installation) orphans(ctx context.Context, p *splitpin.Project, alter func(*splitpin.Project) error) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	changed := new(splitpin.Project)
	if err := json.Unmarshal(text, changed); err != nil {
		return err
	}
	if err := alter(changed); err != nil {
		return err
	}
	was, err := in.projects.Orphans(ctx, p, p.Settings, in.publicURL)
	if err != nil {
		return err
	}
	lost, err := in.projects.Orphans(ctx, p, changed.Settings, in.publicURL)
	if err != nil {
		return err
	}
	var wrong problems
	for _, o := range lost {
		if !slices.Contains(was, o) {
			wrong.add("after this change nobody can use the passkeys for %s any more, of which there are %d. Keep a page of that host on the list of sites, or add --give-up-passkeys %s", o.Site, o.Passkeys, o.Site)
		}
	}
	return wrong.err()
}

// admit puts people on the list of a form.
func admit(s *splitpin.Settings, form string, who []string) error {
	if len(who) == 0 {
		return nil
	}
	list := s.Forms[form]
	for _, w := range who {
		if domain, ok := strings.CutPrefix(w, "@"); ok {
			// By way of an address, so that domains are written as addresses are.
			address, _, err := account.ParseIdentifier("x@" + domain)
			if err != nil {
				return fmt.Errorf("admit: %q is no domain; write @example.org", w)
			}
			_, domain, _ = strings.Cut(address, "@")
			list.Domains = append(list.Domains, domain)
			continue
		}
		identifier, _, err := account.ParseIdentifier(w)
		if err != nil {
			return fmt.Errorf("admit: %q is no address; write ada@example.org, or @example.org for everybody there", w)
		}
		list.Identifiers = append(list.Identifiers, identifier)
	}
	list.Domains = slices.Compact(slices.Sorted(slices.Values(list.Domains)))
	list.Identifiers = slices.Compact(slices.Sorted(slices.Values(list.Identifiers)))
	if s.Forms == nil {
		s.Forms = map[string]splitpin.AllowList{}
	}
	s.Forms[form] = list
	return nil
}

type projectRotate struct {
	where
	ID          string `arg:"" optional:"" help:"API key id. Empty: the default project."`
	Compromised bool   `help:"The old secrets are known to strangers: end them now."`
}

func (c *projectRotate) Run(ctx context.Context, t terminal) error {
	in, p, err := c.openProject(ctx, c.ID)
	if err != nil {
		return err
	}
	defer in.Close()
	secret, until, err := in.projects.RotateSecret(ctx, p.ID, c.Compromised)
	if err != nil {
		return err
	}
	t.printf("Server secret  %s\n               shown this once; keep it on servers only; good within a second\n", secret.Reveal())
	if c.Compromised {
		t.printf("The old secrets are good for nothing from now on.\n")
	} else {
		t.printf("The one before stays good until %s.\n", until.Format(time.RFC3339))
	}
	return nil
}
