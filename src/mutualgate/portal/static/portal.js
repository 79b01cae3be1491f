// What every page may use: buttons that copy, tabs that show where somebody is. Without script the pages work all the
// same, but for the key made in the page.

for (const tab of document.querySelectorAll(".tabs [aria-current]")) {
  tab.parentElement.scrollLeft = tab.offsetLeft + tab.offsetWidth - tab.parentElement.clientWidth;
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    const source = button.dataset.copy ? document.getElementById(button.dataset.copy) : button.parentElement.querySelector("code");
    await copy(button, source.value ?? source.textContent);
  });
}

// A second click sends nothing a second time; who comes back to the page may send it again.
for (const key of document.querySelectorAll("input[name=form_key]")) {
  let sent = false;
  key.form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", () => (sent = false));
}

/** Copies a text and says so on the button for a moment, to screen readers as well. */
export async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy by hand";
  }
  setTimeout(() => (button.textContent = label), 2000);
}

let voice;

/** Tells a screen reader what changed. */
export function say(text) {
  if (!voice) {
    voice = document.createElement("p");
    voice.className = "hidden";
    voice.setAttribute("role", "status");
    document.body.append(voice);
  }
  voice.textContent = text;
}
