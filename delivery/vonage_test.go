package delivery_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

const vonageSecret = "vonagesecret"

func vonageAnswer(status, text string) string {
	return fmt.Sprintf(`{"message-count":"1","messages":[{"status":%q,"error-text":%q}]}`, status, text)
}

// startVonage is Vonage's SMS API as its documentation has it; a description of it is
// in no package registry. It takes no parameter that it does not know.
func startVonage(t testing.TB) *fake {
	known := map[string]bool{"api_key": true, "api_secret": true, "from": true, "to": true, "text": true, "type": true, "ttl": true, "client-ref": true}
	return serve(t, func(f *fake, w http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		if err := r.ParseForm(); err != nil || r.Method != http.MethodPost || r.URL.Path != "/sms/json" || r.URL.RawQuery != "" {
			t.Errorf("the fake knows no %s %s (%v)", r.Method, r.URL, err)
		}
		form := r.PostForm
		for name := range form {
			if !known[name] {
				t.Errorf("Vonage knows no parameter %s", name)
			}
		}
		to, text := form.Get("to"), form.Get("text")
		if ttl, err := strconv.Atoi(form.Get("ttl")); form.Has("ttl") && (err != nil || ttl < 20_000 || ttl > 604_800_000) {
			t.Errorf("a message does not live for %s ms", form.Get("ttl"))
		}
		if len(form.Get("client-ref")) > 100 || strings.Trim(to, "0123456789") != "" {
			t.Errorf("no message is made of %v", form)
		}
		if _, _, small := delivery.Segments(text); small == (form.Get("type") == "unicode") {
			t.Errorf("%q is sent as %q, which loses letters or costs more", text, form.Get("type"))
		}
		switch {
		case form.Get("api_key") != "abcd1234" || form.Get("api_secret") != vonageSecret:
			fmt.Fprint(w, vonageAnswer("4", "Bad Credentials"))
			return nil
		case "+"+to == noPhone:
			fmt.Fprint(w, vonageAnswer("33", "Number de-activated: "+to))
			return nil
		}
		fmt.Fprintf(w, `{"message-count":"1","messages":[{"to":%q,"message-id":"aaaaaaaa-bbbb","status":"0","remaining-balance":"3.14","message-price":"0.03","network":"12345"}]}`, to)
		return &deliverytest.Arrived{ID: form.Get("client-ref"), To: "+" + to, Text: text}
	})
}

func newVonage(t testing.TB, f *fake) *delivery.Vonage {
	t.Helper()
	v, err := delivery.NewVonage(delivery.VonageConfig{APIKey: "abcd1234", Secret: vonageSecret, From: "Example", URL: f.URL + "/sms/json", Client: local(t), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVonage(t *testing.T) {
	deliverytest.Run(t, func(t *testing.T) deliverytest.Rig {
		f := startVonage(t)
		return deliverytest.Rig{Sender: newVonage(t, f), Channel: splitpin.SMSChannel, To: aPhone, Refused: noPhone, Delivered: f.letters, Break: f.Close}
	})
}

func TestVonageDiagnosis(t *testing.T) {
	f := startVonage(t)
	to := "about " + aPhone + " with 123456 and " + vonageSecret
	diagnose(t, f, newVonage(t, f), phoneLetter(splitpin.SMSChannel), vonageSecret, []diagnosis{
		{"wrong secret", 200, vonageAnswer("4", "Bad Credentials"), delivery.StageAuth, true, []string{"check vonage.api_key", "error 4"}},
		{"no credit", 200, vonageAnswer("9", to), delivery.StageAuth, true, []string{"no credit"}},
		{"throttled", 200, vonageAnswer("1", to), delivery.StageConnect, true, []string{"more messages"}},
		{"an unknown prefix", 200, vonageAnswer("6", to), delivery.StageRegion, false, []string{"begins with +49"}},
		{"barred", 200, vonageAnswer("7", to), delivery.StageRecipient, false, []string{"barred"}},
		{"a demo account", 200, vonageAnswer("29", to), delivery.StageRecipient, false, []string{"on its list only"}},
		{"a foreign sender", 200, vonageAnswer("15", to), delivery.StageFrom, false, []string{"vonage.from"}},
		{"a code nobody knows", 200, vonageAnswer("99", to), delivery.StageData, false, []string{"error 99"}},
		{"no code at all", 200, vonageAnswer("", to), delivery.StageData, false, nil},
		{"ill", 503, "", delivery.StageConnect, true, []string{"503"}},
		{"somebody else", 200, "<html>", delivery.StageConnect, true, []string{"not Vonage"}},
	})
}

func TestVonageSettings(t *testing.T) {
	_, err := delivery.NewVonage(delivery.VonageConfig{From: "+14155550100", URL: "http://rest.nexmo.com"})
	for _, want := range []string{"vonage.api_key: is missing", "vonage.secret: is missing", "vonage.from: must be a number without +", "vonage.url: must begin with https://"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q: %v", want, err)
		}
	}
}
