/* Samples in several languages become tabs; the language chosen last is shown everywhere. */
"use strict";

const groups = document.querySelectorAll(".samples");

function show(group, language) {
    const tabs = [...group.querySelectorAll("[role=tab]")];
    const chosen = tabs.find((tab) => tab.dataset.language === language) ?? tabs[0];
    for (const tab of tabs) {
        tab.setAttribute("aria-selected", tab === chosen);
        tab.tabIndex = tab === chosen ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
}

function choose(tab) {
    const top = tab.getBoundingClientRect().top;
    for (const group of groups) show(group, tab.dataset.language);
    scrollBy(0, tab.getBoundingClientRect().top - top); // Groups above have other heights now.
    tab.focus();
    try {
        localStorage.setItem("language", tab.dataset.language);
    } catch {} // Storage is switched off: nothing is remembered.
}

let remembered;
try {
    remembered = localStorage.getItem("language");
} catch {}

for (const [index, group] of groups.entries()) {
    const list = document.createElement("div");
    list.role = "tablist";
    list.ariaLabel = "Language";
    for (const sample of group.children) {
        const { language } = sample.dataset;
        const tab = document.createElement("button");
        Object.assign(tab, { type: "button", role: "tab", id: `tab-${index}-${language}` });
        tab.textContent = sample.querySelector(".label").textContent;
        tab.dataset.language = language;
        Object.assign(sample, { id: `sample-${index}-${language}`, role: "tabpanel" });
        tab.setAttribute("aria-controls", sample.id);
        sample.setAttribute("aria-labelledby", tab.id);
        tab.addEventListener("click", () => choose(tab));
        list.append(tab);
    }
    list.addEventListener("keydown", (pressed) => {
        const at = [...list.children].indexOf(pressed.target);
        const last = list.children.length - 1;
        const next = { ArrowLeft: at || last + 1, ArrowRight: at === last ? 1 : at + 2, Home: 1, End: last + 1 };
        if (!(pressed.key in next)) return;
        pressed.preventDefault();
        choose(list.children[next[pressed.key] - 1]);
    });
    group.prepend(list);
    show(group, remembered);
}
