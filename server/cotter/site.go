package cotter

import (
	"cmp"
	"html"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/web"
)

// What the loader asks on behalf of a customer's site: how its forms look, which of
// its pages are protected, and who may see them.

// describe is GET /company/info/{api_key_id}, which anybody may read. A setting that
// has no field here cannot leak (contract 13, row 26).
func (f *Face) describe(c *call) (any, error) {
	p, err := f.edge.Project(c.r, c.r.PathValue("api_key_id"))
	if err != nil {
		return nil, err
	}
	site := &p.Settings.Site
	// Forms stand beside the site under their ids, so both go into one object.
	all := map[string]any{"siteCustomization": siteInfoOf(site)}
	for id := range site.Forms {
		all[id] = f.formInfo(p, id)
	}
	all[splitpin.DefaultForm] = f.formInfo(p, splitpin.DefaultForm)
	// The loader asks several times for one page, and what an operator changed holds at
	// once.
	c.w.Header().Set("Cache-Control", "public, max-age=1")
	return map[string]any{"customization": all}, nil
}

// A formInfo is how the loader sees one form. It keeps to itself most of what it is
// told: the form asks again, by its id.
type formInfo struct {
	Type          string      `json:"type"`
	Method        string      `json:"authenticationMethod"`
	Title         string      `json:"modalTitle"`
	TitleColour   string      `json:"modalTitleColor,omitempty"`
	Background    string      `json:"modalBackgroundColor,omitempty"`
	Logo          string      `json:"logo"` // always there: without one the loader asks Cotter's own host
	Captcha       bool        `json:"captchaRequired"`
	Providers     []string    `json:"socialLoginProviders"`
	PhoneChannels []string    `json:"phoneChannels"`
	Fields        []fieldInfo `json:"additionalFields"`
	AfterLogin    string      `json:"afterLoginURL,omitempty"`
	AfterLogout   string      `json:"afterLogoutURL,omitempty"`
}

type fieldInfo struct {
	Label string `json:"label"`
	Name  string `json:"name"`
	Type  string `json:"type"`
}

type siteInfo struct {
	Denied    string     `json:"accessDeniedPage"`
	Protected []pageInfo `json:"protectedPages"`
}

type pageInfo struct {
	Path    string `json:"path"`
	Matcher string `json:"matcher"` // start or equal
}

func (f *Face) formInfo(p *splitpin.Project, id string) formInfo {
	form, _ := p.Settings.Site.Form(id)
	info := formInfo{
		Type: "EMAIL", Method: "OTP",
		Title:       html.EscapeString(cmp.Or(form.Title, p.Settings.Name, "Sign in")), // the loader takes it for HTML
		TitleColour: form.TitleColour, Background: form.Background,
		Logo:      f.edge.PublicURL.JoinPath(web.DefaultLogo).String(),
		Providers: []string{}, PhoneChannels: []string{}, Fields: []fieldInfo{},
		AfterLogin: form.AfterLogin, AfterLogout: form.AfterLogout,
	}
	if len(p.Settings.Logo) > 0 {
		info.Logo = f.edge.PublicURL.JoinPath("logo", p.ID).String()
	}
	if form.Method == "link" {
		info.Method = "MAGIC_LINK"
	}
	if form.Kind == splitpin.Phone {
		info.Type = "PHONE"
		for _, c := range f.engine.Channels(p, "sms_code") {
			if len(form.Channels) == 0 || slices.Contains(form.Channels, c) {
				info.PhoneChannels = append(info.PhoneChannels, strings.ToUpper(string(c)))
			}
		}
	}
	switch p.Settings.Captcha {
	case splitpin.CaptchaPhone:
		info.Captcha = f.pages.Captcha != nil && form.Kind == splitpin.Phone
	case splitpin.CaptchaAlways:
		info.Captcha = f.pages.Captcha != nil
	}
	for _, name := range form.Social {
		info.Providers = append(info.Providers, strings.ToUpper(name))
	}
	for _, field := range form.Fields {
		info.Fields = append(info.Fields, fieldInfo{Label: field.Label, Name: field.Name, Type: cmp.Or(field.Type, "text")})
	}
	return info
}

func siteInfoOf(s *splitpin.Site) siteInfo {
	info := siteInfo{Denied: s.DeniedURL, Protected: []pageInfo{}}
	for _, p := range s.Protected {
		matcher := "equal"
		if p.Below {
			matcher = "start"
		}
		info.Protected = append(info.Protected, pageInfo{p.Path, matcher})
	}
	return info
}

// A screening is the answer of the two screening paths. The message is shown in the
// form.
type screening struct {
	Passed  bool   `json:"passed"`
	Message string `json:"message,omitempty"`
	*refusal
}

// screenForm is GET /screening/form: whether somebody may sign in through a form. It
// tells early what the engine enforces when an attempt starts and when it is
// collected.
func (f *Face) screenForm(c *call) (any, error) {
	return f.screen(c, func(p *splitpin.Project, identifier string) bool {
		return f.engine.Admits(p, c.r.URL.Query().Get("form-id"), identifier)
	})
}

// screenSite is GET /screening/site: whether somebody who is signed in may see the
// protected pages of a site. Whoever may sign in anywhere there may.
func (f *Face) screenSite(c *call) (any, error) { return f.screen(c, f.engine.AdmitsSomewhere) }

// screen tells strangers who is on a list, so they are counted like other look-ups. A
// refusal carries passed and message too: the scripts show what they can read and
// else a generic text.
func (f *Face) screen(c *call, admits func(p *splitpin.Project, identifier string) bool) (any, error) {
	p, err := f.workerProject(c.r)
	if err == nil {
		err = f.engine.ChargeLookup(c.r.Context(), p, c.by)
	}
	if err != nil {
		known := f.edge.Refusal(c.r, err)
		edge.SetRetryAfter(c.w, known)
		edge.WriteJSON(c.w, status(known), screening{Message: known.Message, refusal: &refusal{Msg: known.Message}})
		return nil, nil
	}
	if !admits(p, c.r.URL.Query().Get("identifier")) {
		return screening{Message: signin.ErrNotAdmitted.Message}, nil
	}
	return screening{Passed: true}, nil
}
