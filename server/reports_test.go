package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
)

// told is a sender whose provider signs with one word.
type told struct{ delivery.Sender }

func (told) Reports(r *http.Request, _ splitpin.Channel, receipt string, body []byte) ([]delivery.Report, string, error) {
	switch {
	case r.Method == http.MethodGet:
		return nil, "1158201444", nil
	case r.Header.Get("Signature") != "mine":
		return nil, "", delivery.ErrNotProvider
	}
	return []delivery.Report{{Receipt: receipt, Stage: delivery.Stage(body)}}, "", nil
}

// Providers ask without a project, an origin or a cookie, with whatever type of body.
func TestReports(t *testing.T) {
	h := newHouse(t)
	h.outbox.Senders[splitpin.SMSChannel] = told{h.inbox}
	receipt, err := h.engine.Receipt(4711, splitpin.SMSChannel)
	if err != nil {
		t.Fatal(err)
	}
	signed := map[string]string{"Signature": "mine", "Content-Type": "application/x-www-form-urlencoded"}
	for _, tt := range []struct {
		name   string
		ask    ask
		status int
		says   string
	}{
		{"a report", ask{method: "POST", path: "/reports/sms/" + receipt, body: "recipient", header: signed}, 200, ""},
		{"not signed", ask{method: "POST", path: "/reports/sms/" + receipt, body: "recipient"}, 403, "report_not_signed"},
		{"a guess", ask{method: "POST", path: "/reports/sms/" + strings.Repeat("a", len(receipt)), header: signed}, 404, "report_unknown"},
		{"a channel that nobody reports on", ask{method: "POST", path: "/reports/email/" + receipt, header: signed}, 404, "report_unknown"},
		{"a provider that looks whether we are there", ask{method: "GET", path: "/reports/sms"}, 200, "1158201444"},
		{"opened in a browser", ask{method: "GET", path: "/reports/sms/" + receipt}, 404, "not_found"},
		{"far too much", ask{method: "POST", path: "/reports/sms", body: strings.Repeat("x", 64<<10+1), header: signed}, 413, "too_large"},
	} {
		if w := h.do(tt.ask); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: %d %s, want %d and %q", tt.name, w.Code, w.Body, tt.status, tt.says)
		}
	}
	if strings.Contains(h.log.String(), receipt) {
		t.Error("a receipt is in the log")
	}
}
