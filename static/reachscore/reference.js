/* The API reference: Swagger UI with this service's document, in the reader's color scheme. */
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// Swagger UI sends the example of each parameter unless it is cleared: no list has both a page after
// and a page before, and nobody should cascade by accident. So show optional ones, but send none.
const showOptional = (next) => (doc) => {
    const operations = Object.values(doc.paths).flatMap((path) => Object.values(path));
    const shared = Object.values(doc.components.parameters);
    for (const each of [...shared, ...operations.flatMap((one) => one.parameters ?? [])]) {
        if (each.example === undefined || each.required) continue;
        if (each.schema.default === undefined)
            each.description = `${each.description ?? ""} Example: \`${each.example}\``.trim();
        delete each.example;
    }
    return next(doc);
};

SwaggerUIBundle({
    url: document.getElementById("swagger-ui").dataset.document,
    dom_id: "#swagger-ui",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    requestSnippetsEnabled: true,
    validatorUrl: null,
    plugins: [{ statePlugins: { spec: { wrapActions: { updateJsonSpec: showOptional } } } }],
    // The document names the public address. A reader of another one tries that one.
    requestInterceptor: (request) => {
        const { pathname, search } = new URL(request.url, location.href);
        request.url = `${location.origin}${pathname}${search}`;
        return request;
    },
});
