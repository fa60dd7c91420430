package store_test

import (
	"path/filepath"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) splitpin.Store {
		s, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "splitpin.db"), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, func(_ *testing.T, _ string, s splitpin.Store) func() bool {
		return func() bool { return s.(*store.SQLite).Stats().Waiting > 0 }
	})
}
