package delivery_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

const (
	twilioAccount   = "AC0123456789abcdef0123456789abcdef"
	twilioKey       = "SK0123456789abcdef0123456789abcdef"
	twilioMessaging = "MG0123456789abcdef0123456789abcdef"
	twilioService   = "VA0123456789abcdef0123456789abcdef"
	twilioSecret    = "twiliosecret"
)

func twilioConfig(t testing.TB, f *fake) delivery.TwilioConfig {
	return delivery.TwilioConfig{AccountSID: twilioAccount, APIKey: twilioKey, Secret: twilioSecret, MessagingService: twilioMessaging,
		URL: f.URL + "/PRODUCT", Client: local(t), Clock: clock}
}

// twilioError is the body of a refusal. The description names none; this is what the
// documentation shows.
func twilioError(status, code int, message string) string {
	return fmt.Sprintf(`{"code":%d,"message":%q,"more_info":"https://www.twilio.com/docs/errors/%d","status":%d}`, code, message, code, status)
}

// startTwilio is Twilio as its OpenAPI description has it, where that was fetched: it
// takes no request, and gives no answer, that is not described. Verifications are
// those of Verify: one code for a number at a time, and five looks at it.
func startTwilio(t testing.TB) *fake {
	described := twilioDescriptions(t)
	type verification struct {
		code  string
		looks int
	}
	codes := map[string]*verification{}
	return serve(t, func(f *fake, w http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		refuse := func(status, code int, message string) *deliverytest.Arrived {
			w.WriteHeader(status)
			fmt.Fprint(w, twilioError(status, code, message))
			return nil
		}
		product, path, _ := strings.Cut(r.URL.Path[1:], "/")
		path = "/" + path
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		form := r.PostForm
		if user, password, _ := r.BasicAuth(); user != twilioKey || password != twilioSecret {
			return refuse(401, 20003, "Authenticate")
		}
		d := described[product]
		if d != nil {
			if err := d.request(r, path, form); err != nil {
				t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
				return refuse(400, 20001, "not as described")
			}
		}
		answer := func(status int, body map[string]any) {
			text, _ := json.Marshal(body)
			if d != nil {
				if err := d.answer(r.Method, path, status, text); err != nil {
					t.Errorf("the fake answers what Twilio does not: %v", err)
				}
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			w.Write(text)
		}
		to := strings.TrimPrefix(form.Get("To"), "whatsapp:")
		switch {
		case to == noPhone:
			return refuse(400, 21614, "To number: "+noPhone+", is not a mobile number")
		case r.Method == http.MethodGet && product == "api":
			answer(200, map[string]any{"sid": twilioAccount, "status": "active", "type": "Full"})
		case r.Method == http.MethodGet:
			answer(200, map[string]any{"sid": path[strings.LastIndexByte(path, '/')+1:]})
		case strings.HasSuffix(path, "/Messages.json") && form.Has("ContentSid"):
			// From the documentation: both numbers are marked as WhatsApp's, the template says
			// everything, and its variables are JSON.
			var variables map[string]string
			if err := json.Unmarshal([]byte(form.Get("ContentVariables")), &variables); err != nil || len(variables) != 1 || form.Has("Body") ||
				!strings.HasPrefix(form.Get("From"), "whatsapp:+") || !strings.HasPrefix(form.Get("To"), "whatsapp:+") {
				t.Errorf("no message to WhatsApp is made of %v (%v)", form, err)
			}
			answer(201, map[string]any{"sid": "MM0123456789abcdef0123456789abcdef", "account_sid": twilioAccount, "status": "accepted"})
			return &deliverytest.Arrived{To: to, Code: variables["1"]}
		case strings.HasSuffix(path, "/Messages.json"):
			// Beyond the description, from the documentation: a sender is needed, and a body of
			// at most 1600 characters; a message lives for ten hours at most.
			body := form.Get("Body")
			if (form.Get("From") == "") == (form.Get("MessagingServiceSid") == "") || body == "" || len([]rune(body)) > 1600 {
				t.Errorf("no message is made of %v", form)
			}
			if v := form.Get("ValidityPeriod"); v != "" && v != "600" {
				t.Errorf("the message lives for %s seconds, want 600", v)
			}
			answer(201, map[string]any{"sid": "SM0123456789abcdef0123456789abcdef", "account_sid": twilioAccount, "status": "accepted",
				"direction": "outbound-api", "to": to, "body": body, "error_code": nil, "error_message": nil, "num_segments": "0"})
			return &deliverytest.Arrived{To: to, Text: body}
		case strings.HasSuffix(path, "/Verifications"):
			if codes[to] == nil {
				codes[to] = &verification{code: "4711" + fmt.Sprint(len(codes)%10)}
			}
			answer(201, map[string]any{"sid": "VE0123456789abcdef0123456789abcdef", "service_sid": twilioService, "account_sid": twilioAccount,
				"to": to, "channel": form.Get("Channel"), "status": "pending", "valid": false})
			return &deliverytest.Arrived{To: to, Code: codes[to].code, Text: form.Get("Locale") + " by " + form.Get("Channel")}
		case strings.HasSuffix(path, "/VerificationCheck"):
			v := codes[to]
			switch {
			case v == nil:
				return refuse(404, 20404, "The requested resource was not found")
			case len(form.Get("Code")) < 4 || len(form.Get("Code")) > 10:
				return refuse(400, 60200, "Invalid parameter: Code")
			case v.looks == 5:
				return refuse(429, 60202, "Max check attempts reached")
			}
			v.looks++
			status := "pending"
			if form.Get("Code") == v.code {
				status = "approved"
				delete(codes, to)
			}
			answer(200, map[string]any{"sid": "VE0123456789abcdef0123456789abcdef", "service_sid": twilioService, "account_sid": twilioAccount,
				"to": to, "channel": "sms", "status": status, "valid": status == "approved"})
		default:
			t.Errorf("the fake knows no %s %s", r.Method, r.URL.Path)
		}
		return nil
	})
}

func TestTwilio(t *testing.T) {
	deliverytest.Run(t, func(t *testing.T) deliverytest.Rig {
		f := startTwilio(t)
		sender, err := delivery.NewTwilio(twilioConfig(t, f))
		if err != nil {
			t.Fatal(err)
		}
		return deliverytest.Rig{Sender: sender, Channel: splitpin.SMSChannel, To: aPhone, Refused: noPhone, Delivered: f.letters, Break: f.Close}
	})
}

const twilioContent = "HX0123456789abcdef0123456789abcdef"

func TestTwilioWhatsApp(t *testing.T) {
	deliverytest.Run(t, func(t *testing.T) deliverytest.Rig {
		f := startTwilio(t)
		cfg := twilioConfig(t, f)
		cfg.MessagingService, cfg.WhatsAppFrom, cfg.WhatsAppContent = "", "+14155550100", twilioContent
		s, err := delivery.NewTwilioWhatsApp(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return deliverytest.Rig{Sender: s, Channel: splitpin.WhatsAppChannel, CodeOnly: true, To: aPhone, Refused: noPhone, Delivered: f.letters, Break: f.Close}
	})
	_, err := delivery.NewTwilioWhatsApp(delivery.TwilioConfig{AccountSID: twilioAccount, Secret: "s", WhatsAppFrom: "Example", WhatsAppContent: "code"})
	for _, want := range []string{"twilio.whatsapp_from: must be", "twilio.whatsapp_content: must be"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q: %v", want, err)
		}
	}
}

func TestTwilioFromANumber(t *testing.T) {
	for _, from := range []string{"+14155550100", "12345", "Example Ltd"} {
		f := startTwilio(t)
		cfg := twilioConfig(t, f)
		cfg.MessagingService, cfg.From = "", from
		sender, err := delivery.NewTwilio(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(t.Context(), phoneLetter(splitpin.SMSChannel)); err != nil {
			t.Errorf("from %s: %v", from, err)
		}
		if got := f.letters(); len(got) != 1 || got[0].Text != "123456 is your Example code.\n\n@example.com #123456" {
			t.Errorf("there arrived %+v", got)
		}
	}
}

func TestTwilioDiagnosis(t *testing.T) {
	f := startTwilio(t)
	sender, err := delivery.NewTwilio(twilioConfig(t, f))
	if err != nil {
		t.Fatal(err)
	}
	to := "The number " + aPhone + " (4915198765432, +49 151 9876-5432) with code 123456"
	diagnose(t, f, sender, phoneLetter(splitpin.SMSChannel), twilioSecret, []diagnosis{
		{"wrong secret", 401, twilioError(401, 20003, "Authenticate"), delivery.StageAuth, true, []string{"check twilio.account_sid", "20003"}},
		{"no such account", 404, twilioError(404, 20404, "not found"), delivery.StageConfig, true, []string{"twilio.messaging_service"}},
		{"suspended", 401, twilioError(401, 20005, "Account not active"), delivery.StageAuth, true, []string{"not active"}},
		{"no number", 400, twilioError(400, 21211, to), delivery.StageRecipient, false, []string{"no valid number", "400 error 21211"}},
		{"opted out", 400, twilioError(400, 21610, to), delivery.StageRecipient, false, []string{"opted out with STOP"}},
		{"a trial account", 400, twilioError(400, 21608, to), delivery.StageRecipient, false, []string{"trial account"}},
		{"a region that is off", 403, twilioError(403, 21408, to), delivery.StageRegion, false, []string{"text messages to +49 are switched off", "Geo permissions"}},
		{"pumping", 400, twilioError(400, 30450, to), delivery.StageRegion, false, []string{"pumping", "+49"}},
		{"a foreign sender", 400, twilioError(400, 21606, to), delivery.StageFrom, false, []string{"twilio.from"}},
		{"an empty service", 400, twilioError(400, 21703, ""), delivery.StageConfig, true, []string{"messaging service has no number"}},
		{"too many", 429, twilioError(429, 20429, "Too Many Requests"), delivery.StageConnect, true, []string{"more requests"}},
		{"a code nobody knows", 400, twilioError(400, 29999, to), delivery.StageData, false, []string{"refuses the message", "error 29999"}},
		{"ill", 503, "upstream connect error", delivery.StageConnect, true, []string{"a problem of its own: 503"}},
		{"a proxy's page", 403, "<html>blocked", delivery.StageAuth, true, []string{"403"}},
		{"a redirect", 302, "", delivery.StageConfig, true, []string{"check twilio.url"}},
		{"somebody else", 200, "<html>welcome", delivery.StageConnect, true, []string{"not Twilio"}},
		{"made and failed", 201, `{"status":"failed","error_code":21610,"error_message":"stop"}`, delivery.StageRecipient, false, []string{"opted out"}},
	})

	t.Run("no phone number", func(t *testing.T) {
		for _, to := range []string{"ada@example.com", "4915198765432", "+0151123456", "+49", "+49 151 1234567", "whatsapp:+4915198765432"} {
			l := phoneLetter(splitpin.SMSChannel)
			l.To = to
			if err := sender.Send(t.Context(), l); err == nil || !strings.HasPrefix(err.Error(), "message: ") {
				t.Errorf("to %s: %v", to, err)
			}
		}
	})
}

func TestTwilioSettings(t *testing.T) {
	_, err := delivery.NewTwilio(delivery.TwilioConfig{AccountSID: "AC1", APIKey: "SK1", URL: "http://api.twilio.com"})
	want := []string{"twilio.account_sid: must be", "twilio.api_key: must be", "twilio.secret: is missing", "twilio.url: must begin with https://", "twilio.messaging_service: is missing"}
	if err == nil || len(strings.Split(err.Error(), "\n")) != len(want) {
		t.Fatalf("got %v, want %d lines", err, len(want))
	}
	for _, line := range want {
		if !strings.Contains(err.Error(), line) {
			t.Errorf("nothing says %q: %v", line, err)
		}
	}
	good := delivery.TwilioConfig{AccountSID: twilioAccount, Secret: "s", From: "Example"}
	if _, err := delivery.NewTwilio(good); err != nil {
		t.Error(err)
	}
	for _, alter := range []func(*delivery.TwilioConfig){
		func(c *delivery.TwilioConfig) { c.From = "a name too long for it" },
		func(c *delivery.TwilioConfig) { c.From = "naïve" },
		func(c *delivery.TwilioConfig) { c.MessagingService = twilioMessaging },
		func(c *delivery.TwilioConfig) { c.URL = "https://api.twilio.com" },
		func(c *delivery.TwilioConfig) { c.URL = "https://user:password@PRODUCT.twilio.com" },
	} {
		bad := good
		alter(&bad)
		if _, err := delivery.NewTwilio(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	if _, err := delivery.NewTwilioVerify(good); err == nil || !strings.Contains(err.Error(), "twilio.verify_service: is missing") {
		t.Errorf("got %v", err)
	}
}

func TestTwilioVerify(t *testing.T) {
	f := startTwilio(t)
	cfg := twilioConfig(t, f)
	cfg.MessagingService, cfg.VerifyService = "", twilioService
	v, err := delivery.NewTwilioVerify(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l := phoneLetter(splitpin.SMSChannel)
	check := func(code splitpin.Secret) bool {
		t.Helper()
		right, err := v.Verify(t.Context(), l.To, l.Ref, code)
		if err != nil {
			t.Fatalf("checking %s: %v", code.Reveal(), err)
		}
		return right
	}
	if check("471100") {
		t.Error("a code was right that nobody asked for")
	}
	if err := v.Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	sent := f.letters()[0]
	if sent.To != aPhone || sent.Text != "de by sms" {
		t.Errorf("sent was %+v", sent)
	}
	if check("000000") || check("1") || check("123456") {
		t.Error("a wrong code was right; our own is one")
	}
	if !check(splitpin.Secret(sent.Code)) {
		t.Error("the right code was wrong")
	}
	if check(splitpin.Secret(sent.Code)) {
		t.Error("the right code was right twice")
	}
	l.Channel = splitpin.WhatsAppChannel
	if err := v.Send(t.Context(), l); err != nil || f.letters()[1].Text != "de by whatsapp" {
		t.Errorf("by whatsapp: %v, %+v", err, f.letters())
	}
	for range 6 {
		if check("000000") {
			t.Error("a wrong code was right")
		}
	}
	if check(splitpin.Secret(f.letters()[1].Code)) {
		t.Error("the code was right after five wrong ones")
	}

	f.fail(500, "")
	if _, err := v.Verify(t.Context(), l.To, l.Ref, "123456"); err == nil || strings.Contains(err.Error(), "123456") {
		t.Errorf("with Twilio down: %v", err)
	}
	f.fail(200, "<html>")
	if right, err := v.Verify(t.Context(), l.To, l.Ref, "123456"); err == nil || right {
		t.Errorf("with somebody else in its place: %v, %v", right, err)
	}
	diagnose(t, f, v, l, twilioSecret, []diagnosis{
		{"a region that is off", 403, twilioError(403, 60605, "no"), delivery.StageRegion, false, []string{"codes to +49"}},
		{"the channel is off", 403, twilioError(403, 60223, "no"), delivery.StageConfig, true, []string{"switched off in the Verify service"}},
		{"a landline", 400, twilioError(400, 60205, aPhone), delivery.StageRecipient, false, []string{"landline"}},
	})
}

func TestTwilioCheck(t *testing.T) {
	f := startTwilio(t)
	cfg := twilioConfig(t, f)
	sender, err := delivery.NewTwilio(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.VerifyService = twilioService
	verify, err := delivery.NewTwilioVerify(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []delivery.Checker{sender, verify} {
		steps := c.Check(t.Context())
		if len(steps) != 2 || !steps[0].OK || !steps[1].OK {
			t.Errorf("%T: %+v", c, steps)
		}
	}
	if n := len(f.letters()); n != 0 {
		t.Errorf("%d letters were sent", n)
	}
	f.fail(401, twilioError(401, 20003, "Authenticate"))
	if steps := sender.Check(t.Context()); len(steps) != 1 || steps[0].OK || steps[0].Stage != delivery.StageAuth {
		t.Errorf("%+v", steps)
	}
	f.fail(200, `{"status":"suspended"}`)
	if steps := sender.Check(t.Context()); len(steps) != 1 || steps[0].OK || !strings.Contains(steps[0].Detail, "suspended") {
		t.Errorf("%+v", steps)
	}
}

// What is not described is seen, or the judge would be none.
func TestTwilioDescriptionIsStrict(t *testing.T) {
	described := twilioDescriptions(t)
	if described == nil {
		t.Skip("Twilio's own description was not fetched: make test does")
	}
	path := "/2010-04-01/Accounts/" + twilioAccount + "/Messages.json"
	good := func() url.Values {
		return url.Values{"To": {aPhone}, "Body": {"hello"}, "MessagingServiceSid": {twilioMessaging}}
	}
	tests := []struct {
		name  string
		path  string
		alter func(url.Values)
		ok    bool
	}{
		{name: "good", path: path, alter: func(url.Values) {}, ok: true},
		{name: "without To", path: path, alter: func(v url.Values) { v.Del("To") }},
		{name: "a parameter nobody knows", path: path, alter: func(v url.Values) { v.Set("Text", "hello") }},
		{name: "a service that is none", path: path, alter: func(v url.Values) { v.Set("MessagingServiceSid", "MG1") }},
		{name: "an endless life", path: path, alter: func(v url.Values) { v.Set("ValidityPeriod", "ever") }},
		{name: "twice To", path: path, alter: func(v url.Values) { v.Add("To", aPhone) }},
		{name: "another account", path: strings.Replace(path, "AC0", "XX0", 1), alter: func(url.Values) {}},
		{name: "another path", path: path + "/x", alter: func(url.Values) {}},
	}
	for _, tt := range tests {
		form := good()
		tt.alter(form)
		r, _ := http.NewRequest(http.MethodPost, "http://x"+tt.path, nil)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := described["api"].request(r, tt.path, form); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
