// Makes the key, hands in the request, and writes the file: the glue between the page and keys.js.
//
// The key lives in this page's memory alone. What is sent is the request, which has the public key and no other. Files are
// made here and saved by the browser; the password is made here and shown here.

import { copy, say } from "./portal.js";

const LOOK_MS = 3000;

const PROFILES = {
  compat: { title: "for every system", why: "This encoding is read by every system: old Windows, every Apple, Android up to 13, and all newer ones." },
  modern: { title: "for newer systems", why: "This encoding is stronger. Windows 10 and 11, Firefox, Android 14, Java and OpenSSL of the last years read it; Apple's systems mostly do not." },
};

const part = (id) => document.getElementById(id);
const form = part("make");

// What makes keys may be missing: a filter on the way took a part of it away, or the browser is too old for it.
const keys = await import("./keys.js").catch(() => null);
const reason = keys ? keys.unavailable() : "A part of this page could not be loaded. Load it again.";
if (reason) {
  part("insecure-why").textContent = reason;
  part("insecure").hidden = false;
} else {
  part("stages").hidden = false;
  form.hidden = false;
}

// What was made is kept for the next try: the answer to the first may have got lost, and the same request gets it again.
let made = null;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  part("failed").hidden = true;
  busy("Your browser makes the key …");
  try {
    const kind = form.elements.kind.value;
    if (made?.kind !== kind) {
      const key = await keys.makeKey(kind);
      made = { kind, key, request: await keys.csr(key, { commonName: form.dataset.label }) };
    }
    busy("The request is signed …");
    const answer = await handIn(made.request);
    holdOn();
    finish(made.key, answer.waiting ? await approved() : answer);
  } catch (error) {
    failed(error);
  }
});

/** Sends the request, and nothing else. */
async function handIn(request) {
  const headers = { "Content-Type": "application/pkcs10", Accept: "application/json" };
  if (form.elements.factor) headers["Second-Factor"] = form.elements.factor.value.replace(/[^\x20-\x7e]/g, "");
  const response = await fetch(form.dataset.send, { method: "POST", headers, body: request, redirect: "error" }).catch(() => {
    throw Object.assign(new Error("The connection broke."), { fix: "Leave this page open, which has your key, and try it again." });
  });
  return answerOf(response);
}

async function answerOf(response) {
  const told = await response.json().catch(() => ({ title: "The gate's answer cannot be read." }));
  if (!response.ok) throw Object.assign(new Error(told.title), { fix: told.fix ?? told.detail ?? "" });
  return told;
}

/** Waits until an operator has approved it. The key waits here. */
async function approved() {
  show("waiting");
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    let response;
    try {
      response = await fetch(form.dataset.collect, { headers: { Accept: "application/json" }, cache: "no-store" });
    } catch {
      continue; // the network is away for a moment
    }
    if (response.status >= 500 || response.status === 429) continue; // later, and others from here may guess at codes
    const answer = await answerOf(response);
    if (!answer.waiting) return answer;
  }
}

async function finish(key, answer) {
  try {
    const secret = keys.password();
    const first = form.dataset.first;
    const second = first === "compat" ? "modern" : "compat";
    const label = `${form.dataset.label} - ${answer.not_after.slice(0, 7)}`;
    for (const [place, profile] of [["first", first], ["second", second]]) {
      const bytes = await keys.p12({ key, chain: answer.pem, label, password: secret, profile });
      const link = part(`${place}-file`);
      link.href = URL.createObjectURL(new Blob([bytes], { type: "application/x-pkcs12" }));
      link.download = `${form.dataset.file}${place === "first" ? "" : `-${profile}`}.p12`;
      link.dataset.profile = profile;
      link.querySelector("span").textContent = `Save ${link.download}`;
      part(`${place}-why`).textContent = (place === "first" ? `Made for ${form.dataset.system}. ` : "") + PROFILES[profile].why;
    }
    // In the page's own language, and the day in UTC, as all of the portal's pages say it.
    const day = new Date(answer.not_after).toLocaleDateString("en-GB", { dateStyle: "long", timeZone: "UTC" });
    part("made").textContent = `The certificate for ${answer.client} is made and valid until ${day}.`;
    // In groups of five, to be read and typed; copied, it has no spaces.
    const shown = part("password");
    shown.dataset.secret = secret;
    shown.replaceChildren(...secret.match(/.{5}/g).map((group) => Object.assign(document.createElement("span"), { textContent: group })));
    show("save");
  } catch (error) {
    failed(error);
  }
}

part("copy-password").addEventListener("click", (event) => copy(event.currentTarget, part("password").dataset.secret));

part("saved").addEventListener("click", () => {
  removeEventListener("beforeunload", warn);
  show("install");
  part("test-stage").hidden = false;
  document.dispatchEvent(new Event("test-begins"));
});

// One stage after the other; what is done stays, and what comes gets the focus.

const STAGES = ["make", "waiting", "save", "install"];

function show(id) {
  for (const stage of STAGES) {
    const before = id === "install" && stage === "save"; // the file may be needed again
    part(stage).hidden = stage !== id && !before;
  }
  for (const step of part("stages").children) {
    if (step.dataset.stage === (id === "waiting" ? "make" : id)) step.setAttribute("aria-current", "step");
    else step.removeAttribute("aria-current");
  }
  part("saved").parentElement.hidden = id === "install";
  part(id).focus();
  part(id).scrollIntoView({ block: "start" });
}

function busy(text) {
  part("go").disabled = true;
  part("doing").textContent = text;
}

function failed(error) {
  removeEventListener("beforeunload", warn);
  part("go").disabled = false;
  part("doing").textContent = "";
  part("failed-title").textContent = error.message;
  part("failed-fix").textContent = error.fix ?? "";
  part("failed").hidden = false;
  say(error.message);
}

// A page that is closed too early takes the key with it.

function warn(event) {
  event.preventDefault();
}

function holdOn() {
  addEventListener("beforeunload", warn);
}
