/* Gives the box that finds organizations the name of its label, for screen readers. */
"use strict";

django.jQuery(() => { // After the box was made.
    for (const box of document.querySelectorAll(".select2-selection__rendered")) {
        const select = box.closest(".select2-container").previousElementSibling;
        box.setAttribute("aria-label", select.labels[0].textContent.replace(":", "").trim());
    }
});
