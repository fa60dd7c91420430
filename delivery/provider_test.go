package delivery_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
	"github.com/splitpin/splitpin/outgoing"
)

const (
	aPhone  = "+4915198765432"
	noPhone = "+4915100000000" // of which every fake says that it is not there
)

// local is a client that may talk to this machine.
func local(t testing.TB) *http.Client {
	t.Helper()
	except, err := outgoing.ParseExceptions("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	client := outgoing.New(outgoing.Options{Except: except})
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// A fake is the server of a provider. It keeps what it took.
type fake struct {
	*httptest.Server

	mu      sync.Mutex
	arrived []deliverytest.Arrived
	fault   func(w http.ResponseWriter) // answers instead; nil: nothing does
}

// serve starts a fake. handle answers a request, and returns what arrived by it.
func serve(t testing.TB, handle func(*fake, http.ResponseWriter, *http.Request) *deliverytest.Arrived) *fake {
	f := new(fake)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.fault != nil {
			f.fault(w)
			return
		}
		if a := handle(f, w, r); a != nil {
			f.arrived = append(f.arrived, *a)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) letters() []deliverytest.Arrived {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.arrived)
}

// fail makes the fake answer with this status and body from now on.
func (f *fake) fail(status int, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// A diagnosis is how a sender tells what a provider said.
type diagnosis struct {
	name      string
	status    int
	body      string
	stage     delivery.Stage
	temporary bool
	says      []string
}

// diagnose holds errors of a sender against what they should say, and against what
// they must not.
func diagnose(t *testing.T, f *fake, sender delivery.Sender, l *delivery.Letter, secret string, tests []diagnosis) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.fail(tt.status, tt.body)
			var e *delivery.SendError
			if err := sender.Send(t.Context(), l); !errors.As(err, &e) {
				t.Fatalf("got %v, want a *SendError", err)
			}
			if e.Stage != tt.stage || e.Temporary != tt.temporary {
				t.Errorf("stage %q, temporary %v; want %q, %v (%s)", e.Stage, e.Temporary, tt.stage, tt.temporary, e.Detail)
			}
			for _, want := range tt.says {
				if !strings.Contains(e.Detail, want) {
					t.Errorf("%q does not say %q", e.Detail, want)
				}
			}
			for _, bad := range []string{l.To, l.To[1:], l.Code.Reveal(), l.Link.Reveal(), secret, "%s", "\n"} {
				if bad != "" && strings.Contains(e.Detail, bad) {
					t.Errorf("%q holds %q", e.Detail, bad)
				}
			}
		})
	}
}

func phoneLetter(channel splitpin.Channel) *delivery.Letter {
	return &delivery.Letter{
		ID: "letterabcdefgh", Ref: "attemptabcdefgh", Channel: channel, To: aPhone, From: "Example",
		Text: "123456 is your Example code.\n\n@example.com #123456\n", Locale: "de-AT", Code: "123456",
		At: now, Until: now.Add(10 * time.Minute),
	}
}

var now = time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)

func clock() time.Time { return now }

// Whatever keeps a sender from reaching its provider is said at its stage, and may
// pass.
func TestProviderOutOfReach(t *testing.T) {
	silent := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	t.Cleanup(func() { close(silent); slow.Close() })
	talkative := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1<<20)) }))
	t.Cleanup(talkative.Close)
	silentClose := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}))
	t.Cleanup(silentClose.Close)
	untrusted := httptest.NewTLSServer(nil)
	t.Cleanup(untrusted.Close)
	gone := httptest.NewServer(nil)
	gone.Close()

	local := func(o outgoing.Options) *http.Client {
		o.Except, _ = outgoing.ParseExceptions("127.0.0.1")
		return outgoing.New(o)
	}
	tests := []struct {
		name   string
		url    string
		client *http.Client
		stage  delivery.Stage
		says   string
	}{
		{"a private address", silentClose.URL, outgoing.New(outgoing.Options{}), delivery.StageConfig, "list the host in outgoing_allow"},
		{"nobody there", gone.URL, local(outgoing.Options{}), delivery.StageConnect, "refuses connections; check webhook.url"},
		{"a slow one", slow.URL, local(outgoing.Options{Timeout: 50 * time.Millisecond}), delivery.StageConnect, "did not answer within 50ms"},
		{"a talkative one", talkative.URL, local(outgoing.Options{}), delivery.StageConnect, "at such length"},
		{"one that hangs up", silentClose.URL, local(outgoing.Options{}), delivery.StageConnect, "closed the connection"},
		{"a certificate of its own", untrusted.URL, local(outgoing.Options{}), delivery.StageTLS, "an authority this machine does not know"},
		{"no TLS there", strings.Replace(talkative.URL, "http:", "https:", 1), local(outgoing.Options{}), delivery.StageTLS, "does not speak TLS there; check webhook.url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := delivery.NewWebhook(delivery.WebhookConfig{URL: tt.url + "/hook?key=querysecret", Secrets: aSecret, Client: tt.client})
			if err != nil {
				t.Fatal(err)
			}
			var e *delivery.SendError
			if err := w.Send(t.Context(), phoneLetter(splitpin.SMSChannel)); !errors.As(err, &e) {
				t.Fatalf("got %v, want a *SendError", err)
			}
			if e.Stage != tt.stage || !e.Temporary || !strings.Contains(e.Detail, tt.says) || strings.Contains(e.Detail, "querysecret") {
				t.Errorf("stage %q, temporary %v, %q; want %q, true and %q", e.Stage, e.Temporary, e.Detail, tt.stage, tt.says)
			}
		})
	}

	t.Run("stopped on the way", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		w, err := delivery.NewWebhook(delivery.WebhookConfig{URL: slow.URL, Secrets: aSecret, Client: local(outgoing.Options{})})
		if err != nil {
			t.Fatal(err)
		}
		var e *delivery.SendError
		if err := w.Send(ctx, phoneLetter(splitpin.SMSChannel)); !errors.As(err, &e) || e.Stage != delivery.StageCancelled || !e.Temporary {
			t.Errorf("got %v, want a cancelled one", err)
		}
	})
}

const aSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// Nobody pays twice for a letter that may have been taken, unless the provider can tell.
func TestProviderPerhapsTaken(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"hangs up": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Close()
			}
		},
		"breaks":                     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"is a proxy":                 func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
		"overloaded":                 func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"refuses":                    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) },
		"too many":                   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
		"says yes in another tongue": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
	}
	certain := map[string]bool{"overloaded": true, "refuses": true, "too many": true, "is not there": true}
	answers["is not there"] = nil
	for name, answer := range answers {
		server := httptest.NewServer(answer)
		t.Cleanup(server.Close)
		if answer == nil {
			server.Close()
		}
		twilio, err := delivery.NewTwilio(delivery.TwilioConfig{AccountSID: twilioAccount, Secret: "s", From: "Example", URL: server.URL + "/PRODUCT", Client: local(t)})
		if err != nil {
			t.Fatal(err)
		}
		whatsApp, err := delivery.NewWhatsApp(delivery.WhatsAppConfig{PhoneNumberID: whatsAppNumber, Token: "t", Template: "code", URL: server.URL, Client: local(t)})
		if err != nil {
			t.Fatal(err)
		}
		webhook, err := delivery.NewWebhook(delivery.WebhookConfig{URL: server.URL, Secrets: aSecret, Client: local(t)})
		if err != nil {
			t.Fatal(err)
		}
		for _, sender := range []delivery.Sender{twilio, whatsApp, webhook} {
			var e *delivery.SendError
			err := sender.Send(t.Context(), phoneLetter(splitpin.SMSChannel))
			if errors.As(err, &e) {
				if want := !certain[name] && sender != delivery.Sender(webhook); e.Uncertain != want {
					t.Errorf("one that %s, by %T: uncertain %v, want %v (%v)", name, sender, e.Uncertain, want, e)
				}
			} else if err != nil || sender != delivery.Sender(webhook) {
				t.Errorf("one that %s, by %T: %v", name, sender, err)
			}
		}
	}
}
