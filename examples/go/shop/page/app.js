// The front end of the shop, without any library. What it does towards the
// sign-in server is OAuth's authorization code with PKCE, and may be copied.
'use strict';

const { server, project } = JSON.parse(document.getElementById('settings').textContent);
const callback = location.origin + '/callback';
const api = server + '/p/' + encodeURIComponent(project) + '/v1';
const element = (id) => document.getElementById(id);

// A Refusal is an error whose text is meant for the person.
class Refusal extends Error {}

// Whether there is a session is known to the backend alone, whose cookie no script
// can read. This page remembers that there was one, so that it need not ask, and be
// refused, for every stranger.
const remembered = 'signed-in';

function show(id) {
  for (const part of ['loading', 'signed-out', 'signed-in']) {
    element(part).hidden = part !== id;
  }
  element('from-table').hidden = id !== 'signed-in';
}

function say(error) {
  if (!(error instanceof Refusal)) console.error(error);
  element('message').textContent = error instanceof Refusal
    ? error.message : 'That did not work. Please check your connection and try again.';
  element('message').hidden = false;
}

// base64url without padding.
function encode(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

const random = () => encode(crypto.getRandomValues(new Uint8Array(32)));

// signIn leaves for the sign-in server. The verifier and the state stay behind in
// this tab: only it can redeem the code that comes back.
async function signIn() {
  const verifier = random();
  const state = random();
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
  sessionStorage.setItem('sign-in', JSON.stringify({ verifier, state }));
  location.assign(server + '/signin?' + new URLSearchParams({
    project,
    redirect_url: callback,
    code_challenge: encode(new Uint8Array(hash)),
    state,
  }));
}

// finish is the way back: it redeems the code and logs in at the shop. It tells
// whether the shop made a new row.
async function finish() {
  const answer = new URLSearchParams(location.search);
  history.replaceState(null, '', '/'); // the code leaves the address bar first of all
  const started = JSON.parse(sessionStorage.getItem('sign-in') ?? 'null');
  sessionStorage.removeItem('sign-in');
  if (!started || answer.get('state') !== started.state) {
    // Somebody else's sign-in, or one from another tab: never log in by it.
    throw new Refusal('This sign-in was not started here. Please sign in again.');
  }
  if (!answer.get('code')) {
    throw new Refusal('You did not finish signing in. Nothing has changed; you can try again.');
  }
  const body = {
    grant_type: 'authorization_code',
    code: answer.get('code'),
    code_verifier: started.verifier,
    redirect_url: callback,
  };
  if (answer.has('challenge_id')) body.challenge_id = Number(answer.get('challenge_id'));
  const redeemed = await post(api + '/token', body, 'omit');
  if (!redeemed.ok) {
    const problem = await redeemed.json().catch(() => ({}));
    throw new Refusal(problem.detail || 'This sign-in could not be completed. Please sign in again.');
  }
  const { user, ...tokens } = await redeemed.json();

  // The backend believes the access token and nothing else in here. From then on
  // the shop has a session of its own, and the tokens are let go.
  const login = await post('/login', { email: user?.identifier, oauth_token: tokens, user }, 'same-origin');
  if (login.status === 503) throw new Refusal('Signing in is not possible at the moment. Please try again shortly.');
  if (!login.ok) throw new Refusal('The shop did not accept this sign-in. Please sign in again.');
  localStorage.setItem(remembered, 'yes');
  return (await login.json()).created;
}

function post(url, body, credentials) {
  return fetch(url, {
    method: 'POST',
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
    credentials,
    cache: 'no-store',
  });
}

// refresh shows who is signed in, as the shop's database has it.
async function refresh(created) {
  if (!localStorage.getItem(remembered)) return show('signed-out');
  const response = await fetch('/me', { cache: 'no-store' });
  if (response.status === 401) { // the session has run out
    localStorage.removeItem(remembered);
    return show('signed-out');
  }
  if (!response.ok) throw new Error('GET /me: ' + response.status);
  const me = await response.json();
  element('greeting').textContent = created ? 'Welcome' : 'Hello again';
  element('contact').textContent = me.contact;
  element('id').textContent = me.id;
  element('since').dateTime = me.since;
  element('since').textContent = new Date(me.since).toLocaleDateString(undefined, { dateStyle: 'long' });
  show('signed-in');
}

async function signOut() {
  const response = await post('/logout', undefined, 'same-origin');
  if (!response.ok) throw new Error('POST /logout: ' + response.status);
  localStorage.removeItem(remembered);
  show('signed-out');
  element('sign-in').focus();
}

// on runs an action from a button, once at a time.
function on(id, action) {
  const button = element(id);
  button.addEventListener('click', async () => {
    button.disabled = true;
    element('message').hidden = true;
    try {
      await action();
    } catch (error) {
      say(error);
    } finally {
      button.disabled = false;
    }
  });
}

on('sign-in', signIn);
on('sign-out', signOut);

(async () => {
  let created = false;
  try {
    if (location.pathname === '/callback') created = await finish();
  } catch (error) {
    say(error);
  }
  try {
    await refresh(created);
  } catch (error) {
    say(error);
    show('signed-out');
  }
})();
