const dark = window.matchMedia("(prefers-color-scheme: dark)");
const followTheSystem = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followTheSystem);
followTheSystem();

// The page shows the document as it is, but for two things that would stand in the way of trying.
const easeTrying = (updateJsonSpec) => (openapi) => {
  // A field for each way of sending the same key, the cursor in the last of them.
  const { bearer } = openapi.components.securitySchemes;
  openapi.components.securitySchemes = { bearer };
  // Every field filled with its example: a request with all filters at once finds nothing.
  for (const operation of Object.values(openapi.paths).flatMap(Object.values)) {
    for (const parameter of operation.parameters ?? []) {
      if (parameter.required || !("example" in parameter)) continue;
      parameter.description = `${parameter.description ?? ""} For example \`${parameter.example}\`.`;
      delete parameter.example;
    }
  }
  return updateJsonSpec(openapi);
};

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  // The badge would send this service's address to a site on the internet.
  validatorUrl: null,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  plugins: [{ statePlugins: { spec: { wrapActions: { updateJsonSpec: easeTrying } } } }],
  // The key outlives a reload but not the tab: a library's computers are shared, so it is not kept in localStorage.
  onComplete: () => ui.authActions.restoreAuthorization({
    authorized: JSON.parse(sessionStorage.getItem("authorized") ?? "{}"),
  }),
});
window.addEventListener("pagehide", () => {
  sessionStorage.setItem("authorized", JSON.stringify(ui.authSelectors.authorized()));
});
