// Looks every few seconds whether an operator has approved it, and goes on.

const LOOK_MS = 3000;
const part = document.querySelector("[data-progress]");
const state = document.getElementById("state");
state.textContent = "This page looks every few seconds.";

for (;;) {
  await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  try {
    const response = await fetch(part.dataset.progress, { headers: { Accept: "application/json" }, cache: "no-store" });
    const told = await response.json();
    if (response.ok && told.state === "used") location.replace(part.dataset.done);
    if (response.status >= 400 && response.status < 500 && response.status !== 429) location.reload();
    if (response.ok && told.state === "used") break;
  } catch {
    // the network is away for a moment
  }
}
