package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/signin"
)

// What is set aside for a message to a phone covers every part it is split into.
func TestSegments(t *testing.T) {
	templates := delivery.Builtin()
	now := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	for _, name := range []string{"Shop", strings.Repeat("Shop ", 12), "Лавка", strings.Repeat("ж", 60), "{[|]}", strings.Repeat("~", 60)} {
		for _, host := range []string{"a.example", strings.Repeat("a", 40) + ".example.org", strings.Repeat("sub-domain.", 20) + "example"} {
			for _, code := range []string{"123456", "1234567890", strings.Repeat("W", 16)} {
				for _, template := range []string{"code", "link", "a page of the site", "recovery_begun"} {
					site, ours, link := "https://shop."+host, "https://login."+host, 0
					l := delivery.Letter{To: "+447400123456"}
					v := delivery.Values{Code: splitpin.Secret(code), Project: name, Host: "shop." + host, Frame: "login." + host, AskedAt: now, ExpiresAt: now.Add(10 * time.Minute)}
					switch template {
					case "link":
						v.Link = splitpin.Secret(ours + "/link/" + strings.Repeat("x", 45))
					case "recovery_begun":
						v.Link = splitpin.Secret(ours + signin.UndoPath + strings.Repeat("x", 92))
					case "a page of the site":
						template = "link"
						to := site + "/[" + strings.Repeat("~é", 400) + "]?a={}"
						a := &splitpin.Attempt{ID: splitpin.AttemptID{Number: 4711, Nonce: [8]byte{1}}, Identifier: l.To, Kind: splitpin.Phone}
						derive := func(string) ([32]byte, error) { return [32]byte{0x7f, 0xff, 0xff, 0xff}, nil }
						token, err := signin.LinkToken(a, derive)
						if err != nil {
							t.Fatal(err)
						}
						if v.Link, err = signin.ReturnLink(to, a, token, derive); err != nil {
							t.Fatal(err)
						}
						link = signin.ReturnLinkLength(to, a)
						if got := signin.PhoneLength(v.Link.Reveal()); got != link {
							t.Errorf("a link of %d characters is taken for %d", got, link)
						}
					}
					if err := templates.Render(&l, splitpin.SMSChannel, template, "en", &v); err != nil {
						t.Fatal(err)
					}
					got, _, _ := delivery.Segments(strings.TrimSuffix(l.Text, "\n"))
					if set := signin.PhoneSegments(template, name, len(site), len(ours), link); got > set {
						t.Errorf("%s: %d parts, and %d are paid: %s", fmt.Sprint(template, " ", len(name), " ", len(host), " ", len(code)), got, set, l.Text)
					}
				}
			}
		}
	}
}
