package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/account"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/outgoing"
	"github.com/splitpin/splitpin/project"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/signin/social"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/telemetry"
	"github.com/splitpin/splitpin/token"
)

// Names of what lies in a data folder.
const (
	databaseFile = "splitpin.db"
	demoFile     = "demo.db"    // development only: the demo app's own database
	masterFile   = "master.key" // development only: serve wants it elsewhere
	markFile     = "made-by"    // which command made the folder
	serverFile   = "server"     // address of the server that runs here, or ran last; locked while it runs
)

// An installation is a database with everything that works on it, wired.
type installation struct {
	store    store.Database
	watched  splitpin.Store   // the same, observed by watch
	watch    *telemetry.Watch // nil: nobody watches
	ring     *keyring.Ring
	tokens   *token.Service
	engine   *signin.Engine
	people   *account.Directory
	projects *project.Admin
	social   *social.Method   // asks public addresses only, and tells nobody why, before serving
	outbox   *delivery.Outbox // sends nothing before mail gave it senders
	host     string           // of the public URL, without a port

	publicURL   string // where the pages of this server stand; empty: nobody knows yet
	development bool   // messages go to an inbox and nowhere else

	// over gets why this process must end although nobody asked it to.
	over chan error

	// masters reads the master keys again, for an operator who put a new one in the
	// place of the old; nil: the ones given to open are all there are.
	masters func() ([]keyring.Master, error)
}

// open opens the database with the first of masters, or during a change of the
// master key any of them. watch may be nil.
func open(ctx context.Context, database, publicURL string, options store.Options, masters []keyring.Master, watch *telemetry.Watch) (*installation, error) {
	options.Committed = watch.Commits()
	db, err := store.Open(ctx, database, options)
	if err != nil {
		return nil, err
	}
	in, err := wire(ctx, db, publicURL, watch, func(db splitpin.Store) (*keyring.Ring, error) {
		return keyring.Open(ctx, db, now(), masters...)
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return in, nil
}

func wire(ctx context.Context, kept store.Database, publicURL string, watch *telemetry.Watch, ring func(splitpin.Store) (*keyring.Ring, error)) (*installation, error) {
	db := watch.Store(kept)
	in := &installation{store: kept, watched: db, watch: watch, over: make(chan error, 1), publicURL: publicURL}
	in.outbox = &delivery.Outbox{Store: db, Clock: now, Workers: outboxWorkers, Poll: time.Second, Observe: watch.Messages()}
	if public, err := url.Parse(publicURL); err == nil {
		in.host = public.Hostname()
	}
	var err error
	if in.ring, err = ring(db); err != nil {
		return nil, err
	}
	in.social = &social.Method{Ring: in.ring, PublicURL: publicURL, Clock: now, Client: providerClient(outgoing.Exceptions{})}
	in.tokens = token.New(db, in.ring, publicURL, now)
	in.people = &account.Directory{Store: db, Ring: in.ring, Clock: now}
	in.projects = &project.Admin{Store: db, Tokens: in.tokens, Clock: now}
	in.engine, err = signin.New(ctx, signin.Options{
		Store: db, Ring: in.ring, Tokens: in.tokens, Methods: in.methods(publicURL), Clock: now, Outbox: in.outbox, Observe: watch.Steps(),
		PublicURL: publicURL,
	})
	if err != nil {
		return nil, err
	}
	watch.From(telemetry.Sources{Store: kept, Engine: in.engine, Outbox: in.outbox, Tokens: in.tokens, Ready: in.ready})
	return in, nil
}

// outboxWorkers empty the outbox at once; the mail sender has a connection for each.
// One recipient's domain gets half of them at most (delivery/queue.go: mayBegin).
const outboxWorkers = 12

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func (in *installation) Close() error { return in.store.Close() }

// mail gives the outbox its senders. Call it before anything is served.
func (in *installation) mail(senders map[splitpin.Channel]delivery.Sender, log *slog.Logger) *delivery.Outbox {
	o := in.outbox
	o.Senders, o.Log = senders, log
	o.Receipt, o.ReadReceipt, o.Told = in.engine.Receipt, in.engine.ReadReceipt, in.watch.Reports()
	o.Fill = func(ctx context.Context, m *splitpin.Message, a *splitpin.Attempt) (delivery.Values, error) {
		told, p, err := in.engine.Told(ctx, m, a)
		if err != nil {
			return delivery.Values{}, err
		}
		v := delivery.Values{Code: told.Code, Link: told.Link, Notice: told.Notice, Label: told.Label, Device: told.Device,
			Project: p.Name(), Colour: p.Settings.Colour, Locale: p.Settings.Locale}
		v.Host, v.Frame = belongs(p, a, in.host)
		return v, nil
	}
	o.Subject = func(project int64, identifier string) [12]byte {
		subject, err := in.engine.Subject(project, identifier)
		if err != nil {
			log.Error("naming the subject of an event", "error", err)
		}
		return subject
	}
	return o
}

// belongs returns the host of the page on which an attempt's code is to be typed, and
// that of the page of ours inside it; empty: there is none inside. The asking page counts
// only while its project lists it.
func belongs(p *splitpin.Project, a *splitpin.Attempt, ours string) (host, frame string) {
	if p.ListsOrigin(a.Origin) {
		if site, err := url.Parse(a.Origin); err == nil && site.Hostname() != ours {
			return site.Hostname(), ours
		}
	}
	return ours, ""
}

// sweepBatch is how many records one step sweeps at most. They are gone in a few
// milliseconds, which is how long others wait for it.
const sweepBatch = 200

// sweep returns the step that deletes what is over. Only a full batch says that
// there is more: a server at work always finds a few, and would never rest from
// looking through its tables for them.
func (in *installation) sweep(keepAudit time.Duration) step {
	return func(ctx context.Context, now time.Time) (bool, error) {
		n, err := in.watched.Sweep(ctx, now, now.Add(-keepAudit), sweepBatch)
		return n >= sweepBatch, err
	}
}

// A step does a little of what is due and says whether there may be more.
type step func(ctx context.Context, now time.Time) (worked bool, err error)

// work runs the background steps until ctx ends, and returns when they have
// stopped.
func (in *installation) work(ctx context.Context, outbox *delivery.Outbox, keepAudit time.Duration, log *slog.Logger) {
	var running sync.WaitGroup
	run := func(name string, s step, every time.Duration, wake <-chan struct{}) {
		running.Go(func() { repeat(ctx, name, in.watch.Work(name, s), every, wake, log) })
	}
	for range outboxWorkers {
		run("outbox", outbox.Step, time.Second, outbox.Woken())
	}
	run("engine", in.follow, time.Second, nil)
	run("database", in.stillCurrent, time.Second, nil)
	run("key rotation", in.timely(in.tokens.Step), 10*time.Second, nil)
	run("sweep", in.timely(in.sweep(keepAudit)), 30*time.Second, nil)
	running.Wait()
	if _, err := outbox.Step(ctx, now()); err != nil { // frees what it still holds for the next process
		log.Warn("giving back messages that were not sent", "error", err)
	}
}

// timely is a step that is not taken while this machine's clock is wrong. Such a node
// gets no requests, since it is not ready; but by itself it would move keys on that
// verifiers do not know yet, and delete what others still need.
func (in *installation) timely(s step) step {
	return func(ctx context.Context, now time.Time) (bool, error) {
		if err := in.agreesOnTime(ctx); err != nil {
			return false, err
		}
		return s(ctx, now)
	}
}

// stillCurrent ends a process whose database was put back to an earlier state, or
// replaced, below it: what it remembers, such as numbers it may give out, is wrong.
func (in *installation) stillCurrent(ctx context.Context, _ time.Time) (bool, error) {
	err := in.store.Current(ctx)
	if errors.Is(err, store.ErrReplaced) {
		select {
		case in.over <- err:
		default: // said already
		}
	}
	return false, err
}

// follow is the engine's step, given the new master key where that was changed and
// lies where the old one lay.
func (in *installation) follow(ctx context.Context, now time.Time) (bool, error) {
	worked, err := in.engine.Step(ctx, now)
	if !errors.Is(err, keyring.ErrWrongMaster) || in.masters == nil {
		return worked, err
	}
	masters, unreadable := in.masters()
	if unreadable != nil {
		return false, errors.Join(err, unreadable)
	}
	in.ring.Offer(masters...)
	return in.engine.Step(ctx, now)
}

// repeat runs a step at once, then when woken or when every has passed; and again
// right away while it finds work. What goes wrong is logged once, until it goes
// right again.
func repeat(ctx context.Context, name string, s step, every time.Duration, wake <-chan struct{}, log *slog.Logger) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		for {
			worked, err := s(ctx, now())
			if ctx.Err() != nil {
				return
			}
			if err != nil && !failing {
				log.Error("background work goes wrong and is tried again", "work", name, "error", err)
			} else if err == nil && failing {
				log.Info("background work goes right again", "work", name)
			}
			failing = err != nil
			if err != nil || !worked {
				break
			}
		}
		timer.Reset(every)
	}
}

// occupy makes this process the only one that serves a data folder, until it
// closes what is returned, and notes the address for other commands. They may
// work on the folder meanwhile; a second server may not: the first would learn
// late of what it changes, and both would empty the outbox. advice says where the
// folder is chosen.
func occupy(folder, publicURL, advice string) (io.Closer, error) {
	f, err := hold(folder, "Stop that server, or choose another folder with "+advice)
	if err != nil {
		return nil, err
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(publicURL+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("noting the address in the data folder: %w", err)
	}
	return f, nil
}

// hold keeps servers away from a data folder until the file it returns is closed.
// advice is what to do where one is there.
func hold(folder, advice string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(folder, serverFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	free, err := lock(f)
	switch {
	case err != nil:
		err = fmt.Errorf("locking the data folder: %w", err)
	case !free:
		err = fmt.Errorf("the data folder %s is served already, at %s. %s", folder, otherwise(servedAt(folder), "another address"), advice)
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

// servedAt returns the public URL under which a data folder is or was served last;
// empty: never.
func servedAt(folder string) string {
	b, err := os.ReadFile(filepath.Join(folder, serverFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// development reports whether the data are those of 'splitpin dev', which sends no message
// away and reaches this machine.
func (c *Config) development() bool {
	by, err := os.ReadFile(filepath.Join(c.Data, markFile))
	return err == nil && !c.shared() && strings.TrimSpace(string(by)) == "dev"
}

// prepareFolder makes a data folder, or refuses one that another command made: a
// folder of production must never get an open inbox.
func prepareFolder(folder, by string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("making the data folder: %w", err)
	}
	marked, err := checkFolder(folder, by)
	if err != nil || marked {
		return err
	}
	return os.WriteFile(filepath.Join(folder, markFile), []byte(by+"\n"), 0o600)
}

// checkFolder refuses a data folder that another command made. marked is not set where
// nobody's mark is in it, or where there is no folder.
func checkFolder(folder, by string) (marked bool, err error) {
	b, err := os.ReadFile(filepath.Join(folder, markFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Join(folder, databaseFile)); err == nil && by == "dev" {
			return false, fmt.Errorf("the data folder %s was not made by 'splitpin dev'; choose another with --data", folder)
		}
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading the mark of the data folder: %w", err)
	}
	made := strings.TrimSpace(string(b))
	if made != by && by == "dev" {
		return true, fmt.Errorf("the data folder %s belongs to 'splitpin %s'; development has an inbox that shows every code, so it needs a folder of its own: choose one with --data", folder, made)
	}
	if made != by {
		return true, fmt.Errorf("the data folder %s was made by 'splitpin %s', with its master key beside it; choose another for production", folder, made)
	}
	return true, nil
}
