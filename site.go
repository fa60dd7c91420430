package splitpin

import (
	"maps"
	"slices"
)

// DefaultForm is the id of the form that Cotter's loader shows where a page names no
// other.
const DefaultForm = "form_default"

// A Site is what an operator says of a customer's site, for scripts that ask the
// server how to treat its pages: which forms it has, who may see what, and who hears
// of it when a form was completed. The zero value says nothing.
type Site struct {
	// Forms are by id. DefaultForm is there whether it is listed or not.
	Forms map[string]Form `json:"forms,omitempty"`

	// Protected are the pages for people who are signed in; who is not is led to
	// DeniedURL, a path or an https URL. Empty: to the root of the site. The site's
	// own script does so, in the browser: what must stay secret needs a backend.
	Protected []ProtectedPage `json:"protected,omitempty"`
	DeniedURL string          `json:"denied_url,omitempty"`

	Completion Completion `json:"completion,omitzero"`
}

// A Form is how one sign-in form looks and what it asks. Zero fields mean what the
// form does without them.
type Form struct {
	Kind     IdentifierKind `json:"kind,omitempty"`     // Email or Phone; OtherName: Email
	Method   string         `json:"method,omitempty"`   // code, or link for both; empty: what the page asks for, else code
	Channels []Channel      `json:"channels,omitempty"` // of a phone; empty: all of the project
	Social   []string       `json:"social,omitempty"`   // names of providers: "google"
	Fields   []FormField    `json:"fields,omitempty"`   // asked besides the identifier

	// Title, TitleColour and Background are of the window that the form opens in;
	// colours are #rrggbb.
	Title       string `json:"title,omitempty"`
	TitleColour string `json:"title_colour,omitempty"`
	Background  string `json:"background,omitempty"`

	AfterLogin  string `json:"after_login,omitempty"`  // a path or an https URL; empty: the page stays
	AfterLogout string `json:"after_logout,omitempty"` // a path; empty: log-out buttons of this form do nothing
}

// A FormField is a question of the site's own. What is answered is handed to the
// site with the sign-in, and kept nowhere here.
type FormField struct {
	Name  string `json:"name"`           // key of the answer
	Label string `json:"label"`          // shown to people
	Type  string `json:"type,omitempty"` // of an HTML input; empty: text
}

// A ProtectedPage is a path of the customer's site, or with Below everything that
// begins like it.
type ProtectedPage struct {
	Path  string `json:"path"`
	Below bool   `json:"below,omitempty"`
}

// A Completion is the address of the project's backend that hears of each completed
// form. The secret that it is told by is derived from Salt with the data key of
// Generation, and stored nowhere.
type Completion struct {
	URL        string   `json:"url,omitempty"` // empty: nobody hears
	Salt       [16]byte `json:"salt,omitzero"`
	Generation int      `json:"generation,omitempty"`
}

// Form returns the settings of a form. A form that is not listed looks and asks as
// the zero Form does; listed tells whether it is, or is the DefaultForm.
func (s *Site) Form(id string) (f Form, listed bool) {
	f, listed = s.Forms[id]
	return f, listed || id == DefaultForm
}

// Clone returns a copy that shares no memory with s.
func (s Site) Clone() Site {
	s.Forms = maps.Clone(s.Forms)
	for id, f := range s.Forms {
		f.Channels, f.Social, f.Fields = slices.Clone(f.Channels), slices.Clone(f.Social), slices.Clone(f.Fields)
		s.Forms[id] = f
	}
	s.Protected = slices.Clone(s.Protected)
	return s
}
