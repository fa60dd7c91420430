package edge

import "strings"

// matches reports whether If-None-Match names etag. A proxy that compressed the
// body may have made it weak.
func matches(ifNoneMatch []string, etag string) bool {
	for _, tag := range strings.Split(strings.Join(ifNoneMatch, ","), ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == etag || tag == "*" {
			return true
		}
	}
	return false
}
