// Sends the form's inputs to /predict, and shows the errors of the response.

import { element, markOutdated, removePrediction, showPrediction } from "./prediction.js";

const form = document.getElementById("inputs");
const keyForm = document.getElementById("key");
const fields = [...form.querySelectorAll(".field")].map(describeField);
const labels = new Map(fields.map((field) => [field.name, field.label]));
const KEY = `key ${location.pathname}`;
// Statuses of a service that does not support ?explain=true; any other error is about the request itself.
const NO_EXPLANATION_STATUSES = new Set([400, 404, 405, 500, 501]);
let pendingRequest = null;

function describeField(box) {
  const { name, kind, label, example } = box.dataset;
  const controls = [...box.querySelectorAll("input, select")];
  const unknown = controls.find((control) => control.type === "checkbox");
  const radios = controls.filter((control) => control.type === "radio");
  const control = radios[0] ?? controls.find((candidate) => candidate !== unknown);
  const error = box.querySelector(".error");
  const described = box.querySelector("[aria-describedby]");
  return { name, kind, label, example, box, control, radios, unknown, error, described };
}

// ---- form values and JSON ----

/** Return the field's value as JSON text, or null if it is empty. */
function readField(field) {
  if (field.unknown?.checked) return "null";
  if (field.radios.length) return field.radios.find((radio) => radio.checked)?.value ?? null;
  const text = field.control.value;
  if (field.control.tagName === "SELECT") return text === "" ? null : text;
  const trimmed = text.trim();
  if (trimmed === "") return null;
  if (field.kind === "integer" || field.kind === "number") return toJsonNumber(trimmed) ?? JSON.stringify(text);
  return JSON.stringify(field.kind === "string" ? text : trimmed);
}

/** Return a number as JSON text, digit by digit so that it is not rounded here; null if the text is not a number. */
function toJsonNumber(text) {
  const parts = /^([+\u2212-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d+))?$/i.exec(text);
  if (!parts || !(parts[2] || parts[3])) return null;
  const [, sign, integer, fraction, exponent] = parts;
  const digits = integer.replace(/^0+(?=\d)/, "") || "0";
  return `${sign === "" || sign === "+" ? "" : "-"}${digits}${fraction ? `.${fraction}` : ""}${exponent ? `e${exponent}` : ""}`;
}

function writeField(field, json) {
  if (field.radios.length) {
    for (const radio of field.radios) radio.checked = radio.value === json;
  } else if (field.control.tagName === "SELECT") {
    field.control.value = json;
  } else {
    const value = JSON.parse(json);
    if (field.unknown) field.unknown.checked = value === null;
    field.control.value = value === null ? "" : field.control.type === "datetime-local" ? toLocalDatetime(value) : String(value);
  }
  updateDisabled(field);
}

/** Return an ISO 8601 datetime, in UTC, in the form that a datetime-local input accepts. */
function toLocalDatetime(text) {
  const zoned = /(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text.replace(" ", "T")}${text.length > 10 ? "Z" : "T00:00Z"}`;
  return new Date(zoned).toISOString().slice(0, 19);
}

function updateDisabled(field) {
  if (field.unknown) field.control.disabled = field.unknown.checked;
}

// ---- request and response ----

function send(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers["X-API-Key"] = key;
  return fetch(path, { method: "POST", headers, body, signal, credentials: "same-origin" });
}

async function submit() {
  pendingRequest?.abort();
  const request = (pendingRequest = new AbortController());
  const values = fields.map((field) => [field.name, readField(field)]);
  const filled = values.filter(([, json]) => json !== null);
  const body = `{${filled.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(",")}}`;
  clearErrors();
  setBusy(true);
  try {
    let response = await send("predict?explain=true", body, request.signal);
    if (NO_EXPLANATION_STATUSES.has(response.status)) response = await send("predict", body, request.signal);
    const content = await response.json().catch(() => null);
    if (request.signal.aborted) return;
    if (response.ok && content) showPrediction(content, new Map(values), labels);
    else showErrors(response, content);
  } catch (error) {
    if (request.signal.aborted) return;
    removePrediction();
    showRequestError(`The service cannot be reached (${error.message}). Try again in a moment.`);
  } finally {
    if (pendingRequest === request) setBusy(false);
  }
}

function setBusy(busy) {
  document.getElementById("predict").setAttribute("aria-busy", String(busy));
}

// ---- errors ----

function showErrors(response, content) {
  const errors = Array.isArray(content?.detail) ? content.detail : [];
  removePrediction();
  const message = errors.map((error) => error.msg).join("; ") || (typeof content?.detail === "string" ? content.detail : "");
  const seconds = response.headers.get("Retry-After");
  const retry = seconds ? ` Try again in ${seconds} ${seconds === "1" ? "second" : "seconds"}.` : "";
  switch (response.status) {
    case 401:
      requestKey(sessionStorage.getItem(KEY) ? "This API key is not valid." : "");
      break;
    case 403:
      requestKey("This API key is not allowed to request predictions. Use another key.");
      break;
    case 422:
      showFieldErrors(errors);
      break;
    case 429:
      showRequestError(`Too many requests.${retry || " Try again in a moment."}`);
      break;
    default:
      showRequestError(`The prediction failed (${response.status})${message ? `: ${message}` : ""}.${retry}`);
  }
}

/** Show the errors next to their fields, and move the focus to the first. */
function showFieldErrors(errors) {
  const messages = new Map();
  const others = [];
  for (const error of errors) {
    const field = fields.find((candidate) => error.loc?.[0] === "body" && candidate.name === error.loc[1]);
    if (field) messages.set(field, [...(messages.get(field) ?? []), fieldMessage(error, field)]);
    else others.push(error.msg);
  }
  for (const [field, sentences] of messages) {
    field.error.textContent = sentences.join(" ");
    field.error.hidden = false;
    field.box.classList.add("invalid");
    setDescription(field, true);
  }
  if (others.length || !messages.size) showRequestError(`The service rejected the request: ${others.join("; ") || "no reason given"}.`);
  const first = fields.find((field) => messages.has(field));
  if (!first) return;
  const summary = document.getElementById("summary");
  const links = fields.filter((field) => messages.has(field)).flatMap((field, index) => {
    const link = element("a", { href: `#${field.control.id}`, text: field.label });
    link.addEventListener("click", (event) => {
      event.preventDefault();
      focusField(field);
    });
    return index ? [", ", link] : [link];
  });
  summary.replaceChildren(messages.size === 1 ? "Correct one field: " : `Correct ${messages.size} fields: `, ...links, ".");
  summary.hidden = false;
  focusField(first);
}

function fieldMessage(error, field) {
  if (error.type === "missing") return field.unknown ? "Enter a value, or select “Not known”." : "This field is required.";
  return `${error.msg.replace(/^Input should/, "The value should").replace(/\.$/, "")}.`;
}

function focusField(field) {
  (field.control.disabled ? field.unknown : field.control).focus();
}

function setDescription(field, invalid) {
  const hintId = field.described.getAttribute("aria-describedby").split(" ")[0];
  field.described.setAttribute("aria-describedby", invalid ? `${hintId} ${field.error.id}` : hintId);
  if (invalid) field.described.setAttribute("aria-invalid", "true");
  else field.described.removeAttribute("aria-invalid");
}

function clearErrors() {
  for (const field of fields) {
    field.error.hidden = true;
    field.error.textContent = "";
    field.box.classList.remove("invalid");
    setDescription(field, false);
  }
  for (const id of ["summary", "request-error"]) {
    document.getElementById(id).hidden = true;
    document.getElementById(id).replaceChildren();
  }
}

function showRequestError(text) {
  const box = document.getElementById("request-error");
  box.textContent = text;
  box.hidden = false;
}

function requestKey(message) {
  if (message) showRequestError(message);
  keyForm.hidden = false;
  document.getElementById("key-field").focus();
}

// ---- events ----

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
form.addEventListener("reset", () => {
  clearErrors();
  removePrediction();
  setTimeout(() => fields.forEach(updateDisabled)); // the controls are reset after this event
});
form.addEventListener("input", markOutdated);
for (const field of fields) field.unknown?.addEventListener("change", () => updateDisabled(field));
document.getElementById("example").addEventListener("click", () => {
  clearErrors();
  markOutdated();
  for (const field of fields) if (field.example !== undefined) writeField(field, field.example);
});
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const key = document.getElementById("key-field");
  sessionStorage.setItem(KEY, key.value.trim());
  key.value = "";
  keyForm.hidden = true;
  submit();
});
fields.forEach(updateDisabled); // browsers restore the values when a user navigates back to the page
