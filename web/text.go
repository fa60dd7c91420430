package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A table holds the texts of one locale by key. Keys ending in a plural
// category (.one, .few, .other, …) are chosen by the number that is shown; a
// locale may add the categories its language needs.
type table map[string]string

//go:embed text/*.json
var textFiles embed.FS

var tables = readTables()

// readTables reads the embedded files once. They are part of the program, so a
// broken one is a programming error.
func readTables() map[string]table {
	all := map[string]table{}
	entries, err := textFiles.ReadDir("text")
	if err != nil {
		panic(fmt.Errorf("listing the texts: %w", err))
	}
	for _, e := range entries {
		b, err := textFiles.ReadFile("text/" + e.Name())
		if err != nil {
			panic(fmt.Errorf("reading %s: %w", e.Name(), err))
		}
		var t table
		if err := json.Unmarshal(b, &t); err != nil {
			panic(fmt.Errorf("reading %s: %w", e.Name(), err))
		}
		all[strings.TrimSuffix(e.Name(), ".json")] = t
	}
	return all
}

// textFor returns the table of the nearest locale: the tag itself, then the tag
// without its last subtags, at last English.
func textFor(locale string) table {
	tag := strings.ToLower(strings.ReplaceAll(locale, "_", "-"))
	for tag != "" {
		if t, ok := tables[tag]; ok {
			return t
		}
		i := strings.LastIndexByte(tag, '-')
		if i < 0 {
			break
		}
		tag = tag[:i]
	}
	return tables["en"]
}

// Locales lists the locales that have texts, sorted.
func Locales() []string {
	var all []string
	for l := range tables {
		all = append(all, l)
	}
	slices.Sort(all)
	return all
}

// only returns the texts whose keys begin with one of the prefixes.
func (t table) only(prefixes ...string) map[string]string {
	some := map[string]string{}
	for k, v := range t {
		for _, p := range prefixes {
			if strings.HasPrefix(k, p) {
				some[k] = v
			}
		}
	}
	return some
}

// fill replaces each {name} by the value that follows "name" in pairs. A value
// is not looked at again, so one that contains braces stays as it is.
func fill(text string, pairs ...string) string {
	braced := make([]string, len(pairs))
	for i, p := range pairs {
		if i%2 == 0 {
			p = "{" + p + "}"
		}
		braced[i] = p
	}
	return strings.NewReplacer(braced...).Replace(text)
}
