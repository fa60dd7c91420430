// Asks the published packages, unmodified, about tokens. Reads one JSON object
// from standard input and writes one to standard output:
//   {"base": URL, "tokens": {NAME: TOKEN}} → {NAME: true | false | "throws: …"}   by cotter-node
//   {"access": TOKEN, "id": TOKEN, "identity": OBJECT} → what cotter-token-js reads in them
"use strict";

const { Constants, CotterValidateJWT } = require("cotter-node");
const { CotterAccessToken, CotterIDToken, CotterIdentity } = require("cotter-token-js");

console.log = console.error; // cotter-node prints; standard output is for the answer

async function main(input) {
  if (input.tokens) {
    Constants.BaseURL = input.base;
    const answer = {};
    for (const [name, token] of Object.entries(input.tokens)) {
      try {
        answer[name] = await CotterValidateJWT(token);
      } catch (err) {
        answer[name] = "throws: " + err.message;
      }
    }
    return answer;
  }
  const access = new CotterAccessToken(input.access);
  const id = new CotterIDToken(input.id);
  return {
    access: access.payload,
    accessGetters: {
      expiration: access.getExpiration(),
      issuedAt: access.getIssuedAt(),
      audience: access.getAudience(),
      authMethod: access.getAuthMethod(),
      scope: access.getScope(),
      id: access.getID(),
      identifier: access.getIdentifier(),
      clientUserID: access.getClientUserID(),
    },
    id: id.payload,
    idGetters: {
      authTime: id.getAuthTime(),
      identifier: id.getIdentifier(),
      id: id.getID(),
      clientUserID: id.getClientUserID(),
    },
    identityValid: new CotterIdentity(input.identity).validate(),
  };
}

let text = "";
process.stdin.on("data", (chunk) => (text += chunk));
process.stdin.on("end", async () => process.stdout.write(JSON.stringify(await main(JSON.parse(text)))));
