package signin

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/splitpin/splitpin"
)

// AccountPath is where people look after their account on this server.
const AccountPath = "/account"

// AccountURL is the page of this server on which people of a project look after their
// account. It is empty where the project does without.
func (e *Engine) AccountURL(p *splitpin.Project) string {
	if p.Settings.NoAccountPage {
		return ""
	}
	return strings.TrimSuffix(e.publicURL, "/") + AccountPath + "?project=" + url.QueryEscape(p.ID)
}

// Leads reports whether the result of a sign-in may go to a destination: one that the
// project lists, or its page about the account, which is this server's own and the same
// for everybody.
func (e *Engine) Leads(p *splitpin.Project, destination string) bool {
	return p.Lists(destination) || destination != "" && destination == e.AccountURL(p)
}

// asking is the origin of a page that asks as everything here knows it: a page of this
// server has none, unless the project lists it as a site of its own.
func (e *Engine) asking(p *splitpin.Project, origin string) string {
	if own, ok := splitpin.ParseOrigin(e.publicURL); ok && origin == own && !p.ListsOrigin(own) {
		return ""
	}
	return origin
}

// Accepted says which credentials of one person are good at one site. What else the
// person's password manager has of that user for that site is good for nothing.
type Accepted struct {
	Site string        // the RP id
	User splitpin.UUID // as the password manager knows the person
	IDs  []string      // as it knows the credentials, base64url; none: none is good
}

// Accepted returns what a page may tell the person's password manager: about the site
// at which it makes and uses credentials. An empty origin is a page of this server. It is nil
// where that site has none, or where nobody can be sure that it would be all of them.
//
// A credential that is left out may be hidden from its person. So those of other projects
// count too: they may have the same site, and a person who was moved into two of them has
// the same ID in both.
func (e *Engine) Accepted(ctx context.Context, p *splitpin.Project, u *splitpin.User, origin string) (_ *Accepted, err error) {
	ctx, done := e.observe(ctx, "accepted")
	defer func() { done(err) }()
	shares, site := e.shares(p, e.asking(p, origin))
	projects := e.projects.Load().byNumber
	if site == "" || len(projects) > maxAsked {
		return nil, nil
	}
	now := e.moment()
	out := &Accepted{Site: site, User: u.ID, IDs: []string{}}
	for number := range projects {
		r, err := e.store.Load(ctx, splitpin.Reads{UserID: splitpin.UserKey{Project: number, ID: u.ID}, Credentials: true})
		if err != nil {
			return nil, fmt.Errorf("listing credentials: %w", err)
		}
		for _, c := range r.Credentials {
			if c.Kind != shares.Knows() || c.Site != site || !c.Live(now) {
				continue
			}
			id := shares.KnownAs(c)
			if id == "" {
				return nil, nil // one that could not be named would be hidden
			}
			out.IDs = append(out.IDs, id)
		}
	}
	return out, nil
}

// Site is the site at which credentials of a project are good that are made on pages of
// this server; empty: none are made there.
func (e *Engine) Site(p *splitpin.Project) string {
	_, site := e.shares(p, "")
	return site
}

// shares finds the method of a project whose credentials password managers keep, and the site
// at which those of a page are good.
func (e *Engine) shares(p *splitpin.Project, origin string) (Sharer, string) {
	if origin != "" && !p.ListsOrigin(origin) {
		return nil, ""
	}
	for _, name := range e.Offered(p) {
		if m, ok := e.methods[name].(Sharer); ok {
			site, err := m.Site(p, origin)
			if err != nil {
				return nil, ""
			}
			return m, site
		}
	}
	return nil, ""
}

// Provider is the name of the provider that a credential is an account at: "GITHUB". It
// is empty where it is none.
func (e *Engine) Provider(c *splitpin.Credential) string {
	for _, m := range e.methods {
		if connector, ok := m.(Connector); ok && c.Kind == splitpin.SocialCredential {
			at, _ := connector.Account(c) // of one that cannot be read, nothing is known
			return at.Provider
		}
	}
	return ""
}
