package store

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

//go:embed migrations
var migrationFiles embed.FS

// A migration brings the tables from version-1 to version. Its file name starts
// with the version: 0001_first.sql. Each engine has a folder of its own with the
// same file names. Migrations only go forward and are never edited once they
// were released.
type migration struct {
	version int
	name    string
	text    string
}

// migrationsFor returns the migrations of one engine in order, without gaps.
func migrationsFor(engine string) ([]migration, error) {
	folder := path.Join("migrations", engine)
	entries, err := fs.ReadDir(migrationFiles, folder) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("listing migrations: %w", err)
	}
	var all []migration
	for i, entry := range entries {
		digits, _, _ := strings.Cut(entry.Name(), "_")
		version, err := strconv.Atoi(digits)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s is out of order", entry.Name())
		}
		text, err := fs.ReadFile(migrationFiles, path.Join(folder, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading migration %s: %w", entry.Name(), err)
		}
		all = append(all, migration{version, entry.Name(), string(text)})
	}
	return all, nil
}
