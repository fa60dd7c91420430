package signin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/signin"
)

// The page about the account is a destination for its project alone, as it is written.
func TestAccountDestination(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	here := h.AccountURL(h.shop)
	if want := "https://login.example.org/account?project=" + h.shop.ID; here != want {
		t.Fatalf("the page is %s, want %s", here, want)
	}
	to := func(destination, origin string) error {
		req := v.request(ada)
		req.Destination, req.Origin, req.Project = destination, origin, h.shop
		_, err := v.Start(t.Context(), req)
		return err
	}
	const own = "https://login.example.org"
	if err := to(here, ""); err != nil {
		t.Errorf("to the page: %v", err)
	}
	if err := to(here, own); err != nil {
		t.Errorf("to the page, asked by a page of ours: %v", err)
	}
	for _, other := range []string{h.AccountURL(h.club), here + "&x=1", own + "/account", own, own + "/elsewhere?project=" + h.shop.ID, strings.Replace(here, "https", "http", 1)} {
		refused(t, "to "+other, to(other, ""), signin.ErrRedirect)
	}
	refused(t, "asked by another page", to(here, "https://login.example.com"), signin.ErrOrigin)
	refused(t, "to nowhere, asked by a page of ours", to("", own), signin.ErrRedirect)

	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.NoAccountPage = true })
	refused(t, "to the page when it is off", to(here, ""), signin.ErrRedirect)
	if h.AccountURL(h.shop) != "" || h.Leads(h.shop, "") {
		t.Error("a page that is off has an address")
	}
}

// What a password manager is told must be all that is good, or nothing.
func TestAccepted(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	c, has := v.member(ada, "hers")
	if _, err := v.enrol(c, "second"); err != nil {
		t.Fatal(err)
	}
	v.member("bob@example.org", "his")
	accepted := func(p *splitpin.Project, origin string) string {
		t.Helper()
		a, err := h.Accepted(t.Context(), p, c.User, origin)
		if err != nil {
			t.Fatal(err)
		}
		if a == nil {
			return "nothing"
		}
		if a.User != c.User.ID {
			t.Errorf("it is said of %v, want %v", a.User, c.User.ID)
		}
		slices.Sort(a.IDs)
		return a.Site + " " + strings.Join(a.IDs, " ")
	}
	alter := func(user int64, alter func(*splitpin.Credential)) {
		t.Helper()
		err := h.db.Store.Change(t.Context(), splitpin.Reads{User: user, Credentials: true}, func(r *splitpin.Records) (splitpin.Writes, error) {
			w := splitpin.Writes{}
			for _, c := range r.Credentials {
				alter(c)
				w.Put = append(w.Put, c)
			}
			return w, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	alter(c.User.Number, func(c *splitpin.Credential) { c.Site = "cards.example" })
	equal(t, "at a page of the site", accepted(h.shop, shopOrigin), "cards.example hers second")
	equal(t, "at a page of ours", accepted(h.shop, ""), "cards.example hers second")
	equal(t, "at a page of ours that says so", accepted(h.shop, "https://login.example.org"), "cards.example hers second")
	equal(t, "at a page of nobody's", accepted(h.shop, "https://evil.example"), "nothing")

	// One that is for another site, and one that is over, are not good here.
	alter(c.User.Number, func(c *splitpin.Credential) {
		if c.Number == has.Number {
			c.Site = "elsewhere.example"
		}
	})
	equal(t, "one is for another site", accepted(h.shop, ""), "cards.example second")
	alter(c.User.Number, func(c *splitpin.Credential) {
		c.Site = "cards.example"
		if c.Number == has.Number {
			c.ExpiresAt = h.clock.now()
		}
	})
	equal(t, "one is over", accepted(h.shop, ""), "cards.example second")

	// The same person was moved into another project, which has the same site.
	twin := &splitpin.User{Number: 1 << 40, Project: h.club.Number, ID: c.User.ID, Identifier: ada, Kind: splitpin.Email, CreatedAt: start, UpdatedAt: start}
	theirs := &splitpin.Credential{Number: 1<<40 + 1, Project: h.club.Number, User: twin.Number, Kind: has.Kind, Key: [32]byte{1}, Label: "club", Site: "cards.example", CreatedAt: start}
	err := h.db.Store.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{twin, theirs}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "in two projects", accepted(h.shop, ""), "cards.example club second")

	alter(twin.Number, func(c *splitpin.Credential) { c.Label = "" }) // nobody can tell what it is called
	equal(t, "one has no name", accepted(h.shop, ""), "nothing")
	alter(twin.Number, func(c *splitpin.Credential) { c.Label = "club" })

	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Methods = []string{"email_code"} })
	equal(t, "the project takes none", accepted(h.shop, ""), "nothing")
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Methods = nil })
	for i := range 31 {
		h.newProject(splitpin.Settings{Name: fmt.Sprint("Project ", i), Origins: []string{shopOrigin}})
	}
	equal(t, "more projects than can be asked", accepted(h.shop, ""), "nothing")
}
