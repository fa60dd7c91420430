// Package picture draws the few images that the Cotter SDK asks a server for by
// name. They are files of web/dist, made by go generate; a program that serves them
// does not import it.
package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
)

// Draw returns the images as PNG files, by name.
func Draw() (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, p := range pictures {
		var b bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, p.raster()); err != nil {
			return nil, fmt.Errorf("encoding %s: %w", name, err)
		}
		files[name] = b.Bytes()
	}
	return files, nil
}

var (
	white  = color.NRGBA{0xff, 0xff, 0xff, 0xff}
	purple = color.NRGBA{0x6b, 0x4f, 0xd8, 0xff}
	amber  = color.NRGBA{0xc9, 0x6a, 0x0b, 0xff}
	blue   = color.NRGBA{0x2f, 0x4f, 0xd0, 0xff}
	pale   = color.NRGBA{0x2f, 0x4f, 0xd0, 0x38}
)

// A picture is strokes on a transparent ground, 100 units wide and high.
type picture struct {
	pixels  int // of each side
	strokes []stroke
}

// A stroke is a line of one width and colour: through points, or round a centre.
type stroke struct {
	colour color.NRGBA
	width  float64
	points []point
	centre point
	radius float64 // of a circle; zero: a line through points
	filled bool    // the whole disc
}

type point struct{ x, y float64 }

var pictures = map[string]picture{
	// The pin: a ring, two legs, one of them bent.
	"cotter_transparent_light.png": {120, []stroke{
		{colour: white, width: 9, centre: point{50, 32}, radius: 18},
		{colour: white, width: 9, points: []point{{46, 50}, {46, 90}}},
		{colour: white, width: 9, points: []point{{54, 50}, {54, 76}, {66, 90}}},
	}},
	"check-purple.png": {192, []stroke{
		{colour: purple, width: 6, centre: point{50, 50}, radius: 42},
		{colour: purple, width: 7, points: []point{{31, 52}, {45, 66}, {70, 37}}},
	}},
	"warning.png": {192, []stroke{
		{colour: amber, width: 6, points: []point{{50, 13}, {92, 85}, {8, 85}, {50, 13}}},
		{colour: amber, width: 7, points: []point{{50, 40}, {50, 60}}},
		{colour: amber, centre: point{50, 73}, radius: 4, filled: true},
	}},
	// A letter, and a finger that touches it.
	"tapEmail.png": {256, []stroke{
		{colour: blue, width: 5, points: []point{{10, 22}, {90, 22}, {90, 76}, {10, 76}, {10, 22}}},
		{colour: blue, width: 5, points: []point{{12, 25}, {50, 54}, {88, 25}}},
		{colour: pale, centre: point{68, 74}, radius: 17, filled: true},
		{colour: blue, centre: point{68, 74}, radius: 7, filled: true},
	}},
	// Stands for the logo of a project that has none.
	"logo.png": {192, []stroke{
		{colour: blue, centre: point{50, 50}, radius: 50, filled: true},
		{colour: white, width: 8, centre: point{50, 36}, radius: 15},
		{colour: white, width: 8, points: []point{{46.5, 51}, {46.5, 82}}},
		{colour: white, width: 8, points: []point{{53.5, 51}, {53.5, 72}, {62, 81}}},
	}},
}

func (p picture) raster() image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, p.pixels, p.pixels))
	unit := 100 / float64(p.pixels)
	for y := range p.pixels {
		for x := range p.pixels {
			at := point{(float64(x) + 0.5) * unit, (float64(y) + 0.5) * unit}
			var c color.NRGBA
			for _, s := range p.strokes {
				// Within half a pixel of the edge the colour fades out.
				cover := min(max(0.5-s.outside(at)/unit, 0), 1)
				c = over(s.colour, cover, c)
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

// outside is how far a point is from a stroke; negative inside.
func (s stroke) outside(at point) float64 {
	switch {
	case s.filled:
		return math.Hypot(at.x-s.centre.x, at.y-s.centre.y) - s.radius
	case s.radius > 0:
		return math.Abs(math.Hypot(at.x-s.centre.x, at.y-s.centre.y)-s.radius) - s.width/2
	}
	nearest := math.Inf(1)
	for i := 1; i < len(s.points); i++ {
		a, b := s.points[i-1], s.points[i]
		dx, dy := b.x-a.x, b.y-a.y
		t := ((at.x-a.x)*dx + (at.y-a.y)*dy) / (dx*dx + dy*dy)
		t = min(max(t, 0), 1)
		nearest = min(nearest, math.Hypot(at.x-a.x-t*dx, at.y-a.y-t*dy))
	}
	return nearest - s.width/2
}

// over lays a colour, as far as it covers, over what is there.
func over(top color.NRGBA, cover float64, ground color.NRGBA) color.NRGBA {
	a := float64(top.A) / 255 * cover
	under := float64(ground.A) / 255 * (1 - a)
	all := a + under
	if all == 0 {
		return color.NRGBA{}
	}
	mix := func(t, g uint8) uint8 { return uint8(math.Round((float64(t)*a + float64(g)*under) / all)) }
	return color.NRGBA{mix(top.R, ground.R), mix(top.G, ground.G), mix(top.B, ground.B), uint8(math.Round(all * 255))}
}
