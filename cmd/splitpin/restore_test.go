package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/delivery/deliverytest"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
)

func openedStore(t *testing.T, path string) *store.SQLite {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestServerEndsWhenReplaced: a server whose database is another one suddenly does
// not go on with what it remembers.
func TestServerEndsWhenReplaced(t *testing.T) {
	p := serving(t, t.TempDir())
	live := filepath.Join(p.folder, "data", databaseFile)
	backup := filepath.Join(p.folder, "backup")
	if _, err := store.WriteBackup(t.Context(), openedStore(t, live), backup, now(), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(backup, live); err != nil {
		t.Fatal(err)
	}
	p.await(`(replaced by another)`)
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatal("the server goes on")
	}
	if status := p.cmd.ProcessState.ExitCode(); status != 1 {
		t.Errorf("it ended with %d", status)
	}
}

// TestTrialSendsNothing: nothing leaves a trial copy until it is told to, and then
// everything does.
func TestTrialSendsNothing(t *testing.T) {
	db := openedStore(t, filepath.Join(t.TempDir(), databaseFile))
	if err := db.SetMark(t.Context(), store.SendersOff, store.FormatMark(now())); err != nil {
		t.Fatal(err)
	}
	mail := &deliverytest.Recorder{}
	in := &installation{store: db}
	senders, err := in.holdBack(t.Context(), map[splitpin.Channel]delivery.Sender{splitpin.EmailChannel: mail}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	letter := &delivery.Letter{ID: "1", Channel: splitpin.EmailChannel, To: "ann@example.com", Subject: "Code", Text: "123456"}
	var refusal *delivery.SendError
	if err := senders[splitpin.EmailChannel].Send(t.Context(), letter); !errors.As(err, &refusal) || !refusal.Temporary || len(mail.Letters()) != 0 {
		t.Errorf("sending in a copy: %v, and %d letters left", err, len(mail.Letters()))
	}
	if err := db.SetMark(t.Context(), store.SendersOff, ""); err != nil {
		t.Fatal(err)
	}
	if err := senders[splitpin.EmailChannel].Send(t.Context(), letter); err != nil || len(mail.Letters()) != 1 {
		t.Errorf("sending after it was allowed: %v, and %d letters left", err, len(mail.Letters()))
	}
	if senders, err = in.holdBack(t.Context(), senders, slog.New(slog.DiscardHandler)); err != nil || len(senders) != 1 {
		t.Errorf("without the mark: %v, %v", senders, err)
	}
}

// TestKilledWhileRestoring kills backup and restore at any moment: what has the
// name of a backup is whole, and what has the name of the database is the old one or
// the new one.
func TestKilledWhileRestoring(t *testing.T) {
	folder := t.TempDir()
	key, data := filepath.Join(folder, "key"), filepath.Join(folder, "data")
	if err := keyring.WriteMasterFile(key, keyring.NewMaster()); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SPLITPIN_PUBLIC_URL": "https://login.example.com", "SPLITPIN_DATA": data, "SPLITPIN_MASTER_KEY_FILE": key}
	whole := func(args ...string) time.Duration {
		t.Helper()
		begun := time.Now()
		p := started(t, folder, env, args...)
		<-p.exited
		if !p.cmd.ProcessState.Success() {
			t.Fatalf("%v failed", args)
		}
		return time.Since(begun)
	}
	killed := func(within time.Duration, args ...string) {
		t.Helper()
		p := started(t, folder, env, args...)
		time.AfterFunc(rand.N(within), func() { p.cmd.Process.Signal(syscall.SIGKILL) })
		<-p.exited
	}
	live, backup := filepath.Join(data, databaseFile), filepath.Join(folder, "backup")
	names := func() (all string) {
		t.Helper()
		db, err := store.OpenSQLite(t.Context(), live, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		projects, err := db.Projects(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range projects {
			all += p.Name() + " "
		}
		return all
	}

	whole("project", "create", "--name", "First")
	takes := whole("backup", backup)
	whole("project", "create", "--name", "Second")
	for round := range 10 {
		another := filepath.Join(folder, fmt.Sprint("backup", round))
		killed(takes, "backup", another)
		switch _, err := store.CheckBackup(t.Context(), another); {
		case err == nil:
		case !errors.Is(err, fs.ErrNotExist):
			t.Fatalf("round %d: a backup that was cut off: %v", round, err)
		default:
			whole("backup", another)
		}
	}
	for round := range 10 {
		killed(takes, "restore", backup, "--replace", "--overwrite")
		switch found := names(); found {
		case "First ": // restored
			whole("project", "create", "--name", "Second")
		case "First Second ": // as it was
		default:
			t.Fatalf("round %d: after a restore that was cut off there is %q", round, found)
		}
	}
	whole("restore", backup, "--replace", "--overwrite")
	if found := names(); found != "First " {
		t.Errorf("a restore after others that were cut off gives %q", found)
	}
	if _, err := os.Lstat(filepath.Join(data, restoringFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what they left is there still: %v", err)
	}
}
