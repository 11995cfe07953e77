"use strict";

// A session cookie signs the page in; requests that change something carry the token of the other cookie.

const csrfToken = () => /(?:^|; )logitrack_csrf=([^;]*)/.exec(document.cookie)?.[1] ?? "";

function withCsrfToken(request) {
  if (request.method !== "GET" && csrfToken()) request.headers["X-CSRF-Token"] = csrfToken();
  return request;
}

// The button "Authorize" asks for tokens, client ids and cookies that a person at this page does not have.
const nothing = () => () => null;
const withoutAuthorizeButton = () => ({ wrapComponents: { authorizeBtn: nothing, authorizeOperationBtn: nothing } });

SwaggerUIBundle({
  url: "/schema/openapi.json",
  dom_id: "#documentation",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  plugins: [withoutAuthorizeButton],
  requestInterceptor: withCsrfToken,
});

const signIn = document.getElementById("sign-in");
const signOut = document.getElementById("sign-out");

async function showAccount() {
  const response = await fetch("/me");
  signIn.hidden = response.ok;
  signOut.hidden = !response.ok;
  if (response.ok) document.getElementById("account").textContent = (await response.json()).username;
}

async function send(method, body) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrfToken() };
  const response = await fetch("/session", { method, headers, body });
  const problem = document.getElementById("problem");
  problem.textContent = response.ok ? "" : (await response.json()).detail;
  await showAccount();
}

signIn.addEventListener("submit", async (event) => {
  event.preventDefault();
  await send("POST", JSON.stringify(Object.fromEntries(new FormData(signIn))));
  signIn.reset();
});
signOut.addEventListener("submit", async (event) => {
  event.preventDefault();
  await send("DELETE");
});
showAccount();
