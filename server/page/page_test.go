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
		way     string
	}{
		{"email", all, Want{Type: "EMAIL"}, "email email_code true"},
		{"phone", all, Want{Type: "PHONE"}, "phone sms_code true"},
		{"link", all, Want{Type: "EMAIL", Link: true}, "email email_link true"},
		{"link to a phone", all, Want{Type: "PHONE", Link: true}, "phone sms_link true"},
		{"a link where there are none", []string{"email_code"}, Want{Type: "EMAIL", Link: true}, "email email_code true"},
		{"a code where there are links only", []string{"email_link"}, Want{Type: "EMAIL"}, "  false"},
		{"a phone where there is none", []string{"email_code"}, Want{Type: "PHONE"}, "  false"},
		{"no type", all, Want{}, "email email_code true"},
		{"no type, phones alone", []string{"sms_code"}, Want{Type: "undefined"}, "phone sms_code true"},
		{"no way at all", []string{"passkey"}, Want{}, "  false"},
		{"another type", all, Want{Type: "email"}, "  false"},
	} {
		kind, method, ok := way(test.methods, test.want)
		if got := fmt.Sprint(kind, " ", method, " ", ok); got != test.way {
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
