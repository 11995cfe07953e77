"use strict";

// Registers if asked to, logs in, asks, and shows the answer. The token lives in this function only.

const form = document.getElementById("ask");
const show = (id, text) => {
  const element = document.getElementById(id);
  element.textContent = text;
  element.hidden = text === "";
};

async function call(path, options) {
  const response = await fetch(path, { method: "POST", ...options });
  const answer = await response.json();
  if (!response.ok) {
    const wrong = (answer.errors || []).map((error) => `${error.field}: ${error.message}`);
    throw new Error([answer.detail, ...wrong].join(" "));
  }
  return answer;
}

const json = (body, headers = {}) => ({
  headers: { "Content-Type": "application/json", ...headers },
  body: JSON.stringify(body),
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  const login = { username: fields.get("username"), password: fields.get("password") };
  const answer = document.getElementById("answer");
  answer.hidden = true;
  show("trouble", "");
  try {
    if (fields.get("register")) {
      await call("/register", json(login));
      form.elements.register.checked = false;
    }
    const token = await call("/token", { body: new URLSearchParams({ grant_type: "password", ...login }) });
    const ride = {
      pickup_zone: Number(fields.get("pickup_zone")),
      dropoff_zone: Number(fields.get("dropoff_zone")),
    };
    if (fields.get("pickup_at")) ride.pickup_at = `${fields.get("pickup_at")}:00`;
    if (fields.get("distance_miles")) ride.distance_miles = Number(fields.get("distance_miles"));
    const said = await call("/predict", json(ride, { Authorization: `Bearer ${token.access_token}` }));
    const { low_minutes: low, high_minutes: high, level } = said.interval;
    show("minutes", `${said.estimated_duration_minutes.toFixed(0)} minutes`);
    show("interval", `${Math.round(level * 100)} of 100 such rides take ${low.toFixed(0)} to ${high.toFixed(0)}; ` +
      `arrival at ${said.arrival_at.slice(11, 16)}`);
    show("rests-on", `${said.support.toLocaleString()} trips between these zones, known through ` +
      `${said.trained_through}${said.extrapolating ? "; hardly any, so take it with care" : ""}`);
    answer.hidden = false;
  } catch (error) {
    show("trouble", error.message);
  }
});
