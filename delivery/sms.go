package delivery

import (
	"net/netip"
	"strings"
	"unicode/utf16"
)

// The alphabet of text messages (3GPP TS 23.038, 6.2.1): a character of the first row
// is one septet, one of the second is two. A text with any other character is sent in
// UTF-16, of which far less goes into a message.
const (
	gsm = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmTwice = "^{}\\[~]|€\f"
)

// What one message holds, and each of several, which spend some of it on their order.
const (
	septetsAlone, septetsEach = 160, 153
	utf16Alone, utf16Each     = 70, 67
)

// Segments returns how many messages a text is sent and charged as, how much of their
// alphabet it takes, and whether that is the small one.
func Segments(text string) (segments, units int, small bool) {
	small = true
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsm, r):
			units++
		case strings.ContainsRune(gsmTwice, r):
			units += 2
		default:
			small = false
		}
	}
	alone, each := septetsAlone, septetsEach
	if !small {
		alone, each = utf16Alone, utf16Each
		units = len(utf16.Encode([]rune(text)))
	}
	if units <= alone {
		return 1, units, small
	}
	return (units + each - 1) / each, units, small
}

// renderSMS writes a text message, with as much of the project's name as leaves it
// one segment. Where even none of it does, because host or link are long, the name
// stands as it is: it costs no further one, mostly.
func (s *templateSet) renderSMS(w *view) (string, error) {
	whole := ""
	cut := *w
	for {
		var b strings.Builder
		if err := s.text.Execute(&b, &cut); err != nil {
			return "", err
		}
		text := trimLines(b.String())
		if whole == "" {
			whole = text
		}
		if n, _, _ := Segments(strings.TrimSuffix(text, "\n")); n == 1 {
			return text, nil
		}
		name := []rune(cut.Project)
		if len(name) == 0 {
			return whole, nil
		}
		if len(name) <= 3 {
			name = name[:1] // so short that it says nothing
		}
		cut.Project = strings.TrimRight(string(name[:len(name)-1]), " .,-")
	}
}

// trimLines drops white space at the ends of lines and of the text, and folds empty
// lines. A text message is not filled: the phone does that.
func trimLines(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" || len(lines) > 0 && lines[len(lines)-1] != "" {
			lines = append(lines, line)
		}
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
}

// bound is the last line of a text message, by which a phone offers the code on that
// site and on no other (WICG, origin-bound one-time codes): host is that of the page
// that people see, frame that of the page inside it that asks for the code. Empty
// where there is no code or no host that a phone knows.
func bound(host, frame, code string) string {
	if code == "" || !isBoundHost(host) {
		return ""
	}
	line := "@" + host + " #" + code
	if frame != "" && frame != host {
		if !isBoundHost(frame) {
			return ""
		}
		line += " %" + frame
	}
	return line
}

// isBoundHost reports whether a host can stand in that line: a name, and no address.
func isBoundHost(host string) bool {
	if host == "" || len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err != nil
}
