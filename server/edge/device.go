package edge

import "strings"

// Device names the browser and system of a User-Agent header in our own words.
// Nothing of the header itself is kept or shown: it is input (security 33).
func Device(userAgent string) string {
	browser := firstOf(userAgent, browsers, "")
	system := firstOf(userAgent, systems, "")
	switch {
	case browser == "" && system == "":
		return "an unknown device"
	case system == "":
		return browser
	case browser == "":
		return "an app on " + system
	}
	return browser + " on " + system
}

// The first match wins, so what disguises itself as another stands before it.
var browsers = [][2]string{
	{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"FxiOS/", "Firefox"},
	{"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"},
	{"Safari/", "Safari"}, {"curl/", "curl"}, {"okhttp/", "an app"}, {"Dart/", "an app"}, {"CFNetwork/", "an app"},
	{"node", "a server"}, {"python", "a program"}, {"Go-http-client/", "a program"},
}

var systems = [][2]string{
	{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"CrOS", "ChromeOS"},
	{"Windows", "Windows"}, {"Macintosh", "Mac"}, {"Darwin", "Apple"}, {"Linux", "Linux"},
}

func firstOf(s string, table [][2]string, otherwise string) string {
	for _, row := range table {
		if strings.Contains(s, row[0]) {
			return row[1]
		}
	}
	return otherwise
}
