package cotter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/server/cotter"
)

// payload is what a sign-in resolves to in a page, and the loader hands on.
func payload(t *testing.T, got map[string]any, fields string) string {
	t.Helper()
	rest, err := json.Marshal(map[string]any{"token": got["token"], "email": "somebody@else.example",
		"oauth_token": got["oauth_token"], "user": map[string]any{"ID": "somebody else", "identifier": "somebody@else.example"}})
	if err != nil {
		t.Fatal(err)
	}
	return "{" + fields + strings.TrimPrefix(string(rest), "{")
}

func hooked(a, _ *splitpin.Project) {
	a.Settings.Site = splitpin.Site{Forms: map[string]splitpin.Form{"members": {}},
		Completion: splitpin.Completion{URL: "https://shop.example/hook", Generation: 1}}
}

// The project's backend is told who signed in, by the access token alone, and what
// they answered; no token goes on.
func TestCompletion(t *testing.T) {
	s := newSite(t, hooked)
	got := s.signIn("ada@example.org")
	var told []cotter.FormCompleted
	s.tell = func(_ context.Context, p *splitpin.Project, c cotter.FormCompleted) error {
		if p.ID != idA {
			t.Errorf("told for the project %s", p.ID)
		}
		told = append(told, c)
		return nil
	}
	complete := ask{method: "POST", path: "/completion/form?form-id=members", key: idA, origin: "https://anywhere.example",
		body: payload(t, got, `"company":"Analytical Engines","age":36,"news":true,"nested":{"a":1},"list":[1],"none":null,"long":"`+strings.Repeat("x", 2000)+`",`)}
	if done := s.do(complete).object(t); at(t, done, "success") != true {
		t.Errorf("got %v", done)
	}
	s.do(complete).object(t)
	if len(told) != 2 || told[0].ID != told[1].ID || told[0].ID == "" {
		t.Fatalf("told %+v, want twice, under one id", told)
	}
	sent, err := json.Marshal(told[0])
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"form":"members","project":%q,"user":{"id":%q,"identifier":"ada@example.org","client_user_id":%[2]q},`+
		`"fields":{"age":36,"company":"Analytical Engines","news":true}}`, idA, text(t, got, "user.ID"))
	if string(sent) != want {
		t.Errorf("told %s\nwant %s", sent, want)
	}
}

func TestCompletionRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *site, a *ask, got map[string]any)
		status int
		msg    string
	}{
		{"no token", func(_ *site, a *ask, _ map[string]any) { a.body = `{"email":"ada@example.org"}` }, 401, "sign in"},
		{"a token of another project", func(s *site, a *ask, _ map[string]any) { a.key = idB }, 401, "sign in"},
		{"an id token", func(s *site, a *ask, got map[string]any) {
			a.body = fmt.Sprintf(`{"oauth_token":{"access_token":%q}}`, text(s.t, got, "oauth_token.id_token"))
		}, 401, "sign in"},
		{"an altered token", func(s *site, a *ask, got map[string]any) {
			access := text(s.t, got, "oauth_token.access_token")
			a.body = fmt.Sprintf(`{"oauth_token":%q}`, access[:len(access)-4]+"AAAA")
		}, 401, "sign in"},
		{"after signing out", func(s *site, _ *ask, got map[string]any) {
			s.do(ask{method: "DELETE", path: "/api/v0/token/" + idA, key: idA, origin: shop, cookie: text(s.t, got, "oauth_token.refresh_token")}).object(s.t)
		}, 401, "sign in"},
		{"long after the sign-in", func(s *site, _ *ask, _ map[string]any) { s.wait(11 * time.Minute) }, 403, "sign-in"},
		{"a form that is not there", func(_ *site, a *ask, _ map[string]any) { a.path = "/completion/form?form-id=nothing" }, 400, "no form"},
		{"over and over", func(s *site, a *ask, _ map[string]any) {
			for range 3 {
				s.do(*a).object(s.t)
			}
		}, 429, "too often"},
		{"no JSON", func(_ *site, a *ask, _ map[string]any) { a.body = "x" }, 400, "JSON"},
		{"an unknown project", func(_ *site, a *ask, _ map[string]any) { a.key = "nobody" }, 401, "project"},
		{"a backend that does not answer", func(s *site, _ *ask, _ map[string]any) {
			s.tell = func(context.Context, *splitpin.Project, cotter.FormCompleted) error {
				return errors.New("connection refused")
			}
		}, 503, "could not be told"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, hooked, func(_, b *splitpin.Project) { hooked(b, nil) })
			told := 0
			s.tell = func(context.Context, *splitpin.Project, cotter.FormCompleted) error { told++; return nil }
			got := s.signIn("ada@example.org")
			a := ask{method: "POST", path: "/completion/form?form-id=members", key: idA, origin: shop, body: payload(t, got, "")}
			test.change(s, &a, got)
			before := told
			r := s.do(a)
			if msg := r.refused(t, test.status); !strings.Contains(msg, test.msg) {
				t.Errorf("got %q, want %q in it", msg, test.msg)
			}
			if told != before {
				t.Error("the backend was told all the same")
			}
			// The loader goes on wherever it got an answer that it may read.
			if got := r.header.Get("Access-Control-Allow-Origin"); got != "*" {
				t.Errorf("Access-Control-Allow-Origin is %q", got)
			}
		})
	}
}

// What became of each is in the audit log, with the form and no answer.
func TestCompletionIsRecorded(t *testing.T) {
	s := newSite(t, hooked)
	s.tell = func(context.Context, *splitpin.Project, cotter.FormCompleted) error {
		return errors.New("connection refused")
	}
	complete := ask{method: "POST", path: "/completion/form?form-id=members", key: idA, origin: shop, body: payload(t, s.signIn("ada@example.org"), `"company":"private",`)}
	s.do(complete).refused(t, 503)
	s.tell = func(context.Context, *splitpin.Project, cotter.FormCompleted) error { return nil }
	s.do(complete).object(t)
	for kind, detail := range map[string]string{"completion_failed": "members: connection refused", "completion_sent": "members"} {
		events, err := s.store.AuditEvents(t.Context(), splitpin.AuditFilter{Kind: kind}, 10)
		if err != nil || len(events) != 1 || events[0].Detail != detail || events[0].Session == 0 || events[0].User == 0 {
			t.Errorf("%s: got %+v, %v; want one of %q", kind, events, err, detail)
		}
	}
}

// Without a backend to tell there is nothing to do, and the page goes on.
func TestCompletionOfNobody(t *testing.T) {
	s := newSite(t)
	r := s.do(ask{method: "POST", path: "/completion/form?form-id=form_default", key: idA, origin: shop, body: `{}`})
	if at(t, r.object(t), "success") != true {
		t.Errorf("got %s", r.body)
	}
}
