package store

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckAddress(t *testing.T) {
	clearPostgresEnvironment(t)
	const (
		plain = "travel in the clear"
		form  = "is not the address of a PostgreSQL database"
	)
	missing := filepath.Join(t.TempDir(), "cr3tPW.pem")
	tests := []struct {
		address string
		unsafe  bool
		wrong   string // empty: nothing
		secret  bool
	}{
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=verify-full"},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=verify-ca"},
		{address: "postgresql://splitpin@db.example.com/splitpin?sslmode=require"},
		{address: "postgres://splitpin:cr3tPW@db.example.com/splitpin?sslmode=require", secret: true},
		{address: "postgres://splitpin:cr3t%40PW@db.example.com/splitpin?sslmode=require", secret: true},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=require&password=cr3tPW", secret: true},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=require&pass%77ord=cr3tPW", secret: true},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=require&sslpassword=cr3tPW", secret: true},
		{address: "postgres://splitpin@one:5432,two:5433/splitpin?sslmode=verify-full"},
		{address: "postgres://splitpin@one,two/splitpin?sslmode=verify-full&target_session_attrs=read-write"},

		// Without TLS, or with TLS only where nobody minds.
		{address: "postgres://splitpin@db.example.com/splitpin", wrong: plain},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=disable", wrong: plain},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=allow", wrong: plain},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=prefer", wrong: plain},
		{address: "postgres://splitpin@localhost,db.example.com/splitpin", wrong: plain},
		{address: "postgres://splitpin@localhost/splitpin?host=db.example.com", wrong: plain},
		{address: "postgres://splitpin@127.0.0.1.example.com/splitpin", wrong: plain},
		{address: "postgres://splitpin@db.example.com/splitpin", unsafe: true},
		{address: "postgres://splitpin@127.0.0.1:5433/splitpin"},
		{address: "postgres://splitpin@[::1]/splitpin?sslmode=disable"},
		{address: "postgres://splitpin@localhost/splitpin"},
		{address: "postgres:///splitpin?host=/run/postgresql"},

		// What net/url and what connects read differently, or as somebody did not mean it.
		{address: "postgres://splitpin:cr3tPW#x@db.example.com/splitpin", wrong: form},
		{address: "postgres://splitpin:cr3tPW/x@db.example.com/splitpin", wrong: form},
		{address: "postgres://splitpin:12/cr3tPW@db.example.com/splitpin", wrong: form},
		{address: "postgres://splitpin:12?cr3tPW@db.example.com/splitpin", wrong: form},
		{address: "postgres://splitpin:12/cr3tPW/splitpin", wrong: form},
		{address: "postgres://splitpin:12#cr3tPW", wrong: form},
		{address: "postgres://splitpin:cr3t@PW@db.example.com/splitpin?sslmode=require", wrong: form},
		{address: "postgres://splitpin:cr3t%PW@db.example.com/splitpin", wrong: form},
		{address: "postgres://splitpin@db.example.com:cr3tPW/splitpin", wrong: form},
		{address: "host=db.example.com password=cr3tPW", wrong: form},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=require&password=cr3tPW;x", wrong: "has a parameter that cannot be read"},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=cr3tPW", wrong: "has a parameter that cannot be used"},
		{address: "postgres://splitpin@db.example.com:99999/splitpin?sslmode=require&options=cr3tPW", wrong: "has a parameter that cannot be used"},
		{address: "postgres://splitpin@db.example.com/splitpin?sslmode=verify-full&sslrootcert=" + missing, wrong: "names a file"},
	}
	for _, test := range tests {
		err := CheckAddress(test.address, PostgresOptions{Unsafe: test.unsafe})
		secret, unread := AddressHoldsSecret(test.address)
		switch {
		case test.wrong == "" && err != nil:
			t.Errorf("%s: %v", test.address, err)
		case test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)):
			t.Errorf("%s: got %v, want %q", test.address, err, test.wrong)
		case unread == nil && secret != test.secret:
			t.Errorf("%s: holds a secret: %v, want %v", test.address, secret, test.secret)
		case test.wrong == form && unread == nil:
			t.Errorf("%s: whether it holds a secret was read from it", test.address)
		}
		var opening error
		if test.wrong != "" {
			if _, opening = OpenPostgres(t.Context(), test.address, PostgresOptions{}); opening == nil || !strings.Contains(opening.Error(), test.wrong) {
				t.Errorf("%s: opened it says %v, want %q", test.address, opening, test.wrong)
			}
		}
		for _, said := range []error{err, unread, opening} {
			if said != nil && (strings.Contains(said.Error(), "cr3t") || strings.Contains(said.Error(), "db.example.com")) {
				t.Errorf("%s: the error repeats of it: %v", test.address, said)
			}
		}
	}
}

// clearPostgresEnvironment lets no setting of this machine count.
func clearPostgresEnvironment(t *testing.T) {
	for _, name := range []string{"PGHOST", "PGPORT", "PGSSLMODE", "PGSSLROOTCERT", "PGSERVICE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
}
