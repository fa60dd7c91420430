package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/splitpin/splitpin/delivery"
)

// The manual lists every setting, with the name it has in the environment, and
// nothing else; and no page for operators speaks of a setting that is none.
func TestManualListsEverySetting(t *testing.T) {
	const manual = "../../docs/operate/configuration.md"
	row := regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| `([A-Z_]+)` \\| (.+) \\| (.+) \\|$")
	b, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(b), -1) {
		if listed[m[1]] != nil {
			t.Errorf("the manual lists %s twice", m[1])
		}
		listed[m[1]] = m
	}
	for _, s := range settings {
		m := listed[s.key]
		if m == nil {
			t.Errorf("the manual does not list %s", s.key)
			continue
		}
		if m[2] != envName(s.key) {
			t.Errorf("the manual calls %s %s in the environment, want %s", s.key, m[2], envName(s.key))
		}
		if only := strings.Contains(m[3], "environment only"); only != s.secret {
			t.Errorf("the manual says of %s that it comes from the environment only: %v, want %v", s.key, only, s.secret)
		}
	}
	for key := range listed {
		if find(key) == nil {
			t.Errorf("the manual lists %s, which does not exist", key)
		}
	}

	var c Config
	c.standard()
	for key, value := range map[string]string{"listen": c.Listen, "data": c.Data} {
		if m := listed[key]; m != nil && !strings.Contains(m[4], "`"+value+"`") {
			t.Errorf("the manual says of %s: %s; without it, it is %s", key, m[4], value)
		}
	}

	pages, err := filepath.Glob("../../docs/operate/*.md")
	if err != nil || len(pages) < 3 {
		t.Fatalf("pages for operators: %v, %v", pages, err)
	}
	mentioned := regexp.MustCompile("`((?:smtp|log)\\.[a-z_]+)[:`]|(SPLITPIN_[A-Z_]+)")
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mentioned.FindAllStringSubmatch(string(b), -1) {
			known := m[2] == "SPLITPIN_CONFIG_FILE" || m[2] == "SPLITPIN_PROJECT_SECRET"
			for _, s := range settings {
				known = known || s.key == m[1] || envName(s.key) == m[2]
			}
			if !known {
				t.Errorf("%s speaks of %s, which is no setting", page, m[0])
			}
		}
	}
}

// Suggestions help with a slip and are silent where nothing comes near.
func TestNearest(t *testing.T) {
	for given, want := range map[string]string{
		"publicurl": "public_url", "smtp_host": "smtp.host", "smtp.form": "smtp.from", "loglevel": "log.level",
		"master_key_flie": "master_key_file", "trusted_proxy": "trusted_proxies", "": "", "colour_of_the_sky": "",
	} {
		if got := nearest(given); got != want {
			t.Errorf("nearest(%q) is %q, want %q", given, got, want)
		}
	}
}

// Whatever a file says, reading it ends, with settings or with words.
func FuzzConfigFile(f *testing.F) {
	for _, seed := range []string{"", "public_url: https://a.example\n", "smtp: [1, 2]\n", "smtp:\n  host:\n    deep: 1\n",
		"listen: {a: b}\n", "data: 2026-01-01\n", "? [a]\n: b\n", "- list\n", "a: &a [*a]\n", "trusted_proxies: [10.0.0.1, null]\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, wrong, err := loadConfig(file, nil)
		if err != nil {
			return
		}
		c.standard()
		c.checkServe(&wrong)
		for _, line := range wrong {
			if line == "" {
				t.Error("a problem without words")
			}
		}
	})
}

// The public URL is kept as browsers write it, or every request would be for
// another host.
func TestPublicURL(t *testing.T) {
	tests := []struct{ given, want, wrong string }{
		{given: "https://login.example.com", want: "https://login.example.com"},
		{given: "https://LOGIN.example.com:443/", want: "https://login.example.com"},
		{given: "http://localhost:8080", want: "http://localhost:8080"},
		{given: "https://login.example.com#frag", wrong: "scheme and host"},
		{given: "https://login.example.com/auth", wrong: "scheme and host"},
		{given: "https://ada@login.example.com", wrong: "scheme and host"},
		{given: "http://login.example.com", wrong: "must begin with https://"},
		{given: "login.example.com", wrong: "scheme and host"},
		{given: "", wrong: "public_url is missing"},
	}
	for _, test := range tests {
		t.Run(test.given, func(t *testing.T) {
			var wrong problems
			c := Config{PublicURL: test.given, Listen: "127.0.0.1:9180", MasterKey: "x", SMTP: delivery.SMTPConfig{Host: "mail.example.com"}}
			public := c.checkServe(&wrong)
			if test.wrong != "" {
				if !strings.Contains(wrong.Error(), test.wrong) {
					t.Errorf("got %v, want %q", wrong, test.wrong)
				}
				return
			}
			if len(wrong) > 0 || public.String() != test.want {
				t.Errorf("got %s and %v, want %s", public, wrong, test.want)
			}
		})
	}
}
