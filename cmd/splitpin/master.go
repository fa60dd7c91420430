package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

type masterCommand struct {
	New    masterNew    `cmd:"" help:"Write a new master key to a file."`
	Change masterChange `cmd:"" help:"Wrap all data keys with a new master key. Nobody is signed out, unless --compromised."`
}

type masterNew struct {
	File string `arg:"" help:"File to make; it must not exist."`
}

func (c *masterNew) Run(t terminal) error {
	if err := keyring.WriteMasterFile(c.File, keyring.NewMaster()); err != nil {
		return err
	}
	t.printf("Wrote %s (mode 0600). Keep a copy where the backups of the data are not:\nwithout it nobody can open the data, with both anybody can.\n", c.File)
	return nil
}

type masterChange struct {
	where
	NewFile     string `help:"File with the new master key, from 'splitpin master-key new'." required:"" placeholder:"FILE"`
	Compromised bool   `help:"Strangers may know the old key: end every session, every sign-in under way and every signing key too."`
	Yes         bool   `help:"With --compromised: do not ask."`
}

// Run changes the master key in one transaction, while servers may be running. It
// can be repeated: what was done is not done again.
func (c *masterChange) Run(ctx context.Context, t terminal) error {
	next, err := keyring.ReadMasterFile(c.NewFile)
	if err != nil {
		return err
	}
	conf, masters, err := c.config(false)
	if err != nil {
		return err
	}
	development := conf.MasterKey == "" && conf.MasterKeyFile == ""
	if !development && inside(c.NewFile, conf.Data) {
		return fmt.Errorf("%s lies inside the data folder, so a copy of the data would hold the key that opens it; move it elsewhere", c.NewFile)
	}
	db, err := store.Open(ctx, conf.database(), conf.storeOptions())
	if err != nil {
		return err
	}
	defer db.Close()

	if c.Compromised {
		err = c.replace(ctx, t, db, masters, next)
	} else {
		err = c.rewrap(ctx, t, db, masters, next)
	}
	if err != nil {
		return err
	}
	if !development {
		file, err := filepath.Abs(c.NewFile)
		if err != nil {
			file = c.NewFile
		}
		t.printf("Set this in the configuration of every server, and restart: master_key_file: %s\n", file)
		return nil
	}
	if err := replaceKey(filepath.Join(conf.Data, masterFile), next); err != nil {
		return fmt.Errorf("the data has the new master key, but the file beside it still holds the old one; please repeat the command: %w", err)
	}
	t.printf("The key beside the data was replaced.\n")
	return nil
}

// rewrap changes the key and nothing else. Servers that run go on with what they
// have in memory; a start needs the new key.
func (c *masterChange) rewrap(ctx context.Context, t terminal, db store.Database, masters []keyring.Master, next keyring.Master) (err error) {
	for _, old := range masters {
		if err = keyring.Rewrap(ctx, db, old, next, now()); err == nil {
			t.printf("All data keys are wrapped with the new master key. Nobody is signed out, and servers that run go on.\n")
			return nil
		}
	}
	return err
}

// replace ends everything that the old key protected. Servers that run notice
// within a second: they refuse what was made before, and make nothing new until
// they have the new key.
func (c *masterChange) replace(ctx context.Context, t terminal, db store.Database, masters []keyring.Master, next keyring.Master) error {
	projects, err := db.Projects(ctx)
	if err != nil {
		return fmt.Errorf("listing the projects: %w", err)
	}
	fmt.Fprintf(t.err, `Everything that the old master key protected ends at once, in every project:
%s
- Everybody is signed out, everywhere, and signs in again.
- Sign-ins under way start again: codes in people's mail are good for nothing.
- Every access, id and identity token made so far fails at each verifier as soon as it fetches the key set
  again. Verifiers that keep a key for the life of their process (cotter-node, the Flutter package) refuse
  everybody, AND BELIEVE THE OLD KEY, until they are restarted.
- Servers that run answer nobody until they are started with the new key.
Users, projects, their server secrets and the audit log stay.

`, names(projects))
	if !c.Yes && !confirmed(t, "End all of it?") {
		return errors.New("nothing was changed")
	}
	done, err := token.Succeed(ctx, db, masters, next, now())
	if err != nil {
		return err
	}
	if done.Done {
		t.printf("This was done before; nothing more was changed.\n")
		return nil
	}
	t.printf("Every session, sign-in under way and signing key of %d projects ended. Restart the verifiers that keep keys now.\n", len(done.Projects))
	return nil
}

func names(projects []*splitpin.Project) string {
	var lines []string
	for _, p := range projects {
		lines = append(lines, fmt.Sprintf("  %s  %s", p.ID, p.Name()))
	}
	return strings.Join(lines, "\n")
}

// replaceKey puts a key in the place of another by renaming, so that a crash
// leaves the one or the other.
func replaceKey(path string, m keyring.Master) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := keyring.WriteMasterFile(next, m); err != nil {
		return err
	}
	return os.Rename(next, path)
}
