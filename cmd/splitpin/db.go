package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/store"
)

type dbCommand struct {
	Copy   dbCopy   `cmd:"" help:"Move an installation to another database: from a file to PostgreSQL, or back."`
	Reopen dbReopen `cmd:"" help:"Let an installation serve again that was moved away. What happened where it was moved to is lost here."`
}

type dbCopy struct {
	where
	From         string `help:"What to copy: a data folder, or the URL of a PostgreSQL database. Empty: the configuration's." placeholder:"FOLDER|URL"`
	To           string `help:"Where to: a data folder, or the URL of a PostgreSQL database. It must be empty, or hold what this command left there when it was interrupted." required:"" placeholder:"FOLDER|URL"`
	WhileServing bool   `help:"Copy although servers go on with the original. What they do from then on is not in the target."`
	Anew         bool   `help:"Throw away what an interrupted copy of another installation left in the target."`
}

// Run copies, and goes on with a copy that was interrupted. The original keeps what it
// has; unless it is to go on, nobody serves from it any more.
func (c *dbCopy) Run(ctx context.Context, t terminal) error {
	conf, err := c.load()
	if err != nil {
		return err
	}
	source := conf
	if c.From != "" {
		if err := source.place(c.From); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	}
	if _, err := os.Stat(source.database()); err != nil && !source.shared() {
		return fmt.Errorf("there is no database in %s. Name what to copy with --from, or the configuration of the server with --config", source.Data)
	}
	target := conf
	if err := target.place(c.To); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if source.database() == target.database() || !source.shared() && !target.shared() && same(source.database(), target.database()) {
		return errors.New("source and target are the same database")
	}

	if !source.shared() {
		held, err := hold(source.Data, "Stop that server first, or copy --while-serving: what it does from then on is not in the target")
		if err == nil {
			defer held.Close()
		} else if !c.WhileServing {
			return err
		}
	}
	options := source.storeOptions()
	options.Moved = true // by a copy that was interrupted
	from, err := store.Open(ctx, source.database(), options)
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
				"what they do from then on is not in the target")
		}
	}

	o := store.CopyOptions{Options: target.storeOptions(), At: now(), Anew: c.Anew, Move: !c.WhileServing}
	if c.WhileServing {
		o.PutBack = &store.PutBack{Now: o.At}
	}
	found, err := c.copy(ctx, t, from, target, o)
	if err != nil {
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, store.ErrNotEmpty) {
			err = fmt.Errorf("%w\nThe same command goes on where this one ended. %s", err, c.meanwhile(ctx, from))
		}
		return err
	}
	t.printf("Copied and compared, row by row: %s.\n", described(found, target.database()))
	if c.WhileServing {
		t.printf("The original went on, so the target begins as a restored backup does: sign-ins under way are not in it, nor what happened since.\n")
	}
	if c.WhileServing {
		t.printf("To try the target, start a server of its own with %s, and the same master key: it knows the same people and sessions. "+
			"Servers of the original go on as they are.\nTo move for good, stop them, and copy to an empty database without --while-serving.\n", target.setting())
	} else {
		t.printf("Now set %s in the configuration of every server, and start them. The master key stays the same.\n", target.setting())
		t.printf("No server opens the original any more. Keep it until all is well; 'splitpin db reopen' lets it serve again, without what happened since.\n")
	}
	return nil
}

// meanwhile says what becomes of the original where its copy was interrupted.
func (c *dbCopy) meanwhile(ctx context.Context, from store.Database) string {
	switch moved, err := from.Mark(context.WithoutCancel(ctx), store.MovedAt); {
	case err != nil:
		return "No server may be able to open the original until then: 'splitpin db reopen' gives the move up"
	case moved != "":
		return "No server opens the original until then: 'splitpin db reopen' gives the move up"
	}
	return "Nothing was changed in the original"
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
	}
	meter := newMeter(t, "copy")
	o.Tell = meter.tell
	found, err := store.Copy(ctx, from, to, o)
	meter.end()
	return found, err
}

// noFolder is what somebody writes who means a database and no folder: an address with
// a scheme, or names with values. A folder that is called so is written as ./NAME.
var noFolder = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+:|(^|\s)[A-Za-z_]+\s*=`)

// place points the configuration to another database: the URL of one on PostgreSQL,
// or a data folder. The error never repeats where, which may hold a password.
func (c *Config) place(where string) error {
	where = databaseAddress(where)
	if store.IsPostgres(where) {
		c.Database = splitpin.Secret(where)
		if secretIn(where) != nil { // it has one of its own
			c.Postgres.Password = ""
		}
		return nil
	}
	if strings.TrimSpace(where) == "" || noFolder.MatchString(where) {
		return errors.New("must be the address of a PostgreSQL database, like postgres://splitpin@db.example.com/splitpin, " +
			"or the path of a data folder, like /var/lib/splitpin")
	}
	c.Database, c.Data = "", filepath.Clean(where)
	return nil
}

// setting is what to write into the configuration for this database, without any
// password.
func (c *Config) setting() string {
	if c.shared() {
		return "database (and its password) to what --to says"
	}
	return "database: sqlite, and data: " + c.Data
}

type dbReopen struct {
	where
	From string `help:"What to open again: a data folder, or the URL of a PostgreSQL database. Empty: the configuration's." placeholder:"FOLDER|URL"`
}

// Run takes back what a move did to the original.
func (c *dbReopen) Run(ctx context.Context, t terminal) error {
	conf, err := c.load()
	if err != nil {
		return err
	}
	if c.From != "" {
		if err := conf.place(c.From); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	}
	if !conf.shared() {
		if _, err := os.Stat(conf.database()); err != nil {
			return fmt.Errorf("there is no database in %s. Name what to open with --from, or the configuration of the server with --config", conf.Data)
		}
		held, err := hold(conf.Data, "It was not moved away")
		if err != nil {
			return err
		}
		defer held.Close()
	}
	options := conf.storeOptions()
	options.Moved = true
	db, err := store.Open(ctx, conf.database(), options)
	if err != nil {
		return err
	}
	defer db.Close()
	moved, err := store.Reopen(ctx, db)
	if err != nil {
		return err
	}
	if !moved {
		t.printf("It was not moved away: nothing was changed.\n")
		return nil
	}
	t.printf("It serves again. Sign-ins that were under way start again. Stop servers that run where it was moved to, and never use that one again.\n")
	return nil
}

// nodesOf reports whether others are connected to a shared database.
func nodesOf(ctx context.Context, db store.Database) (bool, error) {
	shared, ok := db.(*store.Postgres)
	if !ok {
		return false, nil
	}
	return shared.Others(ctx)
}
