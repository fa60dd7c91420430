// A step of the way back from a provider, in the window that the web SDK opens for it
// (contract 12.4). The steps are pages of the server; this tells the SDK where they stand.

interface Config {
  domain: string;
  messageId: string;
  tokenId: string;
  userId: string;
  provider: string;
  first: boolean;
  done: boolean;
}

const config = JSON.parse(document.getElementById("config")!.textContent!) as Config;

function send(name: string, payload?: object): void {
  window.parent.postMessage(JSON.stringify({ callbackName: config.messageId + name, payload }), config.domain);
}

if (config.first) {
  send("FIRST_LOAD");
  send("LOADED");
}
if (config.done) {
  // What was proved is on the server. The SDK asks there, and names nothing that counts.
  send("ON_SOCIAL_LOGIN_CONNECT", { tokenID: config.tokenId, userID: config.userId, provider: config.provider });
}
document.getElementById("step-cancel")?.addEventListener("click", () => send("CANCEL"));

export {};
