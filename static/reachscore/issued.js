/* On the page that shows a key once: a button that copies it, and nothing left for Back to show. */
"use strict";

const plaintext = document.getElementById("plaintext");
const button = document.getElementById("copy");
const said = document.getElementById("copied");

const copy = async () => {
    try {
        await navigator.clipboard.writeText(plaintext.textContent);
        said.textContent = "Copied";
    } catch {
        getSelection().selectAllChildren(plaintext);
        said.textContent = "The browser does not let this page copy. The key is selected: press Ctrl+C.";
    }
};

button.addEventListener("click", copy);
button.hidden = false; // Without this script the key is there to be selected.

// Some browsers keep a page for Back although it is no-store.
addEventListener("pagehide", () => {
    plaintext.textContent = "This key was shown once.";
    said.textContent = "";
    button.hidden = true;
});
