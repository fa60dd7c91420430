package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store/postgrestest"
	"github.com/splitpin/splitpin/store/storetest"
)

// TestMove moves an installation away below a node that nobody stopped, and opens it
// again.
func TestMove(t *testing.T) {
	for name, from := range map[string]string{"sqlite": filepath.Join(t.TempDir(), "splitpin.db"), "postgres": postgrestest.Database(t)} {
		t.Run(name, func(t *testing.T) {
			node, err := Open(t.Context(), from, pgTest)
			if err != nil {
				t.Fatal(err)
			}
			defer node.Close()
			installed(t, node)
			create := func(s splitpin.Store, d *splitpin.DataKey) error {
				return s.Change(t.Context(), splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
					return splitpin.Writes{Create: []splitpin.Record{d}}, nil
				})
			}
			move := CopyOptions{Options: pgTest, At: storetest.Now, Move: true}

			// What is refused before anything was written leaves the original alone.
			full := postgrestest.Database(t)
			other := openedPostgres(t, full)
			furnish(t, other)
			if _, err := Copy(t.Context(), node, full, move); !errors.Is(err, ErrNotEmpty) {
				t.Fatalf("a full target: %v", err)
			}
			if err := node.Current(t.Context()); err != nil {
				t.Fatalf("a move that did not begin ends a node: %v", err)
			}

			to := filepath.Join(t.TempDir(), "splitpin.db")
			if _, err := Copy(t.Context(), node, to, move); err != nil {
				t.Fatal(err)
			}
			if err := node.Current(t.Context()); !errors.Is(err, ErrReplaced) {
				t.Errorf("a node at work is told %v", err)
			}
			if IsPostgres(from) { // a file is held by who moves it
				if err := create(node, storetest.DataKey("codes", 1)); !errors.Is(err, splitpin.ErrUnavailable) {
					t.Errorf("a write after the move: %v", err)
				}
				if _, _, err := node.Take(t.Context(), storetest.Now, splitpin.Charge{Key: 1, Burst: 2, Period: time.Hour, Cost: 1}); err == nil {
					t.Error("a limit was charged after the move")
				}
			}
			if s, err := Open(t.Context(), from, pgTest); err == nil {
				s.Close()
				t.Error("the original is opened after the move")
			} else if !strings.Contains(err.Error(), "splitpin db reopen") {
				t.Errorf("opening the original says %v", err)
			}
			moved, err := Open(t.Context(), to, pgTest)
			if err != nil {
				t.Fatalf("opening the copy: %v", err)
			}
			defer moved.Close()
			if err := create(moved, storetest.DataKey("codes", 1)); err != nil {
				t.Errorf("writing to the copy: %v", err)
			}

			options := pgTest
			options.Moved = true
			for _, want := range []bool{true, false} {
				original, err := Open(t.Context(), from, options)
				if err != nil {
					t.Fatal(err)
				}
				defer original.Close()
				if was, err := Reopen(t.Context(), original); err != nil || was != want {
					t.Fatalf("opening it again: %v, %v, want %v", was, err, want)
				}
			}
			again, err := Open(t.Context(), from, pgTest)
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if err := create(again, storetest.DataKey("codes", 1)); err != nil {
				t.Errorf("writing to what was opened again: %v", err)
			}
			number, err := again.NextNumber(t.Context())
			if err != nil || number < numberJump {
				t.Errorf("it goes on with the number %d: %v", number, err)
			}
		})
	}
}
