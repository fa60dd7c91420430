package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
)

const webhookSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// A message of one's own shows whether a sender works, and the doctor asks without
// sending one.
func TestMessageTest(t *testing.T) {
	configured(t)
	var got struct {
		Type string
		Data struct{ Channel, To, Code, Text string }
	}
	status := http.StatusAccepted
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(hook.Close)

	if code, _, errs := typed(t, "message", "test", "--to", "+4915112345678"); code != 1 || !strings.Contains(errs, "no sender is configured for sms") {
		t.Errorf("without a sender: status %d, %s", code, errs)
	}
	t.Setenv("SPLITPIN_WEBHOOK_URL", hook.URL)
	t.Setenv("SPLITPIN_WEBHOOK_SECRET", webhookSecret)
	code, _, errs := typed(t, "message", "test", "--to", "+4915112345678")
	if code != 1 || !strings.Contains(errs, "127.0.0.1 is not a public address; where that is meant, list the host in outgoing_allow") {
		t.Errorf("to a private address: status %d, %s", code, errs)
	}

	t.Setenv("SPLITPIN_OUTGOING_ALLOW", "127.0.0.1")
	code, out, errs := typed(t, "message", "test", "--to", "+49 151 12345678")
	shown := regexp.MustCompile(`It shows the code (\d{6}), which opens nothing`).FindStringSubmatch(out)
	if code != 0 || shown == nil || got.Type != "message.send" || got.Data.To != "+4915112345678" || got.Data.Channel != "sms" || got.Data.Code != shown[1] {
		t.Errorf("status %d, %s%s; the webhook got %+v", code, out, errs, got)
	}
	if want := "\n\n@localhost #" + got.Data.Code; !strings.HasSuffix(got.Data.Text, want) {
		t.Errorf("the text %q does not end in %q", got.Data.Text, want)
	}
	if code, _, errs := typed(t, "message", "test", "--to", "ada@example.com", "--channel", "sms"); code != 1 || !strings.Contains(errs, "cannot be reached that way") {
		t.Errorf("a mail address by sms: status %d, %s", code, errs)
	}

	code, out, errs = typed(t, "doctor", "--skip", "smtp,dns,outside,database,messages,keys")
	if !strings.Contains(out, "ok       phone_sender     sms: the webhook at ") || got.Type != "ping" {
		t.Errorf("status %d, last came %s\n%s%s", code, got.Type, out, errs)
	}
	status = http.StatusUnauthorized
	code, out, _ = typed(t, "doctor", "--skip", "smtp,dns,outside,database,messages,keys")
	if code != 1 || !strings.Contains(out, "problem  phone_sender     sms: the webhook does not know us") || !strings.Contains(out, "the stage auth in docs/operate/phones.md") {
		t.Errorf("status %d\n%s", code, out)
	}
}

func TestSenderSettings(t *testing.T) {
	const account = "AC0123456789abcdef0123456789abcdef"
	tests := []struct {
		name string
		env  map[string]string
		says string                      // empty: nothing is wrong
		has  map[splitpin.Channel]string // type of the sender
	}{
		{name: "none", has: map[splitpin.Channel]string{"email": "*delivery.SMTP"}},
		{name: "twilio by its settings", env: map[string]string{"TWILIO_ACCOUNT_SID": account, "TWILIO_SECRET": "s", "TWILIO_FROM": "Example"},
			has: map[splitpin.Channel]string{"sms": "*delivery.Twilio"}},
		{name: "verify by its settings", env: map[string]string{"TWILIO_ACCOUNT_SID": account, "TWILIO_SECRET": "s", "TWILIO_VERIFY_SERVICE": "VA0123456789abcdef0123456789abcdef"},
			has: map[splitpin.Channel]string{"sms": "*delivery.TwilioVerify"}},
		{name: "SNS by its settings", env: map[string]string{"SNS_ACCESS_KEY_ID": "AKIA0123456789ABCDEF", "SNS_SECRET": "s", "SNS_REGION": "eu-central-1"},
			has: map[splitpin.Channel]string{"sms": "*delivery.SNS"}},
		{name: "half of twilio", env: map[string]string{"TWILIO_ACCOUNT_SID": account}, says: "twilio.secret is missing"},
		{name: "two for one channel", env: map[string]string{"TWILIO_ACCOUNT_SID": account, "TWILIO_SECRET": "s", "TWILIO_FROM": "Example", "WEBHOOK_URL": "https://example.com", "WEBHOOK_SECRET": webhookSecret},
			says: "sms.sender is missing; there are settings for twilio and for webhook"},
		{name: "the named one", env: map[string]string{"TWILIO_ACCOUNT_SID": account, "TWILIO_SECRET": "s", "TWILIO_FROM": "Example", "WEBHOOK_URL": "https://example.com", "WEBHOOK_SECRET": webhookSecret,
			"SMS_SENDER": "twilio", "WHATSAPP_SENDER": "webhook_verify"}, has: map[splitpin.Channel]string{"sms": "*delivery.Twilio", "whatsapp": "*delivery.WebhookVerify"}},
		{name: "WhatsApp", env: map[string]string{"WHATSAPP_PHONE_NUMBER_ID": "106540352242922", "WHATSAPP_TOKEN": "t", "WHATSAPP_TEMPLATE": "code", "WHATSAPP_LANGUAGES": "en_US, de"},
			has: map[splitpin.Channel]string{"whatsapp": "*delivery.WhatsApp"}},
		{name: "an unknown one", env: map[string]string{"SMS_SENDER": "pigeon"}, says: `sms.sender: there is no "pigeon"; use twilio, twilio_verify, vonage, sns, webhook, webhook_verify`},
		{name: "the inbox", env: map[string]string{"SMS_SENDER": "inbox"}, says: "sms.sender: the inbox is for development only"},
		{name: "one that does not do that", env: map[string]string{"WHATSAPP_SENDER": "vonage"}, says: `whatsapp.sender: there is no "vonage"; use twilio, twilio_verify, cloud, webhook, webhook_verify`},
		{name: "WhatsApp by Twilio alone", env: map[string]string{"TWILIO_ACCOUNT_SID": account, "TWILIO_SECRET": "s", "TWILIO_WHATSAPP_FROM": "+14155550100", "TWILIO_WHATSAPP_CONTENT": "HX0123456789abcdef0123456789abcdef"},
			has: map[splitpin.Channel]string{"whatsapp": "*delivery.TwilioWhatsApp"}},
		{name: "both by Twilio", env: map[string]string{"TWILIO_ACCOUNT_SID": account, "TWILIO_SECRET": "s", "TWILIO_FROM": "Example", "TWILIO_WHATSAPP_FROM": "+14155550100", "TWILIO_WHATSAPP_CONTENT": "HX0123456789abcdef0123456789abcdef"},
			has: map[splitpin.Channel]string{"sms": "*delivery.Twilio", "whatsapp": "*delivery.TwilioWhatsApp"}},
		{name: "an exception for all", env: map[string]string{"OUTGOING_ALLOW": "0.0.0.0/0"}, says: "outgoing_allow: would allow every address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			configured(t)
			for name, value := range tt.env {
				t.Setenv(envPrefix+name, value)
			}
			d, wrong, err := describe("")
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.says == "" && len(wrong) > 0, tt.says != "" && !strings.Contains(wrong.Error(), tt.says):
				t.Errorf("got %v, want %q", wrong, tt.says)
			}
			for channel, want := range tt.has {
				if got := fmt.Sprintf("%T", d.senders[channel]); got != want {
					t.Errorf("for %s there is %s, want %s", channel, got, want)
				}
			}
			if tt.says == "" && len(d.senders) != len(tt.has) && len(d.senders) != len(tt.has)+1 {
				t.Errorf("there are %d senders", len(d.senders))
			}
		})
	}
}

// The last line of a text message names the page on which the code belongs: that of a
// site only while its project lists it.
func TestBelongs(t *testing.T) {
	p := &splitpin.Project{Settings: splitpin.Settings{Origins: []string{"https://shop.example:8443", "https://login.example.com", "app://", "*"}}}
	for _, tt := range []struct{ origin, host, frame string }{
		{"", "login.example.com", ""},
		{"https://shop.example:8443", "shop.example", "login.example.com"},
		{"https://evil.example", "login.example.com", ""}, // by * alone
		{"https://shop.example", "login.example.com", ""},
		{"https://login.example.com", "login.example.com", ""},
		{"app://x", "login.example.com", ""},
	} {
		host, frame := belongs(p, &splitpin.Attempt{Origin: tt.origin}, "login.example.com")
		if host != tt.host || frame != tt.frame {
			t.Errorf("asked for by %q, it belongs to %q and %q, want %q and %q", tt.origin, host, frame, tt.host, tt.frame)
		}
	}
}
