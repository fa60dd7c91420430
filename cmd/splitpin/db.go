package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
)

type dbCommand struct {
	Copy dbCopy `cmd:"" help:"Move an installation to another database: from a file to PostgreSQL, or back."`
}

type dbCopy struct {
	where
	From         string `help:"What to copy: a data folder, or the URL of a PostgreSQL database. Empty: the configuration's." placeholder:"FOLDER|URL"`
	To           string `help:"Where to: a data folder, or the URL of a PostgreSQL database. It must be empty, or hold what an interrupted copy left." required:"" placeholder:"FOLDER|URL"`
	WhileServing bool   `help:"Copy although servers go on with the original. What they do from then on is lost to the copy."`
	Anew         bool   `help:"Throw away what an interrupted copy of another installation left in the target."`
}

// Run copies, and goes on with a copy that was interrupted. The original stays as it
// is.
func (c *dbCopy) Run(ctx context.Context, t terminal) error {
	conf, err := c.load()
	if err != nil {
		return err
	}
	source := conf
	if c.From != "" {
		source.place(c.From)
	}
	if _, err := os.Stat(source.database()); err != nil && !source.shared() {
		return fmt.Errorf("there is no database in %s. Name what to copy with --from, or the configuration of the server with --config", source.Data)
	}
	target := conf
	target.place(c.To)
	if source.database() == target.database() || !source.shared() && !target.shared() && same(source.database(), target.database()) {
		return errors.New("source and target are the same database")
	}

	if !source.shared() {
		held, err := hold(source.Data, "Stop that server first, or copy --while-serving: what it does from then on is not in the copy")
		if err == nil {
			defer held.Close()
		} else if !c.WhileServing {
			return err
		}
	}
	source.Postgres.Command = true
	from, err := store.Open(ctx, source.database(), source.storeOptions())
	if err != nil {
		return err
	}
	defer from.Close()
	if source.shared() && !c.WhileServing {
		nodes, err := nodesOf(ctx, from)
		if err != nil {
			return err
		}
		if nodes {
			return errors.New("other connections work on the database: stop the servers first, or copy --while-serving: " +
				"what they do from then on is not in the copy")
		}
	}

	o := store.CopyOptions{Options: target.storeOptions(), At: now(), Anew: c.Anew}
	if c.WhileServing {
		o.Restart = &store.Restart{Now: o.At}
	}
	found, err := c.copy(ctx, t, from, target, o)
	if err != nil {
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, store.ErrNotEmpty) {
			err = fmt.Errorf("%w\nNothing was changed in the original. The same command goes on where this one ended", err)
		}
		return err
	}
	t.printf("Copied and compared, row by row: %s.\n", described(found, target.database()))
	if c.WhileServing {
		t.printf("The original went on, so this copy begins as a restored backup does: sign-ins under way are not in it, and what happened since is lost to it.\n")
	}
	t.printf("Now set %s in the configuration of every server, and start them. The master key stays the same.\n", target.setting())
	t.printf("Keep the original until all is well, but never serve from it again: what happens there would be lost.\n")
	return nil
}

func (c *dbCopy) copy(ctx context.Context, t terminal, from store.Database, target Config, o store.CopyOptions) (*store.Contents, error) {
	to := target.database()
	if !target.shared() {
		if err := prepareFolder(target.Data, "serve"); err != nil {
			return nil, err
		}
		held, err := hold(target.Data, "Choose another folder")
		if err != nil {
			return nil, err
		}
		defer held.Close()
		if _, err := os.Lstat(to); err == nil {
			return nil, fmt.Errorf("there is a database in %s already: choose another folder: %w", target.Data, fs.ErrExist)
		}
		to += ".copying"
	}
	meter := newMeter(t, "copy")
	o.Tell = meter.tell
	found, err := store.Copy(ctx, from, to, o)
	meter.end()
	if err != nil || target.shared() {
		return found, err
	}
	if err := syncFile(to); err != nil {
		return nil, fmt.Errorf("writing the copy: %w", err)
	}
	if err := os.Rename(to, target.database()); err != nil {
		return nil, fmt.Errorf("naming the copy: %w", err)
	}
	return found, syncFolder(target.Data)
}

// place points the configuration to another database: the URL of one on PostgreSQL,
// or a data folder.
func (c *Config) place(where string) {
	if store.IsPostgres(where) {
		c.Database = splitpin.Secret(where)
		if passwordIn(where) != nil { // it has one of its own
			c.Postgres.Password = ""
		}
		return
	}
	c.Database, c.Data = "", filepath.Clean(where)
}

// setting is what to write into the configuration for this database, without any
// password.
func (c *Config) setting() string {
	if c.shared() {
		return "database (and its password) to what --to says"
	}
	return "database: sqlite, and data: " + c.Data
}

// nodesOf reports whether others are connected to a shared database.
func nodesOf(ctx context.Context, db store.Database) (bool, error) {
	shared, ok := db.(*store.Postgres)
	if !ok {
		return false, nil
	}
	return shared.Others(ctx)
}
