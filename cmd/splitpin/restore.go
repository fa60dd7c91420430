package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

type restoreCommand struct {
	where
	File      string `arg:"" help:"A backup, from 'splitpin backup'." placeholder:"FILE"`
	Replace   bool   `help:"What was backed up is lost, and this takes its place." xor:"mode"`
	Copy      bool   `help:"What was backed up goes on elsewhere; this is to try things with: other keys, no sessions, and no messages to people." xor:"mode"`
	BackupKey string `help:"With --copy: file with the master key under which the backup was made. The trial copy gets the configured one, which must be another." placeholder:"FILE"`
	Overwrite bool   `help:"Take the place of what is in the database now. A file is kept beside the new one."`
}

// Run makes an installation of a backup. Until the last step everything happens in
// a file of its own, so that an interruption leaves what was there before.
func (c *restoreCommand) Run(ctx context.Context, t terminal) error {
	if err := c.choose(t); err != nil {
		return err
	}
	conf, err := c.load()
	if err != nil {
		return err
	}
	masters, err := conf.masters()
	switch {
	case err != nil:
		return err
	case len(masters) == 0:
		return errors.New("master_key_file is missing: name the master key in the configuration. " +
			"To replace what is lost it is the one that was in use when the backup was made; for a trial copy make one with 'splitpin master-key new FILE'")
	}
	done, err := c.restore(ctx, t, conf, masters)
	if err != nil {
		return err
	}
	t.printf("Restored %s: %s.\n", c.File, described(done.Contents, conf.database()))
	if done.kept != "" {
		t.printf("What was there before is kept as %s. Remove it when nobody misses anything: it has everybody's data.\n", done.kept)
	}
	if c.Copy {
		t.printf("%s", trial)
	} else {
		t.printf(replaced, done.At.Format("2006-01-02 15:04:05 MST"))
	}
	if done.earlierKey {
		t.printf("%s", rewrap)
	}
	return nil
}

// restored is what a restore did.
type restored struct {
	*store.Contents
	kept       string // as which file is kept what was there before; empty: nothing was, or it is a server's
	earlierKey bool   // what was restored is wrapped with the previous master key
}

// errEarlierKey is what to do about a backup that was made before the master key was
// changed. Unlike that of a database it needs the key of then.
var errEarlierKey = errors.New("the master key does not open this backup: it was made under another one, as before a 'splitpin master-key change'. " +
	"Leave master_key_file as it is, name the file with the key that was in use then as previous_master_key_file, and repeat the command")

const rewrap = `- The backup was made under the previous master key. To wrap its keys with the present one, name the file of master_key_file:
  splitpin master-key change --new-file FILE
  Where the key was changed because strangers may know it, add --compromised, which ends all that it protected.
  Then take previous_master_key_file out of the configuration.
`

const replaced = `What happened after %s is lost:
- Sign-ins under way start again. People who used the app since then sign in again.
- Sessions that were ended since then are alive again. Where that matters, end all of them:
  splitpin master-key change --compromised --new-file FILE
- A server that still runs on the lost data, on another machine, knows nothing of this: stop it.
`

const trial = `Everybody must sign in here again. Keys, sessions and codes of the original are worth nothing here, nor those of this trial copy there;
secrets of projects are the same. No message leaves for anybody, until you say so with 'splitpin message resume'.
`

const restoringFile = databaseFile + ".restoring"

// choose asks what the restore is for, where no flag said it.
func (c *restoreCommand) choose(t terminal) error {
	if !c.Replace && !c.Copy {
		fmt.Fprintf(t.err, `There are two reasons to restore a backup:
  replace  what was backed up is lost, and this takes its place
  copy     it goes on elsewhere, and this is to try things with: other keys, no sessions, no messages to people
Type replace or copy: `)
		answer, _ := bufio.NewReader(t.in).ReadString('\n')
		switch strings.TrimSpace(answer) {
		case "replace":
			c.Replace = true
		case "copy":
			c.Copy = true
		default:
			fmt.Fprintln(t.err)
			return errors.New("nothing was changed. Say --replace or --copy")
		}
	}
	switch {
	case c.Copy && c.BackupKey == "":
		return errors.New("a trial copy gets a master key of its own, the one in the configuration, so that it opens nothing of the original. " +
			"Name the file with the key under which the backup was made with --backup-key")
	case c.Replace && c.BackupKey != "":
		return errors.New("--backup-key goes with --copy. What takes the place of the lost installation has its master key, which belongs into the configuration")
	}
	return nil
}

func (c *restoreCommand) restore(ctx context.Context, t terminal, conf Config, masters []keyring.Master) (done restored, err error) {
	if conf.shared() {
		return c.restoreShared(ctx, t, conf, masters)
	}
	if err := prepareFolder(conf.Data, "serve"); err != nil {
		return done, err
	}
	held, err := hold(conf.Data, "Stop that server first")
	if err != nil {
		return done, err
	}
	defer held.Close()
	switch _, err := os.Lstat(conf.database()); {
	case err == nil && !c.Overwrite:
		return done, fmt.Errorf("there is a database in %s already. To put the backup in its place, say --overwrite; it is kept beside the new one", conf.Data)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return done, fmt.Errorf("looking for a database: %w", err)
	}
	prepared := filepath.Join(conf.Data, restoringFile)
	defer removeDatabase(prepared)
	removeDatabase(prepared) // what an interrupted one left
	if done, err = c.prepare(ctx, prepared, masters); err != nil {
		return done, err
	}
	done.kept, err = replaceDatabase(ctx, prepared, conf.database())
	return done, err
}

// restoreShared prepares a file too, and copies it in one transaction.
func (c *restoreCommand) restoreShared(ctx context.Context, t terminal, conf Config, masters []keyring.Master) (done restored, err error) {
	folder, err := os.MkdirTemp("", "splitpin-restore-")
	if err != nil {
		return done, fmt.Errorf("making a folder to work in: %w", err)
	}
	defer os.RemoveAll(folder)
	prepared := filepath.Join(folder, databaseFile)
	done, err = c.prepare(ctx, prepared, masters)
	if err != nil {
		return done, err
	}
	from, err := store.OpenSQLite(ctx, prepared, store.Options{})
	if err != nil {
		return done, err
	}
	defer from.Close()
	meter := newMeter(t, "restore")
	_, err = store.Copy(ctx, from, conf.database(), store.CopyOptions{Options: conf.storeOptions(), At: now(), AtOnce: true, Overwrite: c.Overwrite, Tell: meter.tell})
	meter.end()
	if errors.Is(err, store.ErrNotEmpty) {
		err = fmt.Errorf("%w. To put the backup in the place of what is there, say --overwrite; make a backup of that first", err)
	}
	return done, err
}

// prepare makes of the backup, in the file at path, what will serve.
func (c *restoreCommand) prepare(ctx context.Context, path string, masters []keyring.Master) (done restored, err error) {
	if err := copyFile(ctx, c.File, path); err != nil {
		return done, fmt.Errorf("copying the backup: %w", err)
	}
	db, found, err := store.OpenBackup(ctx, path)
	done.Contents = found
	if err != nil {
		return done, fmt.Errorf("%s: %w", c.File, err)
	}
	defer func() {
		if err = errors.Join(err, db.Close()); err == nil {
			err = store.Sync(path)
		}
	}()
	mode := "replace"
	if c.Copy {
		mode = "copy"
		err = c.newKeys(ctx, db, masters[0])
	} else {
		done.earlierKey, err = openKeys(ctx, db, masters)
	}
	if err != nil {
		return done, err
	}
	if err := db.PutBack(ctx, store.PutBack{Trial: c.Copy, Now: now()}); err != nil {
		return done, err
	}
	if err := db.SetMark(ctx, store.BackupAt, store.FormatMark(found.At)); err != nil {
		return done, err
	}
	number, err := db.NextNumber(ctx)
	if err != nil {
		return done, err
	}
	event := &splitpin.AuditEvent{Number: number, At: now(), Kind: "restored", Detail: mode}
	return done, db.Change(ctx, splitpin.Reads{}, func(*splitpin.Records) (splitpin.Writes, error) {
		return splitpin.Writes{Create: []splitpin.Record{event}}, nil
	})
}

// openKeys opens the data keys of a backup. earlier is set where it takes another
// master key than the first, which is the one in use.
func openKeys(ctx context.Context, db splitpin.Store, masters []keyring.Master) (earlier bool, err error) {
	for i, m := range masters {
		if _, err = keyring.Open(ctx, db, now(), m); !errors.Is(err, keyring.ErrWrongMaster) {
			return i > 0, err
		}
	}
	return false, errEarlierKey
}

// newKeys gives a trial copy data keys and signing keys of its own, wrapped by a master
// key of its own. Otherwise who has the trial copy could make codes and tokens that the
// original believes.
func (c *restoreCommand) newKeys(ctx context.Context, db splitpin.Store, own keyring.Master) error {
	theirs, err := keyring.ReadMasterFile(c.BackupKey)
	if err != nil {
		return err
	}
	done, err := token.Succeed(ctx, db, []keyring.Master{theirs}, own, now())
	if errors.Is(err, keyring.ErrSameMaster) || err == nil && done.Done {
		return errors.New("the configured master key is the one under which the backup was made. A trial copy needs one of its own: " +
			"make it with 'splitpin master-key new FILE' and put it into the configuration of the trial copy")
	}
	if errors.Is(err, keyring.ErrWrongMaster) {
		return errors.New("the key in --backup-key does not open this backup: name the file with the master key that was in use when it was made")
	}
	return err
}

// copyFile copies a file to a new one that only its owner may read.
func copyFile(ctx context.Context, from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, untilDone{ctx, source})
	return errors.Join(err, target.Close())
}

// untilDone reads until its context ends.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}

// removeDatabase removes a database that was never served from.
func removeDatabase(path string) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		os.Remove(path + suffix)
	}
}

// replaceDatabase puts a closed database into the place of another, which it keeps
// beside it under the name it returns; empty: there was none. The name changes
// hands in one step, so that a crash leaves the one or the other.
func replaceDatabase(ctx context.Context, prepared, live string) (kept string, err error) {
	if _, err := os.Lstat(live); err == nil {
		first := live + now().Format(".before-20060102T150405Z")
		kept = first
		// The log belongs to the old file. Left beside the new one it would be taken for
		// its own; so what is in it has to be in the old file first.
		if old, err := store.OpenSQLite(ctx, live, store.Options{Patience: 5 * time.Second}); err == nil {
			if err := old.Close(); err != nil {
				return "", fmt.Errorf("closing the old database: %w", err)
			}
			if _, err := os.Lstat(live + "-wal"); err == nil {
				return "", fmt.Errorf("another command works on %s: wait until it has ended, and repeat this one", live)
			}
		} else if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		err := os.Link(live, kept)
		for i := 2; errors.Is(err, fs.ErrExist); i++ { // two in one second
			kept = fmt.Sprintf("%s-%d", first, i)
			err = os.Link(live, kept)
		}
		if err != nil {
			return "", fmt.Errorf("keeping the old database: %w", err)
		}
		// Of one that cannot be opened the log is kept as it is.
		for _, suffix := range []string{"-wal", "-shm", "-journal"} {
			if err := os.Rename(live+suffix, kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("keeping the old database: %w", err)
			}
		}
		if err := store.Sync(filepath.Dir(live)); err != nil {
			return "", err
		}
	}
	if err := os.Rename(prepared, live); err != nil {
		return "", fmt.Errorf("putting the new database in its place: %w", err)
	}
	return kept, store.Sync(filepath.Dir(live))
}
