package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/splitpin/splitpin"
)

type projectForm struct {
	where
	Form    string `arg:"" help:"Id of the form, as pages name it: form_default."`
	Project string `help:"API key id. Empty: the default project." placeholder:"ID"`

	Type        *string  `help:"What the form asks for: email or phone." placeholder:"email|phone"`
	Method      *string  `help:"What is sent: code, or link for a link and a code. Empty: what the page asks for." placeholder:"code|link"`
	Channel     []string `help:"Ways to send a code to a phone, in the order in which they are offered, replacing the list: sms, whatsapp." placeholder:"NAME"`
	Social      []string `help:"Providers that are offered, replacing the list: google. Empty: none." placeholder:"NAME"`
	Field       []string `help:"Question of your own, replacing the list; repeat for several. Empty: none. NAME:TYPE=LABEL sets the type of the input: text, email, tel, url, number, date or checkbox." placeholder:"NAME=LABEL" sep:"none"`
	Title       *string  `help:"Above the form where it opens in a window. Empty: the name of the project." placeholder:"TEXT"`
	TitleColour *string  `help:"Colour of the title." placeholder:"#RRGGBB"`
	Background  *string  `help:"Colour of the window." placeholder:"#RRGGBB"`
	AfterLogin  *string  `help:"Where the page goes after a sign-in. Empty: nowhere." placeholder:"URL"`
	AfterLogout *string  `help:"Where log-out buttons of this form lead, a path. Empty: they do nothing." placeholder:"PATH"`
	Remove      bool     `help:"Take the form away."`
}

func (c *projectForm) Run(ctx context.Context, t terminal) error {
	in, p, err := c.openProject(ctx, c.Project)
	if err != nil {
		return err
	}
	defer in.Close()
	p, err = in.projects.Change(ctx, p.ID, func(p *splitpin.Project) error {
		site := &p.Settings.Site
		if c.Remove {
			if _, listed := site.Forms[c.Form]; !listed {
				return fmt.Errorf("there is no form %s", c.Form)
			}
			delete(site.Forms, c.Form)
			return nil
		}
		f := site.Forms[c.Form]
		if err := c.apply(&f); err != nil {
			return err
		}
		if site.Forms == nil {
			site.Forms = map[string]splitpin.Form{}
		}
		site.Forms[c.Form] = f
		return nil
	})
	if err != nil {
		return err
	}
	t.printf("Changed the form %s of %s (%s).\n", c.Form, p.ID, p.Name())
	return nil
}

func (c *projectForm) apply(f *splitpin.Form) error {
	var problems []error
	if c.Type != nil {
		kinds := map[string]splitpin.IdentifierKind{"": splitpin.OtherName, "email": splitpin.Email, "phone": splitpin.Phone}
		kind, ok := kinds[*c.Type]
		if !ok {
			problems = append(problems, errors.New("type: must be email or phone"))
		}
		f.Kind = kind
	}
	set(&f.Method, c.Method)
	if c.Channel != nil {
		f.Channels = nil
		for _, name := range named(c.Channel) {
			f.Channels = append(f.Channels, splitpin.Channel(name))
		}
	}
	if c.Social != nil {
		f.Social = named(c.Social)
	}
	if c.Field != nil {
		f.Fields = nil
		for _, text := range named(c.Field) {
			name, label, _ := strings.Cut(text, "=")
			name, kind, _ := strings.Cut(name, ":")
			f.Fields = append(f.Fields, splitpin.FormField{Name: name, Type: kind, Label: strings.TrimSpace(label)})
		}
	}
	set(&f.Title, c.Title)
	set(&f.TitleColour, c.TitleColour)
	set(&f.Background, c.Background)
	set(&f.AfterLogin, c.AfterLogin)
	set(&f.AfterLogout, c.AfterLogout)
	return errors.Join(problems...)
}

// named drops the empty text, by which a list is emptied.
func named(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}

// protect changes which pages of the site are for people who are signed in.
func (c *projectSet) protect(s *splitpin.Site) {
	for _, text := range c.Unprotect {
		page := protectedPage(text)
		s.Protected = slices.DeleteFunc(s.Protected, func(p splitpin.ProtectedPage) bool { return p == page })
	}
	for _, text := range c.Protect {
		if page := protectedPage(text); !slices.Contains(s.Protected, page) {
			s.Protected = append(s.Protected, page)
		}
	}
	set(&s.DeniedURL, c.DeniedURL)
}

func protectedPage(text string) splitpin.ProtectedPage {
	path, below := strings.CutSuffix(text, "*")
	return splitpin.ProtectedPage{Path: path, Below: below}
}

// siteRows are the lines of 'project show' about a site.
func siteRows(s splitpin.Site) (rows [][2]string) {
	for _, id := range slices.Sorted(maps.Keys(s.Forms)) {
		f := s.Forms[id]
		asks := "email"
		if f.Kind == splitpin.Phone {
			asks = "phone"
		}
		text := []string{id, "asks for " + asks}
		if f.Method != "" {
			text = append(text, "sends a "+f.Method)
		}
		for _, field := range f.Fields {
			text = append(text, "asks "+field.Name)
		}
		if len(f.Social) > 0 {
			text = append(text, "offers "+strings.Join(f.Social, " "))
		}
		if f.AfterLogin != "" {
			text = append(text, "then "+f.AfterLogin)
		}
		rows = append(rows, [2]string{"Form", strings.Join(text, ", ")})
	}
	for _, p := range s.Protected {
		path := p.Path
		if p.Below {
			path += "*"
		}
		rows = append(rows, [2]string{"Protected", path + ", else to " + otherwise(s.DeniedURL, "/")})
	}
	if s.Completion.URL != "" {
		rows = append(rows, [2]string{"Completion", s.Completion.URL})
	}
	return rows
}
