/* On pages that show secrets once: buttons to copy and print, and nothing left for Back to show. */
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
        said.textContent = "The browser does not let this page copy. It is selected: press Ctrl+C.";
    }
};

button.addEventListener("click", copy);
button.hidden = false; // Without this script the text is there to be selected.

const printing = document.getElementById("print");
if (printing) {
    printing.addEventListener("click", () => print());
    printing.hidden = false;
}

// Some browsers keep a page for Back although it is no-store.
addEventListener("pagehide", () => {
    plaintext.textContent = "This was shown once.";
    said.textContent = "";
    button.hidden = true;
});
