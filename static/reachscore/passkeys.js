/* Buttons that have the browser show or make a passkey, and send what it answers with their form. */
"use strict";

const WORDS = {
    AbortError: "The browser stopped asking. Try again.",
    ConstraintError: "This authenticator cannot verify you. Set a PIN or a fingerprint on it first.",
    InvalidStateError: "This authenticator holds a passkey of your account already.",
    NotAllowedError: "No passkey came: there is none here, you cancelled, or the time ran out. Try again.",
    NotSupportedError: "This authenticator makes none of the kinds of key that are taken here.",
    SecurityError: "The browser refuses passkeys at this address. Open the service by its own name, over HTTPS.",
    SyntaxError: "This page is too old. Load it again.",
    TypeError: "The server did not answer. Try again.",
};
const able = globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON !== undefined;

// Returns the options that the server makes for this button, or throws its words.
const begin = async (button) => {
    const { csrfmiddlewaretoken, name } = button.form.elements;
    const body = new URLSearchParams({ csrfmiddlewaretoken: csrfmiddlewaretoken.value, name: name?.value ?? "" });
    const answer = await fetch(button.dataset.challenge, { method: "POST", body });
    const options = await answer.json();
    if (!answer.ok) {
        throw new Error(options.error);
    }
    return options;
};

const answerTo = async (options) => {
    const credential = options.rp
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
    return JSON.stringify(credential);
};

for (const button of document.querySelectorAll("button[data-challenge]")) {
    const [answer, said] = button.parentElement.querySelectorAll("input, [role=alert]");
    button.addEventListener("click", async () => {
        if (button.form.elements.name?.reportValidity() === false) {
            return;
        }
        said.textContent = "Follow your browser…";
        button.disabled = true;
        try {
            answer.value = await answerTo(await begin(button));
            button.form.submit();
        } catch (error) {
            said.textContent = WORDS[error.name] ?? error.message;
        }
        button.disabled = false;
    });
    button.hidden = !able;
    if (!able) {
        said.textContent = "This browser knows no passkeys. Use a current one, over HTTPS.";
    }
}
