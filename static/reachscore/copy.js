/* Buttons that copy a public text of the page, and say so. */
"use strict";

for (const button of document.querySelectorAll("button[data-copies]")) {
    const said = button.parentElement.querySelector("[role=status]");
    button.addEventListener("click", async () => {
        const source = document.getElementById(button.dataset.copies);
        try {
            await navigator.clipboard.writeText(source.textContent);
            said.textContent = "Copied";
        } catch {
            getSelection().selectAllChildren(source);
            said.textContent = "Selected: press Ctrl+C.";
        }
    });
    button.hidden = false; // Without this script the text is there to be selected.
}
