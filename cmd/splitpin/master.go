package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
)

type masterCommand struct {
	New    masterNew    `cmd:"" help:"Write a new master key to a file."`
	Change masterChange `cmd:"" help:"Wrap all data keys with a new master key. Nobody is signed out."`
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
	NewFile string `help:"File with the new master key, from 'splitpin master-key new'." required:"" placeholder:"FILE"`
}

// Run re-wraps in one transaction. Servers that run go on with what they have in
// memory; a start needs the new key from now on.
func (c *masterChange) Run(ctx context.Context, t terminal) error {
	next, err := keyring.ReadMasterFile(c.NewFile)
	if err != nil {
		return err
	}
	conf, masters, err := c.config()
	if err != nil {
		return err
	}
	db, err := store.OpenSQLite(ctx, filepath.Join(conf.Data, databaseFile), store.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	var failed error
	for _, old := range masters {
		if failed = keyring.Rewrap(ctx, db, old, next, now()); failed == nil {
			break
		}
	}
	if failed != nil {
		return failed
	}
	development := filepath.Join(conf.Data, masterFile)
	if _, err := os.Stat(development); err == nil && conf.MasterKeyFile == "" && conf.MasterKey == "" {
		if err := replaceKey(development, next); err != nil {
			return errors.Join(fmt.Errorf("the data keys are wrapped with the new master key, but %s still holds the old one: copy %s over it", development, c.NewFile), err)
		}
	}
	t.printf("All data keys are wrapped with the new master key. Servers that run go on.\nStart them with the new key from now on: master_key_file: %s\n", c.NewFile)
	return nil
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
