package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/storetest"
)

func TestMarks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "splitpin.db")
	open := func() *store.SQLite {
		t.Helper()
		s, err := store.OpenSQLite(t.Context(), path, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	holds := func(want string) {
		t.Helper()
		switch got, err := s.Mark(t.Context(), store.BackupAt); {
		case err != nil:
			t.Fatal(err)
		case got != want:
			t.Errorf("the mark is %q, want %q", got, want)
		}
	}
	set := func(value string) {
		t.Helper()
		if err := s.SetMark(t.Context(), store.BackupAt, value); err != nil {
			t.Fatal(err)
		}
	}
	holds("")
	set(store.FormatMark(storetest.Now))
	set(store.FormatMark(storetest.Now.Add(time.Hour)))
	if err := s.SetMark(t.Context(), "epoch", "another"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	holds("2026-03-14T16:09:26Z")
	switch at, err := store.ParseMark("2026-03-14T16:09:26Z"); {
	case err != nil:
		t.Fatal(err)
	case !at.Equal(storetest.Now.Add(time.Hour).Truncate(time.Second)):
		t.Errorf("the mark is read as %v", at)
	}
	set("")
	holds("")
	if at, err := store.ParseMark(""); err != nil || !at.IsZero() {
		t.Errorf("no mark is read as %v, %v", at, err)
	}
}
