package signin_test

import (
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
	h.step()
	v := h.visitor("203.0.113.7")
	for range 40 {
		_, err := v.Start(t.Context(), v.request("no address"))
		refused(t, "no address", err, account.ErrIdentifier)
	}
	req := v.request(ada)
	req.Origin = "https://evil.example"
	_, err := v.Start(t.Context(), req)
	refused(t, "a site that is not listed", err, signin.ErrOrigin)
	h.clock.wait(time.Minute)
	h.step()
	h.step()
	events, err := h.db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: "starts_refused"}, 10)
	if err != nil {
		t.Fatal(err)
	}
	details := map[string]bool{}
	for _, e := range events {
		details[e.Detail] = true
	}
	if len(events) != 2 || !details["invalid_identifier: 40"] || len(details) != 2 {
		t.Errorf("got %d events %v, want invalid_identifier: 40 and one of another reason", len(events), details)
	}
}
