package store

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Errors of an address. None repeats any part of it: where it is misread, what looks
// like a host or a name may be the half of a password.
var (
	errAddress = errors.New("is not the address of a PostgreSQL database, as postgres://USER@HOST/NAME is. " +
		"In a user or password write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for # and %25 for %; or name a file with the password as database_password_file")
	errParameters = errors.New("has a parameter that cannot be read: look at what follows the question mark, and write %26 for & and %3B for ; in a value")
	errValues     = errors.New("has a parameter that cannot be used: look at the port, and at what follows the question mark (sslmode, connect_timeout, target_session_attrs)")
	errPlain      = errors.New("lets the password and everything else travel in the clear, or does where somebody on the way asks for it: " +
		"add ?sslmode=verify-full, and &sslrootcert=FILE where the machine does not know who signed the server's certificate; " +
		"for tests, insecure_database accepts it as it is")
)

// secretParameters are those that hold a secret themselves.
var secretParameters = []string{"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}

// AddressHoldsSecret reports whether the URL of a PostgreSQL database has a password
// or another secret in it. The error is for one that cannot be read, and never repeats
// any of it.
func AddressHoldsSecret(database string) (bool, error) {
	u, parameters, err := readAddress(database)
	if err != nil {
		return false, err
	}
	_, given := u.User.Password()
	for name := range parameters {
		given = given || slices.Contains(secretParameters, strings.ToLower(name))
	}
	return given, nil
}

// CheckAddress says what is wrong with the URL of a PostgreSQL database, without
// connecting and without repeating any of it: also that what is sent there could be
// read on the way, unless o.Unsafe accepts that.
func CheckAddress(database string, o PostgresOptions) error {
	_, err := parseAddress(database, o)
	return err
}

// readAddress takes a URL apart, more strictly than what connects does: where the two
// would disagree about what is the password, there is an error.
func readAddress(database string) (*url.URL, url.Values, error) {
	u, err := url.Parse(database)
	if err != nil || !IsPostgres(database) {
		return nil, nil, errAddress
	}
	_, rest, _ := strings.Cut(database, "://")
	authority, after := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, after = rest[:i], rest[i:]
	}
	if strings.Count(authority, "@") > 1 || strings.ContainsAny(after, "@#") || strings.Count(u.Path, "/") > 1 {
		return nil, nil, errAddress
	}
	parameters, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, nil, errParameters
	}
	return u, parameters, nil
}

func parseAddress(database string, o PostgresOptions) (*pgconn.Config, error) {
	if _, _, err := readAddress(database); err != nil {
		return nil, err
	}
	config, err := pgconn.ParseConfig(database)
	if err != nil {
		if file := (*fs.PathError)(nil); errors.As(err, &file) {
			return nil, fmt.Errorf("names a file (sslrootcert, sslcert or sslkey) that cannot be read: %w", file.Err)
		}
		return nil, errValues
	}
	hosts := append([]*pgconn.FallbackConfig{{Host: config.Host, TLSConfig: config.TLSConfig}}, config.Fallbacks...)
	for _, h := range hosts {
		if h.TLSConfig == nil && !nearby(h.Host) && !o.Unsafe {
			return nil, errPlain
		}
	}
	return config, nil
}

// nearby reports whether what is sent to a host stays on this machine: it is loopback,
// or the folder of a socket.
func nearby(host string) bool {
	a, err := netip.ParseAddr(host)
	return filepath.IsAbs(host) || strings.EqualFold(host, "localhost") || err == nil && a.IsLoopback()
}
