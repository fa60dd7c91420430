// Command cmd writes the tables that are made of other people's data: numbers.txt of
// package phone, and web/src/countries.ts. It is run by go generate in phone.
package main

import (
	"fmt"
	"os"

	"github.com/splitpin/splitpin/phone/internal/table"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	files, err := table.Files(".")
	if err != nil {
		return err
	}
	for name, body := range files {
		if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}
