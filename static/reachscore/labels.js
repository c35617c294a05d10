/* The box that finds organizations has no name for screen readers: it gets its label's. */
"use strict";

django.jQuery(() => { // After the box was made.
    for (const box of document.querySelectorAll(".select2-selection__rendered")) {
        const select = box.closest(".select2-container").previousElementSibling;
        box.setAttribute("aria-label", select.labels[0].textContent.replace(":", "").trim());
    }
});
