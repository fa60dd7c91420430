package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/api"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/server"
	"github.com/splitpin/splitpin/server/edge"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/postgrestest"
	"github.com/splitpin/splitpin/telemetry"
	"github.com/splitpin/splitpin/token"
)

// A watchedServer is a server wired as serve does it, with all that watches it:
// metrics, traces that a collector in this process takes, and a log that tells
// everything.
type watchedServer struct {
	t         *testing.T
	in        *installation
	server    http.Handler
	metrics   http.Handler
	traces    *telemetry.Traces
	outbox    *delivery.Outbox
	inbox     *delivery.Inbox
	collector *collector
	log       bytes.Buffer
	project   *splitpin.Project

	// told is everything a person, an app or a stranger said or was told that must
	// not be found in metrics, traces or log.
	told map[string]string
}

// A collector takes traces as they come. Texts in protobuf are as they are.
type collector struct {
	mu   sync.Mutex
	body bytes.Buffer
	kind string
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kind = r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type")
	c.body.ReadFrom(r.Body)
}

// A flaky sender fails for some addresses, as mail servers do.
type flaky struct{ *delivery.Inbox }

func (f flaky) Send(ctx context.Context, l *delivery.Letter) error {
	switch {
	case strings.HasPrefix(l.To, "later"):
		return &delivery.SendError{Stage: delivery.StageData, Temporary: true, Detail: "later, " + l.To}
	case strings.HasPrefix(l.To, "never"):
		return &delivery.SendError{Stage: delivery.StageRecipient, Detail: "no such person: " + l.To}
	}
	return f.Inbox.Send(ctx, l)
}

func newWatchedServer(t *testing.T) *watchedServer {
	t.Helper()
	return newWatchedServerOn(t, filepath.Join(t.TempDir(), databaseFile))
}

func newWatchedServerOn(t *testing.T, database string) *watchedServer {
	t.Helper()
	w := &watchedServer{t: t, inbox: &delivery.Inbox{}, collector: &collector{}, told: map[string]string{}}
	there := httptest.NewServer(w.collector)
	t.Cleanup(there.Close)
	log := slog.New(telemetry.LogHandler(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	var err error
	w.traces, err = telemetry.OpenTraces(t.Context(), telemetry.TraceOptions{Endpoint: there.URL, Version: "test", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	watch := telemetry.New(telemetry.Options{Version: "test", Traces: w.traces, Clock: now})
	w.in, err = open(t.Context(), database, "https://login.example", store.Options{Postgres: store.PostgresOptions{Unsafe: true, Connections: 5}},
		[]keyring.Master{keyring.NewMaster()}, watch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.in.Close() })
	p, secret, err := w.in.projects.Create(t.Context(), project.Draft{Settings: splitpin.Settings{Name: "Shop", Origins: []string{"https://shop.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.told["server secret"] = secret.Reveal()
	if _, err := w.in.engine.Step(t.Context(), now()); err != nil {
		t.Fatal(err)
	}
	w.project, _ = w.in.engine.Project(p.ID)
	w.metrics = watch.Handler(false)
	handler := server.New(server.Options{
		Edge: &edge.Edge{Engine: w.in.engine, PublicURL: &url.URL{Scheme: "https", Host: "login.example"}, Clock: now, Log: log,
			Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		Tokens: w.in.tokens, People: w.in.people, Ready: w.in.ready, Observe: watch.Requests(),
	})
	watch.Gate(handler.Stats)
	w.server = handler
	w.outbox = w.in.mail(map[splitpin.Channel]delivery.Sender{splitpin.EmailChannel: flaky{w.inbox}, splitpin.SMSChannel: w.inbox}, log)
	return w
}

// ask sends one request and reads the answer into answer, where it is not nil.
func (w *watchedServer) ask(method, path string, header map[string]string, body, answer any) *httptest.ResponseRecorder {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(text))
	r.Host, r.RemoteAddr = "login.example", "203.0.113.77:4711"
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Mozilla/5.0 (a very particular browser)")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	if answer != nil {
		if err := json.Unmarshal(rec.Body.Bytes(), answer); err != nil || rec.Code >= 300 {
			w.t.Fatalf("%s %s: %d: %s", method, path, rec.Code, rec.Body)
		}
	}
	return rec
}

func (w *watchedServer) start(address string) (started api.StartResponse) {
	w.t.Helper()
	sum := sha256.Sum256([]byte(w.told["verifier"]))
	w.ask("POST", "/v1/attempts", nil, api.StartRequest{Method: "email_code", Identifier: address,
		CodeChallenge: base64.RawURLEncoding.EncodeToString(sum[:]), Origin: "https://shop.example"}, &started)
	return started
}

// live does everything that there is a metric for: a sign-in and what follows it,
// what strangers try, what goes wrong.
func (w *watchedServer) live() {
	w.t.Helper()
	ctx, told := w.t.Context(), w.told
	told["verifier"] = "a-verifier-of-at-least-forty-three-characters-0123"
	told["address"], told["client"], told["browser"] = "ada.lovelace@example.org", "203.0.113.77", "very particular"

	s := w.start("Ada.Lovelace@example.org")
	told["attempt"], told["starter's secret"] = s.Attempt.ID, s.Secret
	if _, err := w.outbox.Step(ctx, now()); err != nil {
		w.t.Fatal(err)
	}
	told["code"] = w.inbox.Messages(told["address"])[0].Code
	secret := map[string]string{api.AttemptSecretHeader: s.Secret}
	at := "/v1/attempts/" + s.Attempt.ID + "/answer"
	told["wrong code"] = strings.Map(func(r rune) rune { return '0' + (r-'0'+1)%10 }, told["code"])
	w.ask("POST", at, secret, api.AnswerRequest{Code: told["wrong code"]}, nil)
	var granted api.Granted
	w.ask("POST", at, secret, api.AnswerRequest{Code: told["code"]}, &granted)
	told["authorization code"] = granted.AuthorizationCode
	var tokens, fresh api.Tokens
	w.ask("POST", "/p/"+w.project.ID+"/v1/token", nil, api.TokenRequest{GrantType: "authorization_code", Code: granted.AuthorizationCode,
		CodeVerifier: told["verifier"], ChallengeID: &granted.ChallengeID, RedirectURL: "https://shop.example"}, &tokens)
	told["access token"], told["id token"], told["refresh token"] = tokens.AccessToken, tokens.IDToken, tokens.RefreshToken
	told["user"] = tokens.User.ID
	w.ask("POST", "/v1/token", nil, api.TokenRequest{GrantType: "refresh_token", RefreshToken: tokens.RefreshToken}, &fresh)
	told["fresh refresh token"] = fresh.RefreshToken
	bearer := map[string]string{"Authorization": "Bearer " + tokens.AccessToken}
	var sessions api.Sessions
	w.ask("GET", "/v1/sessions", bearer, nil, &sessions)
	w.ask("DELETE", "/v1/sessions/"+sessions.Sessions[0].ID, bearer, nil, nil)
	w.ask("GET", "/v1/users/"+told["user"], map[string]string{"Authorization": "Bearer " + told["server secret"]}, nil, nil)
	w.ask("GET", "/api/v0/user?identifier="+url.QueryEscape(told["address"]), nil, nil, nil)

	// Strangers, who make up what they like.
	told["path"], told["key"] = "etc-passwd-of-a-stranger", "11111111-2222-3333-4444-555555555555"
	w.ask("GET", "/"+told["path"], nil, nil, nil)
	w.ask("GET", "/v1/"+told["path"], nil, nil, nil)
	w.ask("GET", "/p/"+told["key"]+"/v1/keys", nil, nil, nil)
	w.ask("BREW", "/v1/keys", nil, nil, nil)
	w.ask("GET", "/signin?project="+told["key"]+"&redirect_url=https://"+told["path"]+".example", nil, nil, nil)
	told["traceparent"], told["request id"] = "0123456789abcdef0123456789abcdef", "request-id-of-a-stranger"
	w.ask("GET", "/v1/keys", map[string]string{"Traceparent": "00-" + told["traceparent"] + "-0123456789abcdef-01",
		"X-Request-Id": told["request id"]}, nil, nil)

	// A country to which nothing is sent.
	told["number"] = "+4915112345678"
	w.ask("POST", "/v1/attempts", nil, api.StartRequest{Method: "sms_code", Identifier: told["number"],
		CodeChallenge: base64.RawURLEncoding.EncodeToString(make([]byte, 32)), Origin: "https://shop.example"}, nil)

	// Limits, and messages that do not leave.
	for range 4 {
		w.ask("POST", "/v1/attempts", nil, api.StartRequest{Method: "email_code", Identifier: told["address"],
			CodeChallenge: base64.RawURLEncoding.EncodeToString(make([]byte, 32)), Origin: "https://shop.example"}, nil)
	}
	told["slow address"], told["bad address"] = "later.person@example.net", "never.person@example.net"
	w.start(told["slow address"])
	w.start(told["bad address"])
	if _, err := w.outbox.Step(ctx, now()); err != nil {
		w.t.Fatal(err)
	}

	// What happens now and then.
	if _, err := w.in.tokens.Rotate(ctx, w.project, now(), token.RotateOptions{AcceptBreakage: true}); err != nil {
		w.t.Fatal(err)
	}
	if err := w.in.store.SetMark(ctx, store.BackupAt, store.FormatMark(now())); err != nil {
		w.t.Fatal(err)
	}
	w.in.watch.Reports()(splitpin.SMSChannel, delivery.Delivered)
	if _, err := w.in.watch.Work("sweep", func(ctx context.Context, now time.Time) (bool, error) {
		_, err := w.in.watched.Sweep(ctx, now, now, 10)
		return false, err
	})(ctx, now()); err != nil {
		w.t.Fatal(err)
	}
	gone, leave := context.WithCancel(ctx)
	leave()
	if _, err := w.in.watched.Load(gone, splitpin.Reads{User: 1}); err == nil {
		w.t.Fatal("a caller who left was served")
	}
}

// scrape reads the metrics as Prometheus does.
func (w *watchedServer) scrape() string {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.metrics.ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != 200 {
		w.t.Fatalf("/metrics says %d: %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// TestMetricsAreDocumented holds the table of docs/operate/watching.md against what
// is there after a sign-in and all that goes with it, both ways, labels included.
func TestMetricsAreDocumented(t *testing.T) {
	w := newWatchedServer(t)
	w.live()
	there := map[string][]string{}
	kinds := map[string]string{}
	for line := range strings.Lines(w.scrape()) {
		if m := regexp.MustCompile(`^# TYPE (splitpin_\w+) (\w+)`).FindStringSubmatch(line); m != nil {
			there[m[1]], kinds[m[1]] = nil, m[2]
			continue
		}
		m := regexp.MustCompile(`^(splitpin_\w+?)(?:\{(.*)\})? \S+\n$`).FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := m[1]
		if _, ok := kinds[name]; !ok {
			name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		}
		for _, label := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[2], -1) {
			if label[1] != "le" && !slices.Contains(there[name], label[1]) {
				there[name] = append(there[name], label[1])
			}
		}
	}
	page, err := os.ReadFile("../../docs/operate/watching.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(splitpin_\\w+)` \\|([^|]*)\\| (.*) \\|$").FindAllStringSubmatch(string(page), -1) {
		listed[m[1]] = true
		labels, ok := there[m[1]]
		if !ok {
			t.Errorf("the page names %s, which is not there", m[1])
			continue
		}
		var documented []string
		for _, label := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(m[2], -1) {
			documented = append(documented, label[1])
		}
		slices.Sort(labels)
		slices.Sort(documented)
		if !slices.Equal(labels, documented) {
			t.Errorf("%s has the labels %q; the page says %q", m[1], labels, documented)
		}
		if is, says := kinds[m[1]] == "histogram", strings.HasPrefix(m[3], "histogram"); is != says {
			t.Errorf("%s is a %s; the page says otherwise", m[1], kinds[m[1]])
		}
	}
	for name := range there {
		if !listed[name] {
			t.Errorf("the page does not name %s", name)
		}
	}
	if len(there) < 30 {
		t.Errorf("only %d metrics were found: does this test still see them?", len(there))
	}
}

// TestNothingTellsSecrets looks for everything that a person, an app or a stranger
// said or was told in what operators see.
func TestNothingTellsSecrets(t *testing.T) {
	w := newWatchedServer(t)
	w.live()
	metrics := w.scrape()
	if err := w.traces.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	traces, log := w.collector.body.String(), w.log.String()
	for where, text := range map[string]string{"metrics": metrics, "traces": traces, "log": log} {
		for what, secret := range w.told {
			if len(secret) < 4 {
				t.Fatalf("%s is %q: nothing to look for", what, secret)
			}
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Errorf("the %s of this test stands in the %s", what, where)
			}
		}
	}

	// They told the rest: who looks into something empty finds no secret either.
	for _, want := range []string{
		`splitpin_http_requests_total{face="v1",method="POST",route="/v1/attempts/{id}/answer",status="401"} 1`,
		`splitpin_http_requests_total{face="v1",method="POST",route="/v1/token",status="200"} 2`, // one of them below /p/
		`splitpin_http_requests_total{face="v1",method="other",route="/v1/",status="405"} 1`,
		`splitpin_http_requests_total{face="pages",method="GET",route="/",status="404"} 1`,
		`splitpin_http_refusals_total{code="wrong_code",face="v1"} 1`,
		`splitpin_http_refusals_total{code="unknown_project",face="v1"} 1`,
		`splitpin_http_refusals_total{code="page_unknown",face="pages"} 1`,
		`splitpin_steps_total{code="ok",step="collect"} 1`,
		`splitpin_steps_total{code="wrong_code",step="answer"} 1`,
		`splitpin_limits_refused_total{code="too_many_messages"} 2`,
		`splitpin_phone_refused_total{code="country_not_allowed",country="DE"} 1`,
		`splitpin_audit_events_total{kind="session_opened",project="` + w.project.ID + `"} 1`,
		`splitpin_messages_total{channel="email",outcome="retried",reason="data"} 1`,
		`splitpin_messages_total{channel="email",outcome="given_up",reason="recipient"} 1`,
		`splitpin_store_errors_total{code="unavailable",operation="load"} 1`,
		`splitpin_ready 1`,
		`splitpin_outbox_messages 1`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics do not say %s", want)
		}
	}
	if w.collector.kind != "POST /v1/traces application/x-protobuf" {
		t.Errorf("the collector was asked %q", w.collector.kind)
	}
	for _, want := range []string{"service.name", "splitpin", "POST /v1/attempts/{id}/answer", "collect", "store change", "send email", "wrong_code"} {
		if !strings.Contains(traces, want) {
			t.Errorf("the traces do not say %q", want)
		}
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "msg=request ") && (!strings.Contains(line, "request_id=") || !strings.Contains(line, "trace_id=")) {
			t.Errorf("a line does not say which request and trace it belongs to: %s", line)
		}
	}
	if n := strings.Count(log, "msg=request "); n < 15 {
		t.Errorf("the log has %d requests", n)
	}
}

// TestMetricsOfPostgres looks for what the other engine tells of itself.
func TestMetricsOfPostgres(t *testing.T) {
	w := newWatchedServerOn(t, postgrestest.Database(t))
	w.live()
	metrics := w.scrape()
	for _, want := range []string{
		`splitpin_store_connections_limit 5\n`,
		`splitpin_store_commit_steps_bucket\{le="1"\} [1-9]`,
		`splitpin_store_commit_run_seconds_count [1-9]`,
		`splitpin_store_commit_sync_seconds_count [1-9]`,
		`splitpin_store_commits_failed_total 0\n`,
		`splitpin_outbox_messages 1\n`,
		`splitpin_outbox_oldest_seconds [0-9]`,
		`splitpin_audit_events_total\{kind="session_opened",project="` + w.project.ID + `"\} 1\n`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(metrics) {
			t.Errorf("the metrics do not say %s", want)
		}
	}
}

// TestMetricsStayBounded asks for much that differs and counts the series.
func TestMetricsStayBounded(t *testing.T) {
	w := newWatchedServer(t)
	w.live()
	series := func() int { return strings.Count(w.scrape(), "\nsplitpin_") }
	before := series()
	for i := range 50 {
		n := fmt.Sprintf("%012d", i)
		w.ask("GET", "/v1/attempts/"+n, nil, nil, nil)
		w.ask("METHOD"+n, "/v1/keys", nil, nil, nil)
		w.ask("GET", "/p/11111111-2222-3333-4444-"+n+"/v1/keys", nil, nil, nil)
		w.ask("GET", "/"+n, nil, nil, nil)
	}
	// The route of an attempt is new; its histogram has a series for each bucket.
	if more := series() - before; more > 30 {
		t.Errorf("two hundred requests made %d more series", more)
	}
}

// TestMetricsListener looks at the program itself: metrics are where they were
// wished, and nowhere else.
func TestMetricsListener(t *testing.T) {
	look := func(url, host string) (status int, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	for _, profiles := range []bool{false, true} {
		t.Run(fmt.Sprint("profiles ", profiles), func(t *testing.T) {
			p := started(t, t.TempDir(), serveEnv(t, t.TempDir(), "SPLITPIN_METRICS_LISTEN=127.0.0.1:0", fmt.Sprint("SPLITPIN_METRICS_PPROF=", profiles)), "serve")
			metrics := "http://" + p.await(`msg=metrics listen=(\S+)`)
			public := "http://" + p.await(`msg=serving .*listen=(\S+)`)
			if status, body := look(metrics+"/metrics", "localhost"); status != 200 || !strings.Contains(body, "splitpin_build_info") {
				t.Errorf("the metrics listener says %d: %s", status, body)
			}
			if status, body := look(metrics+"/metrics", "login.example.com"); status != http.StatusMisdirectedRequest || strings.Contains(body, "splitpin_") {
				t.Errorf("asked for another host the metrics listener says %d: %s", status, body)
			}
			want := map[bool]int{true: 200, false: 404}[profiles]
			if status, _ := look(metrics+"/debug/pprof/", "localhost"); status != want {
				t.Errorf("profiles: got %d, want %d", status, want)
			}
			for _, path := range []string{"/v1/keys", "/readyz", "/"} {
				if status, _ := look(metrics+path, "localhost"); status != 404 {
					t.Errorf("the metrics listener answers %s with %d", path, status)
				}
			}
			for _, path := range []string{"/metrics", "/debug/pprof/"} {
				if status, _ := look(public+path, "login.example.com"); status != 404 {
					t.Errorf("the public listener answers %s with %d", path, status)
				}
			}
		})
	}
}
