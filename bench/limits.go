package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// The limit programs do what no server can avoid, and nothing else: they are what
// the hardware gives in this very run.

// A limit is what one of them found.
type limit struct {
	Title string  `json:"title"`
	Rate  float64 `json:"per_second"`
	P50   float64 `json:"p50_ms"`
	CPU   float64 `json:"cpu_us"` // for one
}

// A limitProgram runs for about the given time.
type limitProgram struct {
	name, title string
	run         func(dir string, length time.Duration) (tally, error)
	cpu         func() time.Duration // of other processes; nil: there are none
}

func hardware() []limitProgram {
	return []limitProgram{
		{"fsync", "append 4 KiB and fsync", appendAndSync, nil},
		{"fdatasync", "4 KiB over preallocated space and fdatasync", overwriteAndSync, nil},
		{"commit1", "bare SQLite, one row in a durable commit, nobody else waiting", groupCommit(1), nil},
		{"commit32", "bare SQLite, one row each, 32 waiting for shared commits", groupCommit(connections), nil},
		{"sign", "P-256 signature, one core", curve(sign, 1), nil},
		{"verify", "P-256 verification, one core", curve(verify, 1), nil},
		{"signall", "P-256 signatures, all cores", curve(sign, runtime.GOMAXPROCS(0)), nil},
		{"verifyall", "P-256 verifications, all cores", curve(verify, runtime.GOMAXPROCS(0)), nil},
	}
}

// measure runs p and returns what it found.
func (p limitProgram) measure(dir string, length time.Duration) (*limit, error) {
	dir = filepath.Join(dir, "limit")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	other := func() time.Duration { return 0 }
	if p.cpu != nil {
		other = p.cpu
	}
	used := cpuOfSelf() + other()
	t, err := p.run(dir, length)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.title, err)
	}
	used = cpuOfSelf() + other() - used
	n := float64(t.latency.n)
	return &limit{Title: p.title, Rate: n / length.Seconds(),
		P50: float64(t.latency.at(0.5).Nanoseconds()) / 1e6, CPU: float64(used.Nanoseconds()) / 1000 / n}, nil
}

// repeated calls one until length has passed.
func repeated(length time.Duration, t *tally, one func() error) error {
	for end := time.Now().Add(length); ; {
		start := time.Now()
		if start.After(end) {
			return nil
		}
		if err := one(); err != nil {
			return err
		}
		t.latency.record(time.Since(start))
	}
}

// together does what repeated does, in several goroutines.
func together(n int, length time.Duration, one func() error) (tally, error) {
	tallies, problems := make([]tally, n), make([]error, n)
	var working sync.WaitGroup
	for i := range n {
		working.Go(func() { problems[i] = repeated(length, &tallies[i], one) })
	}
	working.Wait()
	var sum tally
	for i := range n {
		if problems[i] != nil {
			return sum, problems[i]
		}
		sum.latency.add(&tallies[i].latency)
	}
	return sum, nil
}

func appendAndSync(dir string, length time.Duration) (t tally, err error) {
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return t, err
	}
	defer f.Close()
	page := make([]byte, 4096)
	return t, repeated(length, &t, func() error {
		if _, err := f.Write(page); err != nil {
			return err
		}
		return f.Sync()
	})
}

func overwriteAndSync(dir string, length time.Duration) (t tally, err error) {
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return t, err
	}
	defer f.Close()
	const pages = 1024
	page := make([]byte, 4096)
	for range pages { // written once, so that space and file size are settled
		if _, err := f.Write(page); err != nil {
			return t, err
		}
	}
	if err := f.Sync(); err != nil {
		return t, err
	}
	i := int64(0)
	return t, repeated(length, &t, func() error {
		i++
		if _, err := f.WriteAt(page, i%pages*int64(len(page))); err != nil {
			return err
		}
		return syscall.Fdatasync(int(f.Fd()))
	})
}

// groupCommit writes rows as small as an audit event: one writer takes whatever
// waits into one transaction.
func groupCommit(waiting int) func(string, time.Duration) (tally, error) {
	return func(dir string, length time.Duration) (tally, error) {
		c, err := sqlite.OpenConn(filepath.Join(dir, fmt.Sprintf("bare%d.db", waiting)), sqlite.OpenReadWrite|sqlite.OpenCreate)
		if err != nil {
			return tally{}, err
		}
		defer c.Close()
		for _, text := range []string{"PRAGMA page_size = 1024", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL",
			"PRAGMA wal_autocheckpoint = 4096", "CREATE TABLE bare (number INTEGER PRIMARY KEY, at INTEGER, detail BLOB) STRICT"} {
			if err := sqlitex.ExecuteTransient(c, text, nil); err != nil {
				return tally{}, err
			}
		}
		type row chan error
		rows := make(chan row, waiting)
		go func() {
			var group []row
			number, detail := int64(0), make([]byte, 80)
			for first := range rows {
				group = append(group[:0], first)
				for more := true; more; {
					select {
					case r, open := <-rows:
						if more = open; open {
							group = append(group, r)
						}
					default:
						more = false
					}
				}
				err := sqlitex.Execute(c, "BEGIN IMMEDIATE", nil)
				for range group {
					number++
					if err == nil {
						err = sqlitex.Execute(c, "INSERT INTO bare VALUES (?, ?, ?)", &sqlitex.ExecOptions{Args: []any{number, number, detail}})
					}
				}
				if err == nil {
					err = sqlitex.Execute(c, "COMMIT", nil)
				}
				for _, r := range group {
					r <- err
				}
			}
		}()
		defer close(rows)
		return together(waiting, length, func() error {
			r := make(row, 1)
			rows <- r
			return <-r
		})
	}
}

func sign(key *ecdsa.PrivateKey, hash, _ []byte) error {
	_, err := ecdsa.SignASN1(rand.Reader, key, hash)
	return err
}

func verify(key *ecdsa.PrivateKey, hash, signature []byte) error {
	if !ecdsa.VerifyASN1(&key.PublicKey, hash, signature) {
		return fmt.Errorf("a good signature was refused")
	}
	return nil
}

func curve(one func(key *ecdsa.PrivateKey, hash, signature []byte) error, cores int) func(string, time.Duration) (tally, error) {
	return func(_ string, length time.Duration) (tally, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tally{}, err
		}
		hash := sha256.Sum256([]byte("token"))
		signature, err := ecdsa.SignASN1(rand.Reader, key, hash[:])
		if err != nil {
			return tally{}, err
		}
		return together(cores, length, func() error { return one(key, hash[:], signature) })
	}
}
