/* The API reference: Swagger UI with this service's document, in the reader's color scheme. */
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

SwaggerUIBundle({
    url: document.getElementById("swagger-ui").dataset.document,
    dom_id: "#swagger-ui",
    deepLinking: true,
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    requestSnippetsEnabled: true,
    validatorUrl: null,
    // The document names the public address. A reader of another one tries that one.
    requestInterceptor: (request) => {
        const { pathname, search } = new URL(request.url, location.href);
        request.url = `${location.origin}${pathname}${search}`;
        return request;
    },
});
