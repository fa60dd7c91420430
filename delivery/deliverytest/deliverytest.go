// Package deliverytest holds what every sender must pass, and a sender that
// records for the tests of others.
package deliverytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
)

// A Rig is one sender under test, with a view of what arrives on the other side.
type Rig struct {
	Sender delivery.Sender

	Channel splitpin.Channel // empty: email
	// CodeOnly says that the words are those of the other side: of a letter nothing
	// arrives but its code.
	CodeOnly bool

	// To is an address the other side takes letters for.
	To string
	// Delivered returns what arrived so far, in the order of arrival, decoded as a
	// reader would see it. Line ends are \n.
	Delivered func() []Arrived

	// Refused is an address the other side refuses for good; empty: it refuses
	// none, and the suite does not ask.
	Refused string
	// Break makes the other side go away; nil: it cannot.
	Break func()
}

// Arrived is a letter on the other side. Fields that the channel has no place for
// are empty.
type Arrived struct {
	ID, To, From, Subject, Text, HTML string

	Code string // where it arrives by itself
}

// Letter returns a letter with every field set.
func Letter(to string, n int) *delivery.Letter {
	code := fmt.Sprintf("%06d", n)
	link := fmt.Sprintf("https://login.example.com/l/%d?token=abcdefghijklmnop", n)
	return &delivery.Letter{
		ID:      fmt.Sprintf("letter%dabcdefgh", n),
		Channel: splitpin.EmailChannel,
		To:      to,
		From:    "Example",
		Subject: code + " is your code for Example",
		Text:    "Your code: " + code + "\n\n" + link + "\n",
		HTML:    "<!doctype html>\n<p>Your code: <b>" + code + "</b></p>\n<p><a href=\"" + link + "\">Sign in</a></p>\n",
		Locale:  "en",
		Code:    splitpin.Secret(code),
		Link:    splitpin.Secret(link),
		At:      time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC),
	}
}

// Run tests a sender. newRig is called once for every test and may use t.Cleanup.
func Run(t *testing.T, newRig func(t *testing.T) Rig) {
	letter := func(r Rig, to string, n int) *delivery.Letter {
		l := Letter(to, n)
		if r.Channel != "" && r.Channel != splitpin.EmailChannel {
			l.Channel, l.Subject, l.HTML = r.Channel, "", ""
			l.Text = fmt.Sprintf("%06d is your Example code.\n\n@example.com #%06d\n", n, n)
		}
		return l
	}
	send := func(t *testing.T, r Rig, l *delivery.Letter) Arrived {
		t.Helper()
		before := len(r.Delivered())
		if err := r.Sender.Send(t.Context(), l); err != nil {
			t.Fatalf("sending: %v", err)
		}
		after := r.Delivered()
		if len(after) != before+1 {
			t.Fatalf("%d letters arrived, want 1", len(after)-before)
		}
		return after[before]
	}
	same := func(t *testing.T, r Rig, got Arrived, want *delivery.Letter) {
		t.Helper()
		text := want.Text
		if want.Channel != splitpin.EmailChannel {
			text = strings.TrimSuffix(text, "\n") // a phone shows no end of line
		}
		if r.CodeOnly {
			if got.Text = text; got.Code != want.Code.Reveal() {
				t.Errorf("the code arrived as %q, want %q", got.Code, want.Code.Reveal())
			}
		}
		for _, f := range []struct{ name, got, want string }{
			{"ID", got.ID, want.ID}, {"To", got.To, want.To}, {"Subject", got.Subject, want.Subject},
			{"Text", got.Text, text}, {"HTML", got.HTML, want.HTML},
		} {
			// A channel that has no place for a field shows none.
			if f.got != f.want && (f.got != "" || f.name == "To" || f.name == "Text") {
				t.Errorf("%s arrived as\n%q, want\n%q", f.name, f.got, f.want)
			}
		}
	}

	t.Run("all fields", func(t *testing.T) {
		r := newRig(t)
		l := letter(r, r.To, 1)
		same(t, r, send(t, r, l), l)
	})

	t.Run("another alphabet", func(t *testing.T) {
		r := newRig(t)
		l := letter(r, r.To, 2)
		l.From = "Überseehandel Ж Ψ"
		l.Subject = "000002 — ваш код для Überseehandel 東京 🔑 " + strings.Repeat("дом ", 12) + "."
		l.Text = "Ihr Code für „Übersee“: 000002 — 東京 🔑\n"
		l.HTML = "<p>Ihr Code für „Übersee“: 000002 — 東京 🔑</p>\n"
		same(t, r, send(t, r, l), l)
	})

	t.Run("awkward lines", func(t *testing.T) {
		r := newRig(t)
		l := letter(r, r.To, 3)
		if l.Channel != splitpin.EmailChannel {
			l.Text = ".\n..\n+ & = %41 ; a=b\\c\"d\n" + strings.Repeat("wörter und ", 60) + "\n\n@example.com #000003 %login.example.com\n"
			same(t, r, send(t, r, l), l)
			return
		}
		l.Text = ".\n..\n.hidden\nFrom here on = equals =3D\n" + strings.Repeat("x", 3000) + "\n" +
			strings.Repeat("wörter und ", 400) + "end\n  indented\t\n\nlast\n"
		l.HTML = "<p>.\n.\n" + strings.Repeat("<b>long</b>", 500) + "\n.</p>\n"
		same(t, r, send(t, r, l), l)
	})

	t.Run("many at once", func(t *testing.T) {
		r := newRig(t)
		const n = 40
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if err := r.Sender.Send(t.Context(), letter(r, r.To, 100+i)); err != nil {
					t.Errorf("sending letter %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		seen := make(map[string]int)
		for _, a := range r.Delivered() {
			if r.CodeOnly {
				a.Text = a.Code
			}
			seen[a.Text]++
		}
		for i := range n {
			l := letter(r, r.To, 100+i)
			key := strings.TrimSuffix(l.Text, "\n")
			if r.CodeOnly {
				key = l.Code.Reveal()
			} else if l.Channel == splitpin.EmailChannel {
				key = l.Text
			}
			if got := seen[key]; got != 1 {
				t.Errorf("letter %d arrived %d times, want once", i, got)
			}
		}
	})

	t.Run("the letter is left alone", func(t *testing.T) {
		r := newRig(t)
		l, want := letter(r, r.To, 4), letter(r, r.To, 4)
		send(t, r, l)
		if *l != *want {
			t.Error("the sender altered the letter it was given")
		}
	})

	t.Run("stopped", func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		e := failure(t, r.Sender.Send(ctx, letter(r, r.To, 5)))
		if e.Stage != delivery.StageCancelled || !e.Temporary {
			t.Errorf("stage %q, temporary %v; want %q and true", e.Stage, e.Temporary, delivery.StageCancelled)
		}
		if n := len(r.Delivered()); n != 0 {
			t.Errorf("%d letters arrived, want none", n)
		}
		// The next letter is not harmed.
		l := letter(r, r.To, 6)
		same(t, r, send(t, r, l), l)
	})

	t.Run("nobody there", func(t *testing.T) {
		r := newRig(t)
		if r.Break == nil {
			return
		}
		send(t, r, letter(r, r.To, 7))
		r.Break()
		e := failure(t, r.Sender.Send(t.Context(), letter(r, r.To, 8)))
		if !e.Temporary {
			t.Errorf("an absent server counts as permanent: %v", e)
		}
	})

	t.Run("refused recipient", func(t *testing.T) {
		r := newRig(t)
		if r.Refused == "" {
			return
		}
		l := letter(r, r.Refused, 9)
		e := failure(t, r.Sender.Send(t.Context(), l))
		if e.Stage != delivery.StageRecipient || e.Temporary {
			t.Errorf("stage %q, temporary %v; want %q and false", e.Stage, e.Temporary, delivery.StageRecipient)
		}
		for _, secret := range []string{l.Code.Reveal(), l.Link.Reveal(), l.To} {
			if strings.Contains(e.Error(), secret) {
				t.Errorf("the error %q holds %q", e, secret)
			}
		}
		l = letter(r, r.To, 10)
		same(t, r, send(t, r, l), l)
	})
}

// failure returns the SendError inside err, which must be one that tells something.
func failure(t *testing.T, err error) *delivery.SendError {
	t.Helper()
	var e *delivery.SendError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a *delivery.SendError", err)
	}
	if e.Stage == "" || e.Detail == "" || strings.ContainsAny(e.Detail, "\r\n") {
		t.Errorf("stage %q, detail %q; want both, on one line", e.Stage, e.Detail)
	}
	return e
}

// A Recorder is a sender that keeps what it is given. The zero value is ready.
type Recorder struct {
	// Fail, where it is set, decides what Send returns. A letter that fails is
	// not kept. It may block, and is called without a lock.
	Fail func(ctx context.Context, l *delivery.Letter) error

	mu      sync.Mutex
	letters []*delivery.Letter
	tries   int
}

// Send keeps a copy of the letter.
func (r *Recorder) Send(ctx context.Context, l *delivery.Letter) error {
	r.mu.Lock()
	r.tries++
	r.mu.Unlock()
	if r.Fail != nil {
		if err := r.Fail(ctx, l); err != nil {
			return err
		}
	}
	copy := *l
	r.mu.Lock()
	r.letters = append(r.letters, &copy)
	r.mu.Unlock()
	return nil
}

// Letters returns what was sent so far, in order.
func (r *Recorder) Letters() []*delivery.Letter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*delivery.Letter(nil), r.letters...)
}

// Tries returns how often Send was called.
func (r *Recorder) Tries() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tries
}

// Last returns the letter sent last, and fails the test where there is none.
func (r *Recorder) Last(t testing.TB) *delivery.Letter {
	t.Helper()
	all := r.Letters()
	if len(all) == 0 {
		t.Fatal("no letter was sent")
	}
	return all[len(all)-1]
}
