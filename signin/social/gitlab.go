package social

// gitlab is gitlab.com, or with an Issuer another installation of it. It decides over
// nobody's addresses.
var gitlab = kind{issuer: "https://gitlab.com", scopes: openID.scopes, who: openID.who}
