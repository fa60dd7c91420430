package signin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/signin"
)

// Refused starts leave one event a minute for each reason, however many there
// were.
func TestRefusedStartsAreCounted(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("203.0.113.7")
	refuse := func(n int) {
		for range n {
			_, err := v.Start(t.Context(), v.request("no address"))
			refused(t, "no address", err, account.ErrIdentifier)
		}
	}
	recorded := func() string {
		events, err := h.db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "starts_refused"}, 10)
		if err != nil {
			t.Fatal(err)
		}
		var details []string
		for _, e := range events {
			details = append(details, e.Detail)
		}
		slices.Sort(details)
		return strings.Join(details, ", ")
	}
	refuse(20)
	h.step()
	equal(t, "events of the first refusals", recorded(), "invalid_identifier: 20")
	refuse(39)
	h.step()
	refuse(1)
	req := v.request(ada)
	req.Origin = "https://evil.example"
	_, err := v.Start(t.Context(), req)
	refused(t, "a site that is not listed", err, signin.ErrOrigin)
	h.clock.wait(time.Minute - time.Microsecond)
	h.step()
	equal(t, "events within the minute", recorded(), "invalid_identifier: 20")
	h.clock.wait(time.Microsecond)
	h.step()
	h.step()
	equal(t, "events after it", recorded(), "invalid_identifier: 20, invalid_identifier: 40, origin_not_allowed: 1")
}
