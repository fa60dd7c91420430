package delivery_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
)

const anOlderSecret = "whsec_b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xk"

// verified checks a request as docs/operate/phones.md tells its readers to, with the
// secret they have.
func verified(r *http.Request, body []byte, secret string, now time.Time) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	var seconds int64
	if _, err := fmt.Sscan(at, &seconds); err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return fmt.Errorf("the time %q is not about now", at)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "." + string(body)))
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, given := range strings.Fields(r.Header.Get("webhook-signature")) {
		if hmac.Equal([]byte(given), []byte(want)) {
			return nil
		}
	}
	return fmt.Errorf("no signature of ours in %q", r.Header.Get("webhook-signature"))
}

// startWebhook is the other side, which knows one secret. It keeps codes of its own.
func startWebhook(t testing.TB, secret string) *fake {
	codes := map[string]string{} // by attempt
	return serve(t, func(f *fake, w http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := verified(r, body, secret, now); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return nil
		}
		var e struct {
			Type string
			Data struct {
				ID, Channel, To, Project, Subject, Text, Code, Link, Attempt string
			}
		}
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		d := e.Data
		switch {
		case e.Type == "ping":
			return nil
		case e.Type == "code.check":
			fmt.Fprintf(w, `{"right":%v}`, d.Attempt != "" && codes[d.Attempt] == d.To+d.Code)
			return nil
		case d.ID != r.Header.Get("webhook-id"):
			t.Errorf("the message is %q, and its header %q", d.ID, r.Header.Get("webhook-id"))
		case d.To == noPhone:
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprintf(w, `{"reason":"recipient","detail":"no such number: %s"}`, d.To)
			return nil
		case e.Type == "code.send":
			if d.Code != "" || d.Text != "" {
				t.Error("it holds a code of ours, which nobody checks")
			}
			codes[d.Attempt] = d.To + "4711"
			d.Code = "4711"
		case e.Type != "message.send":
			t.Errorf("there is no %s", e.Type)
		}
		w.WriteHeader(http.StatusAccepted)
		return &deliverytest.Arrived{ID: d.ID, To: d.To, From: d.Project, Subject: d.Subject, Text: d.Text, Code: d.Code}
	})
}

func newWebhook(t testing.TB, f *fake, secrets splitpin.Secret) *delivery.Webhook {
	t.Helper()
	w, err := delivery.NewWebhook(delivery.WebhookConfig{URL: f.URL + "/messages", Secrets: secrets, Client: local(t), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWebhook(t *testing.T) {
	for _, channel := range []splitpin.Channel{splitpin.SMSChannel, splitpin.WhatsAppChannel} {
		t.Run(string(channel), func(t *testing.T) {
			deliverytest.Run(t, func(t *testing.T) deliverytest.Rig {
				f := startWebhook(t, aSecret)
				return deliverytest.Rig{Sender: newWebhook(t, f, aSecret), Channel: channel, To: aPhone, Refused: noPhone, Delivered: f.letters, Break: f.Close}
			})
		})
	}
}

// While the secret is changed, either side may be first.
func TestWebhookRotation(t *testing.T) {
	l := phoneLetter(splitpin.SMSChannel)
	for _, known := range []string{aSecret, anOlderSecret} {
		f := startWebhook(t, known)
		if err := newWebhook(t, f, aSecret+"\n"+anOlderSecret+"\n").Send(t.Context(), l); err != nil {
			t.Errorf("with two secrets, to one who knows %s: %v", known, err)
		}
	}
	f := startWebhook(t, anOlderSecret)
	err := newWebhook(t, f, aSecret).Send(t.Context(), l)
	if err == nil || !strings.Contains(err.Error(), "auth: ") || !strings.Contains(err.Error(), "webhook.secret") {
		t.Errorf("with another secret: %v", err)
	}
}

// The example of the specification, which others have computed: the signature is over
// exactly these bytes.
func TestWebhookSignature(t *testing.T) {
	// Of Standard Webhooks' own tests.
	key, _ := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(`msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}`))
	if got := base64.StdEncoding.EncodeToString(mac.Sum(nil)); got != "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Fatalf("the scheme of this test is not that of the specification: %s", got)
	}
	// And ours is the scheme of this test, down to the byte.
	var again error
	f := serve(t, func(_ *fake, w http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		body, _ := io.ReadAll(r.Body)
		again = verified(r, body, aSecret, now)
		for name, forged := range map[string]func() (*http.Request, []byte, time.Time){
			"another body": func() (*http.Request, []byte, time.Time) { return r, append(body, ' '), now },
			"a replay":     func() (*http.Request, []byte, time.Time) { return r, body, now.Add(6 * time.Minute) },
			"another id": func() (*http.Request, []byte, time.Time) {
				c := r.Clone(r.Context())
				c.Header.Set("Webhook-Id", "x")
				return c, body, now
			},
			"another time": func() (*http.Request, []byte, time.Time) {
				c := r.Clone(r.Context())
				c.Header.Set("Webhook-Timestamp", fmt.Sprint(now.Unix()+1))
				return c, body, now
			},
		} {
			request, content, at := forged()
			if verified(request, content, aSecret, at) == nil {
				t.Errorf("%s is taken", name)
			}
		}
		return nil
	})
	if err := newWebhook(t, f, aSecret).Send(t.Context(), phoneLetter(splitpin.SMSChannel)); err != nil || again != nil {
		t.Errorf("%v, %v", err, again)
	}
}

// What is sent is a contract with people whom we do not know.
func TestWebhookBody(t *testing.T) {
	var got string
	f := serve(t, func(_ *fake, _ http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		return nil
	})
	l := phoneLetter(splitpin.SMSChannel)
	l.Link = "https://login.example.com/l/abc"
	if err := newWebhook(t, f, aSecret).Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	want := `{"type":"message.send","timestamp":"2026-11-22T14:03:07Z","data":{"id":"letterabcdefgh","channel":"sms","to":"+4915198765432","project":"Example",` +
		`"locale":"de-AT","text":"123456 is your Example code.\n\n@example.com #123456","code":"123456","link":"https://login.example.com/l/abc","expires_at":"2026-11-22T14:13:07Z"}}`
	if got != want {
		t.Errorf("sent was\n%s, want\n%s", got, want)
	}
	verifier := &delivery.WebhookVerify{Webhook: newWebhook(t, f, aSecret)}
	if err := verifier.Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	want = `{"type":"code.send","timestamp":"2026-11-22T14:03:07Z","data":{"id":"letterabcdefgh","channel":"sms","to":"+4915198765432","project":"Example",` +
		`"locale":"de-AT","expires_at":"2026-11-22T14:13:07Z","attempt":"attemptabcdefgh"}}`
	if got != want {
		t.Errorf("sent was\n%s, want\n%s", got, want)
	}
}

func TestWebhookVerify(t *testing.T) {
	f := startWebhook(t, aSecret)
	v := &delivery.WebhookVerify{Webhook: newWebhook(t, f, aSecret)}
	l := phoneLetter(splitpin.SMSChannel)
	if err := v.Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		ref   string
		to    string
		code  splitpin.Secret
		right bool
	}{
		{l.Ref, l.To, "4711", true},
		{l.Ref, l.To, "0815", false},
		{l.Ref, "+4915198765433", "4711", false},
		{"another", l.To, "4711", false},
	} {
		if right, err := v.Verify(t.Context(), tt.to, tt.ref, tt.code); err != nil || right != tt.right {
			t.Errorf("%+v: %v, %v", tt, right, err)
		}
	}
	for _, body := range []string{`{}`, `{"right":"yes"}`, `[]`, ``} {
		f.fail(200, body)
		if right, err := v.Verify(t.Context(), l.To, l.Ref, "4711"); err == nil || right {
			t.Errorf("the answer %q counts as %v, %v", body, right, err)
		}
	}
	f.fail(500, `4711 `+l.To)
	if _, err := v.Verify(t.Context(), l.To, l.Ref, "4711"); err == nil || strings.Contains(err.Error(), "4711") || strings.Contains(err.Error(), l.To) {
		t.Errorf("with the other side ill: %v", err)
	}
}

func TestWebhookDiagnosis(t *testing.T) {
	f := startWebhook(t, aSecret)
	says := fmt.Sprintf(`"detail":"about %s and 123456"`, aPhone)
	diagnose(t, f, newWebhook(t, f, aSecret), phoneLetter(splitpin.SMSChannel), aSecret, []diagnosis{
		{"no such number", 422, `{"reason":"recipient",` + says + `}`, delivery.StageRecipient, false, []string{"cannot be reached", "422 about [recipient] and [code]"}},
		{"not to that country", 422, `{"reason":"region",` + says + `}`, delivery.StageRegion, false, []string{"begin with +49"}},
		{"later", 409, `{"reason":"later",` + says + `}`, delivery.StageConnect, true, []string{"just now"}},
		{"another reason", 400, `{"reason":"mood",` + says + `}`, delivery.StageData, false, []string{"refuses the message"}},
		{"a reason that is none", 500, `{"reason":"recipient"}`, delivery.StageConnect, true, []string{"500"}},
		{"a wrong signature", 401, ``, delivery.StageAuth, true, []string{"same webhook.secret"}},
		{"not found", 404, `<html>`, delivery.StageConfig, true, []string{"webhook.url"}},
		{"a redirect", 307, ``, delivery.StageConfig, true, []string{"webhook.url"}},
		{"too many", 429, ``, delivery.StageConnect, true, nil},
	})
}

func TestWebhookCheck(t *testing.T) {
	f := startWebhook(t, aSecret)
	if steps := newWebhook(t, f, aSecret).Check(t.Context()); len(steps) != 1 || !steps[0].OK {
		t.Errorf("%+v", steps)
	}
	if steps := newWebhook(t, f, anOlderSecret).Check(t.Context()); len(steps) != 1 || steps[0].OK || steps[0].Stage != delivery.StageAuth {
		t.Errorf("%+v", steps)
	}
	if n := len(f.letters()); n != 0 {
		t.Errorf("%d letters were sent", n)
	}
}

func TestWebhookSettings(t *testing.T) {
	for _, tt := range []struct{ url, secrets, says string }{
		{"", aSecret, "webhook.url: is missing"},
		{"http://example.com/", aSecret, "webhook.url: must begin with https://"},
		{"ftp://example.com/", aSecret, "webhook.url: must begin with https://"},
		{"example.com", aSecret, "webhook.url: must be an address"},
		{"https://u:p@example.com", aSecret, "webhook.url: must be an address"},
		{"https://example.com/", "", "webhook.secret: is missing"},
		{"https://example.com/", "whsec_c2hvcnQ=", "webhook.secret: must be whsec_"},
		{"https://example.com/", "not base64!", "webhook.secret: must be whsec_"},
		{"https://example.com/", aSecret + " " + aSecret + " " + aSecret, "or two while it is being changed"},
	} {
		_, err := delivery.NewWebhook(delivery.WebhookConfig{URL: tt.url, Secrets: splitpin.Secret(tt.secrets)})
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q and %q: got %v, want %q", tt.url, tt.secrets, err, tt.says)
		}
	}
}

// The few lines that the page for operators shows take what we sign, and nothing else.
func TestWebhookAsDocumented(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("E2E") != "" {
			t.Fatal(err)
		}
		t.Skip("there is no python3 to run the example with")
	}
	page, err := os.ReadFile("../docs/operate/phones.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(page), "```python\n")
	example, _, closed := strings.Cut(example, "```")
	if !found || !closed {
		t.Fatal("the page shows no example")
	}
	example += `
import json, sys
for case in json.load(sys.stdin):
    print(verified(case["headers"], case["body"].encode(), case["secret"]))
`
	type request struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
		Secret  string            `json:"secret"`
	}
	var sent request
	f := serve(t, func(_ *fake, _ http.ResponseWriter, r *http.Request) *deliverytest.Arrived {
		body, _ := io.ReadAll(r.Body)
		sent = request{map[string]string{}, string(body), aSecret}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			sent.Headers[name] = r.Header.Get(name)
		}
		return nil
	})
	// The example looks at the machine's clock, as it should.
	w, err := delivery.NewWebhook(delivery.WebhookConfig{URL: f.URL, Secrets: anOlderSecret + " " + aSecret, Client: local(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Send(t.Context(), phoneLetter(splitpin.SMSChannel)); err != nil {
		t.Fatal(err)
	}
	with := func(alter func(*request)) request {
		r := sent
		r.Headers = maps.Clone(sent.Headers)
		alter(&r)
		return r
	}
	cases := []request{
		sent,
		with(func(r *request) { r.Secret = anOlderSecret }),
		with(func(r *request) { r.Body += " " }),
		with(func(r *request) { r.Headers["webhook-id"] = "x" }),
		with(func(r *request) { r.Headers["webhook-timestamp"] = "1795356187" }),
		with(func(r *request) { r.Headers["webhook-timestamp"] = "soon" }),
		with(func(r *request) { r.Headers["webhook-signature"] = "v1," }),
		with(func(r *request) { r.Secret = "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32)) }),
	}
	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", example)
	cmd.Stdin = strings.NewReader(string(input))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, want := strings.Fields(string(out)), "True True False False False False False False"; strings.Join(got, " ") != want {
		t.Errorf("it says %v, want %s", got, want)
	}
}
