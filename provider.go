package splitpin

import "strings"

// A Provider is somebody else's sign-in that a project offers to its people: Google,
// GitHub, a company's own. What each field is for its kind stands in package
// signin/social.
type Provider struct {
	Name  string `json:"name"`            // in addresses and on the wire, in capitals: "GOOGLE"
	Kind  string `json:"kind"`            // google, github, apple, microsoft, gitlab, discord, oidc or oauth2
	Label string `json:"label,omitempty"` // on buttons; empty: the provider's own name

	ClientID string `json:"client_id"`
	// Sealed is the client secret, or Apple's private key, which only this installation can
	// read. KeyGeneration names the data key.
	Sealed        []byte `json:"sealed,omitempty"`
	KeyGeneration int    `json:"key_generation,omitempty"`

	Issuer  string   `json:"issuer,omitempty"`  // of oidc; of others where they are run by somebody else than usual
	Scopes  []string `json:"scopes,omitempty"`  // asked for besides those that are needed
	Domains []string `json:"domains,omitempty"` // of oidc: its word is a proof of addresses there

	AuthURL  string `json:"auth_url,omitempty"` // these of oauth2
	TokenURL string `json:"token_url,omitempty"`
	UserURL  string `json:"user_url,omitempty"`
	Subject  string `json:"subject,omitempty"` // key of the person in the answer of UserURL; empty: "id"

	TeamID string `json:"team_id,omitempty"` // these of apple
	KeyID  string `json:"key_id,omitempty"`
}

// DisplayName is what people call a provider: its label, or its name in the writing of those
// that have one of their own ("GitHub"), or with one capital. It is empty for one without a
// name and a label.
func (p *Provider) DisplayName() string {
	switch {
	case p.Label != "" || p.Name == "":
		return p.Label
	case strings.EqualFold(p.Name, "GitHub"):
		return "GitHub"
	case strings.EqualFold(p.Name, "GitLab"):
		return "GitLab"
	}
	return p.Name[:1] + strings.ToLower(p.Name[1:])
}

// Provider returns the provider of that name, or nil.
func (s *Settings) Provider(name string) *Provider {
	for i := range s.Providers {
		if s.Providers[i].Name == name {
			return &s.Providers[i]
		}
	}
	return nil
}
