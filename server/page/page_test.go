package page

import (
	"fmt"
	"testing"

	"github.com/splitpin/splitpin"
)

// A form asks for what it was asked to ask for, as far as there is a way to it.
func TestWay(t *testing.T) {
	all := []string{"email_code", "email_link", "sms_code", "sms_link"}
	for _, test := range []struct {
		name    string
		methods []string
		want    Want
		framed  bool
		way     string
	}{
		{"email", all, Want{Type: "EMAIL"}, true, "email email_code"},
		{"phone", all, Want{Type: "PHONE"}, true, "phone sms_code"},
		{"link", all, Want{Type: "EMAIL", Link: true}, true, "email email_link"},
		{"link to a phone", all, Want{Type: "PHONE", Link: true}, true, "phone sms_link"},
		{"a link where there are none", []string{"email_code"}, Want{Type: "EMAIL", Link: true}, true, "email email_code"},
		{"a code where there are links only, in a frame that takes none", []string{"email_link"}, Want{Type: "EMAIL"}, true, " "},
		{"a code where there are links only", []string{"email_link"}, Want{Type: "EMAIL"}, false, "email email_link"},
		{"links to phones only", []string{"sms_link"}, Want{}, false, "phone sms_link"},
		{"links to one, codes to the other", []string{"email_link", "sms_code"}, Want{}, false, "email email_link"},
		{"a phone where there is none", []string{"email_code"}, Want{Type: "PHONE"}, false, " "},
		{"no type", all, Want{}, true, "email email_code"},
		{"no type, phones alone", []string{"sms_code"}, Want{Type: "undefined"}, true, "phone sms_code"},
		{"nothing to type", []string{"passkey", "social"}, Want{}, false, "nothing "},
		{"nothing to type, for an app that always says what", []string{"passkey"}, Want{Type: "EMAIL"}, false, "nothing "},
		{"nothing to type, in a frame", []string{"passkey"}, Want{}, true, " "},
		{"another type", all, Want{Type: "email"}, false, " "},
	} {
		kind, method := way(test.methods, test.want, !test.framed)
		if got := fmt.Sprint(kind, " ", method); got != test.way {
			t.Errorf("%s: got %q, want %q", test.name, got, test.way)
		}
	}
}

// Apps name the channels in their order; what is none is left out.
func TestChannels(t *testing.T) {
	both := []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel}
	for _, test := range []struct {
		all   []splitpin.Channel
		asked []string
		want  string
	}{
		{both, nil, "[sms whatsapp]"},
		{both, []string{"WHATSAPP", "SMS", "WHATSAPP"}, "[whatsapp sms]"},
		{both, []string{"", "SMS"}, "[sms]"},
		{both, []string{"null", "PIGEON"}, "[sms whatsapp]"},
		{both[:1], []string{"WHATSAPP"}, "[sms]"},
	} {
		if got := fmt.Sprint(channels(test.all, test.asked)); got != test.want {
			t.Errorf("%v of %v: got %s, want %s", test.asked, test.all, got, test.want)
		}
	}
}
