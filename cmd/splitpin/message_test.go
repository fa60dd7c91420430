package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/splitpin/splitpin"
)

// What programs do to a link is told apart from what people may have done.
func TestLinkHistory(t *testing.T) {
	at := time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)
	opened := func(kinds ...splitpin.Opening) (o splitpin.LinkOpens) {
		for _, kind := range kinds {
			o = o.Add(kind)
		}
		return o
	}
	var often splitpin.LinkOpens
	for range splitpin.MaxLinkOpens + 5 {
		often = often.Add(splitpin.OpenedByFetch)
	}
	for _, tt := range []struct {
		name string
		a    splitpin.Attempt
		want []string
	}{
		{"nobody came", splitpin.Attempt{}, nil},
		{"a preview", splitpin.Attempt{LinkOpens: opened(splitpin.OpenedByHead, splitpin.OpenedByFetch, splitpin.OpenedByFetch)},
			[]string{"link asked for with HEAD, by a program, once", "link fetched by a program: a preview or a scanner, 2 times"}},
		{"a person", splitpin.Attempt{LinkOpens: opened(splitpin.OpenedAsPage, splitpin.OpenedByScript), Link: splitpin.LinkHere, ProvedAt: at},
			[]string{"link loaded in a browser, by a person or a scanner, once", "link: signed in where it was opened, at 2026-11-22T14:03:07Z"}},
		{"a browser without scripts", splitpin.Attempt{LinkOpens: opened(splitpin.OpenedAsPage, splitpin.OpenedAsPage, splitpin.OpenedByScript)},
			[]string{"link loaded as a page whose script did not run, once", "link loaded in a browser, by a person or a scanner, once"}},
		{"far too often", splitpin.Attempt{LinkOpens: often}, []string{"link fetched by a program: a preview or a scanner, 20 times (and more are not counted)"}},
		{"who guesses", splitpin.Attempt{LinkTries: 2}, []string{"link: tried in vain, 2 times"}},
		{"let in", splitpin.Attempt{Link: splitpin.LinkLetIn, ProvedAt: at}, []string{"link: let the asking screen in, at 2026-11-22T14:03:07Z"}},
		{"not me", splitpin.Attempt{Link: splitpin.LinkRefused}, []string{"link: somebody who opened it said that it was not them"}},
		{"not me, later", splitpin.Attempt{ProvedAt: at, CollectedAt: at, DeniedAt: at.Add(time.Minute)},
			[]string{"link: somebody who opened it later said that this sign-in was not theirs, and ended it, at 2026-11-22T14:04:07Z"}},
		{"too many wrong codes", splitpin.Attempt{DeniedAt: at}, nil},
	} {
		if got := linkHistory(&tt.a); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestJourney(t *testing.T) {
	at := time.Date(2026, 11, 22, 14, 3, 7, 0, time.UTC)
	for want, m := range map[string]splitpin.Message{
		"waiting":                              {},
		"waiting after 2 tries: connect: down": {Tries: 2, Reason: "connect: down"},
		"given up: recipient: 550":             {GivenUpAt: at, Reason: "recipient: 550"},
		"accepted by the mail server at 2026-11-22T14:03:07Z":                                                                                      {Channel: splitpin.EmailChannel, SentAt: at},
		"accepted by the provider for sms at 2026-11-22T14:03:07Z, delivered at 2026-11-22T14:03:09Z":                                              {Channel: splitpin.SMSChannel, SentAt: at, ReportedAt: at.Add(2 * time.Second), Report: "delivered"},
		"accepted by the provider for sms at 2026-11-22T14:03:07Z, not by whatsapp (x), not delivered (recipient) as told at 2026-11-22T14:03:09Z": {Channel: splitpin.SMSChannel, SentAt: at, Reason: "not by whatsapp (x)", ReportedAt: at.Add(2 * time.Second), Report: "recipient"},
	} {
		if got := new(installation).journey(&m); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	// In development there is no mail server.
	dev := installation{development: true}
	if got := dev.journey(&splitpin.Message{Channel: splitpin.EmailChannel, SentAt: at}); got != "shown in the inbox at 2026-11-22T14:03:07Z" {
		t.Errorf("in development: got %q", got)
	}
}

// What stands in one column begins at one place, however long addresses are.
func TestMessagesInColumns(t *testing.T) {
	configured(t)
	if status, _, errs := typed(t, "project", "create", "--name", "Shop", "--origin", "https://shop.example"); status != 0 {
		t.Fatal(errs)
	}
	in, err := where{}.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := in.project("")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	for i, m := range []*splitpin.Message{
		{Channel: splitpin.EmailChannel, To: "somebody.with.a.long.name@department.example.org", Template: "passkey_added"},
		{Channel: splitpin.EmailChannel, To: "jö@example.org", Template: "code"},
		{Channel: splitpin.SMSChannel, To: "+4915112345678", Template: "code"},
	} {
		if m.Number, err = in.store.NextNumber(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Project, m.CreatedAt, m.ExpiresAt, m.DueAt = p.Number, at.Add(time.Duration(i)*time.Second), at.Add(time.Hour), at
		if err := in.store.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
			return splitpin.Writes{Create: []splitpin.Record{m}}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	_, out, errs := typed(t, "message", "list")
	ends := map[int]bool{} // where the last column begins
	for line := range strings.Lines(out) {
		before, _, ok := strings.Cut(line, "  waiting")
		if !ok {
			t.Errorf("a line that tells of no message: %q", line)
		}
		ends[utf8.RuneCountInString(before)] = true
	}
	if len(ends) != 1 || strings.Count(out, "\n") != 3 {
		t.Errorf("got %s\n%s", out, errs)
	}
}

// Every message there is has a word for operators.
func TestContents(t *testing.T) {
	var found []string
	for _, channel := range []splitpin.Channel{splitpin.EmailChannel, splitpin.SMSChannel, splitpin.WhatsAppChannel} {
		files, err := filepath.Glob("../../delivery/templates/en/" + string(channel) + "/*.text")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d templates, %v", channel, len(files), err)
		}
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".text")
			found = append(found, name)
			if contents[name] == "" {
				t.Errorf("a message %q by %s has no word", name, channel)
			}
		}
	}
	for name := range contents {
		if !slices.Contains(found, name) {
			t.Errorf("there is no message %q", name)
		}
	}
	if got := content(&splitpin.Message{Template: "link", Channel: splitpin.SMSChannel}); got != "code and link by sms" {
		t.Errorf("got %q", got)
	}
}
