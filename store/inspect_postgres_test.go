package store_test

import (
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/postgrestest"
)

func TestInspectPostgres(t *testing.T) {
	database := postgrestest.Database(t)
	if i, err := store.InspectPostgres(t.Context(), database, store.PostgresOptions{}); err != nil || i.Tables != 0 {
		t.Errorf("an empty database: got tables of version %d (%v)", i.Tables, err)
	}
	db, err := store.OpenPostgres(t.Context(), database, store.PostgresOptions{Unsafe: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, o := range []store.PostgresOptions{{}, {Pooler: true}} {
		i, err := store.InspectPostgres(t.Context(), database, o)
		if err != nil {
			t.Fatal(err)
		}
		if i.Version < 140000 || i.Name == "" || i.SynchronousCommit == "" || i.Size <= 0 || i.Tables == 0 || i.Tables != i.Known || i.Standby || i.Standbys != 0 || i.SlotLag != 0 {
			t.Errorf("got %+v", i)
		}
		if off := time.Since(i.Time); off.Abs() > time.Minute {
			t.Errorf("the clock is %s off", off)
		}
	}
	if _, err := store.InspectPostgres(t.Context(), database+"_nowhere", store.PostgresOptions{Password: splitpin.Secret("hunter2")}); err == nil {
		t.Error("a database that is not there was inspected")
	}
}
