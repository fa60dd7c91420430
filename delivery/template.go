package delivery

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/splitpin/splitpin"
)

//go:embed templates
var embedded embed.FS

// DefaultLocale is the language that every template exists in.
const DefaultLocale = "en"

// Values are what a template may show: this vocabulary and nothing else. All of
// it is either ours or cleaned before a template sees it.
type Values struct {
	Code splitpin.Secret // empty: none
	Link splitpin.Secret // an https address of ours; empty: none

	Project string // its name; cut at 60 characters
	Colour  string // #rrggbb; anything else is replaced by ours
	Locale  string // the project's language, for readers whose own we do not have

	// Host is that of the page on which the code belongs, and Frame that of the page
	// inside it that asks; empty: there is none inside, or none at all. They come from our
	// configuration and the project's list, never from a request.
	Host, Frame string
	// Label is what a notice is about, in our own vocabulary like Device: the name of a
	// provider or a browser. What looks otherwise is left out.
	Label string
	// Notice says that the message tells what happened, and asks for no answer: it goes
	// out whatever became of its attempt.
	Notice bool

	// Where and when it was asked for. Device comes from our own vocabulary
	// ("Chrome on Linux"), Network is a prefix ("203.0.113.7/32"); what looks
	// otherwise is left out. Zero fields are filled in from the attempt.
	Device    string
	Network   string
	AskedAt   time.Time
	ExpiresAt time.Time
}

// ourColour is used where a project has none: calm, and clear on white and black.
const ourColour = "#3b6ef6"

var (
	aColour = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)
	aLocale = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)
	aLink   = regexp.MustCompile(`^https?://[!-~]+$`)
)

// isDevice reports whether text is like the names that we give to devices: at most
// 48 letters, digits and a few marks. (As a regular expression it was two of the
// ten milliseconds in which the program starts.)
func isDevice(text string) bool {
	n := 0
	for _, r := range text {
		plain := unicode.IsLetter(r) || unicode.IsNumber(r)
		if !plain && (n == 0 || !strings.ContainsRune(" .()-", r)) {
			return false
		}
		n++
	}
	return 0 < n && n <= 48
}

// view is what templates read: Values, cleaned, as plain text. Its secrets are
// revealed; it never leaves render.
type view struct {
	Lang    string
	Code    string
	Link    string
	Project string
	Colour  string
	Bound   string    // last line of a text message, for autofill; empty: none
	Label   string    // empty: not known
	Device  string    // empty: not known
	Network string    // empty: not known
	AskedAt time.Time // to the minute, like Until, so that letters of one minute share a form
	Until   time.Time
	Minutes int // from asking to expiry, rounded down, at least 1
}

func newView(v *Values, locale string) *view {
	w := &view{
		Lang:    locale,
		Code:    oneLine(v.Code.Reveal(), 64),
		Link:    v.Link.Reveal(),
		Project: oneLine(v.Project, 60),
		Colour:  v.Colour,
		Label:   v.Label,
		Device:  v.Device,
		Network: showNetwork(v.Network),
		AskedAt: v.AskedAt.UTC().Truncate(time.Minute),
		Until:   v.ExpiresAt.UTC().Truncate(time.Minute),
	}
	w.Minutes = max(1, int(v.ExpiresAt.Sub(v.AskedAt)/time.Minute))
	if !aColour.MatchString(w.Colour) {
		w.Colour = ourColour
	}
	if !isDevice(w.Device) {
		w.Device = ""
	}
	if !isDevice(w.Label) {
		w.Label = ""
	}
	w.Bound = bound(v.Host, v.Frame, w.Code)
	if !aLink.MatchString(w.Link) {
		w.Link = ""
	}
	return w
}

// showNetwork returns a prefix as people read it: a single address without its
// length. What is no prefix is left out.
func showNetwork(network string) string {
	p, err := netip.ParsePrefix(network)
	if err != nil || p.Addr().Zone() != "" {
		return ""
	}
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// Templates holds the templates of every locale, parsed. A template lies in
// <locale>/<channel>/<name> as three files: .subject, .text and .html. A channel for
// phones has the second only. What the HTML of several has in common stands in
// layout.html. The zero value has none.
type Templates struct {
	sets  map[string]*templateSet // by locale/channel/name
	forms forms
}

type templateSet struct {
	channel splitpin.Channel
	subject *texttemplate.Template // nil: the channel has no subject
	text    *texttemplate.Template
	html    *htmltemplate.Template // nil: the channel has no HTML
}

// ParseTemplates reads a tree of templates. Unknown files, missing texts and
// fields that Values does not have are errors: found at start-up, not when
// somebody waits for a code.
func ParseTemplates(tree fs.FS) (*Templates, error) {
	t := &Templates{sets: make(map[string]*templateSet)}
	var problems []error
	walkErr := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := t.add(tree, name); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
		return nil
	})
	if walkErr != nil {
		return nil, fmt.Errorf("reading templates: %w", walkErr)
	}
	// A template that cannot be executed with everything set and with nothing set
	// would fail on some person later.
	full := Values{Code: "123456", Link: "https://example.com/x", Project: "P", Device: "Chrome on Linux", Label: "Google", Host: "example.com",
		Network: "203.0.113.7/32", AskedAt: time.Unix(0, 0), ExpiresAt: time.Unix(600, 0)}
	for key, set := range t.sets {
		if set.text == nil {
			problems = append(problems, fmt.Errorf("%s: has no .text", key))
			continue
		}
		for _, v := range []Values{full, {}} {
			if _, err := set.render(newView(&v, "en")); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", key, err))
				break
			}
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("reading templates: %w", errors.Join(problems...))
	}
	return t, nil
}

func (t *Templates) add(tree fs.FS, name string) error {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || !aLocale.MatchString(parts[0]) {
		return errors.New("should be <locale>/<channel>/<name>.<kind>")
	}
	if parts[2] == layoutFile {
		return nil
	}
	body, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	kind := path.Ext(name)
	key := strings.TrimSuffix(name, kind)
	set := t.sets[key]
	if set == nil {
		set = &templateSet{channel: splitpin.Channel(parts[1])}
		t.sets[key] = set
	}
	switch kind {
	case ".subject":
		set.subject, err = texttemplate.New(name).Option("missingkey=error").Parse(string(body))
	case ".text":
		set.text, err = texttemplate.New(name).Option("missingkey=error").Parse(string(body))
	case ".html":
		set.html, err = parseHTML(tree, name, string(body))
	default:
		return errors.New("should end in .subject, .text or .html")
	}
	return err
}

// layoutFile holds what the HTML of all messages of a locale and channel has in common.
// A template that only defines parts has them put in there.
const layoutFile = "layout.html"

func parseHTML(tree fs.FS, name, body string) (*htmltemplate.Template, error) {
	t := htmltemplate.New(name).Option("missingkey=error")
	if strings.HasPrefix(body, "{{define ") {
		layout, err := fs.ReadFile(tree, path.Join(path.Dir(name), layoutFile))
		if err != nil {
			return nil, err
		}
		if t, err = t.Parse(string(layout)); err != nil {
			return nil, err
		}
	}
	return t.Parse(body)
}

// Builtin returns the templates that come with the program. It panics where they
// are broken, which a test rules out.
func Builtin() *Templates {
	tree, err := fs.Sub(embedded, "templates")
	if err != nil {
		panic(err)
	}
	t, err := ParseTemplates(tree)
	if err != nil {
		panic(err)
	}
	return t
}

// Locales returns the locales there are, sorted.
func (t *Templates) Locales() []string {
	var all []string
	for key := range t.sets {
		locale, _, _ := strings.Cut(key, "/")
		all = append(all, locale)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Names returns the templates of one channel in DefaultLocale, sorted.
func (t *Templates) Names(channel splitpin.Channel) []string {
	var all []string
	for key := range t.sets {
		if rest, ok := strings.CutPrefix(key, DefaultLocale+"/"+string(channel)+"/"); ok {
			all = append(all, rest)
		}
	}
	slices.Sort(all)
	return all
}

// find returns the best template for wanted locales: each exactly, then its
// language, in order; then DefaultLocale.
func (t *Templates) find(channel splitpin.Channel, name string, wanted ...string) (*templateSet, string) {
	try := func(locale string) *templateSet {
		return t.sets[locale+"/"+string(channel)+"/"+name]
	}
	for _, locale := range wanted {
		// From "pt-Latn-BR" by way of "pt-Latn" to "pt".
		for locale != "" {
			if set := try(locale); set != nil {
				return set, locale
			}
			cut := strings.LastIndexByte(locale, '-')
			if cut < 0 {
				break
			}
			locale = locale[:cut]
		}
	}
	return try(DefaultLocale), DefaultLocale
}

// Render writes the template name of channel for v, in the first language of
// locale, v.Locale and DefaultLocale that has it, into l: Subject, Text, HTML,
// Locale, From, Code and Link.
func (t *Templates) Render(l *Letter, channel splitpin.Channel, name, locale string, v *Values) error {
	if err := t.prepare(l, channel, name, locale, v); err != nil {
		return err
	}
	l.complete()
	return nil
}

// prepare is Render, but Subject, Text and HTML of a letter that comes about by a
// form are left for complete to write: mostly nobody reads them.
func (t *Templates) prepare(l *Letter, channel splitpin.Channel, name, locale string, v *Values) error {
	set, found := t.find(channel, name, locale, v.Locale)
	if set == nil {
		return fmt.Errorf("there is no template %q for %s", name, channel)
	}
	w := newView(v, found)
	r, by, err := t.forms.write(set, w)
	if err != nil {
		return fmt.Errorf("rendering %s/%s/%s: %w", found, channel, name, err)
	}
	l.Subject, l.Text, l.HTML, l.by = r.subject, r.text, r.html, by
	l.Locale, l.From = found, w.Project
	l.Code, l.Link = splitpin.Secret(w.Code), splitpin.Secret(w.Link)
	return nil
}

type rendered struct{ subject, text, html string }

// maxSubject bounds a subject, in characters. The code stands first, so that what
// is cut off is the tail of a long name.
const maxSubject = 100

func (s *templateSet) render(w *view) (r rendered, err error) {
	var b strings.Builder
	if s.subject != nil {
		if err := s.subject.Execute(&b, w); err != nil {
			return r, err
		}
		r.subject = oneLine(b.String(), maxSubject)
		b.Reset()
	}
	if s.channel == splitpin.SMSChannel {
		r.text, err = s.renderSMS(w)
		return r, err
	}
	if err := s.text.Execute(&b, w); err != nil {
		return r, err
	}
	if s.channel != splitpin.EmailChannel {
		r.text = trimLines(b.String())
		return r, nil
	}
	r.text = fill(b.String(), 72)
	if s.html != nil {
		b.Reset()
		b.Grow(8 << 10)
		if err := s.html.Execute(&b, w); err != nil {
			return r, err
		}
		r.html = b.String()
	}
	return r, nil
}

// fill breaks paragraphs into lines of at most width characters, so that templates
// may be written freely and names may be long. Lines that begin with a space stand
// as they are; a word longer than a line gets one of its own.
func fill(text string, width int) string {
	var out strings.Builder
	column := 0 // characters on the line being written; zero: at its start
	end := func() {
		if column > 0 {
			out.WriteByte('\n')
			column = 0
		}
	}
	blank := true // at the start, or after an empty line: further ones fold
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			end()
			if !blank {
				out.WriteByte('\n')
			}
			blank = true
			continue
		}
		blank = false
		if line[0] == ' ' {
			end()
			out.WriteString(line + "\n")
			continue
		}
		for word := range strings.FieldsSeq(line) {
			n := utf8.RuneCountInString(word)
			if column > 0 && column+1+n > width {
				end()
			}
			if column > 0 {
				out.WriteByte(' ')
				column++
			}
			out.WriteString(word)
			column += n
		}
	}
	end()
	return strings.TrimRight(out.String(), "\n") + "\n"
}
