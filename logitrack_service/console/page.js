"use strict";

// Registers if requested, logs in, requests a prediction and displays it. The token is not stored.

const form = document.getElementById("prediction-form");
const show = (id, text) => {
  const element = document.getElementById(id);
  element.textContent = text;
  element.hidden = text === "";
};

async function call(path, options) {
  const response = await fetch(path, { method: "POST", ...options });
  const body = await response.json();
  if (!response.ok) {
    const errors = (body.errors || []).map((error) => `${error.field}: ${error.message}`);
    throw new Error([body.detail, ...errors].join(" "));
  }
  return body;
}

const json = (body, headers = {}) => ({
  headers: { "Content-Type": "application/json", ...headers },
  body: JSON.stringify(body),
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  const login = { username: fields.get("username"), password: fields.get("password") };
  const output = document.getElementById("prediction");
  output.hidden = true;
  show("error", "");
  try {
    if (fields.get("register")) {
      await call("/register", json(login));
      form.elements.register.checked = false;
    }
    const token = await call("/token", { body: new URLSearchParams({ grant_type: "password", ...login }) });
    const trip = {
      pickup_zone: Number(fields.get("pickup_zone")),
      dropoff_zone: Number(fields.get("dropoff_zone")),
    };
    if (fields.get("pickup_at")) trip.pickup_at = `${fields.get("pickup_at")}:00`;
    if (fields.get("distance_miles")) trip.distance_miles = Number(fields.get("distance_miles"));
    const prediction = await call("/predict", json(trip, { Authorization: `Bearer ${token.access_token}` }));
    const { low_minutes: low, high_minutes: high, level } = prediction.interval;
    show("minutes", `${prediction.estimated_duration_minutes.toFixed(0)} minutes`);
    show("interval", `${Math.round(level * 100)} of 100 such trips take ${low.toFixed(0)} to ${high.toFixed(0)}; ` +
      `arrival at ${prediction.arrival_at.slice(11, 16)}`);
    show("support", `${prediction.support.toLocaleString()} training trips between these zones, through ` +
      `${prediction.trained_through}${prediction.extrapolating ? "; too few for a reliable prediction" : ""}`);
    output.hidden = false;
  } catch (error) {
    show("error", error.message);
  }
});
