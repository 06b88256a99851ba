// Shows a prediction with its probabilities and the contributions of the inputs. Text is inserted as text, never as markup.

const { target: targetText, tuning: tuningText, version } = document.body.dataset;
const target = JSON.parse(targetText);
const tuning = JSON.parse(tuningText);
const box = document.getElementById("prediction");
const placeholder = document.getElementById("placeholder");
const outdated = document.getElementById("outdated");
const FALLBACKS = {
  previous: "The model failed for these inputs. The previous model made this prediction.",
  rule: "The model failed for these inputs. A rule made this prediction.",
  fixed: "The model failed for these inputs. A fixed default is shown instead.",
};
const MAX_CLASSES = 8;
const MAX_INPUTS = 15;

export function element(tag, { text, ...attributes } = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  created.append(...(text === undefined ? children : [text]));
  return created;
}

/** Show that the inputs have changed since the prediction. */
export function markOutdated() {
  outdated.hidden = box.hidden;
}

/** Remove the prediction. */
export function removePrediction() {
  box.hidden = outdated.hidden = true;
  box.replaceChildren();
  placeholder.hidden = false;
}

/**
 * Show a response of /predict.
 * `inputs` has the JSON text that was sent for each input, `labels` the label of each input.
 */
export function showPrediction(response, inputs, labels) {
  const parts = [
    element("p", { class: "overline", text: target.label }),
    element("p", { class: "predicted-value", id: "predicted-value", text: display(response.prediction) }),
  ];
  if (target.description) parts.push(element("p", { class: "hint", text: target.description }));
  if (response.interval) parts.push(interval(response));
  if (response.fallback) parts.push(element("p", { class: "notice", text: FALLBACKS[response.fallback] ?? FALLBACKS.fixed }));
  if (response.probabilities) parts.push(probabilities(response));
  if (isFromModelOfPage(response) && tuning.threshold !== undefined) parts.push(thresholdHint());
  if (response.review === true) parts.push(element("p", { class: "small", text: "A person will also review this case." }));
  parts.push(...(response.explanation ? contributions(response.explanation, inputs, labels) : [noExplanation(response)]));
  parts.push(element("p", { class: "small mono", text: `Model ${response.model_version}, prediction ${response.prediction_id}` }));
  if (response.model_version !== version) {
    parts.push(element("p", { class: "small", text: "The model has changed since this page was loaded. Reload the page to read about the new model." }));
  }
  box.replaceChildren(...parts);
  box.hidden = false;
  placeholder.hidden = true;
  outdated.hidden = true;
  const title = document.getElementById("prediction-title");
  title.focus({ preventScroll: true });
  const { top } = title.getBoundingClientRect();
  if (top < 0 || top > window.innerHeight * 0.6) title.scrollIntoView({ block: "start" });
}

/** Threshold and level are those of the model that the page is about. */
function isFromModelOfPage(response) {
  return response.model_version === version && !response.fallback;
}

function interval(response) {
  const [low, high] = response.interval;
  const level = isFromModelOfPage(response) && tuning.level !== undefined ? `${number(100 * tuning.level)} % prediction interval` : "Prediction interval";
  return element("p", { class: "small", id: "interval", text: `${level}: ${number(low)} to ${number(high)}` });
}

// ---- probabilities ----

/** Say from which probability of the second class on it is predicted. */
function thresholdHint() {
  return element("p", { class: "small", id: "threshold", text: `“${display(tuning.from_threshold)}” is predicted from a probability of ${number(100 * tuning.threshold, 3)} % on.` });
}

function probabilities(response) {
  const sorted = Object.entries(response.probabilities).sort((a, b) => b[1] - a[1]);
  const shown = sorted.length > MAX_CLASSES + 1 ? sorted.slice(0, MAX_CLASSES) : sorted;
  const rest = sorted.slice(shown.length);
  const items = shown.map(([name, probability]) => [display(name), probability, name === String(response.prediction)]);
  if (rest.length) items.push([`${rest.length} other classes`, rest.reduce((sum, [, probability]) => sum + probability, 0), false]);
  return element("ul", { class: "probabilities", "aria-label": "Probabilities" }, ...items.map(([name, probability, predicted]) =>
    element("li", {},
      element("div", predicted ? { class: "predicted" } : {}, element("span", { text: name }), element("b", { text: percent(probability) })),
      bar(probability))));
}

function bar(share) {
  const inner = element("i");
  inner.style.setProperty("--size", `${(100 * share).toFixed(2)}%`);
  return element("span", { class: "bar", "aria-hidden": "true" }, inner);
}

// ---- contributions of the inputs ----

function noExplanation(response) {
  const reason = response.no_explanation ? `: ${response.no_explanation}` : "";
  return element("p", { class: "small", text: `The contributions of the inputs are not available${reason}.` });
}

function contributions(explanation, inputs, labels) {
  const { base_value: base, score, scale, contributions: values } = explanation;
  const sorted = Object.entries(values).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const shown = sorted.length > MAX_INPUTS + 1 ? sorted.slice(0, MAX_INPUTS) : sorted;
  const rest = sorted.slice(shown.length);
  const largest = Math.max(...sorted.map(([, value]) => Math.abs(value))) || 1;
  const decimals = decimalsFor([...sorted.map(([, value]) => value), score, base]);
  const inputRow = (label, hint, value) => {
    const mark = element("i", value < 0 ? { class: "minus" } : {});
    mark.style.setProperty("--size", `${((50 * Math.abs(value)) / largest).toFixed(2)}%`);
    return element("tr", {},
      element("th", { scope: "row" }, label, element("span", { class: "hint", text: hint })),
      element("td", {}, element("span", { class: "track", "aria-hidden": "true" }, mark)),
      element("td", { text: signed(value, decimals) }));
  };
  const rows = shown.map(([name, value]) => inputRow(labels.get(name) ?? name, displayInput(inputs.get(name)), value));
  if (rest.length) rows.push(inputRow(`${rest.length} other inputs`, "", rest.reduce((sum, [, value]) => sum + value, 0)));
  const table = element("table", { class: "contributions" },
    element("thead", {}, element("tr", {}, ...["Input", "Direction", "Contribution"].map((text) => element("th", { scope: "col", text })))),
    element("tbody", {}, scoreRow("Average", base, scale, decimals, "base"), ...rows),
    element("tfoot", {}, scoreRow("Sum", score, scale, decimals)));
  const background = `${number(explanation.background_rows)} rows of the training data`;
  const method = explanation.method === "exact" ? `Shapley values relative to ${background}` : `Shapley values relative to ${background}, estimated from random orders of the inputs`;
  return [
    element("h3", { text: "Contributions of the inputs" }),
    element("p", { class: "hint", text: caption(explanation) }),
    table,
    element("p", { class: "small", text: `${method}. They show what influenced this prediction, not what causes the outcome.` }),
  ];
}

/** A row for the average or the sum, with the probability that it corresponds to. */
function scoreRow(name, value, scale, decimals, className = "") {
  const probability = scale === "log-odds" ? 1 / (1 + Math.exp(-value)) : scale === "probability" ? value : null;
  const label = element("th", { scope: "row", text: name });
  if (probability !== null) label.append(element("span", { class: "hint", text: `a probability of ${percent(probability)}` }));
  const cell = element("td", { text: signed(value, decimals).replace("+", "") });
  return element("tr", className ? { class: className } : {}, label, element("td"), cell);
}

function caption({ scale, explained_class: explainedClass }) {
  if (scale === "value") return "Starting from the average prediction, each input increases the value (bar to the right) or decreases it (bar to the left).";
  const predicted = typeof explainedClass === "boolean" ? `“${target.label}: ${display(explainedClass)}”` : `“${display(explainedClass)}”`;
  const unit = scale === "log-odds" ? "Contributions are in log-odds." : "Contributions are in probability.";
  return `Bars to the right make ${predicted} more probable, bars to the left less probable. ${unit}`;
}

/** Return the decimals with which the largest of some numbers shows three digits. */
function decimalsFor(values) {
  const largest = Math.max(...values.map(Math.abs));
  return largest > 0 ? Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(largest)))) : 2;
}

// ---- values as text ----

/** Return a class or a value as text. */
function display(value) {
  if (value === true || value === "true") return "Yes";
  if (value === false || value === "false") return "No";
  if (value === null) return "not known";
  if (value === "") return "(empty)";
  return typeof value === "number" ? number(value) : String(value);
}

/** Return an input's JSON text as text for people; numbers stay as they were entered. */
function displayInput(json) {
  const value = JSON.parse(json ?? "null");
  return typeof value === "number" ? json : display(value);
}

function number(value, digits = 6) {
  return value.toLocaleString("en", { maximumSignificantDigits: digits }).replace("-", "\u2212");
}

function signed(value, decimals) {
  const text = Math.abs(value).toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  return /[1-9]/.test(text) ? (value < 0 ? "\u2212" : "+") + text : text;
}

function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}
