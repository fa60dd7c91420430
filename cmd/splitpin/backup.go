package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/splitpin/splitpin/store"
)

type backupCommand struct {
	where
	File      string `arg:"" help:"File to make; with --keep the folder for files named by their date." placeholder:"FILE"`
	Keep      int    `help:"Make a dated file in the folder FILE, then remove all but the newest N." placeholder:"N"`
	Overwrite bool   `help:"Replace the file where it exists."`
	Check     bool   `help:"Make nothing: read this backup from the first byte to the last, and say what is in it."`
}

// Run makes a backup while servers run, or checks one. It needs no master key.
func (c *backupCommand) Run(ctx context.Context, t terminal) error {
	switch {
	case c.Check && (c.Keep != 0 || c.Overwrite):
		return errors.New("--check goes with no other flag: it makes nothing")
	case c.Check:
		found, err := store.CheckBackup(ctx, c.File)
		if err != nil {
			return fmt.Errorf("%s: %w", c.File, err)
		}
		t.printf("%s is whole and sound. It has %s.\n", c.File, described(found, c.File))
		return nil
	case c.Keep < 0 || c.Keep != 0 && c.Overwrite:
		return errors.New("--keep takes a number of files, at least 1, and replaces none of them")
	}
	conf, err := c.settings()
	if err != nil {
		return err
	}
	file := c.File
	if c.Keep > 0 {
		if info, err := os.Stat(c.File); err != nil || !info.IsDir() {
			return fmt.Errorf("with --keep, %s must be a folder that exists", c.File)
		}
		file = filepath.Join(c.File, dated(now()))
	}
	if _, err := os.Lstat(file); err == nil && !c.Overwrite {
		return fmt.Errorf("%s exists already and is left as it is. Choose another name, or replace it with --overwrite", file)
	}
	if live := conf.database(); !conf.shared() && (same(file, live) || same(file, live+"-wal") || same(file, live+"-shm") || same(file, live+"-journal")) {
		return fmt.Errorf("%s is the database itself; a backup belongs elsewhere, best onto another machine", file)
	}
	conf.Postgres.Command = true
	db, err := store.Open(ctx, conf.database(), conf.storeOptions())
	if err != nil {
		return err
	}
	defer db.Close()

	found, err := writeBackup(ctx, t, db, file)
	if err != nil {
		return err
	}
	t.printf("Wrote %s and read it back: %s.\n", file, described(found, file))
	if err := db.SetMark(ctx, store.BackupAt, store.FormatMark(found.At)); err != nil {
		return fmt.Errorf("the backup is made; noting it in the installation: %w", err)
	}
	if c.Keep > 0 {
		return thinOut(t, c.File, c.Keep)
	}
	t.printf("The master key is not in it. Keep both, apart: without the key nobody can open the backup, with both anybody can.\n")
	return nil
}

// same reports whether two paths name one file, through links too.
func same(a, b string) bool {
	if real(a) == real(b) {
		return true
	}
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// writeBackup makes the file under another name and gives it its own when it is
// whole and on the disk.
func writeBackup(ctx context.Context, t terminal, db store.Database, file string) (found *store.Contents, err error) {
	f, err := begin(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := removeInterrupted(file, f.Name()); err != nil {
		return nil, err
	}
	meter := newMeter(t, "backup")
	found, err = store.WriteBackup(ctx, db, f.Name(), now(), meter.tell)
	meter.end()
	if err != nil {
		return nil, err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return nil, fmt.Errorf("naming the backup: %w", err)
	}
	return found, store.Sync(filepath.Dir(file))
}

// begin makes and locks the file that becomes a backup. Nobody knows its name before:
// whoever may write to the folder would put a link there, and what that points to
// would be overwritten.
func begin(file string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*"+partialSuffix) // mode 0600
		if err != nil {
			return nil, fmt.Errorf("making the backup: %w", err)
		}
		free, err := lock(f)
		if err == nil && free {
			// Before it was locked, another backup may have taken it for abandoned.
			if _, err := os.Lstat(f.Name()); err == nil {
				return f, nil
			}
		}
		f.Close()
		if err != nil {
			os.Remove(f.Name())
			return nil, fmt.Errorf("locking the backup: %w", err)
		}
	}
}

const partialSuffix = ".partial"

// partialName is how begin calls a file: like the backup, with a number.
var partialName = regexp.MustCompile(`^(.+)\.\d+` + regexp.QuoteMeta(partialSuffix) + `$`)

// removeInterrupted removes what interrupted backups to file left behind, and refuses
// where another one than own is being written: both would take that name.
func removeInterrupted(file, own string) error {
	folder, base := filepath.Split(file)
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("looking for interrupted backups: %w", err)
	}
	for _, e := range entries {
		m := partialName.FindStringSubmatch(e.Name())
		if m == nil || m[1] != base || e.Name() == filepath.Base(own) || !e.Type().IsRegular() {
			continue
		}
		if partial := folder + e.Name(); !removeAbandoned(partial) {
			return fmt.Errorf("another backup is being written to %s", partial)
		}
	}
	return nil
}

func dated(at time.Time) string { return at.Format("splitpin-20060102T150405Z.db") }

var datedName = regexp.MustCompile(`^splitpin-\d{8}T\d{6}Z\.db$`)

// thinOut removes the oldest dated backups of a folder until keep are left, and
// what interrupted ones left behind. It touches nothing else.
func thinOut(t terminal, folder string, keep int) error {
	entries, err := os.ReadDir(folder) // sorted, so by date
	if err != nil {
		return fmt.Errorf("looking for old backups: %w", err)
	}
	var whole []string
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		file := filepath.Join(folder, e.Name())
		if m := partialName.FindStringSubmatch(e.Name()); m != nil && datedName.MatchString(m[1]) {
			removeAbandoned(file) // one that is being written stays
		} else if datedName.MatchString(e.Name()) {
			whole = append(whole, file)
		}
	}
	for _, file := range whole[:max(len(whole)-keep, 0)] {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing an old backup: %w", err)
		}
		t.printf("Removed %s.\n", file)
	}
	return nil
}

// removeAbandoned removes what an interrupted backup left. It reports false where
// somebody still writes to it.
func removeAbandoned(partial string) bool {
	f, err := os.OpenFile(partial, os.O_RDWR, 0)
	if err != nil {
		return true // not one of ours, or gone
	}
	defer f.Close()
	free, err := lock(f)
	if err == nil && free {
		os.Remove(partial)
	}
	return err != nil || free
}

// described says what is in a backup or a copy.
func described(c *store.Contents, file string) string {
	text := fmt.Sprintf("%s, %s and %s, as of %s",
		counted(c.Rows["projects"], "project"), counted(c.Rows["users"], "user"), counted(c.Rows["sessions"], "session"), c.At.Format("2006-01-02 15:04:05 MST"))
	if info, err := os.Stat(file); err == nil {
		text += fmt.Sprintf(", in %.1f MiB", float64(info.Size())/(1<<20))
	}
	return text
}

func counted(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// A meter shows how far a copy is: in one line where somebody watches, otherwise
// a line each time that a tenth is done.
type meter struct {
	t     terminal
	what  string
	watch bool
	start time.Time
	said  time.Time
	tenth int64
}

func newMeter(t terminal, what string) *meter {
	return &meter{t: t, what: what, watch: watched(t.err), start: now()}
}

// meterLines is the size, in rows, from which a copy that nobody watches says how
// far it is: cron should have nothing to mail about a small one.
const meterLines = 1_000_000

func (m *meter) tell(p store.Progress) {
	done, total := p.Copied+p.Compared, p.Total
	if p.Compares {
		total *= 2
	}
	if total == 0 {
		return
	}
	at := now()
	spent := at.Sub(m.start)
	rate := float64(done) / max(spent.Seconds(), 0.001)
	left := time.Duration(float64(total-done) / max(rate, 1) * float64(time.Second))
	text := fmt.Sprintf("%s: %d of %d rows, %.0f a second, %v left (%s)", m.what, done, total, rate, max(left, 0).Round(time.Second), p.Table)
	switch {
	case m.watch && at.Sub(m.said) > 100*time.Millisecond:
		m.said = at
		fmt.Fprintf(m.t.err, "\r\x1b[K%s", text)
	case !m.watch && total >= meterLines && done*10/total > m.tenth:
		m.tenth = done * 10 / total
		fmt.Fprintln(m.t.err, text)
	}
}

func (m *meter) end() {
	if m.watch && !m.said.IsZero() {
		fmt.Fprint(m.t.err, "\r\x1b[K")
	}
}
