package delivery

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Most of a letter is the same for everybody who gets one of its kind. So it is
// written once with marks in the place of what differs, by the templates and the
// mail library as they are, and after that only the marks are replaced. A letter
// made that way is byte for byte the one that would have been written in full:
// whoever makes an outline compares the two for the letter at hand, and where
// they differ there is no outline.

// A hole is a value that an outline leaves out.
type hole int

const (
	codeHole hole = iota
	networkHole
	toHole
	idHole
	dateHole
	holes
)

// filling is what goes into the holes of one letter. An empty one has no hole.
type filling [holes]string

// marks stand for values while an outline is made. No two share a letter but
// those of an address, which are plain text to everything that quotes or encodes.
var marks = filling{
	codeHole:    strings.Repeat("qzxj", 16),
	networkHole: strings.Repeat("wvyk", 16),
	toHole:      "bfbfhbhfbbhf@hfbhfhbb",
	idHole:      strings.Repeat("mpgu", 6),
	dateHole:    strings.Repeat("lrtc", 8)[:len("Mon, 02 Jan 2006 15:04:05 -0700")],
}

// An outline is a text with holes: a literal, then a part of a value, then a
// literal again. A value can be in parts, because an encoding may break the line
// inside it.
type outline struct {
	literals []string
	parts    []part // one fewer than literals
	length   int    // of the literals
}

// A part is a value from one byte to another, or whole, however long it is.
type part struct {
	value    hole
	whole    bool
	from, to int
}

// softBreak is how quoted-printable breaks a line in the midst of a word.
const softBreak = "=\r\n"

// newOutline finds in text the marks of those values that marked holds.
func newOutline(text string, marked *filling) *outline {
	o := new(outline)
	done := 0
	cut := func(p part, begin, end int) {
		o.literals = append(o.literals, text[done:begin])
		o.parts = append(o.parts, p)
		o.length += begin - done
		done = end
	}
	for i := 0; i < len(text); {
		value := markAt(text[i:], marked)
		if value == holes {
			i++
			continue
		}
		mark, begin, from := marked[value], i, 0
		for n := range len(mark) {
			if text[i] != mark[n] { // so it is a soft break
				cut(part{value, false, from, n}, begin, i)
				i += len(softBreak)
				begin, from = i, n
			}
			i++
		}
		cut(part{value, from == 0, from, len(mark)}, begin, i)
	}
	o.literals = append(o.literals, text[done:])
	o.length += len(text) - done
	return o
}

// markAt returns the value whose mark text begins with; holes: none.
func markAt(text string, marked *filling) hole {
	for value, mark := range marked {
		if mark != "" && isMark(text, mark) {
			return hole(value)
		}
	}
	return holes
}

// isMark reports whether text begins with mark, soft breaks inside it aside.
func isMark(text, mark string) bool {
	for n := range len(mark) {
		if n > 0 && strings.HasPrefix(text, softBreak) {
			text = text[len(softBreak):]
		}
		if text == "" || text[0] != mark[n] {
			return false
		}
		text = text[1:]
	}
	return true
}

// appendTo appends the text with its holes filled. A value that is not whole
// everywhere must be as long as its mark was.
func (o *outline) appendTo(b []byte, f *filling) []byte {
	for i, p := range o.parts {
		b = append(b, o.literals[i]...)
		if v := f[p.value]; p.whole {
			b = append(b, v...)
		} else {
			b = append(b, v[p.from:p.to]...)
		}
	}
	return append(b, o.literals[len(o.parts)]...)
}

func (o *outline) fill(f *filling) string {
	const room = 128 // for more than any code and network
	return string(o.appendTo(make([]byte, 0, o.length+room), f))
}

// A form is what Render writes, with holes for code and network.
type form struct {
	subject, text, html *outline

	mail atomic.Pointer[mailForm] // as a sender of mail writes it; nil: not yet
}

func (f *form) fill(v *filling) rendered {
	return rendered{f.subject.fill(v), f.text.fill(v), f.html.fill(v)}
}

// A writing is how a letter came about by a form.
type writing struct {
	form     *form
	filling  filling
	rendered rendered // zero: not yet
}

// complete writes Subject, Text and HTML where that was left.
func (l *Letter) complete() {
	if by := l.by; by != nil && by.rendered == (rendered{}) {
		by.rendered = by.form.fill(&by.filling)
		l.Subject, l.Text, l.HTML = by.rendered.subject, by.rendered.text, by.rendered.html
	}
}

// forms keeps the forms that were used of late.
type forms struct {
	mu    sync.Mutex
	known map[formKey]*form // nil for one that cannot be made
}

// A formKey is everything that a form shows, with marks in the place of values.
type formKey struct {
	set  *templateSet
	view view
}

// formsKept bounds the memory: a form with its mail is some 20 KB. Forms grow old
// with the minute that they show.
const formsKept = 64

// write renders a view, or says by which form it can be written; by is nil where
// there is none.
func (s *forms) write(set *templateSet, w *view) (r rendered, by *writing, err error) {
	values := filling{codeHole: w.Code, networkHole: w.Network}
	if w.Link != "" || !isPlain(w.Code, "") || !isPlain(w.Network, ".:/") {
		r, err = set.render(w)
		return r, nil, err
	}
	marked := filling{codeHole: marks[codeHole][:len(w.Code)], networkHole: marks[networkHole][:len(w.Network)]}
	key := formKey{set, *w}
	key.view.Code, key.view.Network = marked[codeHole], marked[networkHole]

	s.mu.Lock()
	f, known := s.known[key]
	s.mu.Unlock()
	if f != nil {
		return r, &writing{form: f, filling: values}, nil
	}
	if r, err = set.render(w); err != nil || known {
		return r, nil, err
	}
	open, err := set.render(&key.view)
	if err != nil {
		return r, nil, err
	}
	f = &form{subject: newOutline(open.subject, &marked), text: newOutline(open.text, &marked), html: newOutline(open.html, &marked)}
	if f.fill(&values) != r {
		f = nil // a value means more to this template than the place where it stands
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= formsKept {
		s.known = make(map[formKey]*form)
	}
	s.known[key] = f
	return r, nil, nil
}

// isPlain reports whether text is made of ASCII letters, digits and what besides
// allows: nothing quotes, encodes or breaks that, and it is as long as its mark can be.
func isPlain(text, besides string) bool {
	for _, c := range []byte(text) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte(besides, c) >= 0) {
			return false
		}
	}
	return len(text) <= len(marks[codeHole])
}

// A mailForm is a form as one sender writes it, ready to follow DATA.
type mailForm struct {
	sender       *SMTP
	name, locale string // of the letter it was made for
	mail         *outline
}

// composeByForm is compose for a letter that came about by a form. It returns nil
// where the letter has to be written in full.
func (s *SMTP) composeByForm(l *Letter, room []byte) []byte {
	by := l.by
	if by == nil || by.rendered != (rendered{l.Subject, l.Text, l.HTML}) {
		return nil // somebody changed it since
	}
	// An address that is folded or quoted is not what it is in the outline.
	local, _, _ := strings.Cut(l.To, "@")
	if !isPlain(l.To, ".-_+@") || len(l.ID) != len(marks[idHole]) || !isPlain(l.ID, "") ||
		strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return nil
	}
	values := by.filling
	values[toHole], values[idHole], values[dateHole] = l.To, l.ID, l.At.UTC().Format(time.RFC1123Z)

	m := by.form.mail.Load()
	if m == nil || m.sender != s || m.name != l.From || m.locale != l.Locale {
		m = s.newMailForm(l, &values)
		by.form.mail.Store(m)
	}
	if m.mail == nil {
		return nil
	}
	for _, p := range m.mail.parts {
		if p.from > 0 && values[p.value][p.from] == '.' {
			return nil // at the start of a line, where a dot is written twice
		}
	}
	return m.mail.appendTo(slices.Grow(room[:0], m.mail.length+512), &values)
}

// newMailForm writes a letter with marks, and in full to compare.
func (s *SMTP) newMailForm(l *Letter, values *filling) *mailForm {
	l.complete()
	m := &mailForm{sender: s, name: l.From, locale: l.Locale}
	marked := marks
	marked[codeHole] = marked[codeHole][:len(values[codeHole])]
	marked[networkHole] = marked[networkHole][:len(values[networkHole])]

	open, boundary := *l, rand.Text()
	r := l.by.form.fill(&marked)
	open.To, open.ID, open.Subject, open.Text, open.HTML = marked[toHole], marked[idHole], r.subject, r.text, r.html
	withMarks, err := s.write(&open, marked[dateHole], boundary)
	if err != nil {
		return m
	}
	inFull, err := s.write(l, values[dateHole], boundary)
	if err != nil {
		return m
	}
	mail := newOutline(string(withMarks), &marked)
	for _, p := range mail.parts {
		if !p.whole && p.value > networkHole {
			return m // only code and network are as long as their marks
		}
	}
	if string(mail.appendTo(nil, values)) == string(inFull) {
		m.mail = mail
	}
	return m
}
