package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/storetest"
)

func TestPutBack(t *testing.T) {
	for name, trial := range map[string]bool{"replace": false, "copy": true} {
		t.Run(name, func(t *testing.T) {
			s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "splitpin.db"), store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			number := func() int64 {
				n, err := s.NextNumber(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			p := storetest.Project(number())
			u := storetest.User(number(), p.Number)
			a := storetest.Attempt(number(), u)
			g := storetest.Grant(a.ID.Number, a, u)
			live, m := storetest.LiveSession(number(), u), storetest.DueMessage(number(), a, storetest.Now)
			browser, passkey := storetest.Credential(number(), u), storetest.Credential(number(), u)
			passkey.Session, passkey.CreatedAt = 0, browser.CreatedAt.Add(time.Hour)
			err = s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
				return splitpin.Writes{Create: []splitpin.Record{p, u, a, g, live, m, browser, passkey, storetest.Guesses(u), storetest.AuditEvent(number(), u)}}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			before := number()
			version, err := s.Version(t.Context())
			if err != nil {
				t.Fatal(err)
			}

			if err := s.PutBack(t.Context(), store.PutBack{Trial: trial, Now: storetest.Now}); err != nil {
				t.Fatal(err)
			}
			if after := number(); after < before+1<<40 {
				t.Errorf("after number %d came %d", before, after)
			}
			if after, err := s.Version(t.Context()); err != nil || after <= version {
				t.Errorf("after version %d came %d, %v", version, after, err)
			}
			epoch, err := s.Mark(t.Context(), "epoch")
			if err != nil || epoch == "" {
				t.Errorf("the epoch is %q, %v", epoch, err)
			}
			off, err := s.Mark(t.Context(), store.SendersOff)
			if err != nil || (off != "") != trial {
				t.Errorf("the senders are off: %q, %v", off, err)
			}
			r, err := s.Load(t.Context(), splitpin.Reads{Attempt: a.ID.Number, Project: p.ID})
			if err != nil || r.Attempt != nil || r.Project == nil {
				t.Errorf("the attempt is %v, the project %v, %v", r.Attempt, r.Project, err)
			}
			r, err = s.Load(t.Context(), splitpin.Reads{Grant: g.Number})
			if err != nil || r.Grant != nil {
				t.Errorf("the grant is %v, %v", r.Grant, err)
			}
			r, err = s.Load(t.Context(), splitpin.Reads{Name: splitpin.Name{Project: p.Number, Identifier: u.Identifier}, Messages: []int64{m.Number}})
			if err != nil || len(r.Messages) != 0 || r.User == nil || r.Guesses == nil {
				t.Errorf("messages %v, user %v, guesses %v, %v", r.Messages, r.User, r.Guesses, err)
			}
			sessions, err := s.Sessions(t.Context(), u.Number)
			if err != nil || (len(sessions) == 0) != trial {
				t.Errorf("%d sessions, %v", len(sessions), err)
			}
			// A browser that was told to remember goes with its session.
			r, err = s.Load(t.Context(), splitpin.Reads{User: u.Number, Credentials: true})
			if want := map[bool]int{false: 2, true: 1}[trial]; err != nil || len(r.Credentials) != want || r.Credentials[0].Session != 0 {
				t.Errorf("the credentials are %v, want %d with the passkey first, %v", r.Credentials, want, err)
			}
			events, err := s.AuditEvents(t.Context(), splitpin.AuditFilter{}, 10)
			if err != nil || len(events) != 1 {
				t.Errorf("%d events, %v", len(events), err)
			}
		})
	}
}

// TestCurrent: a process notices when its database is not the one any more that
// it opened.
func TestCurrent(t *testing.T) {
	for _, test := range []struct {
		name  string
		alter func(t *testing.T, other *store.SQLite, path, backup string)
		gone  bool
	}{
		{name: "others go on", alter: func(t *testing.T, other *store.SQLite, _, _ string) {
			if _, err := other.NextNumber(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := other.SetMark(t.Context(), store.BackupAt, "now"); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a restart in the same file", gone: true, alter: func(t *testing.T, other *store.SQLite, _, _ string) {
			if err := other.PutBack(t.Context(), store.PutBack{}); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "another file in its place", gone: true, alter: func(t *testing.T, _ *store.SQLite, path, backup string) {
			if err := os.Rename(backup, path); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "no file", gone: true, alter: func(t *testing.T, _ *store.SQLite, path, _ string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path, backup := filepath.Join(dir, "splitpin.db"), filepath.Join(dir, "backup")
			open := func() *store.SQLite {
				s, err := store.OpenSQLite(t.Context(), path, store.Options{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				return s
			}
			s := open()
			if _, err := store.WriteBackup(t.Context(), s, backup, time.Now(), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := s.NextNumber(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Current(t.Context()); err != nil {
				t.Fatal(err)
			}
			test.alter(t, open(), path, backup)
			if err := s.Current(t.Context()); errors.Is(err, store.ErrReplaced) != test.gone || err != nil && !test.gone {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
