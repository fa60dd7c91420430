package web

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
)

// Ours is the colour of a project that has none.
const ours = "#2f4fd0"

// The surfaces that forms stand on, as in src/style.css.
var (
	lightSurface = rgb{0xff, 0xff, 0xff}
	darkSurface  = rgb{0x17, 0x1a, 0x21}
	white        = rgb{0xff, 0xff, 0xff}
	black        = rgb{}
)

// What WCAG 2.2 asks of text and of the edge of a control.
const (
	textContrast = 4.5
	edgeContrast = 3.0
)

type rgb [3]uint8

func (c rgb) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

// parseColour reads #rrggbb and nothing else, because the result stands in a
// style sheet.
func parseColour(s string) (rgb, bool) {
	if len(s) != 7 || s[0] != '#' {
		return rgb{}, false
	}
	n, err := strconv.ParseUint(s[1:], 16, 32)
	if err != nil {
		return rgb{}, false
	}
	return rgb{uint8(n >> 16), uint8(n >> 8), uint8(n)}, true
}

// luminance is the relative luminance of WCAG, from 0 to 1.
func (c rgb) luminance() float64 {
	linear := func(v uint8) float64 {
		s := float64(v) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

// contrast is the contrast ratio of WCAG, from 1 to 21.
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	if x < y {
		x, y = y, x
	}
	return (x + 0.05) / (y + 0.05)
}

// readableOn is white or black, whichever reads better on c. One of them
// always reaches the contrast of text.
func readableOn(c rgb) rgb {
	if contrast(white, c) >= textContrast || contrast(white, c) >= contrast(black, c) {
		return white
	}
	return black
}

// toward moves c in small steps toward another colour until it has the asked
// contrast with the surface, so that an odd colour stays recognisable.
func toward(c, end, surface rgb, asked float64) rgb {
	for i := 0; i <= 32; i++ {
		var mixed rgb
		for j := range c {
			mixed[j] = uint8(math.Round(float64(c[j]) + (float64(end[j])-float64(c[j]))*float64(i)/32))
		}
		if contrast(mixed, surface) >= asked {
			return mixed
		}
	}
	return end
}

// colours is the style sheet of a project: its colour for the main button, and
// what is derived from it so that every text and edge stays readable on both
// schemes, however odd the colour.
func colours(colour string) template.CSS {
	c, ok := parseColour(colour)
	if !ok {
		c, _ = parseColour(ours)
	}
	scheme := func(surface, end rgb) string {
		// The button keeps the project's colour; where that would vanish on the
		// surface, its edge does not.
		edge := c
		if contrast(c, surface) < edgeContrast {
			edge = toward(c, end, surface, edgeContrast)
		}
		return fmt.Sprintf("--link:%s;--accent-edge:%s", toward(c, end, surface, textContrast), edge)
	}
	return template.CSS(fmt.Sprintf(
		":root{--accent:%s;--on-accent:%s;%s}@media(prefers-color-scheme:dark){:root:not(.light){%s}}",
		c, readableOn(c), scheme(lightSurface, black), scheme(darkSurface, white)))
}
