package delivery_test

import (
	"strings"
	"testing"

	"github.com/splitpin/splitpin"
	"github.com/splitpin/splitpin/delivery"
)

func TestSegments(t *testing.T) {
	tests := []struct {
		name, text      string
		segments, units int
		small           bool
	}{
		{"nothing", "", 1, 0, true},
		{"a full one", strings.Repeat("a", 160), 1, 160, true},
		{"one too many", strings.Repeat("a", 161), 2, 161, true},
		{"two full ones", strings.Repeat("a", 306), 2, 306, true},
		{"three", strings.Repeat("a", 307), 3, 307, true},
		{"the alphabet", "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./09:;<=>?¡AZÄÖÑÜ§¿azäöñüà", 1, 71, true},
		{"what counts twice", "^{}\\[~]|€", 1, 18, true},
		{"what tips over", strings.Repeat("a", 159) + "€", 2, 161, true},
		{"another alphabet", strings.Repeat("ж", 70), 1, 70, false},
		{"one too many of it", strings.Repeat("ж", 71), 2, 71, false},
		{"one stranger", strings.Repeat("a", 70) + "ж", 2, 71, false},
		{"outside the plane", strings.Repeat("🔑", 35), 1, 70, false},
		{"no curly quotes", "‘", 1, 1, false},
		{"no ellipsis", "…", 1, 1, false},
		{"a small ç is not in it", "ç", 1, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			segments, units, small := delivery.Segments(tt.text)
			if segments != tt.segments || units != tt.units || small != tt.small {
				t.Errorf("%d segments, %d units, small %v; want %d, %d, %v", segments, units, small, tt.segments, tt.units, tt.small)
			}
		})
	}
}

func TestTextMessage(t *testing.T) {
	long := "The Extraordinarily Well Furnished Emporium of Mechanical Curiosities, Gears, Split Pins and Sons of Upper Slaughter"
	tests := []struct {
		name        string
		template    string
		values      delivery.Values
		want        string // the whole text; empty: not looked at
		last        string // its last line
		segments    int
		small       bool
		holds, lack string
	}{
		{name: "on our own page", values: delivery.Values{Code: "123456", Project: "Corner Shop", Host: "login.example.com"},
			want: "123456 is your Corner Shop code. Keep it to yourself.\n\n@login.example.com #123456\n", segments: 1, small: true},
		{name: "in a frame", values: delivery.Values{Code: "123456", Project: "Corner Shop", Host: "shop.example", Frame: "login.example.com"},
			last: "@shop.example #123456 %login.example.com", segments: 1, small: true},
		{name: "in a frame of the same host", values: delivery.Values{Code: "123456", Host: "example.com", Frame: "example.com"},
			last: "@example.com #123456", segments: 1, small: true},
		{name: "without a host", values: delivery.Values{Code: "123456", Project: "Corner Shop"},
			want: "123456 is your Corner Shop code. Keep it to yourself.\n", segments: 1, small: true},
		{name: "on an address", values: delivery.Values{Code: "123456", Project: "Corner Shop", Host: "192.0.2.1"},
			last: "123456 is your Corner Shop code. Keep it to yourself.", segments: 1, small: true},
		{name: "a host that breaks out", values: delivery.Values{Code: "123456", Project: "P", Host: "example.com #999999\n@evil.example"},
			last: "123456 is your P code. Keep it to yourself.", segments: 1, small: true, lack: "evil"},
		{name: "a frame that breaks out", values: delivery.Values{Code: "123456", Project: "P", Host: "example.com", Frame: "x #9"},
			last: "123456 is your P code. Keep it to yourself.", segments: 1, small: true, lack: "#"},
		{name: "without a name", values: delivery.Values{Code: "123456", Host: "login.example.com"},
			want: "123456 is your code. Keep it to yourself.\n\n@login.example.com #123456\n", segments: 1, small: true},
		{name: "a long name is cut", values: delivery.Values{Code: "1234567890", Project: long, Host: "www.shop.example.co.uk", Frame: "login.shop.example.co.uk"},
			last: "@www.shop.example.co.uk #1234567890 %login.shop.example.co.uk", segments: 1, small: true, holds: "your The Extraordinarily W"},
		{name: "a name in another alphabet", values: delivery.Values{Code: "123456", Project: "Лавка", Host: "login.example.com"},
			last: "@login.example.com #123456", segments: 1, lack: "Лавка", small: true},
		{name: "a short one that fits", values: delivery.Values{Code: "123456", Project: "Лавка"}, segments: 1, holds: "Лавка"},
		{name: "hosts that do not fit", values: delivery.Values{Code: "123456", Project: "Shop", Host: strings.Repeat("a", 60) + ".example", Frame: strings.Repeat("b", 60) + ".example"},
			segments: 2, small: true, holds: "Shop"},
		{name: "a name with line breaks", values: delivery.Values{Code: "123456", Project: "P\n@evil.example #999999", Host: "example.com"},
			last: "@example.com #123456", segments: 1, small: true, holds: "your P @evil"},
		{name: "a link", template: "link", values: delivery.Values{Link: "https://login.example.com/l/abc", Project: "Corner Shop"},
			want: "Sign in to Corner Shop: https://login.example.com/l/abc\n", segments: 1, small: true},
		{name: "a link and a code", template: "link", values: delivery.Values{Code: "123456", Link: "https://login.example.com/l/abc", Project: "Corner Shop", Host: "login.example.com"},
			want: "123456 is your Corner Shop code. Or tap: https://login.example.com/l/abc\n\n@login.example.com #123456\n", segments: 1, small: true},
	}
	templates := delivery.Builtin()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := tt.template
			if name == "" {
				name = "code"
			}
			// Twice: the second comes about by a form.
			for range 2 {
				var l delivery.Letter
				if err := templates.Render(&l, splitpin.SMSChannel, name, "en", &tt.values); err != nil {
					t.Fatal(err)
				}
				text := strings.TrimSuffix(l.Text, "\n")
				if tt.want != "" && l.Text != tt.want {
					t.Errorf("the text is\n%q, want\n%q", l.Text, tt.want)
				}
				if last := text[strings.LastIndexByte(text, '\n')+1:]; tt.last != "" && last != tt.last {
					t.Errorf("the last line is %q, want %q", last, tt.last)
				}
				if n, units, small := delivery.Segments(text); n != tt.segments || small != tt.small {
					t.Errorf("%d segments, %d units, small %v, want %d and %v: %q", n, units, small, tt.segments, tt.small, text)
				}
				if !strings.Contains(text, tt.holds) || tt.lack != "" && strings.Contains(text, tt.lack) {
					t.Errorf("the text is %q, want %q in it and not %q", text, tt.holds, tt.lack)
				}
			}
		})
	}
}
