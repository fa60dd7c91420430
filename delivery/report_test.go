package delivery_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

const reportsURL = "https://login.example.com/reports"

// A provider's report as it comes, made by what its manual says.
type toldBy struct {
	name   string
	sender func(t testing.TB) delivery.Reporter
	over   splitpin.Channel
	// tell makes the request for a receipt: delivered, or failed with the provider's own
	// code of a reader who cannot be reached.
	tell func(receipt, status, code string) (r *http.Request, path string, body string)
	// status and code of what was delivered, of what failed for good, and of what is on its way
	delivered, failed, code, underWay string
	forge                             func(r *http.Request) // nil: it signs nothing
}

func post(body string) *http.Request {
	return httptest.NewRequest(http.MethodPost, "https://login.example.com/reports/x", strings.NewReader(body))
}

var tellers = []toldBy{
	{
		name: "twilio", over: splitpin.SMSChannel, delivered: "delivered", failed: "undelivered", code: "30003", underWay: "sent",
		sender: func(t testing.TB) delivery.Reporter {
			cfg := twilioConfig(t, startTwilio(t))
			cfg.AuthToken, cfg.ReportsURL = "authtoken", reportsURL
			s, err := delivery.NewTwilio(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		tell: func(receipt, status, code string) (*http.Request, string, string) {
			form := url.Values{"MessageStatus": {status}, "MessageSid": {"SM1"}, "To": {aPhone}, "ApiVersion": {"2010-04-01"}}
			if code != "" {
				form.Set("ErrorCode", code)
			}
			signed := reportsURL + "/sms/" + receipt
			for _, name := range slices.Sorted(maps.Keys(form)) {
				signed += name + form.Get(name)
			}
			mac := hmac.New(sha1.New, []byte("authtoken"))
			mac.Write([]byte(signed))
			r := post(form.Encode())
			r.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
			return r, receipt, form.Encode()
		},
		forge: func(r *http.Request) {
			r.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(make([]byte, 20)))
		},
	},
	{
		name: "vonage", over: splitpin.SMSChannel, delivered: "delivered", failed: "failed", code: "9", underWay: "buffered",
		sender: func(t testing.TB) delivery.Reporter { return newVonage(t, startVonage(t)) },
		tell: func(receipt, status, code string) (*http.Request, string, string) {
			body := fmt.Sprintf(`{"msisdn":%q,"messageId":"m","status":%q,"err-code":%q,"scts":"2611221403"}`, aPhone[1:], status, code)
			r := post(body)
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			return r, receipt, body
		},
	},
	{
		name: "cloud", over: splitpin.WhatsAppChannel, delivered: "delivered", failed: "failed", code: "131026", underWay: "sent",
		sender: func(t testing.TB) delivery.Reporter {
			s, err := delivery.NewWhatsApp(delivery.WhatsAppConfig{PhoneNumberID: "106540352242922", Token: "t", Template: "code", AppSecret: "appsecret", Client: local(t)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		tell: func(receipt, status, code string) (*http.Request, string, string) {
			faults := ""
			if code != "" {
				faults = `,"errors":[{"code":` + code + `,"title":"Message undeliverable"}]`
			}
			body := fmt.Sprintf(`{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp",
				"statuses":[{"id":"wamid.X","status":%q,"timestamp":"1763820187","recipient_id":"4915198765432","biz_opaque_callback_data":%q%s},{"id":"wamid.Y","status":"delivered"}]}}]}]}`, status, receipt, faults)
			mac := hmac.New(sha256.New, []byte("appsecret"))
			mac.Write([]byte(body))
			r := post(body)
			r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
			return r, "", body
		},
		forge: func(r *http.Request) { r.Header.Set("X-Hub-Signature-256", "sha256="+strings.Repeat("0", 64)) },
	},
	{
		name: "webhook", over: splitpin.SMSChannel, delivered: "delivered", failed: "undelivered", code: "recipient",
		sender: func(t testing.TB) delivery.Reporter {
			w, err := delivery.NewWebhook(delivery.WebhookConfig{URL: "https://hook.example", Secrets: hookSecret, Client: local(t), Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			return w
		},
		tell: func(receipt, status, code string) (*http.Request, string, string) {
			body := fmt.Sprintf(`{"type":"message.report","timestamp":"2026-11-22T14:03:07Z","data":{"receipt":%q,"status":%q,"reason":%q}}`, receipt, status, code)
			r := post(body)
			key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
			at := strconv.FormatInt(now.Unix(), 10)
			mac := hmac.New(sha256.New, key)
			fmt.Fprintf(mac, "report1.%s.%s", at, body)
			r.Header.Set("Webhook-Id", "report1")
			r.Header.Set("Webhook-Timestamp", at)
			r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
			return r, "", body
		},
		forge: func(r *http.Request) {
			r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
		},
	},
}

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestReports(t *testing.T) {
	for _, p := range tellers {
		t.Run(p.name, func(t *testing.T) {
			s := p.sender(t)
			read := func(r *http.Request, path, body string) ([]delivery.Report, error) {
				all, _, err := s.Reports(r, p.over, path, []byte(body))
				return slices.DeleteFunc(all, func(r delivery.Report) bool { return r.Receipt == "" }), err
			}
			for _, tt := range []struct {
				status, code string
				want         []delivery.Report
			}{
				{p.delivered, "", []delivery.Report{{Receipt: "receiptreceipt"}}},
				{p.failed, p.code, []delivery.Report{{Receipt: "receiptreceipt", Stage: delivery.StageRecipient}}},
				{p.failed, "999", []delivery.Report{{Receipt: "receiptreceipt", Stage: delivery.StageData}}},
			} {
				got, err := read(p.tell("receiptreceipt", tt.status, tt.code))
				if err != nil || !slices.Equal(got, tt.want) {
					t.Errorf("%s %s: got %+v and %v, want %+v", tt.status, tt.code, got, err, tt.want)
				}
			}
			if p.underWay != "" {
				if got, err := read(p.tell("receiptreceipt", p.underWay, "")); err != nil || len(got) > 0 {
					t.Errorf("%s: got %+v and %v, want nothing yet", p.underWay, got, err)
				}
			}
			if p.forge == nil {
				return
			}
			r, path, body := p.tell("receiptreceipt", p.delivered, "")
			if _, err := read(r, path, strings.Replace(body, p.delivered, p.failed, 1)); !errors.Is(err, delivery.ErrNotProvider) {
				t.Errorf("another body under the same signature: %v", err)
			}
			p.forge(r)
			if _, err := read(r, path, body); !errors.Is(err, delivery.ErrNotProvider) {
				t.Errorf("a forged signature: %v", err)
			}
			r.Header = http.Header{}
			if _, err := read(r, path, body); !errors.Is(err, delivery.ErrNotProvider) {
				t.Errorf("no signature: %v", err)
			}
		})
	}
}

// The signature of Twilio covers the address too: one report is none of another message.
func TestReportOfAnotherMessage(t *testing.T) {
	p := tellers[0]
	r, _, body := p.tell("receiptreceipt", p.delivered, "")
	if _, _, err := p.sender(t).Reports(r, p.over, "anotherreceipt", []byte(body)); !errors.Is(err, delivery.ErrNotProvider) {
		t.Errorf("got %v", err)
	}
}

// A signed report is good for minutes only.
func TestReportOfTheWebhookGetsOld(t *testing.T) {
	p := tellers[3]
	for _, away := range []time.Duration{6 * time.Minute, -6 * time.Minute} {
		w, err := delivery.NewWebhook(delivery.WebhookConfig{URL: "https://hook.example", Secrets: hookSecret, Client: local(t), Clock: func() time.Time { return now.Add(away) }})
		if err != nil {
			t.Fatal(err)
		}
		r, path, body := p.tell("receiptreceipt", p.delivered, "")
		if _, _, err := w.Reports(r, p.over, path, []byte(body)); !errors.Is(err, delivery.ErrNotProvider) {
			t.Errorf("%v away: %v", away, err)
		}
	}
}

// Without the secret that signs reports nobody is believed, not even who signs with none.
func TestReportsWithoutASecret(t *testing.T) {
	cloud, err := delivery.NewWhatsApp(delivery.WhatsAppConfig{PhoneNumberID: "106540352242922", Token: "t", Template: "code", Client: local(t)})
	if err != nil {
		t.Fatal(err)
	}
	cfg := twilioConfig(t, startTwilio(t))
	cfg.ReportsURL = reportsURL
	twilio, err := delivery.NewTwilio(cfg)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"entry":[]}`
	mac := hmac.New(sha256.New, nil)
	mac.Write([]byte(body))
	r := post(body)
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	if _, _, err := cloud.Reports(r, splitpin.WhatsAppChannel, "", []byte(body)); !errors.Is(err, delivery.ErrNotProvider) {
		t.Errorf("WhatsApp: %v", err)
	}
	mac = hmac.New(sha1.New, nil)
	mac.Write([]byte(reportsURL + "/sms/xMessageStatusdelivered"))
	r.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	if _, _, err := twilio.Reports(r, splitpin.SMSChannel, "x", []byte("MessageStatus=delivered")); !errors.Is(err, delivery.ErrNotProvider) {
		t.Errorf("Twilio: %v", err)
	}
}

func TestReportsOfWhatsAppAreEntered(t *testing.T) {
	s := tellers[2].sender(t)
	for challenge, ok := range map[string]bool{"1158201444": true, "": false, "<script>": false, strings.Repeat("1", 21): false} {
		r := httptest.NewRequest(http.MethodGet, "/reports/whatsapp?hub.mode=subscribe&hub.challenge="+url.QueryEscape(challenge), nil)
		reports, answer, err := s.Reports(r, splitpin.WhatsAppChannel, "", nil)
		if len(reports) > 0 || (err == nil) != ok || ok && answer != challenge {
			t.Errorf("%q is answered with %q, %v", challenge, answer, err)
		}
	}
}

// A reporting sender tells the receipt to its provider, in the place for it.
func TestReceiptsAreHandedOver(t *testing.T) {
	l := phoneLetter(splitpin.SMSChannel)
	l.Receipt = "receiptreceipt"
	var asked url.Values
	f := serve(t, func(f *fake, w http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		r.ParseForm()
		asked = r.PostForm
		fmt.Fprint(w, `{"status":"accepted","messages":[{"status":"0"}]}`)
		return nil
	})
	cfg := delivery.TwilioConfig{AccountSID: twilioAccount, Secret: twilioSecret, From: "Example", URL: f.URL + "/PRODUCT", ReportsURL: reportsURL, Client: local(t)}
	send := func(s delivery.Sender, err error) url.Values {
		t.Helper()
		if asked = nil; err == nil {
			err = s.Send(t.Context(), l)
		}
		if err != nil {
			t.Fatal(err)
		}
		return asked
	}
	want := reportsURL + "/sms/receiptreceipt"
	if got := send(delivery.NewTwilio(cfg)).Get("StatusCallback"); got != want {
		t.Errorf("Twilio is to report to %q, want %q", got, want)
	}
	cfg.APIKey = twilioKey // whose secret signs nothing
	if got := send(delivery.NewTwilio(cfg)); got.Has("StatusCallback") {
		t.Errorf("Twilio is asked for reports whose signature nobody could judge: %v", got)
	}
	if got := send(delivery.NewVonage(delivery.VonageConfig{APIKey: "abcd1234", Secret: vonageSecret, From: "Example", URL: f.URL, ReportsURL: reportsURL, Client: local(t)})).Get("callback"); got != want {
		t.Errorf("Vonage is to report to %q, want %q", got, want)
	}
}

// reporting is a recorder whose provider reports in a word: the receipt, and the stage.
type reporting struct{ *deliverytest.Recorder }

func (reporting) Reports(_ *http.Request, _ splitpin.Channel, receipt string, body []byte) ([]delivery.Report, string, error) {
	return []delivery.Report{{Receipt: receipt, Stage: delivery.Stage(body)}}, "", nil
}

func receiptOf(message int64, over splitpin.Channel) (string, error) {
	return fmt.Sprintf("%s-%d", over, message), nil
}

func readReceipt(receipt string, over splitpin.Channel) (message int64, ok bool) {
	_, err := fmt.Sscanf(receipt, string(over)+"-%d", &message)
	return message, err == nil
}

// reportRoom is a room with two channels to phones that report, and one message to
// WhatsApp that may fall back.
func reportRoom(t *testing.T) (r *room, whatsapp, sms reporting, m *splitpin.Message, told *[]string) {
	r = newRoom(t)
	whatsapp, sms = reporting{new(deliverytest.Recorder)}, reporting{new(deliverytest.Recorder)}
	r.outbox.Senders = map[splitpin.Channel]delivery.Sender{splitpin.SMSChannel: sms, splitpin.WhatsAppChannel: whatsapp}
	told = new([]string)
	r.outbox.Receipt, r.outbox.ReadReceipt = receiptOf, readReceipt
	r.outbox.Told = func(over splitpin.Channel, report string) { *told = append(*told, string(over)+" "+report) }
	m = r.queue(aPhone, func(a *splitpin.Attempt, m *splitpin.Message) {
		a.Kind, a.Method = splitpin.Phone, "sms_code"
		m.Channel, m.Fallback = splitpin.WhatsAppChannel, splitpin.SMSChannel
	})
	return r, whatsapp, sms, m, told
}

func (r *room) report(over splitpin.Channel, receipt string, stage delivery.Stage) error {
	r.t.Helper()
	_, err := r.outbox.Report(r.t.Context(), post(""), over, receipt, []byte(stage))
	return err
}

func TestReportIsRecordedOnce(t *testing.T) {
	r, whatsapp, sms, m, told := reportRoom(t)
	r.step()
	receipt := whatsapp.Last(t).Receipt
	if want, _ := receiptOf(m.Number, splitpin.WhatsAppChannel); receipt != want {
		t.Fatalf("the letter bears the receipt %q, want %q", receipt, want)
	}
	r.wait(time.Second)
	at := r.clock()
	for _, stage := range []delivery.Stage{"", "", delivery.StageRecipient} { // the last contradicts, and comes too late
		if err := r.report(splitpin.WhatsAppChannel, receipt, stage); err != nil {
			t.Fatal(err)
		}
		r.wait(time.Second)
	}
	got := r.message(m.Number)
	if got.Report != delivery.Delivered || !got.ReportedAt.Equal(at) || got.SentAt.IsZero() || got.Channel != splitpin.WhatsAppChannel {
		t.Errorf("the history says %+v", got)
	}
	if r.step(); len(sms.Letters()) > 0 || !slices.Equal(*told, []string{"whatsapp delivered"}) {
		t.Errorf("%d letters by the other channel; told was %q", len(sms.Letters()), *told)
	}
}

func TestReportGoesOnOverTheOtherChannel(t *testing.T) {
	r, whatsapp, sms, m, told := reportRoom(t)
	r.step()
	first := whatsapp.Last(t).Receipt
	for range 2 {
		if err := r.report(splitpin.WhatsAppChannel, first, delivery.StageRecipient); err != nil {
			t.Fatal(err)
		}
	}
	r.step()
	got := r.message(m.Number)
	if n := len(sms.Letters()); n != 1 || got.Channel != splitpin.SMSChannel || got.Fallback != "" || got.SentAt.IsZero() || got.Report != "" ||
		got.Reason != "not by whatsapp (recipient: told after it was taken)" {
		t.Fatalf("%d letters by sms, and the history says %+v", n, got)
	}
	if same := sms.Last(t).Code == whatsapp.Last(t).Code; !same {
		t.Error("the code is another")
	}
	// The first channel has nothing to say any more; the second has, and there is no third.
	if err := r.report(splitpin.WhatsAppChannel, first, ""); err != nil {
		t.Fatal(err)
	}
	if err := r.report(splitpin.SMSChannel, sms.Last(t).Receipt, delivery.StageRegion); err != nil {
		t.Fatal(err)
	}
	if r.step(); r.message(m.Number).Report != "region" || len(sms.Letters()) != 1 || len(whatsapp.Letters()) != 1 {
		t.Errorf("the history says %+v", r.message(m.Number))
	}
	if want := []string{"whatsapp recipient", "sms region"}; !slices.Equal(*told, want) {
		t.Errorf("told was %q, want %q", *told, want)
	}
	for kind, detail := range map[string]string{"message_fallback": "whatsapp_recipient", "message_undelivered": "sms_region"} {
		events, err := r.db.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: kind}, 10)
		if err != nil || len(events) != 1 || events[0].Detail != detail || events[0].Attempt != m.Attempt {
			t.Errorf("%s: %+v, %v; want one with %s", kind, events, err, detail)
		}
	}
}

// A code that is over, or was entered, is not sent once more.
func TestReportOfWhatIsOver(t *testing.T) {
	for name, over := range map[string]func(r *room, m *splitpin.Message){
		"expired": func(r *room, _ *splitpin.Message) { r.wait(10 * time.Minute) },
		"entered": func(r *room, m *splitpin.Message) {
			err := r.db.Change(r.t.Context(), splitpin.Reads{Attempt: m.Attempt}, func(rec *splitpin.Records) (splitpin.Writes, error) {
				rec.Attempt.ProvedAt = r.clock()
				return splitpin.Writes{Put: []splitpin.Record{rec.Attempt}}, nil
			})
			if err != nil {
				r.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, whatsapp, sms, m, _ := reportRoom(t)
			r.step()
			over(r, m)
			if err := r.report(splitpin.WhatsAppChannel, whatsapp.Last(t).Receipt, delivery.StageRecipient); err != nil {
				t.Fatal(err)
			}
			r.step()
			if got := r.message(m.Number); got.Report != "recipient" || got.SentAt.IsZero() || len(sms.Letters()) != 0 {
				t.Errorf("%d letters by sms, and the history says %+v", len(sms.Letters()), got)
			}
		})
	}
}

// A report may come before the outbox wrote down that the letter was taken.
func TestReportBeforeTheRecord(t *testing.T) {
	r, whatsapp, sms, m, _ := reportRoom(t)
	whatsapp.Fail = func(_ context.Context, l *delivery.Letter) error {
		return r.report(splitpin.WhatsAppChannel, l.Receipt, delivery.StageRecipient)
	}
	r.step()
	r.step()
	if got := r.message(m.Number); len(sms.Letters()) != 1 || got.Channel != splitpin.SMSChannel || got.SentAt.IsZero() {
		t.Errorf("%d letters by sms, and the history says %+v", len(sms.Letters()), got)
	}
}

func TestReportOfNobody(t *testing.T) {
	r, whatsapp, _, m, told := reportRoom(t)
	r.step()
	sms, _ := receiptOf(m.Number, splitpin.SMSChannel)
	gone, _ := receiptOf(m.Number+1000, splitpin.WhatsAppChannel)
	for _, tt := range []struct {
		over    splitpin.Channel
		receipt string
		want    error
	}{
		{splitpin.WhatsAppChannel, "guess", delivery.ErrNoReport},
		{splitpin.SMSChannel, whatsapp.Last(t).Receipt, delivery.ErrNoReport}, // of another channel
		{splitpin.SMSChannel, sms, nil},                                       // of one it was never sent by
		{splitpin.EmailChannel, sms, delivery.ErrNoReport},                    // which nobody reports on
		{"pigeon", sms, delivery.ErrNoReport},
		{splitpin.WhatsAppChannel, gone, nil}, // swept
	} {
		if err := r.report(tt.over, tt.receipt, delivery.StageRecipient); !errors.Is(err, tt.want) {
			t.Errorf("%s by %s: %v, want %v", tt.receipt, tt.over, err, tt.want)
		}
	}
	if got := r.message(m.Number); got.Report != "" || got.SentAt.IsZero() || len(*told) > 0 {
		t.Errorf("the history says %+v, told was %q", got, *told)
	}
}
