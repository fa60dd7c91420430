package delivery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

func TestInbox(t *testing.T) {
	for channel, to := range map[splitpin.Channel]string{splitpin.EmailChannel: "ada@example.com", splitpin.SMSChannel: aPhone, splitpin.WhatsAppChannel: aPhone} {
		t.Run(string(channel), func(t *testing.T) {
			deliverytest.Run(t, func(t *testing.T) deliverytest.Rig {
				in := new(delivery.Inbox)
				return deliverytest.Rig{
					Sender: in, Channel: channel, To: to,
					Delivered: func() (all []deliverytest.Arrived) {
						for _, m := range in.Messages("") { // newest first
							all = append([]deliverytest.Arrived{{ID: m.ID, To: m.To, Subject: m.Subject, Text: m.Text, HTML: m.HTML}}, all...)
						}
						return all
					},
				}
			})
		})
	}
}

func TestInboxKeepsTheNewest(t *testing.T) {
	in := new(delivery.Inbox)
	for i := range 510 {
		to := fmt.Sprintf("user%d@example.com", i%2)
		if err := in.Send(t.Context(), deliverytest.Letter(to, i)); err != nil {
			t.Fatal(err)
		}
	}
	all := in.Messages("")
	if len(all) != 500 || all[0].Code != "000509" || all[499].Code != "000010" {
		t.Errorf("kept %d letters from %s to %s, want 500 from 000509 to 000010", len(all), all[0].Code, all[len(all)-1].Code)
	}
	if got := in.Messages("user0@example.com"); len(got) != 250 || got[0].Code != "000508" {
		t.Errorf("user0 has %d letters, the newest %s; want 250 and 000508", len(got), got[0].Code)
	}
	// The same letter again, as after a crash.
	if err := in.Send(t.Context(), deliverytest.Letter("user1@example.com", 509)); err != nil {
		t.Fatal(err)
	}
	if got := in.Messages(""); len(got) != 500 || got[1].Code != "000508" {
		t.Error("a letter sent twice is there twice")
	}
}

func TestInboxJSON(t *testing.T) {
	in := new(delivery.Inbox)
	l := deliverytest.Letter("ada@example.com", 7)
	l.Text, l.HTML, l.Link = "text", "html", ""
	if err := in.Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(in.Messages("ada@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"id":"letter7abcdefgh","to":"ada@example.com","channel":"email","subject":"000007 is your code for Example",` +
		`"text":"text","html":"html","code":"000007","link":"","at":"2026-11-22T14:03:07Z"}]`
	if string(got) != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if got, _ := json.Marshal(in.Messages("nobody@example.com")); string(got) != "[]" {
		t.Errorf("no letters are %s, want []", got)
	}
}

func TestInboxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := new(delivery.Inbox)
		send := func(to string, n int) {
			if err := in.Send(t.Context(), deliverytest.Letter(to, n)); err != nil {
				t.Error(err)
			}
		}
		wait := func(to, after string) string {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			m, ok := in.Wait(ctx, to, after)
			if !ok {
				return "nothing"
			}
			return strings.TrimSuffix(m.ID, "abcdefgh")
		}
		check := func(to, after, want string) {
			t.Helper()
			if got := wait(to, after); got != want {
				t.Errorf("waiting for %q after %q: got %s, want %s", to, after, got, want)
			}
		}
		const ada, bob = "ada@example.com", "bob@example.com"

		check(ada, "", "nothing")
		go func() {
			time.Sleep(time.Second) // of the bubble's time
			send(bob, 1)
			time.Sleep(time.Second)
			send(ada, 2)
		}()
		check(ada, "", "letter2")
		send(ada, 3)
		send(ada, 4)
		check(ada, "", "letter4")
		check(ada, "letter2abcdefgh", "letter3")
		check("", "letter1abcdefgh", "letter2")
		check(ada, "letter4abcdefgh", "nothing")
		check(ada, "of-an-earlier-run", "letter2")
		go func() {
			time.Sleep(time.Second)
			send(bob, 5)
			send(ada, 6)
		}()
		check(ada, "letter4abcdefgh", "letter6")
	})
}
