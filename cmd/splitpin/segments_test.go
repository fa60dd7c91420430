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
				for _, template := range []string{"code", "link"} {
					site, ours := "https://shop."+host, "https://login."+host
					v := delivery.Values{Code: splitpin.Secret(code), Project: name, Host: "shop." + host, Frame: "login." + host, AskedAt: now, ExpiresAt: now.Add(10 * time.Minute)}
					if template == "link" {
						v.Link = splitpin.Secret(ours + "/link/" + strings.Repeat("x", 90))
					}
					l := delivery.Letter{To: "+447400123456"}
					if err := templates.Render(&l, splitpin.SMSChannel, template, "en", &v); err != nil {
						t.Fatal(err)
					}
					got, _, _ := delivery.Segments(strings.TrimSuffix(l.Text, "\n"))
					if set := signin.PhoneSegments(template, name, len(site), len(ours)); got > set {
						t.Errorf("%s: %d parts, and %d are paid: %s", fmt.Sprint(template, " ", len(name), " ", len(host), " ", len(code)), got, set, l.Text)
					}
				}
			}
		}
	}
}
