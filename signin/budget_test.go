package signin_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/code"
	"github.com/splitpin/splitpin/signin/link"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

const dollar = 1_000_000

// phones returns a house whose shop sends messages to some countries.
func phones(t testing.TB, alter func(*splitpin.PhoneSettings)) *house {
	t.Helper()
	h := newHouse(t)
	h.db.once = true
	h.shop = h.set(h.shop, func(s *splitpin.Settings) {
		s.Limits = splitpin.Limits{StartsPerNetwork: 100_000, RefusePerNetwork: 1_000_000, MessagesPerAddress: 1000, MessagesPerDay: 1000}
		s.CodeLength = 12 // or so many messages would make guessing likely
		s.Phone = splitpin.PhoneSettings{Countries: []string{"DE", "GB", "US"}, Prices: map[string]int64{"DE": dollar / 10, "GB": dollar / 20, "US": dollar / 100}}
		if alter != nil {
			alter(&s.Phone)
		}
	})
	return h
}

// force gives a project settings that no operator could.
func (h *house) force(p *splitpin.Project, alter func(*splitpin.Settings)) *splitpin.Project {
	h.t.Helper()
	err := h.db.Change(h.t.Context(), splitpin.Reads{Project: p.ID}, func(r *splitpin.Records) (splitpin.Writes, error) {
		alter(&r.Project.Settings)
		return splitpin.Writes{Put: []splitpin.Record{r.Project}}, nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.noticed(p.ID)
}

// text asks for a code by SMS.
func (v *visitor) text(number string) (*signin.Started, error) {
	req := v.request(number)
	req.Method = "sms_code"
	return v.Start(v.t.Context(), req)
}

func german(n int) string { return fmt.Sprintf("+49151%08d", n) }

// spreadGerman are numbers of ten prefixes in turn.
func spreadGerman(n int) string { return fmt.Sprintf("+49151%d%07d", n%10, n) }

// from is a visitor at the n-th of many networks.
func (h *house) from(n int) *visitor {
	return h.visitor(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String())
}

// lots are limits so high that they are not what refuses.
var lots = splitpin.Rate{Hour: 1_000_000, Day: 1_000_000}

func TestCountriesAreOffUntilAllowed(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) { s.Countries = nil })
	ann := h.from(1)
	for _, countries := range [][]string{nil, {"GB", "US"}} {
		h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Phone.Countries = countries })
		ann.project = h.shop
		_, err := ann.text(german(1))
		if e := refused(t, "a country that is not allowed", err, signin.ErrCountry); !strings.Contains(e.Message, "Germany (+49)") {
			t.Errorf("the message is %q", e.Message)
		}
	}
	for _, countries := range [][]string{{"DE"}, {"*"}} {
		h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Phone.Countries = countries })
		ann.project = h.shop
		if _, err := ann.text(german(1)); err != nil {
			t.Errorf("with %q: %v", countries, err)
		}
	}
	h.clock.wait(2 * time.Minute)
	h.step()
	list, err := h.db.AuditEvents(t.Context(), splitpin.AuditFilter{Project: h.shop.Number, Kind: "starts_refused"}, 10)
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	for _, event := range list { // one a minute
		if !strings.HasPrefix(event.Detail, "country_not_allowed, country DE, prefix +491510: ") {
			t.Errorf("the operator reads %q", event.Detail)
		}
	}
}

func TestMethodsThatAreOff(t *testing.T) {
	h := phones(t, nil)
	ann := h.from(1)
	equal(t, "offered", strings.Join(h.Offered(h.shop), " "), "card email_code email_link key sms_code sms_link")
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Methods = []string{"email_code"} })
	ann.project = h.shop
	equal(t, "offered", strings.Join(h.Offered(h.shop), " "), "email_code")
	_, err := ann.text(german(1))
	refused(t, "a method that is off", err, signin.ErrMethodOff)
	ann.start(ada)
	h.shop = h.set(h.shop, func(s *splitpin.Settings) { s.Methods, s.Phone.Countries = nil, nil })
	equal(t, "offered without a country", strings.Join(h.Offered(h.shop), " "), "card email_code email_link key")
}

// Each limit alone, with the others out of its way.
func TestPhoneLimits(t *testing.T) {
	wide := splitpin.PhoneLimits{Number: lots, Prefix: lots, Country: lots, Network: lots}
	tests := []struct {
		name    string
		limits  func(*splitpin.PhoneSettings)
		who     func(i int) (number string, network int)
		sent    int // before the first refusal
		refusal *splitpin.Error
	}{
		{"a number in an hour", func(s *splitpin.PhoneSettings) { s.Limits.Number = splitpin.Rate{Hour: 3} },
			func(i int) (string, int) { return german(1), i }, 3, signin.ErrManyMessages},
		{"a number in a day", func(s *splitpin.PhoneSettings) { s.Limits.Number = splitpin.Rate{Hour: 100, Day: 4} },
			func(i int) (string, int) { return german(1), i }, 4, signin.ErrManyMessages},
		{"a prefix in an hour", func(s *splitpin.PhoneSettings) { s.Limits.Prefix = splitpin.Rate{Hour: 3} },
			func(i int) (string, int) { return german(i), i }, 3, signin.ErrPhoneBudget},
		{"a prefix in a day", func(s *splitpin.PhoneSettings) { s.Limits.Prefix = splitpin.Rate{Hour: 100, Day: 4} },
			func(i int) (string, int) { return german(i), i }, 4, signin.ErrPhoneBudget},
		{"a country in an hour", func(s *splitpin.PhoneSettings) { s.Limits.Country = splitpin.Rate{Hour: 3} },
			func(i int) (string, int) { return spreadGerman(i), i }, 3, signin.ErrPhoneBudget},
		{"a country in a day", func(s *splitpin.PhoneSettings) { s.Limits.Country = splitpin.Rate{Hour: 100, Day: 4} },
			func(i int) (string, int) { return spreadGerman(i), i }, 4, signin.ErrPhoneBudget},
		{"a network in an hour", func(s *splitpin.PhoneSettings) { s.Limits.Network = splitpin.Rate{Hour: 3} },
			func(i int) (string, int) { return spreadGerman(i), 1 }, 3, signin.ErrManyStarts},
		{"a network in a day", func(s *splitpin.PhoneSettings) { s.Limits.Network = splitpin.Rate{Hour: 100, Day: 4} },
			func(i int) (string, int) { return spreadGerman(i), 1 }, 4, signin.ErrManyStarts},

		// Strangers have half of the budget, and half of that at once: 20 × 10 cents in 8 dollars a day.
		{"the money of an hour", func(s *splitpin.PhoneSettings) {
			s.Countries, s.BudgetDay, s.BudgetHour = []string{"DE"}, 80*dollar, 8*dollar
		},
			func(i int) (string, int) { return spreadGerman(i), i }, 19, signin.ErrPhoneBudget},
		{"the money of a day", func(s *splitpin.PhoneSettings) {
			s.Countries, s.BudgetDay, s.BudgetHour = []string{"DE"}, 8*dollar, 8*dollar
		},
			func(i int) (string, int) { return spreadGerman(i), i }, 19, signin.ErrPhoneBudget},
		// One country of several has half of that.
		{"the money of a country", func(s *splitpin.PhoneSettings) { s.BudgetDay, s.BudgetHour = 8*dollar, 8*dollar },
			func(i int) (string, int) { return spreadGerman(i), i }, 9, signin.ErrPhoneBudget},
		{"the money of a prefix", func(s *splitpin.PhoneSettings) {
			s.Countries, s.BudgetDay, s.BudgetHour = []string{"DE"}, 16*dollar, 16*dollar
		},
			func(i int) (string, int) { return german(i), i }, 9, signin.ErrPhoneBudget},
		{"the money of a network", func(s *splitpin.PhoneSettings) {
			s.Countries, s.BudgetDay, s.BudgetHour = []string{"DE"}, 16*dollar, 16*dollar
		},
			func(i int) (string, int) { return spreadGerman(i), 1 }, 4, signin.ErrManyStarts},
		{"the money of a number", func(s *splitpin.PhoneSettings) {
			s.Countries, s.BudgetDay, s.BudgetHour = []string{"DE"}, 8*dollar, 8*dollar
		},
			func(i int) (string, int) { return german(1), i }, 4, signin.ErrManyMessages},

		{"codes that nobody enters, by prefix", func(s *splitpin.PhoneSettings) { s.BudgetDay, s.BudgetHour = 10_000*dollar, 10_000*dollar },
			func(i int) (string, int) { return german(i), i }, 15, signin.ErrPhonePaused},
		{"codes that nobody enters, by network", func(s *splitpin.PhoneSettings) { s.BudgetDay, s.BudgetHour = 10_000*dollar, 10_000*dollar },
			func(i int) (string, int) { return spreadGerman(i), 1 }, 15, signin.ErrPhonePaused},
		{"codes that nobody enters, by country", func(s *splitpin.PhoneSettings) { s.BudgetDay, s.BudgetHour = 10_000*dollar, 10_000*dollar },
			func(i int) (string, int) { return spreadGerman(i), i }, 120, signin.ErrPhonePaused},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := phones(t, func(s *splitpin.PhoneSettings) {
				s.Limits, s.BudgetDay = wide, 1000*dollar
				test.limits(s)
			})
			for i := 0; ; i++ {
				number, network := test.who(i)
				_, err := h.from(network).text(number)
				if err == nil && i < 200 {
					continue
				}
				if e := refused(t, fmt.Sprintf("message %d", i), err, test.refusal); e.RetryAfter <= 0 {
					t.Errorf("the refusal does not say how long to wait")
				}
				equal(t, "messages before the refusal", i, test.sent)
				// What is refused costs nothing: as much is left as before.
				if _, again := h.from(network).text(number); splitpin.ErrorOf(again).RetryAfter != splitpin.ErrorOf(err).RetryAfter {
					t.Errorf("a refusal changed the wait from %v to %v", splitpin.ErrorOf(err).RetryAfter, splitpin.ErrorOf(again).RetryAfter)
				}
				return
			}
		})
	}
}

// A wider network has four times the room of those in it, not as much as all of them.
func TestWiderNetworksOfPhones(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) {
		s.BudgetDay = 10_000 * dollar
		s.Limits = splitpin.PhoneLimits{Number: lots, Prefix: lots, Country: lots, Network: splitpin.Rate{Hour: 2, Day: 100}}
	})
	for i := range 9 {
		ann := h.visitor(fmt.Sprintf("2001:db8:1:%x::1", i+1))
		_, err := ann.text(spreadGerman(i))
		switch {
		case i < 8 && err != nil:
			t.Fatalf("message %d: %v", i, err)
		case i == 8:
			refused(t, "the ninth of one /48", err, signin.ErrManyStarts)
		}
	}
}

// Half of the budget is left to numbers that signed in before.
func TestKnownNumbersHaveTheirHalf(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) {
		s.Countries, s.BudgetDay, s.BudgetHour = []string{"DE"}, 8*dollar, 8*dollar
	})
	known := make([]*visitor, 12)
	for i := range known {
		known[i] = h.from(1000 + i)
		s, err := known[i].text(german(1000 + i))
		if err != nil {
			t.Fatal(err)
		}
		o := known[i].opened(s)
		if _, err := known[i].Collect(t.Context(), o.collection(o.mustAnswer())); err != nil {
			t.Fatal(err)
		}
		h.clock.wait(24 * time.Hour)
	}
	h.clock.wait(48 * time.Hour)
	sent := 0
	for i := range 100 {
		if _, err := h.from(i).text(spreadGerman(i)); err != nil {
			break
		}
		sent++
	}
	if sent == 0 || sent > 20 {
		t.Fatalf("strangers got %d messages", sent)
	}
	for i, v := range known {
		if _, err := v.text(german(1000 + i)); err != nil {
			t.Fatalf("the known number %d, when strangers have used up theirs: %v", i, err)
		}
	}
	equal(t, "figure", signin.WorstCost(h.shop.Settings.Phone), 8*dollar)
}

// Where codes are entered, no slice closes; and one that closed opens again by itself.
func TestSlices(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) {
		s.BudgetDay = 10_000 * dollar
		s.Limits = splitpin.PhoneLimits{Number: lots, Prefix: lots, Country: lots, Network: lots}
	})
	for i := range 200 {
		ann := h.from(1)
		s, err := ann.text(german(i))
		if err != nil {
			t.Fatalf("message %d, where every third code is entered: %v", i, err)
		}
		if i%3 == 0 {
			ann.opened(s).mustAnswer()
		}
	}
	closed := func(n int) bool {
		_, err := h.from(1000 + n).text(german(1000 + n))
		if err != nil {
			refused(t, "a slice", err, signin.ErrPhonePaused)
		}
		return err != nil
	}
	n := 0
	for ; !closed(n); n++ {
		if n > 20 {
			t.Fatal("the slice does not close")
		}
	}
	if _, err := h.from(5000).text("+447400123456"); err != nil {
		t.Errorf("another slice is closed too: %v", err)
	}
	h.clock.wait(24 * time.Hour / 15)
	if closed(100) {
		t.Error("nobody is let through after a while")
	}
	if !closed(101) {
		t.Error("two are let through at once")
	}
	h.clock.wait(24 * time.Hour)
	if closed(102) {
		t.Error("the slice is closed a day later")
	}
}

// What is set aside: the price, once more for the other channel, and for each part.
func TestCostOfAMessage(t *testing.T) {
	tests := []struct {
		name   string
		alter  func(*splitpin.Settings)
		number string
		cost   int64
	}{
		{"a price of the project", func(*splitpin.Settings) {}, "+4915112345678", dollar / 10},
		{"a shipped price", func(s *splitpin.Settings) { s.Phone.Prices = nil }, "+4915112345678", 120_000},
		{"a country without a price", func(s *splitpin.Settings) { s.Phone.Prices, s.Phone.Countries = nil, []string{"*"} }, "+26771123456", 600_000},
		{"the other channel too", func(s *splitpin.Settings) { s.Phone.Channels, s.Phone.Fallback = bothChannels(), true }, "+4915112345678", 2 * dollar / 10},
		{"a name in another alphabet, which is cut", func(s *splitpin.Settings) { s.Name = "Лавка" }, "+4915112345678", dollar / 10},
		{"a free country", func(s *splitpin.Settings) { s.Phone.Prices = map[string]int64{"DE": 0, "*": dollar} }, "+4915112345678", 0},
		{"a price for all others", func(s *splitpin.Settings) { s.Phone.Prices = map[string]int64{"GB": 0, "*": dollar / 4} }, "+4915112345678", dollar / 4},
	}
	for _, test := range tests {
		h := phones(t, nil)
		h.shop = h.set(h.shop, test.alter)
		ann := h.from(1)
		s, err := ann.text(test.number)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		h.clock.wait(time.Minute)
		o := ann.opened(s)
		if _, err := h.Resend(t.Context(), o.handle, ""); err != nil {
			t.Errorf("%s: again: %v", test.name, err)
		}
		for i, m := range h.messages(o) {
			equal(t, fmt.Sprintf("%s, message %d", test.name, i), m.Cost, test.cost)
		}
	}
}

// A link that leads to a page of the site is paid by its length, every time it is sent,
// and no page is too dear.
func TestCostOfALink(t *testing.T) {
	for _, test := range []struct {
		page  string
		parts int64 // zero: refused
	}{
		{"", 2}, {"/", 2}, {"/" + strings.Repeat("a", 100), 3}, {"/" + strings.Repeat("~", 50), 3}, {"/" + strings.Repeat("é", 20), 3},
		{"/" + strings.Repeat("a", 1800), 0}, {"/" + strings.Repeat("é", 120), 0}, {"/" + strings.Repeat("[", 240), 0},
	} {
		h := phones(t, nil)
		ann := h.from(1)
		req := ann.request(german(1))
		req.Method, req.LinkReturns, req.Destination = "sms_link", test.page != "", shopOrigin+test.page
		s, err := ann.Start(t.Context(), req)
		if test.parts == 0 {
			refused(t, test.page, err, link.ErrLong)
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", test.page, err)
		}
		o := ann.opened(s)
		h.clock.wait(time.Minute)
		if _, err := h.Resend(t.Context(), o.handle, ""); err != nil {
			t.Fatal(err)
		}
		for _, m := range h.messages(o) {
			equal(t, "what is set aside for "+test.page, m.Cost, test.parts*dollar/10)
		}
	}
}

// Where messages cost nothing, they are counted all the same.
func TestFreeMessagesAreCounted(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) {
		s.Prices, s.Limits.Number = map[string]int64{"DE": 0}, splitpin.Rate{Hour: 3}
	})
	for i := range 3 {
		if _, err := h.from(i).text(german(1)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.from(4).text(german(1))
	refused(t, "a fourth message to the number", err, signin.ErrManyMessages)
	for i := range 12 {
		if _, err := h.from(100 + i).text(german(10 + i)); err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
	}
	_, err = h.from(5).text(german(100))
	refused(t, "one more to a prefix where no code is entered", err, signin.ErrPhonePaused)
}

// Numbers that are dear to reach are no numbers of people.
func TestPersonalNumbersAreRefused(t *testing.T) {
	h := phones(t, nil)
	for _, number := range []string{"+447012345678", "+15002345678"} {
		_, err := h.from(1).text(number)
		refused(t, number, err, code.ErrUnreachable)
	}
}

// Who opens the link has entered what was sent: the slice stays open.
func TestLinksKeepASliceOpen(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) {
		s.BudgetDay = 10_000 * dollar
		s.Limits = splitpin.PhoneLimits{Number: lots, Prefix: lots, Country: lots, Network: lots}
	})
	for i := range 30 {
		ann := h.from(1)
		req := ann.request(german(i))
		req.Method = "sms_link"
		s, err := ann.Start(t.Context(), req)
		if err != nil {
			t.Fatalf("message %d, where every link is opened: %v", i, err)
		}
		told, err := h.Secret(s.Attempt)
		if err != nil {
			t.Fatal(err)
		}
		token := told.Link.Reveal()[strings.LastIndexByte(told.Link.Reveal(), '/')+1:]
		browser, err := h.BrowserProof(s.Attempt)
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.Admit(t.Context(), signin.Bearer{Project: h.shop, Link: splitpin.Secret(token), Browser: browser, By: ann.by}, signin.Admission{Way: signin.LetIn})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A message that goes over another channel costs what that channel costs, and is of the
// same code and the same tries.
func TestResendOverAnotherChannel(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) { s.Channels, s.Fallback = bothChannels(), true })
	ann := h.from(1)
	s, err := ann.text(german(1))
	if err != nil {
		t.Fatal(err)
	}
	o := ann.opened(s)
	_, err = h.Resend(t.Context(), o.handle, splitpin.WhatsAppChannel)
	refused(t, "at once", err, signin.ErrSoon)
	h.clock.wait(time.Minute)
	_, err = h.Resend(t.Context(), o.handle, splitpin.EmailChannel)
	refused(t, "by mail", err, signin.ErrChannel)
	if _, err := h.Resend(t.Context(), o.handle, splitpin.WhatsAppChannel); err != nil {
		t.Fatal(err)
	}
	mails := h.messages(o)
	equal(t, "messages", len(mails), 2)
	for i, want := range []struct {
		channel, then splitpin.Channel
		cost          int64
	}{{splitpin.WhatsAppChannel, "", dollar / 10}, {splitpin.SMSChannel, splitpin.WhatsAppChannel, 2 * dollar / 10}} { // newest first
		equal(t, "channel", mails[i].Channel, want.channel)
		equal(t, "fallback", mails[i].Fallback, want.then)
		equal(t, "cost", mails[i].Cost, want.cost)
	}
	// A method with one way has no other.
	mail := ann.start(ada)
	h.clock.wait(time.Minute)
	_, err = h.Resend(t.Context(), mail.handle, splitpin.WhatsAppChannel)
	refused(t, "an emailed code by WhatsApp", err, signin.ErrChannel)
}

// However small a budget is, what it cannot pay is refused, and not for ever where it could.
func TestSmallBudgets(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) { s.BudgetDay, s.BudgetHour = dollar/2, dollar/2 })
	if _, err := h.from(1).text(german(1)); err != nil {
		t.Errorf("a budget that pays for one message: %v", err)
	}
	h.shop = h.force(h.shop, func(s *splitpin.Settings) { s.Phone.BudgetDay, s.Phone.BudgetHour = dollar/10, dollar/10 })
	_, err := h.from(1).text(german(1))
	refused(t, "a budget below the price of a message", err, signin.ErrPhoneBudget)
}

// What costs nothing takes nothing of the budget.
func TestFreeMessages(t *testing.T) {
	h := phones(t, func(s *splitpin.PhoneSettings) {
		s.Prices, s.BudgetDay = map[string]int64{"*": 0}, 1
		s.Limits = splitpin.PhoneLimits{Number: lots, Prefix: lots, Country: lots, Network: lots}
	})
	for i := range 50 {
		ann := h.from(1)
		s, err := ann.text(german(i))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		ann.opened(s).mustAnswer()
	}
}

// Whatever anybody does, messages cost no more than is said. The adversary starts,
// resends, enters codes (and so becomes known), waits, and comes from any network, to
// any number, by any node; the clocks of the nodes differ as much as they may.
func TestWorstCost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		phone := splitpin.PhoneSettings{
			Channels: bothChannels(), Fallback: rapid.Bool().Draw(rt, "fallback"), Countries: []string{"*"},
			BudgetDay:  rapid.Int64Range(dollar/10, 20*dollar).Draw(rt, "a day"),
			BudgetHour: rapid.Int64Range(0, 20*dollar).Draw(rt, "an hour"),
			Prices:     map[string]int64{"DE": rapid.Int64Range(1, dollar).Draw(rt, "DE"), "US": rapid.Int64Range(1, dollar/10).Draw(rt, "US")},
			// What is counted is no protection of the money, so it is out of the way.
			Limits: splitpin.PhoneLimits{Number: lots, Prefix: lots, Country: lots, Network: lots},
		}
		w := newWorst(t, phone)
		defer w.close()
		w.own(12)
		for range rapid.IntRange(1, 60).Draw(rt, "moves") {
			switch move := rapid.IntRange(0, 9).Draw(rt, "move"); move {
			case 0:
				w.clock.wait(time.Duration(rapid.Int64Range(0, int64(90*time.Minute)).Draw(rt, "wait")))
			case 1:
				w.clock.wait(time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(rt, "moment")))
			default:
				page := ""
				if rapid.Bool().Draw(rt, "link") {
					page = shopOrigin + "/" + strings.Repeat(rapid.SampledFrom([]string{"a", "~", "é"}).Draw(rt, "letter"), rapid.SampledFrom([]int{0, 18, 22, 40, 60, 100, 110, 115, 120, 125, 130}).Draw(rt, "page"))
				}
				w.burst(page, rapid.IntRange(0, 1).Draw(rt, "node"), rapid.SampledFrom(slices.Sorted(maps.Keys(ranges))).Draw(rt, "where"),
					rapid.IntRange(0, 19).Draw(rt, "number"), rapid.IntRange(1, 20).Draw(rt, "messages"), rapid.Bool().Draw(rt, "enters"), rapid.Bool().Draw(rt, "again"))
			}
		}
		if over := w.over(); over != "" {
			rt.Fatal(over)
		}
	})
}

// A worst is a house of two nodes whose clocks differ, and what its messages cost.
type worst struct {
	t     *testing.T
	clock *clock
	nodes [2]*house
	phone splitpin.PhoneSettings
	queue []paid
	next  int
	short string // a message for which too little was set aside; empty: none
	done  []func()
}

type paid struct {
	at   time.Time
	cost int64
}

func newWorst(t *testing.T, phone splitpin.PhoneSettings) *worst {
	w := &worst{t: t, clock: &clock{at: start}, phone: phone}
	memory, master := store.NewMemory(), keyring.NewMaster()
	for i := range w.nodes {
		db := memory.Open()
		w.done = append(w.done, func() { db.Close() })
		h := &house{t: t, clock: w.clock, db: &watched{Store: db, once: true}, master: master}
		skew := splitpin.ClockSkew * time.Duration(2*i-1)
		now := func() time.Time { return w.clock.now().Add(skew) }
		ring, err := keyring.Open(t.Context(), h.db, now(), master)
		if err != nil {
			t.Fatal(err)
		}
		h.ring, h.tokens = ring, token.New(h.db, ring, "https://login.example.org", now)
		h.Engine, err = signin.New(t.Context(), signin.Options{Store: h.db, Ring: ring, Tokens: h.tokens, Clock: now,
			Methods: []signin.Method{code.SMS{Senders: bothChannels}, link.SMS("https://login.example.org", bothChannels)}})
		if err != nil {
			t.Fatal(err)
		}
		w.nodes[i] = h
	}
	p := w.nodes[0].force(w.nodes[0].newProject(splitpin.Settings{}), func(s *splitpin.Settings) {
		*s = splitpin.Settings{Origins: []string{shopOrigin}, CodeLength: 12, Phone: phone,
			Limits: splitpin.Limits{StartsPerNetwork: 1e6, RefusePerNetwork: 1e7, MessagesPerAddress: 1000, MessagesPerDay: 1000}}
	})
	w.nodes[0].shop, w.nodes[1].shop = p, w.nodes[1].noticed(p.ID)
	return w
}

// ranges are where the adversary's numbers lie: digits after the prefix.
var ranges = map[string]int{"+491512": 7, "+49160": 7, "+1202555": 4}

func inRange(where string, number int) string {
	return fmt.Sprintf("%s%0*d", where, ranges[where], number)
}

// own makes the first so many numbers of each range the adversary's own, who signed in
// with them before.
func (w *worst) own(numbers int) {
	db := w.nodes[0].db
	for where := range ranges {
		for i := range numbers {
			n, err := db.NextNumber(w.t.Context())
			if err != nil {
				w.t.Fatal(err)
			}
			u := &splitpin.User{Number: n, ID: splitpin.NewUUID(), Project: w.nodes[0].shop.Number, Identifier: inRange(where, i),
				Kind: splitpin.Phone, ProvedAt: start, CreatedAt: start, UpdatedAt: start}
			err = db.Change(w.t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
				return splitpin.Writes{Create: []splitpin.Record{u}}, nil
			})
			if err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *worst) close() {
	for _, f := range w.done {
		f()
	}
}

// burst asks for messages to a number of a range, each from a new network, and keeps
// what they cost: for codes or, with a page, for links to that.
func (w *worst) burst(page string, node int, where string, number, messages int, enters, again bool) {
	h := w.nodes[node]
	to := inRange(where, number)
	for range messages {
		w.next++
		v := h.from(w.next)
		req := v.request(to)
		req.Method = "sms_code"
		if page != "" {
			req.Method, req.LinkReturns, req.Destination = "sms_link", true, page
		}
		started, err := v.Start(w.t.Context(), req)
		w.mustBeMoney(err)
		if err != nil {
			return
		}
		o := v.opened(started)
		w.keep(h, o)
		if again {
			w.clock.wait(30 * time.Second)
			if _, err := h.Resend(w.t.Context(), o.handle, ""); err == nil {
				w.keep(h, o)
			} else {
				w.mustBeMoney(err)
			}
		}
		if enters {
			o.mustAnswer()
		}
	}
}

func (w *worst) mustBeMoney(err error) {
	for _, known := range []error{nil, signin.ErrPhoneBudget, signin.ErrPhonePaused, signin.ErrManyMessages, signin.ErrManyStarts, link.ErrLong} {
		if err == known || known != nil && errors.Is(err, known) {
			return
		}
	}
	w.t.Fatal(err)
}

func (w *worst) keep(h *house, o *opened) {
	newest := h.messages(o)[0]
	told, err := h.Secret(o.Attempt)
	if err != nil {
		w.t.Fatal(err)
	}
	// What is in every message, in the parts that so many characters take.
	parts := (signin.PhoneLength(told.Code.Reveal()+" is your code. Or tap: "+told.Link.Reveal()) + 152) / 153
	country := "DE"
	if o.Attempt.Identifier[1] == '1' {
		country = "US"
	}
	real := int64(parts) * w.phone.Prices[country]
	if real > newest.Cost {
		w.short = fmt.Sprintf("%d parts cost %s, and %s was set aside", parts, signin.Amount(real), signin.Amount(newest.Cost))
	}
	w.queue = append(w.queue, paid{w.clock.now(), max(newest.Cost, real)})
}

// over says which window cost more than it may; empty: none.
func (w *worst) over() string {
	if w.short != "" {
		return w.short
	}
	day, hour := signin.PhoneBudget(w.phone)
	for _, window := range []struct {
		length time.Duration
		most   int64
	}{{24 * time.Hour, signin.WorstCost(w.phone)}, {24 * time.Hour, day}, {time.Hour, hour}} {
		for i := range w.queue {
			var sum int64
			for _, p := range w.queue[i:] {
				if p.at.Sub(w.queue[i].at) <= window.length {
					sum += p.cost
				}
			}
			if sum > window.most {
				return fmt.Sprintf("%v cost %s, and %s is said to be the most", window.length, signin.Amount(sum), signin.Amount(window.most))
			}
		}
	}
	return ""
}

// Who takes all there is, as soon as it is there, for two days, comes close to the figure: it is no
// empty promise.
func TestWorstCostIsReached(t *testing.T) {
	for _, phone := range []splitpin.PhoneSettings{
		{Countries: []string{"*"}, BudgetDay: 4 * dollar, BudgetHour: 4 * dollar, Prices: map[string]int64{"US": dollar / 100}},
		{Countries: []string{"*"}, BudgetDay: 40 * dollar, BudgetHour: dollar / 5, Prices: map[string]int64{"US": dollar / 100}},
	} {
		phone.Limits = splitpin.PhoneLimits{Number: lots, Prefix: lots, Country: lots, Network: lots}
		w := newWorst(t, phone)
		w.own(20)
		for range 24 * 6 {
			for i := range 20 {
				w.burst("", i%2, "+1202555", i, 50, true, false)
			}
			w.clock.wait(10 * time.Minute)
		}
		if over := w.over(); over != "" {
			t.Error(over)
		}
		var sum int64
		for _, p := range w.queue {
			sum += p.cost
		}
		if most := signin.WorstCost(phone); sum < most*9/10 {
			t.Errorf("only %s of %s could be spent", signin.Amount(sum), signin.Amount(most))
		}
		w.close()
	}
}

func TestWorstCostOfSettings(t *testing.T) {
	for _, test := range []struct {
		name  string
		phone splitpin.PhoneSettings
		want  int64
	}{
		{"no country", splitpin.PhoneSettings{}, 0},
		{"the defaults", splitpin.PhoneSettings{Countries: []string{"DE"}}, 20 * dollar},
		{"free everywhere", splitpin.PhoneSettings{Countries: []string{"*"}, Prices: map[string]int64{"*": 0}}, 0},
		{"free nearly everywhere", splitpin.PhoneSettings{Countries: []string{"*"}, Prices: map[string]int64{"*": 0, "DE": 1}}, 20 * dollar},
		{"free where it is allowed", splitpin.PhoneSettings{Countries: []string{"GB"}, Prices: map[string]int64{"GB": 0, "DE": 1}}, 0},
		{"a day's budget", splitpin.PhoneSettings{Countries: []string{"DE"}, BudgetDay: 5 * dollar}, 5 * dollar},
		{"an hour's budget that bounds the day", splitpin.PhoneSettings{Countries: []string{"DE"}, BudgetDay: 100 * dollar, BudgetHour: dollar}, 12_500_000},
	} {
		equal(t, test.name, signin.WorstCost(test.phone), test.want)
	}
}

func TestAmounts(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "20": 20 * dollar, "0.075": 75_000, "0.000001": 1, "12.5": 12_500_000, "9000000.00": 9_000_000 * dollar} {
		got, err := signin.ParseAmount(text)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".", ".5", "5.", "-1", "+1", "1,5", "1e3", "0.0000001", "99999999999999999999", "10000000000000", "$5", "1.-5"} {
		if got, err := signin.ParseAmount(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
	for n, want := range map[int64]string{0: "0.00", 20 * dollar: "20.00", 75_000: "0.075", 1: "0.000001", 12_500_000: "12.50"} {
		equal(t, "written", signin.Amount(n), want)
	}
}
