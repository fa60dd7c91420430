package passkey

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/descope/virtualwebauthn"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/splitpin/splitpin/signin/passkey/passkeytest"
)

const challenge = "AAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// what both are asked about one answer: ours here, and a library that does all of
// WebAuthn.

func oursMade(answer []byte) bool {
	c, err := parse(answer)
	if err != nil {
		return false
	}
	var d clientData
	if json.Unmarshal(c.Response.ClientDataJSON, &d) != nil || d.Type != "webauthn.create" || d.Origin != "https://shop.example" || d.CrossOrigin || d.Challenge != challenge {
		return false
	}
	a, err := parseAttestation(c.Response.AttestationObject)
	return err == nil && a.of("shop.example") && a.has(userPresent|userVerified) && bytes.Equal(a.ID, c.RawID)
}

func theirsMade(answer []byte) bool {
	p, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return false
	}
	_, err = p.Verify(challenge, "shop.example", []string{"https://shop.example"}, nil, nil, protocol.TopOriginExplicitVerificationMode, false, true, true, nil,
		[]protocol.CredentialParameter{{Type: "public-key", Algorithm: webauthncose.AlgES256}, {Type: "public-key", Algorithm: webauthncose.AlgRS256}},
		protocol.AttestationPolicy{}, protocol.SignaturePolicy{})
	return err == nil
}

func oursShown(answer, key []byte) bool {
	c, err := parse(answer)
	if err != nil {
		return false
	}
	var d clientData
	if json.Unmarshal(c.Response.ClientDataJSON, &d) != nil || d.Type != "webauthn.get" || d.Origin != "https://shop.example" || d.CrossOrigin || d.Challenge != challenge {
		return false
	}
	a, err := parseAuthenticator(c.Response.AuthenticatorData)
	return err == nil && a.of("shop.example") && a.has(userPresent|userVerified) && verify(key, c)
}

func theirsShown(answer, cose []byte) bool {
	p, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return false
	}
	return p.Verify(challenge, "shop.example", "", []string{"https://shop.example"}, nil, nil, protocol.TopOriginExplicitVerificationMode, false, true, true, cose, protocol.SignaturePolicy{}) == nil
}

// unattested takes the statement about the make of the authenticator out, as browsers do
// that were not asked for it: nothing signs the rest then.
func unattested(t *testing.T, answer string) []byte {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal([]byte(answer), &c); err != nil {
		t.Fatal(err)
	}
	response := c["response"].(map[string]any)
	object, err := base64.RawURLEncoding.DecodeString(response["attestationObject"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]any
	if err := cbor.Unmarshal(object, &parts); err != nil {
		t.Fatal(err)
	}
	parts["fmt"], parts["attStmt"] = "none", map[string]any{}
	object, err = cbor.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	response["attestationObject"] = base64.RawURLEncoding.EncodeToString(object)
	out, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// flipped calls do with every answer that differs from a right one by one bit of a part.
func flipped(t *testing.T, answer []byte, member string, do func(bit int, answer []byte)) {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(answer, &c); err != nil {
		t.Fatal(err)
	}
	response := c["response"].(map[string]any)
	part, err := base64.RawURLEncoding.DecodeString(response[member].(string))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(part) * 8 {
		part[bit/8] ^= 1 << (bit % 8)
		response[member] = base64.RawURLEncoding.EncodeToString(part)
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		do(bit, out)
		part[bit/8] ^= 1 << (bit % 8)
	}
}

// Ours and the library say the same of right answers, and of every answer that differs
// from one by a bit. Where ours is the stricter, the row says so.
func TestHeldAgainstALibrary(t *testing.T) {
	for _, kind := range []virtualwebauthn.KeyType{virtualwebauthn.KeyTypeEC2, virtualwebauthn.KeyTypeRSA} {
		t.Run(string(kind), func(t *testing.T) {
			rp := virtualwebauthn.RelyingParty{ID: "shop.example", Origin: "https://shop.example"}
			device := virtualwebauthn.NewAuthenticator()
			key := passkeytest.NewCredential(kind)
			asked, err := base64.RawURLEncoding.DecodeString(challenge)
			if err != nil {
				t.Fatal(err)
			}
			made := unattested(t, virtualwebauthn.CreateAttestationResponse(rp, device, key, virtualwebauthn.AttestationOptions{Challenge: asked}))
			if !oursMade(made) || !theirsMade(made) {
				t.Fatalf("a right new passkey: ours says %v, theirs %v", oursMade(made), theirsMade(made))
			}
			// What says of which make the authenticator is, we do not look at.
			var object struct {
				AuthData []byte `cbor:"authData"`
			}
			c, _ := parse(made)
			if err := cbor.Unmarshal(c.Response.AttestationObject, &object); err != nil {
				t.Fatal(err)
			}
			from := 8 * bytes.Index(c.Response.AttestationObject, object.AuthData)
			to := from + 8*len(object.AuthData)
			stricter := 0
			for _, member := range []string{"clientDataJSON", "attestationObject"} {
				flipped(t, made, member, func(bit int, answer []byte) {
					if member == "attestationObject" && (bit < from || bit >= to) {
						return
					}
					ours, theirs := oursMade(answer), theirsMade(answer)
					if ours && !theirs {
						t.Errorf("%s, bit %d: ours takes what theirs refuses", member, bit)
					}
					if theirs && !ours {
						stricter++ // keys that are on no curve, and such: they look when it is used
					}
				})
			}
			t.Logf("ours alone refused %d", stricter)

			a, err := parseAttestation(c.Response.AttestationObject)
			if err != nil {
				t.Fatal(err)
			}
			p, err := protocol.ParseCredentialCreationResponseBytes(made)
			if err != nil {
				t.Fatal(err)
			}
			cose := p.Response.AttestationObject.AuthData.AttData.CredentialPublicKey
			shown := []byte(virtualwebauthn.CreateAssertionResponse(rp, device, key, virtualwebauthn.AssertionOptions{Challenge: asked}))
			if !oursShown(shown, a.Key) || !theirsShown(shown, cose) {
				t.Fatalf("a right signature: ours says %v, theirs %v", oursShown(shown, a.Key), theirsShown(shown, cose))
			}
			for _, member := range []string{"clientDataJSON", "authenticatorData", "signature"} {
				flipped(t, shown, member, func(bit int, answer []byte) {
					if oursShown(answer, a.Key) || theirsShown(answer, cose) {
						t.Errorf("%s, bit %d: it is taken", member, bit)
					}
				})
			}
		})
	}
}

// No bytes of a stranger stop the program, and what is read has the bounds it should.
func FuzzParseAttestation(f *testing.F) {
	device, key := virtualwebauthn.NewAuthenticator(), passkeytest.NewCredential(virtualwebauthn.KeyTypeEC2)
	answer := virtualwebauthn.CreateAttestationResponse(virtualwebauthn.RelyingParty{ID: "shop.example"}, device, key, virtualwebauthn.AttestationOptions{})
	c, err := parse([]byte(answer))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(c.Response.AttestationObject))
	f.Add([]byte{0xa1, 0x68, 'a', 'u', 't', 'h', 'D', 'a', 't', 'a', 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAttestation(b)
		if err == nil && (len(a.ID) == 0 || len(a.ID) > maxID || len(a.Key) == 0) {
			t.Errorf("a passkey with an id of %d bytes and a key of %d", len(a.ID), len(a.Key))
		}
	})
}
