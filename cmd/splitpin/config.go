package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/captcha"
	"github.com/splitpin/splitpin/delivery"
	"github.com/splitpin/splitpin/keyring"
	"github.com/splitpin/splitpin/outgoing"
	"github.com/splitpin/splitpin/signin"
	"github.com/splitpin/splitpin/store"
	"github.com/splitpin/splitpin/telemetry"
	"github.com/splitpin/splitpin/web"
)

// A Config is everything that an operator can say about one server. Each setting
// stands in the configuration file under its key, or in the environment under
// SPLITPIN_ and the key in capitals with _ for a point: smtp.host is
// SPLITPIN_SMTP_HOST. The environment wins; an empty variable counts as absent.
type Config struct {
	PublicURL string          // what people and tokens see: https://login.example.com; required by serve
	Listen    string          // empty: 127.0.0.1:8080
	Data      string          // folder; empty: splitpin-data
	Database  splitpin.Secret // empty or sqlite: in the data folder; or the URL of a PostgreSQL database, which may hold a password
	Postgres  store.PostgresOptions

	MasterKey         splitpin.Secret // from the environment only
	MasterKeyFile     string
	PreviousMasterKey splitpin.Secret // from the environment only; accepted while the master key is changed
	PreviousKeyFile   string

	TrustedProxies    []netip.Prefix // whose forwarding headers are believed; empty: nobody's
	InsecureAnyOrigin bool           // projects may list "*"

	SMTP          delivery.SMTPConfig
	Phones        delivery.Config     // the senders for phones
	OutgoingAllow outgoing.Exceptions // places we may ask although they are not public

	Captcha        CaptchaConfig
	MetricsListen  string  // a listener of its own; empty: metrics are off
	MetricsProfile bool    // profiles of the program beside them
	TracesEndpoint string  // base URL of an OTLP collector; empty: see telemetry.TraceOptions
	TracesSample   float64 // share of requests that are traced; zero: see telemetry.TraceOptions

	LogLevel  string        // debug, info, warn or error; empty: info
	LogFormat string        // text or json; empty: text
	Drain     time.Duration // how long to go on serving when asked to end, not ready any more; zero: end at once
	AuditDays time.Duration // how long audit events are kept; zero: 400 days
}

// A CaptchaConfig is the operator's account at a provider of captchas. Zero: none.
type CaptchaConfig struct {
	Provider string // recaptcha or turnstile
	SiteKey  string
	Secret   splitpin.Secret
}

const envPrefix = "SPLITPIN_"

// A setting is one key of the configuration.
type setting struct {
	key    string
	secret bool                     // must not stand in the file
	unfit  func(value string) error // nil, or why this value must not stand in the file
	apply  func(c *Config, value string) error
}

func text(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *at(c) = v; return nil }
}

func secret(at func(*Config) *splitpin.Secret) func(*Config, string) error {
	return func(c *Config, v string) error { *at(c) = splitpin.Secret(v); return nil }
}

func fileSecret(at func(*Config) *splitpin.Secret) func(*Config, string) error {
	return func(c *Config, v string) error {
		secret, err := readSecret(v)
		if err == nil {
			*at(c) = splitpin.Secret(strings.TrimRight(secret.Reveal(), "\r\n"))
		}
		return err
	}
}

// readSecret reads a file that holds a secret. One that others than its owner may read is
// refused, as that of the master key is.
func readSecret(path string) (splitpin.Secret, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", fmt.Errorf("%s can be read or changed by others than its owner (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	b, err := os.ReadFile(path)
	return splitpin.Secret(b), err
}

// secretIn refuses the URL of a database that has a password in it, or that cannot be
// read, so that nobody knows. It never repeats the URL.
func secretIn(v string) error {
	v = databaseAddress(v)
	if !store.IsPostgres(v) {
		return nil
	}
	secret, err := store.AddressHoldsSecret(v)
	if err == nil && secret {
		err = errors.New("holds a password, which is a secret: leave it out and name a file that holds it as database_password_file, or give the URL in the environment as SPLITPIN_DATABASE")
	}
	return err
}

// databaseAddress writes the scheme of an address as the store knows it.
func databaseAddress(v string) string {
	if scheme, rest, ok := strings.Cut(v, "://"); ok {
		return strings.ToLower(scheme) + "://" + rest
	}
	return v
}

// settings is every key there is. docs/operate/configuration.md lists them, and
// a test holds it against this table.
var settings = []setting{
	{key: "public_url", apply: text(func(c *Config) *string { return &c.PublicURL })},
	{key: "listen", apply: text(func(c *Config) *string { return &c.Listen })},
	{key: "data", apply: text(func(c *Config) *string { return &c.Data })},
	{key: "database", unfit: secretIn, apply: func(c *Config, v string) error {
		c.Database = splitpin.Secret(databaseAddress(v))
		return nil
	}},
	{key: "database_password", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.Postgres.Password })},
	{key: "database_password_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.Postgres.Password })},
	{key: "database_connections", apply: func(c *Config, v string) (err error) {
		if c.Postgres.Connections, err = strconv.Atoi(v); err != nil || c.Postgres.Connections < 2 {
			return errors.New("must be a number, at least 2")
		}
		return nil
	}},
	{key: "database_pooler", apply: func(c *Config, v string) (err error) {
		c.Postgres.Pooler, err = boolean(v)
		return err
	}},
	{key: "insecure_database", apply: func(c *Config, v string) (err error) {
		c.Postgres.Unsafe, err = boolean(v)
		return err
	}},
	{key: "master_key", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.MasterKey })},
	{key: "master_key_file", apply: text(func(c *Config) *string { return &c.MasterKeyFile })},
	{key: "previous_master_key", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.PreviousMasterKey })},
	{key: "previous_master_key_file", apply: text(func(c *Config) *string { return &c.PreviousKeyFile })},
	{key: "trusted_proxies", apply: func(c *Config, v string) error {
		for _, part := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' }) {
			p, err := netip.ParsePrefix(part)
			if err != nil {
				a, err := netip.ParseAddr(part)
				if err != nil {
					return fmt.Errorf("%q is neither an address nor a network like 10.0.0.0/8", part)
				}
				p = netip.PrefixFrom(a, a.BitLen())
			}
			if p.Bits() == 0 {
				return errors.New("would believe everybody; name the proxies' own addresses")
			}
			c.TrustedProxies = append(c.TrustedProxies, p)
		}
		return nil
	}},
	{key: "insecure_any_origin", apply: func(c *Config, v string) (err error) {
		c.InsecureAnyOrigin, err = boolean(v)
		return err
	}},
	{key: "smtp.host", apply: text(func(c *Config) *string { return &c.SMTP.Host })},
	{key: "smtp.port", apply: func(c *Config, v string) (err error) {
		if c.SMTP.Port, err = strconv.Atoi(v); err != nil {
			return errors.New("must be a number")
		}
		return nil
	}},
	{key: "smtp.tls", apply: text(func(c *Config) *string { return &c.SMTP.TLS })},
	{key: "smtp.username", apply: text(func(c *Config) *string { return &c.SMTP.Username })},
	{key: "smtp.password", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.SMTP.Password })},
	{key: "smtp.password_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.SMTP.Password })},
	{key: "smtp.from", apply: text(func(c *Config) *string { return &c.SMTP.From })},
	{key: "smtp.helo", apply: text(func(c *Config) *string { return &c.SMTP.HELO })},
	{key: "sms.sender", apply: text(func(c *Config) *string { return &c.Phones.SMS })},
	{key: "whatsapp.sender", apply: text(func(c *Config) *string { return &c.Phones.WhatsApp })},
	{key: "whatsapp.phone_number_id", apply: text(func(c *Config) *string { return &c.Phones.CloudAPI.PhoneNumberID })},
	{key: "whatsapp.token", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.Phones.CloudAPI.Token })},
	{key: "whatsapp.token_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.Phones.CloudAPI.Token })},
	{key: "whatsapp.template", apply: text(func(c *Config) *string { return &c.Phones.CloudAPI.Template })},
	{key: "whatsapp.languages", apply: func(c *Config, v string) error {
		c.Phones.CloudAPI.Languages = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
		return nil
	}},
	{key: "whatsapp.app_secret", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.Phones.CloudAPI.AppSecret })},
	{key: "whatsapp.app_secret_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.Phones.CloudAPI.AppSecret })},
	{key: "whatsapp.url", apply: text(func(c *Config) *string { return &c.Phones.CloudAPI.URL })},
	{key: "twilio.account_sid", apply: text(func(c *Config) *string { return &c.Phones.Twilio.AccountSID })},
	{key: "twilio.api_key", apply: text(func(c *Config) *string { return &c.Phones.Twilio.APIKey })},
	{key: "twilio.secret", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.Phones.Twilio.Secret })},
	{key: "twilio.secret_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.Phones.Twilio.Secret })},
	{key: "twilio.messaging_service", apply: text(func(c *Config) *string { return &c.Phones.Twilio.MessagingService })},
	{key: "twilio.from", apply: text(func(c *Config) *string { return &c.Phones.Twilio.From })},
	{key: "twilio.verify_service", apply: text(func(c *Config) *string { return &c.Phones.Twilio.VerifyService })},
	{key: "twilio.whatsapp_from", apply: text(func(c *Config) *string { return &c.Phones.Twilio.WhatsAppFrom })},
	{key: "twilio.whatsapp_content", apply: text(func(c *Config) *string { return &c.Phones.Twilio.WhatsAppContent })},
	{key: "twilio.auth_token", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.Phones.Twilio.AuthToken })},
	{key: "twilio.auth_token_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.Phones.Twilio.AuthToken })},
	{key: "twilio.url", apply: text(func(c *Config) *string { return &c.Phones.Twilio.URL })},
	{key: "vonage.api_key", apply: text(func(c *Config) *string { return &c.Phones.Vonage.APIKey })},
	{key: "vonage.secret", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.Phones.Vonage.Secret })},
	{key: "vonage.secret_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.Phones.Vonage.Secret })},
	{key: "vonage.from", apply: text(func(c *Config) *string { return &c.Phones.Vonage.From })},
	{key: "vonage.url", apply: text(func(c *Config) *string { return &c.Phones.Vonage.URL })},
	{key: "sns.access_key_id", apply: text(func(c *Config) *string { return &c.Phones.SNS.AccessKeyID })},
	{key: "sns.secret", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.Phones.SNS.Secret })},
	{key: "sns.secret_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.Phones.SNS.Secret })},
	{key: "sns.region", apply: text(func(c *Config) *string { return &c.Phones.SNS.Region })},
	{key: "sns.from", apply: text(func(c *Config) *string { return &c.Phones.SNS.From })},
	{key: "sns.url", apply: text(func(c *Config) *string { return &c.Phones.SNS.URL })},
	{key: "webhook.url", apply: text(func(c *Config) *string { return &c.Phones.Webhook.URL })},
	{key: "webhook.secret", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.Phones.Webhook.Secrets })},
	{key: "webhook.secret_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.Phones.Webhook.Secrets })},
	{key: "outgoing_allow", apply: func(c *Config, v string) (err error) {
		c.OutgoingAllow, err = outgoing.ParseExceptions(v)
		return err
	}},
	{key: "captcha.provider", apply: text(func(c *Config) *string { return &c.Captcha.Provider })},
	{key: "captcha.site_key", apply: text(func(c *Config) *string { return &c.Captcha.SiteKey })},
	{key: "captcha.secret", secret: true, apply: secret(func(c *Config) *splitpin.Secret { return &c.Captcha.Secret })},
	{key: "captcha.secret_file", apply: fileSecret(func(c *Config) *splitpin.Secret { return &c.Captcha.Secret })},
	{key: "metrics_listen", apply: text(func(c *Config) *string { return &c.MetricsListen })},
	{key: "metrics_pprof", apply: func(c *Config, v string) (err error) {
		c.MetricsProfile, err = boolean(v)
		return err
	}},
	{key: "otlp_endpoint", apply: func(c *Config, v string) error {
		c.TracesEndpoint = v
		return telemetry.CheckEndpoint(v)
	}},
	{key: "otlp_sample", apply: func(c *Config, v string) (err error) {
		if c.TracesSample, err = strconv.ParseFloat(v, 64); err != nil || !(c.TracesSample > 0 && c.TracesSample <= 1) {
			return errors.New("must be a share above 0 and at most 1, like 0.05")
		}
		return nil
	}},
	{key: "log.level", apply: text(func(c *Config) *string { return &c.LogLevel })},
	{key: "log.format", apply: text(func(c *Config) *string { return &c.LogFormat })},
	{key: "drain", apply: func(c *Config, v string) (err error) {
		if c.Drain, err = time.ParseDuration(v); err != nil || c.Drain < 0 || c.Drain > 5*time.Minute {
			return errors.New("must be a duration like 10s, at most 5m")
		}
		return nil
	}},
	{key: "audit_days", apply: func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 {
			return errors.New("must be a number of days, at least 1")
		}
		c.AuditDays = time.Duration(n) * 24 * time.Hour
		return nil
	}},
}

func boolean(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0", "":
		return false, nil
	}
	return false, errors.New("must be true or false")
}

// problems is everything that is wrong with a configuration, one line each.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (p problems) Error() string {
	if len(p) == 1 {
		return "one problem with the configuration:\n  - " + p[0]
	}
	return fmt.Sprintf("%d problems with the configuration:\n  - %s", len(p), strings.Join(p, "\n  - "))
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// withoutEchoes leaves out what is missing only because the file that holds it was refused:
// that was said.
func (p problems) withoutEchoes() problems {
	var out problems
	for _, line := range p {
		key, _, missing := strings.Cut(line, " is missing")
		refused := func(line string) bool { return strings.HasPrefix(line, key+"_file: ") }
		if !missing || !slices.ContainsFunc(p, refused) {
			out = append(out, line)
		}
	}
	return out
}

// loadConfig reads the file, if one is named, and the environment. It returns
// what is wrong with single settings along with the others. The error is for a
// file that cannot be read at all: nothing can be said then about what it sets.
func loadConfig(file string, environ []string) (Config, problems, error) {
	var c Config
	var wrong problems
	given := map[string]string{}

	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return c, nil, fmt.Errorf("the configuration file cannot be read: %w", err)
		}
		var tree map[string]any
		if err := yaml.Unmarshal(b, &tree); err != nil {
			return c, nil, fmt.Errorf("%s is not YAML: %s", file, yaml.FormatError(err, false, false))
		}
		misspelt := map[string]bool{} // sections, each said once
		for key, value := range flatten("", tree) {
			s := find(key)
			section, _, nested := strings.Cut(key, ".")
			switch {
			case nested && !slices.Contains(sections(), section) && find(section) == nil:
				misspelt[section] = true
			case s == nil:
				wrong.add("%s: there is no setting %q%s", file, key, didYouMean(nearest(key), func(key string) string { return key }))
			case s.secret:
				wrong.add("%s: %s is a secret: give it in the environment as %s, or name a file that holds it as %s_file", file, key, envName(key), key)
			default:
				if s.unfit != nil {
					if err := s.unfit(value); err != nil {
						wrong.add("%s: %s %v", file, key, err)
						continue
					}
				}
				given[key] = value
			}
		}
		for section := range misspelt {
			wrong.add("%s: there is no section %q%s", file, section, didYouMean(closest(section, sections()), func(s string) string { return s }))
		}
	}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" { // tools pass on as empty what they were not given
			continue
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return envName(s.key) == name })
		if i < 0 {
			key := strings.ToLower(strings.TrimPrefix(name, envPrefix))
			wrong.add("environment: there is no setting %s%s", name, didYouMean(nearest(key), envName))
			continue
		}
		given[settings[i].key] = value
	}
	for _, s := range settings { // in order, so that messages are
		if value, ok := given[s.key]; ok {
			if err := s.apply(&c, value); err != nil {
				wrong.add("%s: %v", s.key, err)
			}
		}
	}
	slices.Sort(wrong)
	return c, wrong, nil
}

func flatten(prefix string, tree map[string]any) map[string]string {
	out := map[string]string{}
	for key, value := range tree {
		switch v := value.(type) {
		case map[string]any:
			for k, inner := range flatten(prefix+key+".", v) {
				out[k] = inner
			}
		case []any:
			parts := make([]string, len(v))
			for i := range v {
				parts[i] = fmt.Sprint(v[i])
			}
			out[prefix+key] = strings.Join(parts, ",")
		case nil:
			out[prefix+key] = ""
		default:
			out[prefix+key] = fmt.Sprint(v)
		}
	}
	return out
}

func find(key string) *setting {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i]
		}
	}
	return nil
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func didYouMean(key string, spelt func(key string) string) string {
	if key == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", spelt(key))
}

// sections returns what stands before the point in keys.
func sections() []string {
	var names []string
	for _, s := range settings {
		if section, _, nested := strings.Cut(s.key, "."); nested && !slices.Contains(names, section) {
			names = append(names, section)
		}
	}
	return names
}

// nearest returns the key that was probably meant, empty where none comes near.
func nearest(key string) string {
	var keys []string
	for _, s := range settings {
		keys = append(keys, s.key)
	}
	return closest(key, keys)
}

// closest returns the one of names that was probably meant by given.
func closest(given string, names []string) string {
	best, distance := "", len(given)/2+1
	for _, name := range names {
		if d := editDistance(strings.ReplaceAll(given, ".", "_"), strings.ReplaceAll(name, ".", "_")); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// editDistance counts the letters to insert, delete, replace or swap with their
// neighbour on the way from a to b.
func editDistance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := row[j-1]
			if a[i-1] != b[j-1] {
				cost++
			}
			next[j] = min(cost, row[j]+1, next[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// standard fills in what was not said.
func (c *Config) standard() {
	if c.Data == "" {
		c.Data = "splitpin-data"
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:8080"
	}
	if c.AuditDays == 0 {
		c.AuditDays = 400 * 24 * time.Hour
	}
}

// checkServe adds what is unsafe or missing for production.
func (c *Config) checkServe(wrong *problems) *url.URL {
	public, err := url.Parse(c.PublicURL)
	switch {
	case strings.TrimSpace(c.PublicURL) == "":
		wrong.add("public_url is missing: the address under which people reach this server, like https://login.example.com")
	case err != nil || public.Host == "" || public.Path != "" && public.Path != "/" || public.RawQuery != "" || public.Fragment != "" || public.User != nil:
		wrong.add("public_url: must be scheme and host, like https://login.example.com")
	case public.Scheme == "http" && !isLoopbackHost(public.Hostname()):
		wrong.add("public_url: must begin with https://; cookies and codes are not safe without it")
	case public.Scheme != "https" && public.Scheme != "http":
		wrong.add("public_url: must begin with https://")
	}
	// As browsers write it: lower-case, without a port that the scheme implies.
	if origin, ok := splitpin.ParseOrigin(c.PublicURL); ok {
		public, _ = url.Parse(origin) // what ParseOrigin returns is a URL
	} else {
		public = &url.URL{}
	}
	if !isAddress(c.Listen) {
		wrong.add("listen: must be address and port, like 127.0.0.1:9180")
	}
	switch {
	case c.MetricsListen == "" && c.MetricsProfile:
		wrong.add("metrics_pprof: needs metrics_listen, which says where the profiles are")
	case c.MetricsListen != "" && !isAddress(c.MetricsListen):
		wrong.add("metrics_listen: must be address and port, like 127.0.0.1:9181")
	case c.MetricsProfile && everywhere(c.MetricsListen):
		wrong.add("metrics_pprof: shows the inside of the program to whoever reaches this machine, since metrics_listen is every address of it: " +
			"name one there, like 127.0.0.1:9181")
	}
	c.checkDatabase(wrong)
	if c.Postgres.Password != "" && !c.shared() {
		wrong.add("database is missing: a password for PostgreSQL is given (database_password), but not the address of the database, like postgres://splitpin@db.example.com/splitpin?sslmode=verify-full")
	}
	if c.MasterKey == "" && c.MasterKeyFile == "" {
		wrong.add("master_key_file is missing: make a key with 'splitpin master-key new FILE', outside the data folder")
	}
	c.checkMaster(wrong)
	if c.SMTP.Host == "" {
		wrong.add("smtp.host is missing: without it no code reaches anybody")
	}
	c.checkCaptcha(wrong)
	if c.LogLevel != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		wrong.add("log.level: must be debug, info, warn or error")
	}
	if c.LogFormat != "" && c.LogFormat != "text" && c.LogFormat != "json" {
		wrong.add("log.format: must be text or json")
	}
	return public
}

func (c *Config) checkCaptcha(wrong *problems) {
	if c.Captcha == (CaptchaConfig{}) {
		return
	}
	if _, err := captcha.Find(c.Captcha.Provider); err != nil {
		wrong.add("captcha.provider: %v", err)
	}
	if c.Captcha.SiteKey == "" {
		wrong.add("captcha.site_key is missing: the provider gives it together with the secret")
	}
	if c.Captcha.Secret == "" {
		wrong.add("captcha.secret is missing: give it in the environment as SPLITPIN_CAPTCHA_SECRET, or name a file that holds it as captcha.secret_file")
	}
}

// useCaptcha lets the engine ask the provider of captchas, if one is configured, and
// returns what pages show.
func (c *Config) useCaptcha(e *signin.Engine, public *url.URL) *web.Captcha {
	p, err := captcha.Find(c.Captcha.Provider)
	if err != nil {
		return nil // none is configured: checkServe looked
	}
	e.UseCaptcha(&captcha.Verifier{Provider: p, Secret: c.Captcha.Secret, Host: public.Hostname(),
		Client: outgoing.New(outgoing.Options{Except: c.OutgoingAllow, Timeout: 5 * time.Second})})
	return &web.Captcha{Script: p.Script, Hosts: p.Hosts, Object: p.Object, SiteKey: c.Captcha.SiteKey, Invisible: p.Invisible}
}

// shared reports whether the database is a server that several nodes may share, and
// not a file in the data folder.
func (c *Config) shared() bool { return store.IsPostgres(c.Database.Reveal()) }

// database is where the data is, for store.Open.
func (c *Config) database() string {
	if c.shared() {
		return c.Database.Reveal()
	}
	return filepath.Join(c.Data, databaseFile)
}

func (c *Config) storeOptions() store.Options { return store.Options{Postgres: c.Postgres} }

func (c *Config) checkDatabase(wrong *problems) {
	if d := c.Database; d != "" && d != "sqlite" && !c.shared() {
		wrong.add("database: must be sqlite, for a file in the data folder, or the address of a PostgreSQL database, like postgres://splitpin@db.example.com/splitpin?sslmode=verify-full")
	}
	if c.shared() {
		if err := store.CheckAddress(c.database(), c.Postgres); err != nil {
			wrong.add("database: what was given %v", err)
		}
	}
}

// isAddress reports whether s can be listened on.
func isAddress(s string) bool {
	_, port, err := net.SplitHostPort(s)
	_, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil
}

// everywhere reports whether to listen on an address is to listen on all of this
// machine's.
func everywhere(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	a, err := netip.ParseAddr(host)
	return host == "" || err == nil && a.Unmap().IsUnspecified()
}

// checkMaster refuses a master key that every copy of the data would take along.
func (c *Config) checkMaster(wrong *problems) {
	for _, f := range []struct{ key, file string }{
		{"master_key_file", c.MasterKeyFile}, {"previous_master_key_file", c.PreviousKeyFile},
	} {
		if f.file != "" && inside(f.file, c.Data) {
			wrong.add("%s: lies inside the data folder, so a copy of the data would hold the key that opens it; move it elsewhere", f.key)
		}
	}
}

func isLoopbackHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// inside reports whether file lies in folder, links followed where they exist.
func inside(file, folder string) bool {
	rel, err := filepath.Rel(real(folder), real(file))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func real(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if resolved, err := filepath.EvalSymlinks(abs); err == nil {
		return resolved
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		return filepath.Join(dir, filepath.Base(abs))
	}
	return abs
}

// masters returns the master key, and during a change the previous one.
func (c *Config) masters() ([]keyring.Master, error) {
	var out []keyring.Master
	for _, source := range []struct {
		text splitpin.Secret
		file string
	}{{c.MasterKey, c.MasterKeyFile}, {c.PreviousMasterKey, c.PreviousKeyFile}} {
		var m keyring.Master
		var err error
		switch {
		case source.text != "":
			m, err = keyring.ParseMaster(source.text.Reveal())
		case source.file != "":
			m, err = keyring.ReadMasterFile(source.file)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}
