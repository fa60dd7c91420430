package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/store/postgrestest"
)

// configured puts a sound configuration into the environment of this test.
func configured(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	key := filepath.Join(folder, "key")
	if err := keyring.WriteMasterFile(key, keyring.NewMaster()); err != nil {
		t.Fatal(err)
	}
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, envPrefix) {
			t.Setenv(name, "")
		}
	}
	for name, value := range map[string]string{
		"PUBLIC_URL": "http://localhost:1", "DATA": filepath.Join(folder, "data"), "MASTER_KEY_FILE": key,
		"SMTP_HOST": "127.0.0.1", "SMTP_PORT": "1", "SMTP_TLS": "none", "SMTP_FROM": "login@example.com",
	} {
		t.Setenv(envPrefix+name, value)
	}
	return folder
}

// typed runs a command line and returns what it wrote.
func typed(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), terminal{strings.NewReader(""), &o, &e}, args)
	return status, o.String(), e.String()
}

func TestDoctor(t *testing.T) {
	folder := configured(t)
	if status, _, errs := typed(t, "project", "create", "--name", "Shop", "--origin", "https://shop.example"); status != 0 {
		t.Fatal(errs)
	}
	p := serving(t, folder, "SPLITPIN_PUBLIC_URL=http://localhost:1")
	at := strings.TrimPrefix(p.url, "http://")
	doctor := func(want int, args ...string) string {
		t.Helper()
		status, out, errs := typed(t, append([]string{"doctor", "--connect", at}, args...)...)
		if status != want {
			t.Errorf("%v: got status %d, want %d\n%s%s", args, status, want, out, errs)
		}
		return out + errs
	}

	out := doctor(0, "--skip", "smtp", "--offline")
	for _, want := range []string{"From outside\n", "ok       client_address   the server is reached without a proxy and sees this machine as 127.0.0.1\n",
		"ok       key_set", "warning  backup           none was ever made\n", "→ Run 'splitpin backup'", "problems: 0, warnings: 1, not checked: 0, fine: "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if said := strings.Contains(out, "neither the server nor this command knows its revision"); said != (programVersion() == unnamedVersion) {
		t.Errorf("of the version %s doctor says\n%s", programVersion(), out)
	}
	if strings.Contains(out, "smtp_") || strings.Contains(out, "spf") {
		t.Errorf("what was left out was looked at:\n%s", out)
	}
	doctor(1, "--skip", "smtp,dns", "--strict")
	if out := doctor(1, "--offline"); !strings.Contains(out, "problem  smtp_connect") {
		t.Errorf("a mail server that is not there was not noticed:\n%s", out)
	}

	var report struct {
		Status, Problems, Warnings int
		PublicURL                  string `json:"public_url"`
		Findings                   []map[string]string
	}
	if err := json.Unmarshal([]byte(doctor(0, "--skip", "smtp,dns", "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Status != 0 || report.Problems != 0 || report.Warnings != 1 || report.PublicURL != "http://localhost:1" || len(report.Findings) < 35 {
		t.Errorf("got %+v", report)
	}
	for _, f := range report.Findings {
		if f["group"] == "" || f["code"] == "" || f["level"] == "" || f["seen"] == "" {
			t.Errorf("got %v", f)
		}
	}

	// A server with other data than the configuration names.
	t.Setenv("SPLITPIN_DATA", filepath.Join(folder, "elsewhere"))
	if status, _, errs := typed(t, "project", "create", "--name", "Shop", "--origin", "https://shop.example"); status != 0 {
		t.Fatal(errs)
	}
	if out := doctor(1, "--skip", "smtp,dns"); !strings.Contains(out, "problem  request_view") {
		t.Errorf("a server of another installation was not noticed:\n%s", out)
	}
}

func TestDoctorWithoutServer(t *testing.T) {
	folder := configured(t)
	database := filepath.Join(folder, "data", databaseFile)
	doctor := func(want int, parts ...string) {
		t.Helper()
		status, out, errs := typed(t, "doctor", "--skip", "smtp,dns")
		if status != want {
			t.Errorf("got status %d, want %d", status, want)
		}
		for _, part := range parts {
			if !strings.Contains(out+errs, part) {
				t.Errorf("%q is missing in\n%s%s", part, out, errs)
			}
		}
	}
	doctor(1, "problem  database         there is no database in", "problem  reach")
	if _, err := os.Stat(filepath.Dir(database)); err == nil {
		t.Error("looking made a data folder")
	}
	if status, _, errs := typed(t, "project", "create", "--name", "Shop"); status != 0 {
		t.Fatal(errs)
	}
	doctor(1, "problem  origins", "problem  reach            localhost:1 refuses connections")

	if status, _, errs := typed(t, "project", "set", "--completion-url", "https://10.0.0.4/hook"); status != 0 {
		t.Fatal(errs)
	}
	doctor(1, "problem  outgoing ", "no request reaches completion-url: 10.0.0.4 is not a public address\n", "list the host in outgoing_allow and restart the server")
	t.Setenv("SPLITPIN_OUTGOING_ALLOW", "10.0.0.4")
	doctor(1, "ok       outgoing ")
	t.Setenv("SPLITPIN_OUTGOING_ALLOW", "")

	t.Setenv("SPLITPIN_SMTP_HOST", "")
	t.Setenv("SPLITPIN_PUBLIC_URL", "")
	doctor(1, "problem  configuration    public_url is missing", "problem  configuration    smtp.host is missing")
	t.Setenv("SPLITPIN_SMTP_HOST", "127.0.0.1")
	t.Setenv("SPLITPIN_PUBLIC_URL", "http://localhost:1")

	other := filepath.Join(folder, "other")
	if err := keyring.WriteMasterFile(other, keyring.NewMaster()); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SPLITPIN_MASTER_KEY_FILE", other)
	doctor(1, "problem  data_keys        the master key does not open this database")
	t.Setenv("SPLITPIN_MASTER_KEY_FILE", filepath.Join(folder, "key"))

	// Tables of an older version stay as they are: a server of that version may be
	// at work on them.
	tables(t, database, "PRAGMA user_version = 1")
	doctor(1, "problem  database         its tables are of version 1")
	if got := tables(t, database, "PRAGMA user_version"); got != 1 {
		t.Errorf("looking made tables of version %d", got)
	}

	for _, args := range [][]string{
		{"--config", "nowhere.yaml"}, {"--skip", "everything"}, {"--relay", "mail.example.com"}, {"--connect", "192.0.2.1"}, {"--unknown"},
	} {
		status, _, errs := typed(t, append([]string{"doctor"}, args...)...)
		if status != 2 || !strings.Contains(errs, "splitpin: ") {
			t.Errorf("%v: got status %d and %q, want 2", args, status, errs)
		}
	}
}

// tables runs a statement on a database and returns the last number it gives.
func tables(t *testing.T, path, statement string) (n int64) {
	t.Helper()
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = sqlitex.ExecuteTransient(conn, statement, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error { n = s.ColumnInt64(0); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDoctorMakesNoKeys: a data key that is missing is found, and not made.
func TestDoctorMakesNoKeys(t *testing.T) {
	folder := configured(t)
	if status, _, errs := typed(t, "project", "create", "--name", "Shop", "--origin", "https://shop.example"); status != 0 {
		t.Fatal(errs)
	}
	tables(t, filepath.Join(folder, "data", databaseFile), "DELETE FROM data_keys WHERE purpose = 'browser'")
	for range 2 {
		if status, out, errs := typed(t, "doctor", "--skip", "smtp,dns"); status != 1 || !strings.Contains(out, "problem  data_keys        no usable key for browser\n") {
			t.Errorf("got status %d and\n%s%s", status, out, errs)
		}
	}
}

// TestDoctorOnPostgres looks at a deployment whose data lie on PostgreSQL, and which
// is a copy that sends nothing.
func TestDoctorOnPostgres(t *testing.T) {
	database := postgrestest.Database(t)
	folder := configured(t)
	t.Setenv("SPLITPIN_DATABASE", database)
	t.Setenv("SPLITPIN_INSECURE_DATABASE", "true")
	doctor := func(want int, args ...string) string {
		t.Helper()
		status, out, errs := typed(t, append([]string{"doctor", "--skip", "smtp,dns"}, args...)...)
		if status != want {
			t.Errorf("%v: got status %d, want %d\n%s%s", args, status, want, out, errs)
		}
		return out
	}
	if out := doctor(1); !strings.Contains(out, "problem  database         there are no tables in it yet") {
		t.Errorf("an empty database:\n%s", out)
	}
	if status, _, errs := typed(t, "project", "create", "--name", "Shop", "--origin", "https://shop.example"); status != 0 {
		t.Fatal(errs)
	}
	db, err := store.Open(t.Context(), database, store.Options{Postgres: store.PostgresOptions{Unsafe: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.SetMark(t.Context(), store.SendersOff, store.FormatMark(now())); err != nil {
		t.Fatal(err)
	}
	p := serving(t, folder, "SPLITPIN_PUBLIC_URL=http://localhost:1")
	// The servers of tests sync nothing, which is the problem here.
	out := doctor(1, "--connect", strings.TrimPrefix(p.url, "http://"))
	for _, want := range []string{"ok       database         PostgreSQL ", "problem  durability       fsync is off", "ok       database_clock", "ok       data_keys", "warning  senders          this is a trial copy",
		"warning  backup           none was ever made", "ok       client_address", "ok       key_set", "problems: 1, warnings: 2, not checked: 0, fine: "} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}
