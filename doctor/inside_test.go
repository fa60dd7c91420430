package doctor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/doctor"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/token"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func TestInside(t *testing.T) {
	shopProject := func(change func(*splitpin.Settings)) []*splitpin.Project {
		p := &splitpin.Project{Number: 7, ID: "shop", Settings: splitpin.Settings{Origins: []string{shop, "http://localhost:3000"}}}
		if change != nil {
			change(&p.Settings)
		}
		return []*splitpin.Project{p}
	}
	plain := shopProject(nil)
	key := func(change func(*splitpin.SigningKey)) *splitpin.SigningKey {
		k := &splitpin.SigningKey{Project: 7, Use: splitpin.TokenKey, AnnouncedAt: noon.Add(-10 * day), ActiveAt: noon.Add(-10 * day)}
		if change != nil {
			change(k)
		}
		return k
	}
	message := func(sent, givenUp time.Time) *splitpin.Message {
		return &splitpin.Message{CreatedAt: noon, SentAt: sent, GivenUpAt: givenUp, Reason: "auth: user name or password rejected"}
	}
	many := func(sent, givenUp int) (list []*splitpin.Message) {
		for range sent {
			list = append(list, message(noon, time.Time{}))
		}
		for range givenUp {
			list = append(list, message(time.Time{}, noon))
		}
		return append(list, message(time.Time{}, time.Time{}))
	}
	sound := store.Inspection{Ours: true, Tables: 2, Known: 2, WAL: true, PageSize: 1024, Pages: 100}
	disk := doctor.Disk{Known: true, Free: 50 << 30, Total: 100 << 30}
	sqlite := func(seen store.Inspection, disk doctor.Disk, wrong []string, err error) func(*doctor.Report) {
		return func(r *doctor.Report) {
			doctor.SQLite(t.Context(), r, seen, disk, func(context.Context) ([]string, error) { return wrong, err })
		}
	}
	altered := func(change func(*store.Inspection)) store.Inspection {
		seen := sound
		change(&seen)
		return seen
	}
	server := store.PostgresInspection{Version: 150004, Name: "15.4", Tables: 2, Known: 2, Fsync: true, FullPageWrites: true, SynchronousCommit: "on", Time: noon, TookFor: 2 * time.Millisecond}
	postgres := func(change func(*store.PostgresInspection)) func(*doctor.Report) {
		seen := server
		if change != nil {
			change(&seen)
		}
		return func(r *doctor.Report) { doctor.Postgres(r, noon.Add(time.Millisecond), seen) }
	}

	tests := []struct {
		name  string
		check func(*doctor.Report)
		want  map[string]string
	}{
		{"a good configuration", func(r *doctor.Report) { doctor.Settings(r, nil) }, nil},
		{"a bad configuration", func(r *doctor.Report) { doctor.Settings(r, []string{"smtp.host is missing"}) }, map[string]string{"problem configuration": "smtp.host is missing"}},

		{"projects", func(r *doctor.Report) { doctor.Projects(r, plain, false) }, nil},
		{"no project", func(r *doctor.Report) { doctor.Projects(r, nil, false) }, map[string]string{"problem projects": "nobody can sign in"}},
		{"no origin", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.Origins = nil }), false)
		}, map[string]string{"problem origins": "lists no origin"}},
		{"any origin", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.Origins = []string{"*"} }), false)
		}, map[string]string{"problem origins": "refuses to start"}},
		{"any origin, on purpose", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.Origins = []string{"*"} }), true)
		}, map[string]string{"warning origins": "every site"}},
		{"an origin without TLS", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.Origins = []string{"http://shop.example"} }), false)
		}, map[string]string{"warning origins": "http://shop.example is without TLS"}},
		{"an origin that only looks like this machine", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) {
				s.Origins = []string{"http://localhost.example", "http://127.0.0.1.example"}
			}), false)
		}, map[string]string{"warning origins": "http://localhost.example and http://127.0.0.1.example"}},
		{"codes that are guessed", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.CodeLength = 4 }), false)
		}, map[string]string{"problem guessing": "more than"}},
		{"a method that works, and one that cannot", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.Methods = []string{"email_code", "sms_code"} }), false)
		}, map[string]string{"warning methods": "sms_code needs a country (--add-phone-country DE), and is not offered"}},
		{"only methods that cannot work", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.Methods = []string{"social", "sms_link"} }), false)
		}, map[string]string{"problem methods": "nobody can sign in with social and sms_link; social needs a provider ('splitpin project provider add'); sms_link needs a country"}},
		{"browsers that nobody can begin with", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.Methods = []string{"browser"} }), false)
		}, map[string]string{"problem methods": "nobody can sign in with browser"}},
		{"methods that have what they need", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) {
				s.Methods, s.Phone.Countries = []string{"social", "sms_code"}, []string{"DE"}
				s.Providers = []splitpin.Provider{{Name: "GITHUB", Kind: "github"}}
			}), false)
		}, nil},
		{"a captcha that the server has", func(r *doctor.Report) {
			doctor.Captcha(r, shopProject(func(s *splitpin.Settings) { s.Captcha = "phone" }), true)
		}, nil},
		{"a captcha that the server has not", func(r *doctor.Report) {
			doctor.Captcha(r, shopProject(func(s *splitpin.Settings) { s.Captcha = "phone" }), false)
		}, map[string]string{"warning captcha": "wants a captcha (phone), and the server has none"}},
		{"addresses that may be asked", func(r *doctor.Report) {
			doctor.Outgoing(r, plain, func(*splitpin.Project) []string { return nil })
		}, nil},
		{"addresses that may not be asked", func(r *doctor.Report) {
			doctor.Outgoing(r, plain, func(p *splitpin.Project) []string {
				return []string{"provider X of " + p.ID + ": 10.0.0.4", "completion-url: y"}
			})
		}, map[string]string{"problem outgoing": "no request reaches provider X of shop: 10.0.0.4; nor completion-url: y"}},
		{"look-ups", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.Lookup = splitpin.LookupMinimal }), false)
		}, map[string]string{"warning lookup": "strangers"}},
		{"a passkey that Cotter's SDK never asks for", func(r *doctor.Report) {
			moved := shopProject(func(s *splitpin.Settings) { s.PasskeyRequired = true })
			moved[0].Secrets = []splitpin.ProjectSecret{{Kind: splitpin.AppKey}}
			doctor.Projects(r, moved, false)
		}, map[string]string{"warning lookup": "its pages never ask for the one that is required"}},
		{"a passkey that is required where nobody came from Cotter", func(r *doctor.Report) {
			doctor.Projects(r, shopProject(func(s *splitpin.Settings) { s.PasskeyRequired = true }), false)
		}, nil},

		{"keys", func(r *doctor.Report) { doctor.SigningKeys(r, noon, plain, []*splitpin.SigningKey{key(nil)}) }, nil},
		{"an old key", func(r *doctor.Report) {
			doctor.SigningKeys(r, noon, plain, []*splitpin.SigningKey{key(func(k *splitpin.SigningKey) { k.ActiveAt = noon.Add(-500 * day) })})
		}, map[string]string{"warning signing_keys": "500 days"}},
		{"no key that signs", func(r *doctor.Report) {
			doctor.SigningKeys(r, noon, plain, []*splitpin.SigningKey{key(func(k *splitpin.SigningKey) { k.Project = 8 }), key(func(k *splitpin.SigningKey) { k.Use = splitpin.IdentityKey })})
		}, map[string]string{"problem signing_keys": "no key signs"}},
		{"a rotation under way", func(r *doctor.Report) {
			doctor.SigningKeys(r, noon, plain, []*splitpin.SigningKey{key(nil), key(func(k *splitpin.SigningKey) { k.AnnouncedAt, k.ActiveAt = noon.Add(-time.Hour), time.Time{} })})
		}, nil},
		{"a key that should sign by now", func(r *doctor.Report) {
			doctor.SigningKeys(r, noon, plain, []*splitpin.SigningKey{key(nil), key(func(k *splitpin.SigningKey) { k.AnnouncedAt, k.ActiveAt = noon.Add(-day), time.Time{} })})
		}, map[string]string{"problem rotation": "should have signed since"}},
		{"a key that should be gone by now", func(r *doctor.Report) {
			doctor.SigningKeys(r, noon, plain, []*splitpin.SigningKey{key(nil), key(func(k *splitpin.SigningKey) { k.RetiringAt = noon.Add(-token.MaxLifetime - time.Hour) })})
		}, map[string]string{"problem rotation": "should have left the key set"}},

		{"data keys", func(r *doctor.Report) {
			doctor.DataKeys(r, noon, []*splitpin.DataKey{{Purpose: "codes", Generation: 1}, {Purpose: "codes", Generation: 2, Wrapped: []byte{1}, CreatedAt: noon.Add(-3 * day)}}, []string{"codes"})
		}, nil},
		{"a data key that is missing", func(r *doctor.Report) { doctor.DataKeys(r, noon, nil, []string{"codes"}) }, map[string]string{"problem data_keys": "codes"}},
		{"a data key that was destroyed", func(r *doctor.Report) {
			doctor.DataKeys(r, noon, []*splitpin.DataKey{{Purpose: "codes", Generation: 1}}, []string{"codes"})
		}, map[string]string{"problem data_keys": "codes"}},
		{"another master key", doctor.WrongMaster, map[string]string{"problem data_keys": "does not open"}},

		{"an installation that sends", func(r *doctor.Report) { doctor.Senders(r, time.Time{}) }, nil},
		{"a trial copy, which sends nothing", func(r *doctor.Report) { doctor.Senders(r, noon) }, map[string]string{"warning senders": "no message leaves"}},
		{"an empty outbox", func(r *doctor.Report) { doctor.Outbox(r, noon, store.Backlog{}, nil) }, nil},
		{"a message that waits for its next try", func(r *doctor.Report) {
			doctor.Outbox(r, noon, store.Backlog{Messages: 1, OldestDue: noon.Add(20 * time.Second)}, many(100, 3))
		}, nil},
		{"a message that nobody takes", func(r *doctor.Report) {
			doctor.Outbox(r, noon, store.Backlog{Messages: 3, OldestDue: noon.Add(-2 * time.Minute)}, nil)
		}, map[string]string{"problem outbox": "3 wait, one has been due for 2m0s"}},
		{"some given up", func(r *doctor.Report) { doctor.Outbox(r, noon, store.Backlog{}, many(90, 10)) },
			map[string]string{"warning given_up": "10 of 100 messages were given up, most at the stage auth"}},
		{"most given up", func(r *doctor.Report) { doctor.Outbox(r, noon, store.Backlog{}, many(4, 6)) }, map[string]string{"problem given_up": "6 of 10"}},

		{"a backup of yesterday", func(r *doctor.Report) { doctor.Backup(r, noon, noon.Add(-day)) }, nil},
		{"no backup", func(r *doctor.Report) { doctor.Backup(r, noon, time.Time{}) }, map[string]string{"warning backup": "none was ever made"}},
		{"a backup of the day before", func(r *doctor.Report) { doctor.Backup(r, noon, noon.Add(-2*day)) }, map[string]string{"warning backup": "2 days old"}},
		{"a backup of last month", func(r *doctor.Report) { doctor.Backup(r, noon, noon.Add(-30*day)) }, map[string]string{"problem backup": "30 days old"}},

		{"SQLite", sqlite(sound, disk, nil, nil), nil},
		{"a file of another program", sqlite(store.Inspection{}, disk, nil, nil), map[string]string{"problem database": "another program"}},
		{"older tables", sqlite(altered(func(i *store.Inspection) { i.Tables = 1 }), disk, nil, nil), map[string]string{"problem database": "version 1, this program wants 2"}},
		{"newer tables", sqlite(altered(func(i *store.Inspection) { i.Tables = 3 }), disk, nil, nil), map[string]string{"problem database": "version 3, this program knows 2"}},
		{"no write-ahead log", sqlite(altered(func(i *store.Inspection) { i.WAL = false }), disk, nil, nil), map[string]string{"problem durability": "write-ahead log is off"}},
		{"a damaged file", sqlite(sound, disk, []string{"Page 7: never used"}, nil), map[string]string{"problem integrity": "Page 7"}},
		{"a file that is too large to read now", sqlite(sound, disk, nil, context.DeadlineExceeded), map[string]string{"unknown integrity": "deadline"}},
		{"a large log", sqlite(altered(func(i *store.Inspection) { i.LogBytes = 300 << 20 }), disk, nil, nil), map[string]string{"warning size": "log 300.0 MiB"}},
		{"little room", sqlite(sound, doctor.Disk{Known: true, Free: 500 << 20, Total: 1 << 40}, nil, nil), map[string]string{"warning disk_space": "500.0 MiB of 1.0 TiB"}},
		{"little room for a large database", sqlite(altered(func(i *store.Inspection) { i.Pages = 40 << 20 }), doctor.Disk{Known: true, Free: 5 << 30, Total: 1 << 40}, nil, nil), map[string]string{"warning disk_space": "5.0 GiB"}},
		{"no room", sqlite(sound, doctor.Disk{Known: true, Free: 50 << 20, Total: 1 << 40}, nil, nil), map[string]string{"problem disk_space": ""}},
		{"room that is not known", sqlite(sound, doctor.Disk{}, nil, nil), map[string]string{"unknown disk_space": ""}},
		{"a network file system", sqlite(sound, doctor.Disk{Known: true, Free: 50 << 30, Kind: "nfs", IsNetwork: true}, nil, nil), map[string]string{"problem file_system": "nfs"}},
		{"no database", func(r *doctor.Report) { doctor.NoDatabase(r, "data", os.ErrNotExist) }, map[string]string{"problem database": "no database in data"}},
		{"a database that cannot be read", func(r *doctor.Report) { doctor.NoDatabase(r, "data", os.ErrPermission) }, map[string]string{"unknown database": "permission"}},

		{"PostgreSQL", postgres(nil), nil},
		{"no PostgreSQL", func(r *doctor.Report) { doctor.NoPostgres(r, errors.New("refused")) }, map[string]string{"problem database": "refused"}},
		{"moved away", doctor.Moved, map[string]string{"problem database": "was moved to another database"}},
		{"an old PostgreSQL", postgres(func(i *store.PostgresInspection) { i.Version, i.Name = 130002, "13.2" }), map[string]string{"problem database": "13.2 is too old"}},
		{"a PostgreSQL without tables", postgres(func(i *store.PostgresInspection) { i.Tables = 0 }), map[string]string{"problem database": "no tables"}},
		{"a PostgreSQL with older tables", postgres(func(i *store.PostgresInspection) { i.Tables = 1 }), map[string]string{"problem database": "version 1, this program wants 2"}},
		{"a standby", postgres(func(i *store.PostgresInspection) { i.Standby = true }), map[string]string{"problem database": "takes no writes"}},
		{"fsync off", postgres(func(i *store.PostgresInspection) { i.Fsync = false }), map[string]string{"problem durability": "fsync is off"}},
		{"full_page_writes off", postgres(func(i *store.PostgresInspection) { i.FullPageWrites = false }), map[string]string{"problem durability": "full_page_writes is off"}},
		{"synchronous_commit off", postgres(func(i *store.PostgresInspection) { i.SynchronousCommit = "off" }), map[string]string{"problem durability": "synchronous_commit is off"}},
		{"another clock", postgres(func(i *store.PostgresInspection) { i.Time = noon.Add(-7 * time.Second) }), map[string]string{"problem database_clock": "by 7s"}},
		{"a slow answer is no wrong clock", postgres(func(i *store.PostgresInspection) { i.Time, i.TookFor = noon.Add(-8*time.Second), 20*time.Second }), nil},
		{"standbys", postgres(func(i *store.PostgresInspection) { i.Standbys = 2 }), nil},
		{"a slot that nobody reads", postgres(func(i *store.PostgresInspection) { i.SlotLag = 20 << 30 }), map[string]string{"warning replication": "20.0 GiB"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var r doctor.Report
			test.check(&r)
			if len(r.Findings) == 0 {
				t.Error("nothing was found")
			}
			expect(t, &r, test.want)
		})
	}
}

func TestFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	file := filepath.Join(folder, "splitpin.db")
	look := func(want map[string]string) {
		t.Helper()
		var r doctor.Report
		doctor.Folder(&r, folder)
		expect(t, &r, want)
	}
	look(map[string]string{"unknown data_folder": "no such file"})
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look(nil)
	chmod(t, file, 0o640)
	look(map[string]string{"problem data_folder": "splitpin.db can be read or changed by others (mode 0640)"})
	chmod(t, file, 0o600)
	chmod(t, folder, 0o755)
	look(map[string]string{"problem data_folder": "(mode 0755)"})
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestMasterKey(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "etc")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	look := func(file string, previous bool, want map[string]string) {
		t.Helper()
		var r doctor.Report
		doctor.MasterKey(&r, file, previous)
		expect(t, &r, want)
	}
	look("", false, nil)
	look("", true, map[string]string{"warning master_key": "previous"})
	look(filepath.Join(folder, "master.key"), false, nil)
	chmod(t, folder, 0o777)
	look(filepath.Join(folder, "master.key"), false, map[string]string{"problem master_key": "mode 0777"})
	look(filepath.Join(folder, "nowhere", "master.key"), false, map[string]string{"unknown master_key": "no such file"})
}

// What a real file says, sound and damaged.
func TestSQLiteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "splitpin.db")
	if _, err := store.InspectSQLite(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("got %v, want that there is no file", err)
	}
	db, err := store.OpenSQLite(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	look := func(want map[string]string) {
		t.Helper()
		seen, err := store.InspectSQLite(path)
		if err != nil {
			t.Fatal(err)
		}
		var r doctor.Report
		doctor.SQLite(t.Context(), &r, seen, doctor.DiskOf(filepath.Dir(path)), func(ctx context.Context) ([]string, error) { return store.CheckSQLite(ctx, path) })
		r.Findings = keep(r.Findings, "database", "durability", "integrity", "size")
		expect(t, &r, want)
	}
	look(nil) // while it is open
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	look(nil)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.CheckSQLite(cancelled, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was stopped", err)
	}

	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page := len(b) - 1024
	for b[page+3] != 0 || b[page+4] != 0 { // the last that has no cells, so no page of the schema
		page -= 1024
	}
	broken := append([]byte(nil), b...)
	copy(broken[page:], strings.Repeat("\xff", 64))
	if err := os.WriteFile(path, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	look(map[string]string{"problem integrity": "damaged"})

	for _, content := range []string{string(b[:1024]) + strings.Repeat("\xff", len(b)-1024), strings.Repeat("no database ", 200)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := store.InspectSQLite(path)
		if !errors.Is(err, store.ErrDamaged) {
			t.Fatalf("got %v, want that the file is damaged", err)
		}
		var r doctor.Report
		doctor.NoDatabase(&r, filepath.Dir(path), err)
		expect(t, &r, map[string]string{"problem integrity": "not even"})
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look(map[string]string{"problem database": "another program"})
}

func keep(list []doctor.Finding, codes ...string) (kept []doctor.Finding) {
	for _, f := range list {
		for _, code := range codes {
			if f.Code == code {
				kept = append(kept, f)
			}
		}
	}
	return kept
}

func TestPass(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	pass, nonce, err := doctor.NewPass(h.ring, publicURL, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		ring *keyring.Ring
		url  string
		now  time.Time
		pass splitpin.Secret
		ok   bool
	}{
		{"genuine", h.ring, publicURL, noon, pass, true},
		{"by a clock that is two minutes behind", h.ring, publicURL, noon.Add(-2 * time.Minute), pass, true},
		{"by a clock that is two minutes ahead", h.ring, publicURL, noon.Add(2 * time.Minute), pass, true},
		{"later", h.ring, publicURL, noon.Add(5 * time.Minute), pass, false},
		{"from the future", h.ring, publicURL, noon.Add(-5 * time.Minute), pass, false},
		{"at another server", h.ring, "https://other.example", noon, pass, false},
		{"of another installation", other.ring, publicURL, noon, pass, false},
		{"altered", h.ring, publicURL, noon, splitpin.Secret(pass.Reveal()[:40] + "____" + pass.Reveal()[44:]), false},
		{"cut", h.ring, publicURL, noon, splitpin.Secret(pass.Reveal()[:40]), false},
		{"empty", h.ring, publicURL, noon, "", false},
	} {
		got, ok := doctor.CheckPass(test.ring, test.url, test.now, test.pass)
		if ok != test.ok || ok && got != nonce {
			t.Errorf("%s: got %v, want %v", test.name, ok, test.ok)
		}
	}
	again, _, err := doctor.NewPass(h.ring, publicURL, noon)
	if err != nil || again == pass {
		t.Errorf("two passes are the same (%v)", err)
	}
}

func TestStatus(t *testing.T) {
	for _, test := range []struct {
		levels []doctor.Level
		strict bool
		want   int
	}{
		{nil, true, 0},
		{[]doctor.Level{doctor.OK}, true, 0},
		{[]doctor.Level{doctor.OK, doctor.Warning}, false, 0},
		{[]doctor.Level{doctor.OK, doctor.Warning}, true, 1},
		{[]doctor.Level{doctor.Warning, doctor.Unknown}, false, 2},
		{[]doctor.Level{doctor.Unknown, doctor.Problem}, false, 1},
	} {
		var r doctor.Report
		for _, level := range test.levels {
			r.Findings = append(r.Findings, doctor.Finding{Level: level})
		}
		if got := r.Status(test.strict); got != test.want {
			t.Errorf("%v, strict %v: got %d, want %d", test.levels, test.strict, got, test.want)
		}
	}
}

// docs/operate/doctor.md lists every finding, and none that is not there.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/operate/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) == 5 { // code, looks at, what to do
			if code := strings.Trim(cells[1], " `"); strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
				if listed[code] {
					t.Errorf("%s is listed twice", code)
				}
				listed[code] = true
			}
		}
	}
	for _, code := range doctor.Codes() {
		if !listed[code] {
			t.Errorf("the finding %s is missing in the document", code)
		}
		delete(listed, code)
	}
	for code := range listed {
		t.Errorf("the document lists %s, which is no finding", code)
	}
}
